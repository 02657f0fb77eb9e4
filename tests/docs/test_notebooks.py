"""The notebooks run from top to bottom."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "docs" / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("matplotlib")
    if "torch" in path.read_text(encoding="utf-8"):
        pytest.importorskip("torch")
    pytest.importorskip("ipykernel")
    # the kernel finds the sources as this process does
    monkeypatch.setenv("PYTHONPATH", ":".join(entry for entry in sys.path if entry))
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    where = {"metadata": {"path": str(path.parent)}}
    client.NotebookClient(notebook, timeout=None, resources=where).execute()
    for cell in notebook.cells:
        kinds = {kind for output in cell.get("outputs", ()) for kind in output.get("data", ())}
        last = cell.source.splitlines()[-1]
        if cell.cell_type == "code" and last.startswith("jensen.plot."):
            assert "image/png" in kinds, last
        if cell.cell_type == "code" and last in {"net", "verdict", "worst", "f.verdict"}:
            assert "text/html" in kinds, last
