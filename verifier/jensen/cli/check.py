"""``jensen check``: the independent checker of certificates."""

from __future__ import annotations

import importlib

import click

from jensen.errors import MissingExtraError


@click.command("check", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="MODEL CERT")
def command(arguments: tuple[str, ...]) -> int:
    """Check a certificate; all arguments go to the checker, which stands alone."""
    try:
        checker = importlib.import_module("jensen.checker")
    except ModuleNotFoundError:
        raise MissingExtraError("this installation has no certificate checker") from None
    return int(checker.main(list(arguments)))
