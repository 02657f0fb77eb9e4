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


THEORY = [DOCS / "theory.md", *sorted((DOCS / "theory").glob("*.md"))]


def anchor(heading: str) -> str:
    """Return what GitHub and the site call a heading in links."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


def test_links_between_pages_of_the_theory_lead_to_headings():
    headings = {
        page: {anchor(h) for h in re.findall(r"(?m)^#+ (.+)$", page.read_text("utf-8"))}
        for page in THEORY
    }
    count = 0
    for page in THEORY:
        text = page.read_text("utf-8")
        links = re.findall(r"\]\(([^)\s]+\.md#[^)\s]+)\)|(?m:^\[[^\]]+\]: (\S+#\S+)$)", text)
        for target, _, place in (link.partition("#") for pair in links for link in pair if link):
            assert place in headings[(page.parent / target).resolve()], (page.name, target, place)
            count += 1
        defined = set(re.findall(r"(?m)^\[([^\]]+)\]: ", text))
        assert all(f"[{name}]" in text.replace(f"[{name}]: ", "") for name in defined), page.name
    assert count > 60


def test_what_the_code_refers_to_is_in_the_contents_of_the_theory():
    contents = (DOCS / "theory.md").read_text("utf-8")
    sections = set(re.findall(r"\| \[(\d+)\. ", contents))
    proved = set(re.findall(r"\[((?:Lemma|Theorem) \w+)\]\(theory/", contents))
    stated = {
        name
        for page in THEORY
        for name in re.findall(r"(?m)^\*\*((?:Lemma|Theorem) \w+)", page.read_text("utf-8"))
    }
    assert proved == stated
    for root in ("verifier", "encodings"):
        for file in (DOCS.parent / root).rglob("*.py"):
            text = " ".join(file.read_text("utf-8").split())
            for number in re.findall(r"theory\.md,? sections? (\d+)", text):
                assert number in sections, (file.name, number)
            for name in re.findall(r"theory\.md[^.]{0,40}?((?:Lemma|Theorem) \w+)", text):
                assert name in proved, (file.name, name)


def test_the_modules_that_the_theory_names_are_there():
    text = "".join(page.read_text(encoding="utf-8") for page in THEORY)
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
