"""Time ``jensen.verify`` on trained networks of known truth; one table, ratios from one run.

    python benchmarks/bench_trained.py FOLDER                 the default engine
    python benchmarks/bench_trained.py FOLDER --against milp  and another beside it
    python benchmarks/bench_trained.py FOLDER d10_64x64_s0_r1 networks by name

FOLDER holds .npz files (W0, b0, W1, ...) and an ``index.json`` that names, for each, its file,
its box (null for all of R^n) and whether it is convex. Networks without a box that are
trained on the cone are convex everywhere. A wrong verdict ends the run with exit code 1.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import jensen
from jensen.domains.domain import Box, Domain, Everywhere
from jensen.network.relu_network import ReluNetwork


@dataclass(frozen=True)
class Case:
    """A network with its truth."""

    name: str
    network: ReluNetwork
    domain: Domain
    convex: bool


@dataclass(frozen=True)
class Run:
    """What one engine did with it."""

    status: str
    seconds: float  # CPU
    nodes: int

    def is_wrong(self, case: Case) -> bool:
        return self.status == ("nonconvex" if case.convex else "convex")


def cases(folder: Path, names: Sequence[str]) -> Iterator[Case]:
    for entry in json.loads((folder / "index.json").read_text(encoding="utf-8")):
        name = Path(entry["file"]).stem
        if names and name not in names:
            continue
        with np.load(folder / entry["file"]) as arrays:
            depth = sum(key.startswith("W") for key in arrays)
            network = ReluNetwork.from_layers(
                [arrays[f"W{i}"] for i in range(depth)], [arrays[f"b{i}"] for i in range(depth)]
            )
        box = entry["box"]
        convex = entry.get("convex_on_box") if box else entry.get("convex_everywhere", True)
        yield Case(name, network, Box(*box) if box else Everywhere(), bool(convex))


def run(case: Case, engine: str, limit: float) -> Run:
    # what a network keeps once it was asked for would be a present to the engine that is next,
    # and the garbage of a long search a burden
    network = ReluNetwork(case.network.input_size, [replace(b) for b in case.network.blocks])
    gc.collect()
    start = time.process_time()
    verdict = jensen.verify(network, case.domain, engine=engine, time_limit=limit)
    return Run(str(verdict.status), time.process_time() - start, verdict.nodes)


def warm_up(engines: Sequence[str]) -> None:
    """Ask each engine once, so that what is loaded at its first question is no network's time."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(b, a)) for a, b in ((5, 8), (8, 8), (8, 1))]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])
    for engine in engines:
        run(Case("", network, Box(-1, 1), convex=False), engine, 2.0)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--against", help="another engine to run beside the default one")
    parser.add_argument("--limit", type=float, default=40.0, help="seconds per run")
    options = parser.parse_intermixed_args(argv)

    table = Table(title=f"trained networks, CPU seconds, limit {options.limit:g} s")
    for column in ("network", "truth", "verdict", "nodes", "seconds"):
        table.add_column(column, justify="right" if column in {"nodes", "seconds"} else "left")
    if options.against:
        table.add_column(f"{options.against}, seconds", justify="right")
        table.add_column("ratio", justify="right")
    wrong, ratios, decided = 0, [], []
    warm_up(["auto", *([options.against] if options.against else [])])
    for case in cases(options.folder, options.names):
        found = run(case, "auto", options.limit)
        row = [
            case.name,
            "convex" if case.convex else "nonconvex",
            found.status,
            str(found.nodes),
            f"{found.seconds:.3f}",
        ]
        wrong += found.is_wrong(case)
        decided.append(found.status != "unknown")
        if options.against:
            other = run(case, options.against, options.limit)
            wrong += other.is_wrong(case)
            ratios.append(other.seconds / found.seconds)
            row += [f"{other.seconds:.3f} {other.status}", f"{ratios[-1]:.1f}"]
        table.add_row(*row)
        Console(stderr=True).print(" ".join(row))
    console = Console()
    console.print(table)
    console.print(f"{sum(decided)} of {len(decided)} decided, {wrong} wrong")
    if ratios:
        console.print(f"ratio: median {statistics.median(ratios):.1f}, least {min(ratios):.2f}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
