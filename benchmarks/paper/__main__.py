"""The counting experiments of Gagneux et al. (arXiv 2501.03017), decided exactly.

    python -m benchmarks.paper [--networks 500] [--jobs 2] [--store paper.jsonl] [--only "3-D"]

Results are kept chunk by chunk in the store; a second call goes on where the first one stopped, and
prints the table. Seeds are fixed by cell and chunk.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is loaded
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks.paper.experiment import CELLS, CHUNK, Result, measure

HEAD = (
    "| cell | networks | convex on the box | convex on R^n | input-convex as they stand "
    "| equal to an input-convex one | unknown (box, R^n) | CPU ms per network |"
)


def read(store: Path) -> dict[tuple[str, int], Result]:
    """Return what a store holds, by cell and chunk."""
    if not store.exists():
        return {}
    rows = [Result(**json.loads(line)) for line in store.read_text().splitlines() if line]
    return {(row.cell, row.chunk): row for row in rows}


def table(rows: Iterable[Result]) -> str:
    """Return the counts of all cells as Markdown."""
    rows = list(rows)
    lines = [HEAD, "|---" * 8 + "|"]
    for cell in CELLS:
        own = [row for row in rows if row.cell == cell.name]
        count = sum(row.networks for row in own)
        if not count:
            continue
        sums = [
            sum(getattr(row, name) for row in own)
            for name in ("convex_box", "convex_everywhere", "icnn", "representable")
        ]
        unknown = sum(r.unknown_box for r in own), sum(r.unknown_everywhere for r in own)
        cost = 1e3 * sum(row.seconds for row in own) / count
        numbers = " | ".join(map(str, sums))
        lines.append(
            f"| {cell.name} | {count} | {numbers} | {unknown[0]}, {unknown[1]} | {cost:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=500, help="per cell, a multiple of 100")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--store", type=Path, default=Path("paper.jsonl"))
    parser.add_argument("--only", default="", help="cells whose names begin so")
    arguments = parser.parse_args()
    done = read(arguments.store)
    cells = [cell for cell in CELLS if cell.name.startswith(arguments.only)]
    left = [
        (cell, chunk)
        for chunk in range(arguments.networks // CHUNK)
        for cell in cells
        if (cell.name, chunk) not in done
    ]
    with (
        ProcessPoolExecutor(arguments.jobs) as pool,
        arguments.store.open("a", encoding="utf-8") as stream,
    ):
        jobs = [pool.submit(measure, cell, chunk) for cell, chunk in left]
        for number, job in enumerate(as_completed(jobs), start=1):
            row = job.result()
            done[row.cell, row.chunk] = row
            stream.write(json.dumps(row.to_json()) + "\n")
            stream.flush()
            print(f"{number} of {len(jobs)}: {row.cell}", file=sys.stderr)
    names = {cell.name for cell in cells}
    print(table(row for row in done.values() if row.cell in names))


if __name__ == "__main__":
    main()
