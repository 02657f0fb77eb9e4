"""The package says the same of itself everywhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import jensen

ROOT = Path(__file__).resolve().parents[1]


def test_the_version_comes_from_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "jensen.__version__"}
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {jensen.__version__}\n" in citation


def test_every_extra_that_a_page_names_exists():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = set(project["optional-dependencies"])
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        text = page.read_text(encoding="utf-8")
        for names in re.findall(r"(?:jensen|['\"]\.)\[([a-z,]+)\]['\"]", text):
            assert set(names.split(",")) <= extras, (page.name, names)
