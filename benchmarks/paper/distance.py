"""How far from convex random networks are: worst jump and worst violation, with proved bounds.

    python -m benchmarks.paper.distance [--networks 20] [--limit 10] [--store distance.jsonl]

Default-initialised networks as in the counting experiment, on the box [-100, 100]^n. The worst jump
is the largest fall of the slope across a facet, the worst violation the largest height of f at a
midpoint over the mean of its ends. Seeds are fixed; a second call goes on where the first one
stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is loaded
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from benchmarks.paper.experiment import BOX, Cell, default_initialised
from benchmarks.paper.store import Row, filled

from jensen import worst_jump, worst_violation

CELLS = (
    Cell(2, (2, 2)),
    Cell(2, (8, 8)),
    Cell(2, (16, 16)),
    Cell(3, (2,) * 10),
    Cell(3, (5, 5)),
    Cell(5, (5, 5)),
    Cell(10, (5, 5)),
)
POINTS = 20_000  # random ones, for the range of f
HEAD = (
    "| cell | networks | convex | worst jump, median of the others | share of the largest slope "
    "| worst violation, median | share of the range | bounds not closed (jump, violation) |"
)


def measure(cell: Cell, number: int, limit: float) -> dict[str, object]:
    """Bound both distances of one network."""
    network = default_initialised(cell, number // 100, 100)[number % 100]
    jump = worst_jump(network, BOX, time_limit=limit)
    violation = worst_violation(network, BOX, time_limit=limit)
    rng = np.random.default_rng(number)
    X = rng.uniform(-100, 100, (POINTS, cell.inputs))
    values = network(X)[:, 0]
    step = 1e-3
    moved = [network(X + step * axis)[:, 0] for axis in np.eye(cell.inputs)]
    slopes = np.linalg.norm((np.array(moved) - values) / step, axis=0)
    return {
        "cell": cell.name,
        "number": number,
        "jump": [jump.lower, jump.upper],
        "violation": [violation.lower, violation.upper],
        "range": float(np.ptp(values)),
        "slope": float(slopes.max()),
    }


def _closed(bounds: list[float]) -> bool:
    return bounds[1] - bounds[0] <= 1e-2 * bounds[1]


def table(rows: list[dict]) -> str:
    """Return the results as Markdown."""
    lines = [HEAD, "|---" * 8 + "|"]
    for cell in CELLS:
        own = [row for row in rows if row["cell"] == cell.name]
        if not own:
            continue
        bent = [row for row in own if row["jump"][1] > 0]
        numbers = ["-"] * 4
        if bent:
            jump = np.median([row["jump"][0] for row in bent])
            relative = np.median([row["jump"][0] / row["slope"] for row in bent])
            height = np.median([row["violation"][0] for row in bent])
            share = np.median([row["violation"][0] / row["range"] for row in bent])
            numbers = [f"{jump:.3g}", f"{relative:.0%}", f"{height:.3g}", f"{share:.1%}"]
        left = [sum(not _closed(row[name]) for row in own) for name in ("jump", "violation")]
        lines.append(
            f"| {cell.name} | {len(own)} | {len(own) - len(bent)} | {' | '.join(numbers)} "
            f"| {left[0]}, {left[1]} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=20, help="per cell")
    parser.add_argument("--limit", type=float, default=10.0, help="seconds of each bound")
    parser.add_argument("--store", type=Path, default=Path("distance.jsonl"))
    arguments = parser.parse_args()
    cells = {cell.name: cell for cell in CELLS}

    def measured(key: tuple[str, int]) -> Row:
        print(f"{key[0]}: {key[1] + 1}", file=sys.stderr)
        return measure(cells[key[0]], key[1], arguments.limit)

    keys = ((name, number) for number in range(arguments.networks) for name in cells)
    print(table(filled(arguments.store, keys, lambda row: (row["cell"], row["number"]), measured)))


if __name__ == "__main__":
    main()
