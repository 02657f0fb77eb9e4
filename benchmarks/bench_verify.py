"""Time ``jensen.verify`` on the benchmark families; one table, ratios from the same run.

    python benchmarks/bench_verify.py                 all suites (several minutes)
    python benchmarks/bench_verify.py --quick         small sizes only
    python benchmarks/bench_verify.py tournament icnn suites by name

A verdict that differs from the known one ends the run with exit code 1.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import families
from rich.console import Console
from rich.table import Table

import jensen
from jensen.domains.domain import Box, Domain, Everywhere
from jensen.network.relu_network import ReluNetwork

EVERYWHERE = Everywhere()
UNIT, WIDE = Box(-1, 1), Box(-100, 100)

# Seconds of the region enumeration of Gagneux et al. (arXiv 2501.03017), median per
# network, on a machine of the same kind; "more than" where it was stopped.
ENUMERATION = {
    (2, (8, 8)): 0.02,
    (2, (32, 32)): 0.1,
    (2, (128, 128)): 2.9,
    (2, (256, 256)): 44.0,
    (4, (10, 10)): 0.3,
    (6, (10, 10)): 4.3,
    (8, (10, 10)): 39.0,
    (10, (10, 10)): 100.0,
    (12, (4, 4)): 9.0,
    (14, (4, 4)): 83.0,
    (3, (10,) * 10): 2.3,
}


@dataclass(frozen=True)
class Case:
    """Networks of one row: made from a seed each, verified one after the other."""

    suite: str
    label: str
    make: Callable[[int], ReluNetwork]
    domain: Domain
    networks: int
    expected: str | None = None
    baseline: float | None = None  # seconds
    engine: str = "auto"
    quick: bool = True


@dataclass(frozen=True)
class Row:
    case: Case
    relus: int
    seconds: list[float]
    statuses: Counter[str]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def tournaments() -> Iterator[Case]:
    def case(pieces: int, inputs: int, domain: Domain, label: str, **more) -> Case:
        options = {key: more.pop(key) for key in ("always_on", "idle") if key in more}

        def make(seed: int) -> ReluNetwork:
            idle = options.get("idle", False)
            network = families.tournament(
                pieces, inputs, seed, always_on=options.get("always_on", False)
            )
            return families.with_idle_negatives(network, seed) if idle else network

        name = f"K={pieces} d={inputs} {label}"
        more = {"networks": 3, "expected": "convex"} | more
        return Case("tournament", name, make, domain, **more)

    yield case(8, 3, EVERYWHERE, "signed", engine="milp", networks=1)
    yield case(8, 3, EVERYWHERE, "signed")
    yield case(32, 5, EVERYWHERE, "signed", engine="milp", networks=1, quick=False)
    yield case(32, 5, EVERYWHERE, "signed")
    yield case(32, 5, UNIT, "signed")
    yield case(32, 5, UNIT, "always on", always_on=True)
    yield case(32, 5, EVERYWHERE, "idle negatives", idle=True)
    yield case(32, 5, UNIT, "idle negatives", idle=True)
    yield case(128, 20, EVERYWHERE, "signed", networks=1)
    yield case(128, 20, UNIT, "always on", always_on=True, networks=1)
    yield case(128, 20, EVERYWHERE, "idle negatives", idle=True, networks=1)
    yield case(256, 20, EVERYWHERE, "signed", networks=1, quick=False)
    yield case(1024, 20, EVERYWHERE, "signed", networks=1, quick=False)


def cells() -> Iterator[Case]:
    for (inputs, widths), seconds in ENUMERATION.items():
        shape = f"{len(widths)} x {widths[0]}"
        quick = inputs in (2, 4, 6, 3) and widths[0] <= 32
        yield Case(
            "default-init",
            f"d={inputs} {shape}",
            lambda seed, d=inputs, w=widths: families.default_init(d, w, seed),
            WIDE,
            20 if quick else 10,
            baseline=seconds,
            quick=quick,
        )
    for inputs in (50, 200):
        yield Case(
            "default-init",
            f"d={inputs} 2 x 10",
            lambda seed, d=inputs: families.default_init(d, (10, 10), seed),
            WIDE,
            10,
            quick=False,
        )


def icnns() -> Iterator[Case]:
    for inputs, widths, density, quick in (
        (784, (512, 512), 1.0, True),
        (3072, (1024, 1024, 1024), 1.0, True),
        (20_000, (20_000, 20_000), 0.01, False),
    ):
        sparse = "" if density == 1 else f" {density:.0%} sparse"
        yield Case(
            "icnn",
            f"{inputs}-{'-'.join(map(str, widths))}-1{sparse}",
            lambda seed, d=inputs, w=widths, p=density: families.icnn(d, w, seed, density=p),
            EVERYWHERE,
            3 if quick else 1,
            expected="convex",
            quick=quick,
        )


def needles() -> Iterator[Case]:
    for inputs in (3, 5, 10):
        for size in (1e-3, 1e-6, 0.0):
            yield Case(
                "needle",
                f"d={inputs} size {size:g}",
                lambda seed, d=inputs, s=size: families.needle(d, s, seed),
                UNIT,
                5,
                expected="nonconvex" if size else "convex",
                quick=inputs < 10,
            )


def sums_of_largest() -> Iterator[Case]:
    for kept, pieces, inputs, domain in (
        (2, 6, 10, UNIT),
        (2, 6, 30, UNIT),
        (2, 5, 400, UNIT),
        (2, 8, 30, UNIT),
        (2, 10, 30, UNIT),
        (2, 10, 30, EVERYWHERE),
        (3, 7, 12, UNIT),
        (3, 9, 12, UNIT),
    ):
        yield Case(
            "top-two" if kept == 2 else "top-three",
            f"{pieces} pieces d={inputs}{'' if domain is UNIT else ' everywhere'}",
            lambda seed, n=kept, k=pieces, d=inputs: families.sum_of_largest(n, k, d, seed),
            domain,
            1,
            expected="convex",
            quick=pieces < 9,
        )


SUITES: dict[str, Callable[[], Iterator[Case]]] = {
    "tournament": tournaments,
    "default-init": cells,
    "icnn": icnns,
    "needle": needles,
    "top-two": sums_of_largest,
}


def measure(case: Case, time_limit: float) -> Row:
    seconds, statuses, relus = [], Counter(), 0
    for seed in range(case.networks):
        network = case.make(seed)
        relus = network.relu_count
        began = time.perf_counter()
        verdict = jensen.verify(network, case.domain, engine=case.engine, time_limit=time_limit)
        seconds.append(time.perf_counter() - began)
        statuses[str(verdict.status)] += 1
    return Row(case, relus, seconds, statuses)


def is_wrong(row: Row) -> bool:
    decided = set(row.statuses) - {"unknown"}
    return row.case.expected is not None and bool(decided - {row.case.expected})


def render(rows: Sequence[Row]) -> Table:
    table = Table(title="jensen.verify")
    for column in ("family", "network", "domain", "engine", "verdicts"):
        table.add_column(column)
    for column in ("ReLUs", "median s", "worst s", "baseline s", "ratio"):
        table.add_column(column, justify="right")
    slow = {
        (row.case.suite, row.case.label, str(row.case.domain)): row.median
        for row in rows
        if row.case.engine == "milp"
    }
    for row in rows:
        case = row.case
        baseline = case.baseline
        if case.engine == "auto":
            baseline = slow.get((case.suite, case.label, str(case.domain)), baseline)
        verdicts = ", ".join(f"{count} {status}" for status, count in row.statuses.items())
        table.add_row(
            case.suite,
            case.label,
            str(case.domain),
            case.engine,
            f"[bold red]{verdicts}[/]" if is_wrong(row) else verdicts,
            str(row.relus),
            f"{row.median:.4f}",
            f"{max(row.seconds):.4f}",
            "" if baseline is None else f"{baseline:.3g}",
            "" if baseline is None else f"{baseline / row.median:.0f}x",
        )
    return table


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument("--quick", action="store_true", help="small sizes only")
    parser.add_argument("--time-limit", type=float, default=600.0, metavar="S")
    arguments = parser.parse_args(argv)
    unknown = set(arguments.suites) - set(SUITES)
    if unknown:
        parser.error(f"no suite {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    log = Console(stderr=True)
    rows = []
    for name in arguments.suites or SUITES:
        for case in SUITES[name]():
            if arguments.quick and not case.quick:
                continue
            log.print(f"{case.suite}: {case.label}, {case.domain}, {case.engine}")
            rows.append(measure(case, arguments.time_limit))
    Console().print(render(rows))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    Console().print(f"peak memory {peak:.0f} MiB")
    return 1 if any(is_wrong(row) for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
