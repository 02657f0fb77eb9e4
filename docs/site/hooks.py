"""What the site needs beside its pages: files of the repository's root, fresh pictures."""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import jensen

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))
import pictures  # noqa: E402  (beside this file, which mkdocs imports by its path)

# files outside docs/ that are pages, or are linked to as they are
FROM_ROOT = {
    "PERFORMANCE.md": "performance.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "models/README.md": "model-collection.md",
    "CITATION.cff": "files/CITATION.cff",
    "pyproject.toml": "files/pyproject.toml",
    "README.md": "files/README.md.txt",
    "verifier/jensen/certificate/checker.py": "files/checker.py",
}
WIDE = '<div class="highlight wide">'  # tables in terminals, which must not be wrapped
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Let pages that nobody listed join the menu."""
    listed = set(re.findall(r"[\w/-]+\.md", repr(config.nav)))
    found = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    if config.nav is not None and found - listed:
        config.nav.append({"More": sorted(found - listed)})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files of the root, and draw the gallery anew."""
    for source, page in FROM_ROOT.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    for name, content in pictures.drawn().items():
        old = files.get_file_from_path(name)
        if old is not None:
            files.remove(old)
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Point links to where things are on the site; add public names that nobody listed."""
    here = page.file.src_uri
    if here == "reference/python.md":
        missing = [n for n in jensen.__all__ if not re.search(rf"jensen\.{n}$", markdown, re.M)]
        missing = [n for n in missing if not n.endswith("Error")]  # all of jensen.errors is there
        if missing:
            markdown += "\n## More\n\n" + "\n".join(f"::: jensen.{name}" for name in missing)
    if here == "performance.md":
        page.meta["hide"] = ["toc"]  # its tables are wide, and it lists its sections itself
    sources = {target: source for source, target in FROM_ROOT.items()}
    source = sources.get(here, f"docs/{here}")

    def moved(match: re.Match[str]) -> str:
        opening, link, anchor = match.group(1), match.group(2), match.group(3) or ""
        if "://" in link or link.startswith("mailto:"):
            return match.group(0)
        full = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        target = FROM_ROOT.get(full, full.removeprefix("docs/"))
        return f"{opening}{posixpath.relpath(target, posixpath.dirname(here) or '.')}{anchor})"

    markdown = re.sub(r" *# doctest: .*", "", markdown)  # a word to the tests
    return LINK.sub(moved, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Mend what the plugins leave: names of roles, empty cells, examples run together."""
    html = re.sub(r"<code>Sentinel\.UNSET</code>", "", html)
    html = re.sub(r":(?:func|class|mod|meth|attr):(?=\s*(?:<a[^>]*>)?<code>)", "", html)
    html = re.sub(r"\s*\u2013\s*(?=</p>|</li>)", "", html)  # the dash before no description
    html = re.sub(r"<p>(jensen \w+ [^<]*)</p>", r"<pre><code>\1</code></pre>", html)
    return re.sub(r'<div class="highlight">(?=(?:(?!</div>).)*\u2500{5})', WIDE, html, flags=re.S)
