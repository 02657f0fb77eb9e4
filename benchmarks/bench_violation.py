"""The worst midpoint violation: the plain three-copy program, the strengthened one, the tree.

    python benchmarks/bench_violation.py                 the first suites (about 15 minutes)
    python benchmarks/bench_violation.py wide rows       suites by name

Every engine gets the same time for a network, the relative gap of its suite and, if it does
not say otherwise, one thread. ``ratio`` is the plain program's time over the engine's, or, where
the plain one ran out of time, its remaining gap over the engine's. The suite ``rows`` shows
what every family of rows, and every bound, buys.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from unittest import mock

import families
import numpy as np
from rich.console import Console
from rich.table import Table

import jensen
from jensen.bounds.network_data import network_data
from jensen.domains.domain import Box
from jensen.midpoint import cuts as midpoint_cuts
from jensen.midpoint.milp import solve_midpoint_program
from jensen.midpoint.ranges import THOROUGH, tightened
from jensen.midpoint.search import Found
from jensen.midpoint.worst_pair import exact_violation, worst_pair
from jensen.network.relu_network import ReluNetwork
from jensen_encodings import NetworkData
from jensen_encodings.deadline import Deadline
from jensen_encodings.jensen_gap import Strengthening

MODELS = Path(__file__).parent.parent / "models"
ALL = Strengthening(gap_lower=True, gap_upper=True, differences=True, symmetry=True)


@dataclass(frozen=True)
class Case:
    suite: str
    label: str
    make: Callable[[], ReluNetwork]
    seconds: float
    gap: float
    side: float = 1.0


def cases() -> list[Case]:
    """All networks; random ones have PyTorch's default initialisation."""
    found = [
        Case(
            "convex",
            f"ICNN {d}-D [{w},{w}]",
            lambda d=d, w=w: families.icnn(d, [w, w], 0),
            20,
            0.01,
        )
        for d, w in ((5, 8), (10, 16))
    ]
    for seed in range(6):
        make = lambda s=seed: families.default_init(5, [10, 10], s)  # noqa: E731
        found.append(Case("random5", f"random 5-D [10,10] #{seed}", make, 60, 0.01))
    for seed in range(3):
        make = lambda s=seed: families.default_init(10, [10, 10], s)  # noqa: E731
        found.append(Case("random10", f"random 10-D [10,10] #{seed}", make, 60, 0.01))
    for d, w in ((2, 32), (5, 16)):
        make = lambda d=d, w=w: families.default_init(d, [w, w], 0)  # noqa: E731
        found.append(Case("wide", f"random {d}-D [{w},{w}]", make, 120, 0.01))
    for d, w in ((2, 8), (2, 16), (2, 32), (2, 64), (3, 16), (3, 32), (4, 16)):
        make = lambda d=d, w=w: families.default_init(d, [w, w], 1)  # noqa: E731
        found.append(Case("few", f"random {d}-D [{w},{w}]", make, 20, 1e-4))
    for name in ("mlp_bowl", "mlp_mpc_value", "mlp_portfolio_risk", "residual_free"):
        make = lambda n=name: jensen.load(MODELS / f"{n}.onnx")  # noqa: E731
        found.append(Case("trained", name, make, 30, 0.05, 2.0))
    make = lambda: families.default_init(5, [10, 10], 4)  # noqa: E731
    found.append(Case("rows", "random 5-D [10,10] #4", make, 30, 0.01))
    make = lambda: families.icnn(5, [8, 8], 0)  # noqa: E731
    found.append(Case("rows", "ICNN 5-D [8,8]", make, 30, 0.01))
    return found


def milp(case: Case, data: NetworkData, network: ReluNetwork, rows: Strengthening | None) -> Found:
    deadline = Deadline.after(case.seconds)
    return solve_midpoint_program(
        data,
        lambda x, y: exact(network, x, y),
        gap=case.gap,
        deadline=deadline,
        threads=1,
        seed=0,
        progress=None,
        rows=rows,
        search=rows is not None,
    )


def exact(network: ReluNetwork, x: np.ndarray, y: np.ndarray) -> Fraction:
    x, y = ([Fraction(float(v)) for v in point] for point in (x, y))
    return exact_violation(network, x, y)


def engines(case: Case) -> list[tuple[str, Callable[[], tuple[float, float, int]]]]:
    network = case.make()
    box = Box(-case.side, case.side)
    lower, upper = box.bounds(network.input_size)

    def by_milp(rows: Strengthening | None, *, tight: bool = False):
        def run() -> tuple[float, float, int]:
            data = network_data(network, lower, upper)
            if tight:
                data = tightened(data, THOROUGH)
            found = milp(case, data, network, rows)
            return float(found.exact), found.upper, found.nodes

        return run

    def by_tree(threads: int | None = 1, *, rounds: int = midpoint_cuts.ROUNDS):
        def run() -> tuple[float, float, int]:
            limits = {"time_limit": case.seconds, "gap": case.gap, "threads": threads}
            with mock.patch.object(midpoint_cuts, "ROUNDS", rounds):
                found = worst_pair(network, box, **limits)
            return found.lower, found.upper, found.nodes

        return run

    if case.suite != "rows":
        default = Strengthening(gap_lower=True, gap_upper=False, differences=False, symmetry=True)
        return [
            ("plain program", by_milp(None)),
            ("gap rows and start", by_milp(default)),
            ("tree", by_tree()),
            ("tree, all processors", by_tree(None)),
        ]
    names = ("gap_lower", "gap_upper", "differences", "symmetry")
    single = {n: Strengthening(**{m: m == n for m in names}) for n in names}
    return [
        ("plain program", by_milp(None)),
        ("tight ranges alone", by_milp(None, tight=True)),
        *((f"{n} rows alone", by_milp(rows)) for n, rows in single.items()),
        ("all rows", by_milp(ALL)),
        ("all rows, tight ranges", by_milp(ALL, tight=True)),
        ("tree without cuts", by_tree(rounds=0)),
        ("tree", by_tree()),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = list(dict.fromkeys(case.suite for case in cases()))
    parser.add_argument("suites", nargs="*", default=[*names[:3], "trained"], help=", ".join(names))
    chosen = parser.parse_args().suites
    table = Table("network", "engine", "lower", "upper", "gap", "CPU s", "s", "nodes", "ratio")
    for case in cases():
        if case.suite not in chosen:
            continue
        first: tuple[float, float] | None = None
        for label, run in engines(case):
            began, clock = time.process_time(), time.monotonic()
            low, high, nodes = run()
            spent = time.process_time() - began
            gap = high - low
            passed = time.monotonic() - clock
            out = passed > 0.98 * case.seconds
            if first is None:
                first = passed, gap if out else 0.0
                ratio = ""
            elif first[1]:
                ratio = f"gap {first[1] / gap:,.1f}x" if gap > 0 else "closed"
            else:
                ratio = "out of time" if out else f"{first[0] / passed:,.1f}x"
            table.add_row(
                case.label,
                label,
                f"{low:.5g}",
                f"{high:.5g}",
                f"{100 * gap / low:.2g} %" if low > 0 else f"{gap:.1g}",
                f"{spent:.2f}",
                f"{passed:.2f}",
                f"{nodes:,}",
                ratio,
            )
        table.add_section()
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
