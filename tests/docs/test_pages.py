"""Pictures, links, and the site as a whole."""

from __future__ import annotations

import importlib.util
import re

import pytest
from pages import DOCS, PAGES

FENCE = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def test_every_picture_of_the_gallery_is_drawn():
    pytest.importorskip("matplotlib")
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "site" / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    pictures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pictures)
    drawn = pictures.drawn()
    shown = set(re.findall(r"\((pictures/[^)]+)\)", (DOCS / "gallery.md").read_text("utf-8")))
    assert shown == set(drawn)
    assert len(drawn) >= 8
    for name, content in drawn.items():
        assert content.startswith(b"\x89PNG"), name
        assert (DOCS / name).is_file(), f"{name}: python docs/site/pictures.py draws it"


def test_links_between_files_lead_somewhere():
    for page in PAGES:
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" not in link and not link.startswith("#"):
                file = link.split("#")[0]
                assert (page.parent / file).exists() or file == "performance.md", (page.name, link)


def test_the_modules_that_the_theory_names_are_there():
    text = (DOCS / "theory.md").read_text(encoding="utf-8")
    named = re.findall(r"`([a-z_]+(?:/[a-z_]+)*(?:/|\.py))`", text)
    assert len(named) > 60
    roots = [DOCS.parent, DOCS.parent / "verifier" / "jensen", DOCS.parent / "encodings"]
    assert [name for name in named if not any((root / name).exists() for root in roots)] == []


@pytest.mark.slow
def test_the_site_builds_with_strict_links(tmp_path):
    pytest.importorskip("mkdocs")
    from mkdocs.commands.build import build  # noqa: PLC0415  (an extra)
    from mkdocs.config import load_config  # noqa: PLC0415  (an extra)

    build(
        load_config(str(DOCS / "site" / "mkdocs.yml"), strict=True, site_dir=str(tmp_path / "site"))
    )
    assert (tmp_path / "site" / "index.html").is_file()
    for field in ("control", "imaging", "optimal-transport"):  # whole programs, from docs/examples
        assert "def</span>" in (tmp_path / "site" / "fields" / f"{field}.html").read_text("utf-8")
