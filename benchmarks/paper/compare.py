"""The paper's own program on the same networks: what it misses, and what it calls convex wrongly.

    python -m benchmarks.paper.compare FOLDER [--networks 100] [--only "3-D [2]"]

FOLDER holds a checkout of github.com/annegnx/beyondicnn; it needs PyTorch.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.bench_few_inputs import paper_program
from benchmarks.paper.experiment import BOX, CELLS, LIMIT, Cell, default_initialised

from jensen import verify_many


def compared(folder: str, cell: Cell, count: int) -> str:
    """Return a row of the table."""
    stack = default_initialised(cell, 0, count)
    start = time.process_time()
    ours = [v.status == "convex" for v in verify_many(stack, BOX, time_limit=LIMIT)]
    between = time.process_time()
    theirs = []
    failed = 0
    for network in stack:
        try:
            theirs.append(bool(paper_program(folder, network)()))
        except (RuntimeError, IndexError, ValueError):
            theirs.append(False)
            failed += 1
    end = time.process_time()
    missed = sum(a and not b for a, b in zip(ours, theirs, strict=True))
    wrong = sum(b and not a for a, b in zip(ours, theirs, strict=True))
    times = [1e3 * spent / count for spent in (between - start, end - between)]
    numbers = f"{sum(ours)} | {sum(theirs)} | {missed} | {wrong} | {failed}"
    return f"| {cell.name} | {count} | {numbers} | {times[0]:.2f} | {times[1]:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    print(
        "| cell | networks | convex on the box | the paper's program | convex ones it misses "
        "| called convex wrongly | stops with an error | CPU ms, Jensen | CPU ms, theirs |"
    )
    print("|---" * 9 + "|")
    for cell in CELLS:
        if cell.name.startswith(arguments.only):
            print(compared(arguments.folder, cell, arguments.networks), flush=True)


if __name__ == "__main__":
    main()
