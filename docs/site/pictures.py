"""Draw the pictures of the documentation, by ``python docs/site/pictures.py``.

The code is that of gallery.md: each picture is followed by the block that makes it, which
leaves a figure in ``picture``. The README's picture is one of them.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from jensen.cli import main

DOCS = Path(__file__).resolve().parents[1]
SESSION = re.compile(r"^\$ jensen (plot .*) -o ([\w-]+\.png)$", re.MULTILINE)
BLOCK = re.compile(r"!\[[^\]]*\]\((pictures/[\w-]+\.png)\)\s+```python\n(.*?)```", re.DOTALL)


def recipes() -> dict[str, str]:
    """Return the code of every picture, by its name."""
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    return dict(BLOCK.findall(text))


def drawn() -> dict[str, bytes]:
    """Return every picture as PNG; code and commands run in the root of the repository."""
    before = Path.cwd()
    os.chdir(DOCS.parent)
    try:
        pictures = {name: _png(code, name) for name, code in recipes().items()}
        for command, name in SESSION.findall((DOCS / "gallery.md").read_text(encoding="utf-8")):
            pictures[f"pictures/{name}"] = _by_command(shlex.split(command))
        return pictures
    finally:
        os.chdir(before)


def _png(code: str, name: str) -> bytes:
    space: dict[str, Any] = {}
    exec(compile(code, f"gallery.md: {name}", "exec"), space)
    stream = io.BytesIO()
    space["picture"].savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return stream.getvalue()


def _by_command(words: list[str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        file = Path(folder, "picture.png")
        if main([*words, "-o", str(file)]) != 0:
            raise RuntimeError(f"jensen {shlex.join(words)} drew nothing")
        return file.read_bytes()


if __name__ == "__main__":
    (DOCS / "pictures").mkdir(exist_ok=True)
    for path, content in drawn().items():
        (DOCS / path).write_bytes(content)
