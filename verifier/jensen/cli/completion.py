"""What a shell offers for arguments: names of files."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


def file_names(
    _context: click.Context, _param: click.Parameter, typed: str
) -> list[CompletionItem]:
    """Let the shell complete the name of a file, as it does for other programs."""
    return [CompletionItem(typed, type="file")]
