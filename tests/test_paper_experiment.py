"""The counting experiment goes on where it stopped, and its seeds fix the counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(store: Path) -> str:
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("verifier", "encodings"))
    command = [sys.executable, "-m", "benchmarks.paper", "--networks", "100", "--jobs", "1"]
    return subprocess.run(
        [*command, "--only", "2-D [2]", "--store", str(store)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_a_second_call_prints_the_table_without_work(tmp_path):
    store = tmp_path / "paper.jsonl"
    first = run(store)
    (row,) = [json.loads(line) for line in store.read_text().splitlines()]
    assert row["networks"] == 100
    assert row["icnn"] <= row["representable"] <= row["convex_everywhere"] <= row["convex_box"]
    assert "| 2-D [2]x2 | 100 |" in first
    assert run(store) == first
    assert len(store.read_text().splitlines()) == 1
