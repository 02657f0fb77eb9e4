"""Time ``jensen.worst_jump``; one table, what the exclusion of coincidences is worth beside it.

    python benchmarks/bench_jump.py                  about eight minutes
    python benchmarks/bench_jump.py --quick          the small networks
    python benchmarks/bench_jump.py --limit 60       seconds per run; 20 otherwise
    python benchmarks/bench_jump.py --folder DIR     trained networks of more than three inputs
                                                     (as for bench_trained.py) instead

Each network is measured with all states of the units in front tried (theory, section 9), and
with linear algebra in the nodes alone. The two must agree within their bounds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from unittest import mock

import families
import numpy as np
from rich.console import Console
from rich.table import Table

import jensen
from jensen.domains.domain import Box, Domain, Everywhere
from jensen.network.relu_network import ReluNetwork
from jensen.violation.jump_violation import JumpViolation
from jensen.violation.worst_jump import worst_jump

MODELS = Path(__file__).parent.parent / "models"
UNIT, EVERYWHERE = Box(-1, 1), Everywhere()
SMALL: list[tuple[int, tuple[int, ...], Domain]] = [
    (2, (10, 10), UNIT),
    (2, (10, 10), EVERYWHERE),
    (5, (10, 10), UNIT),
    (5, (10, 10), EVERYWHERE),
    (10, (10, 10), UNIT),
]
LARGE: list[tuple[int, tuple[int, ...], Domain]] = [
    (10, (10, 10), EVERYWHERE),
    (2, (32, 32), UNIT),
    (5, (16, 16), UNIT),
    (5, (16, 16), EVERYWHERE),
    (3, (10, 10, 10), UNIT),
]
TRAINED = [
    ("mlp_bowl", Box(-2, 2)),
    ("mlp_mpc_value", Box([-3, -2], [3, 2])),
    ("mlp_portfolio_risk", UNIT),
    ("mlp_portfolio_risk", EVERYWHERE),
]


def measure(network: ReluNetwork, domain: Domain, limit: float) -> tuple[JumpViolation, float]:
    start = time.process_time()
    found = worst_jump(network, domain, time_limit=limit)
    return found, time.process_time() - start


def trained(folder: Path) -> list[tuple[str, ReluNetwork, Domain]]:
    found: list[tuple[str, ReluNetwork, Domain]] = []
    for entry in json.loads((folder / "index.json").read_text(encoding="utf-8")):
        if entry["inputs"] > 3 and entry.get("box"):
            with np.load(folder / entry["file"]) as arrays:
                W, b = (
                    [arrays[f"{name}{k}"].astype(float) for k in range(len(arrays.files) // 2)]
                    for name in "Wb"
                )
            found.append((entry["file"], ReluNetwork.from_layers(W, b), Box(*entry["box"])))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--limit", type=float, default=20.0, metavar="SECONDS")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    cases = [
        (f"random {d}-D {list(widths)}", families.default_init(d, widths), domain)
        for d, widths, domain in (SMALL if arguments.quick else SMALL + LARGE)
    ]
    cases += [(n, jensen.load(MODELS / f"{n}.onnx"), domain) for n, domain in TRAINED]
    if arguments.folder is not None:
        cases = trained(arguments.folder)
    table = Table("network", "domain", "lower", "upper", "nodes", "s", "alone: upper", "nodes", "s")
    wrong = 0
    for label, network, domain in cases:
        found, seconds = measure(network, domain, arguments.limit)
        nothing = {"ROOT_WORK": 0.0, "NODE_WORK": 0.0}
        with mock.patch.multiple("jensen.groups.coincidence", **nothing):
            alone, alone_seconds = measure(network, domain, arguments.limit)
        wrong += found.lower > alone.upper or alone.lower > found.upper
        table.add_row(
            label,
            str(domain),
            f"{found.lower:.5g}",
            f"{found.upper:.5g}",
            f"{found.nodes:,}",
            f"{seconds:.2f}",
            f"{alone.upper:.5g}",
            f"{alone.nodes:,}",
            f"{alone_seconds:.2f}",
        )
    Console().print(table)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
