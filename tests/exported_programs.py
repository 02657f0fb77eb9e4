"""Archives of exported programs, changed and written again."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jensen.loaders.pt2_archive import PROGRAM


def written(path: Path, parts: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(f"model/{name}", content)
    return path


def with_program(members: dict[str, bytes], change: Callable[[Any], None]) -> dict[str, bytes]:
    program = json.loads(members[PROGRAM])
    change(program)
    return members | {PROGRAM: json.dumps(program).encode()}
