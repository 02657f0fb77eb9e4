"""The pages of the repository, block by block: what is shown, and who makes sure that it is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "models" / "README.md",
    *sorted(DOCS.rglob("*.md")),
]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
OPENING = re.compile(r"( *)(`{3,}|~{3,})\s*(?:\{ *\.)?(\w*)")
REMARK = re.compile(r" *<!-- (not run|ci): (.+) -->")


@dataclass(frozen=True)
class Fence:
    """A block of code of a page, with the remark that stands above it."""

    page: str
    line: int
    language: str
    text: str
    tab: str  # of ``=== "PyTorch"``, where the block lies in one
    remark: str  # "not run" or "ci", or nothing
    reason: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_session(self) -> bool:
        return ">>> " in self.text


def fences(name: str) -> Iterator[Fence]:
    """Go through the blocks of a page."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    number, tab, remark = 0, "", None
    while number < len(lines):
        line = lines[number]
        number += 1
        opening = OPENING.match(line)
        if opening is None:
            if line.strip():
                remark = REMARK.fullmatch(line)
            if line.startswith("=== "):
                tab = line[4:].strip('"')
            elif line.strip() and not line.startswith(" "):
                tab = ""
            continue
        indent, marks, language = opening.groups()
        start = number
        while not lines[number].startswith(indent + marks):
            number += 1
        text = "".join(row.removeprefix(indent) + "\n" for row in lines[start:number])
        said = remark.groups() if remark else ("", "")
        yield Fence(name, start, language, text, tab, *said)
        number, remark = number + 1, None


def indented(name: str) -> Iterator[str]:
    """Go through the lines of blocks that are code only by their indent."""
    text = (ROOT / name).read_text(encoding="utf-8")
    text = re.sub(r"^( *)(`{3,}|~{3,}).*?^\1\2", "", text, flags=re.MULTILINE | re.DOTALL)
    for block in re.findall(r"(?:\A|\n)\n((?: {4,}[^\n]+\n)+)", text):
        yield from block.splitlines()
