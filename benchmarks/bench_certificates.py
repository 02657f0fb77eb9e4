"""Time certificates: plain proof, proof with certificate, check; one table, ratios in one run.

    python benchmarks/bench_certificates.py            all rows (a few minutes)
    python benchmarks/bench_certificates.py --quick    small ones only
    python benchmarks/bench_certificates.py --trained FOLDER [NAME ...]
                                                       convex ones of a folder of bench_trained.py
    python benchmarks/bench_certificates.py --polyhedra    on polyhedra, bounded and not
    python benchmarks/bench_certificates.py --polyhedra --trained FOLDER
                                                       and some networks of the folder on them

Seconds are processor time; production includes the proof and the file, checking the
reading of both files by the checker, which has no part in what else is in memory here.
Exit code 1 if a certificate is missing or rejected.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import bench_trained
import families
import numpy as np
import polyhedra
from rich.console import Console
from rich.table import Table

import jensen
from jensen.certificate import checker
from jensen.certificate.model_export import export_json
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.network.relu_network import ReluNetwork

EVERYWHERE, UNIT = Everywhere(), Box(-1, 1)
ON_POLYHEDRA = {  # networks of a folder, and the polyhedra that they are certified on
    "d3_32x32_lse_s0_r1": ("cut", "simplex"),
    "d5_32x32_lse_s0_r2": ("cut", "slice", "polytope", "simplex"),
    "d5_48x48_lse_s0_r1": ("cut", "simplex"),
    "d5_16x16x16_s0_r8": ("cut", "simplex"),
    "d10_32x32_lse_s1_r2": ("cut", "simplex"),
    "d10_64x64_s0_r1": ("cut", "polytope", "simplex"),
    "rn_2_16_0": ("half space",),
    "rn_4_24_4": ("half space",),
}


@dataclass(frozen=True)
class Case:
    """Networks of one row, made from a seed each."""

    label: str
    make: Callable[[int], tuple[ReluNetwork, Domain]]
    networks: int = 3
    quick: bool = True


@dataclass(frozen=True)
class Measured:
    """Processor seconds and sizes of one network."""

    plain: float
    produced: float
    checked: float
    lines: int
    size: int
    answer: str


def tournament(pieces: int, inputs: int, domain: Domain, *, idle: bool = False) -> Case:
    def make(seed: int) -> tuple[ReluNetwork, Domain]:
        network = families.tournament(pieces, inputs, seed)
        return families.with_idle_negatives(network, seed) if idle else network, domain

    words = " idle negatives" if idle else ""
    return Case(f"tournament K={pieces} d={inputs}{words}, {domain}", make)


def small_box(inputs: int, widths: Sequence[int], half: float) -> Case:
    """Networks at default initialisation, on the first boxes on which they are convex."""

    def make(seed: int) -> tuple[ReluNetwork, Domain]:
        rng = np.random.default_rng(seed)
        while True:
            network = families.default_init(inputs, widths, int(rng.integers(10**6)))
            centre = rng.uniform(-1, 1, inputs)
            box = Box(centre - half, centre + half)
            if jensen.verify(network, box, time_limit=60).status == "convex":
                return network, box

    shape = "-".join(map(str, widths))
    return Case(f"default init {inputs}-{shape}-1, boxes of half side {half:g}", make)


def cases() -> Iterator[Case]:
    yield tournament(32, 5, EVERYWHERE)
    yield tournament(32, 5, UNIT)
    yield tournament(64, 20, EVERYWHERE)
    yield tournament(64, 20, UNIT)
    yield tournament(32, 5, EVERYWHERE, idle=True)
    yield Case(
        "two largest of 6, d=10, all of R^n",
        lambda s: (families.sum_of_largest(2, 6, 10, s), EVERYWHERE),
    )
    yield Case(
        "two largest of 5, d=100, box", lambda s: (families.sum_of_largest(2, 5, 100, s), UNIT), 1
    )
    yield small_box(4, (20, 20, 20), 0.05)
    yield small_box(30, (60, 60, 60, 60), 0.01)
    yield Case(
        "input-convex 784-512-512-1", lambda s: (families.icnn(784, (512, 512), s), EVERYWHERE), 1
    )
    yield Case(
        "tournament K=256 d=20, all of R^n",
        lambda seed: (families.tournament(256, 20, seed), EVERYWHERE),
        networks=1,
        quick=False,
    )
    yield Case(
        "two largest of 8, d=30, box",
        lambda seed: (families.sum_of_largest(2, 8, 30, seed), UNIT),
        networks=1,
        quick=False,
    )


def small_polytope(inputs: int, widths: Sequence[int], half: float, faces: int) -> Case:
    """Networks at default initialisation, on the first polytopes on which they are convex."""

    def make(seed: int) -> tuple[ReluNetwork, Domain]:
        rng = np.random.default_rng(seed)
        while True:
            network = families.default_init(inputs, widths, int(rng.integers(10**6)))
            centre = rng.uniform(-1, 1, inputs)
            domain = polyhedra.polytope(centre - half, centre + half, faces, seed)
            if jensen.verify(network, domain, time_limit=60).status == "convex":
                return network, domain

    shape = "-".join(map(str, widths))
    return Case(f"default init {inputs}-{shape}-1, polytopes of {faces} faces", make)


def on_polyhedra() -> Iterator[Case]:
    ends = -np.ones(5), np.ones(5)
    for pieces, inputs in ((16, 3), (32, 5), (32, 10)):
        yield tournament(pieces, inputs, polyhedra.simplex(inputs))
    yield Case(
        "two largest of 6, d=10, simplex",
        lambda s: (families.sum_of_largest(2, 6, 10, s), polyhedra.simplex(10)),
    )
    yield tournament(32, 5, polyhedra.cut_box(*ends, 0))
    yield tournament(32, 5, polyhedra.polytope(*ends, 15, 0))
    yield small_polytope(4, (20, 20, 20), 0.05, 12)
    yield tournament(32, 5, polyhedra.half_space(5, 0))


def trained_on_polyhedra(folder: Path, names: Sequence[str]) -> Iterator[Case]:
    for case in bench_trained.cases(folder, names or list(ON_POLYHEDRA)):
        for kind in ON_POLYHEDRA.get(case.name, ()):
            domain = polyhedron_of(kind, case.domain, case.network.input_size)
            yield Case(
                f"{case.name}, {kind}", lambda _, case=case, domain=domain: (case.network, domain)
            )


def polyhedron_of(kind: str, domain: Domain, inputs: int) -> Polyhedron:
    """Return a polyhedron in the box of a trained network; 3 faces per input on polytopes."""
    lower, upper = domain.box_sides(inputs) or (-np.ones(inputs), np.ones(inputs))
    if kind == "polytope":
        return polyhedra.polytope(lower, upper, 3 * inputs, 0)
    if kind == "simplex":
        return polyhedra.around_zero(inputs)
    if kind == "half space":
        return polyhedra.half_space(inputs, 0)
    return polyhedra.cut_box(lower, upper, 0, equation=kind == "slice")


def trained(folder: Path, names: Sequence[str]) -> Iterator[Case]:
    """Convex networks of a folder, three runs of each."""
    for case in bench_trained.cases(folder, names):
        if case.convex:
            yield Case(case.name, lambda _, case=case: (case.network, case.domain))


def anew(network: ReluNetwork, domain: Domain) -> tuple[ReluNetwork, Domain]:
    """Return copies that keep nothing of what they were asked before."""
    blocks = [replace(block) for block in network.blocks]
    return ReluNetwork(network.input_size, blocks), type(domain).from_json(domain.to_json())


@contextlib.contextmanager
def as_if_alone() -> Iterator[None]:
    """Keep the objects of this benchmark from the garbage collector, as in a process of its own."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def measure(case: Case, seed: int, folder: Path) -> Measured:
    network, domain = anew(*case.make(seed))
    model, file = folder / "model.json", folder / "certificate.jsonl"
    export_json(network, model)
    start = time.process_time()
    jensen.verify(network, domain)
    plain = time.process_time()
    network, domain = anew(network, domain)
    start, plain = start + time.process_time() - plain, time.process_time()
    certificate = jensen.verify(network, domain, certificate=True).certificate
    if certificate is None:
        return Measured(plain - start, time.process_time() - plain, 0.0, 0, 0, "no certificate")
    certificate.write(file)
    produced = time.process_time()
    with as_if_alone(), contextlib.redirect_stdout(io.StringIO()) as said:
        begun = time.process_time()
        checker.main([str(model), str(file)])
        checked = time.process_time()
    return Measured(
        plain - start,
        produced - plain,
        checked - begun,
        len(certificate.lines),
        certificate.size,
        said.getvalue().split(":")[0],
    )


def row_of(case: Case, found: Sequence[Measured]) -> list[str]:
    plain = statistics.median(item.plain for item in found)
    produced = statistics.median(item.produced for item in found)
    checked = statistics.median(item.checked for item in found)
    return [
        case.label,
        ", ".join(sorted({item.answer for item in found})),
        f"{plain:.3f}",
        f"{produced:.3f}",
        f"{produced / plain:.1f}x",
        f"{checked:.3f}",
        f"{checked / plain:.2f}x",
        f"{statistics.median(item.lines for item in found):,.0f}",
        f"{statistics.median(item.size for item in found):,.0f}",
    ]


def chosen(arguments: argparse.Namespace) -> Iterator[Case]:
    if arguments.polyhedra:
        if not arguments.names:
            yield from on_polyhedra()
        if arguments.trained:
            yield from trained_on_polyhedra(arguments.trained, arguments.names)
    elif arguments.trained:
        yield from trained(arguments.trained, arguments.names)
    else:
        yield from cases()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small ones only")
    parser.add_argument("--polyhedra", action="store_true", help="on polyhedra, bounded and not")
    parser.add_argument("--trained", type=Path, help="a folder as bench_trained.py reads it")
    parser.add_argument("names", nargs="*", help="which networks of the folder")
    arguments = parser.parse_args(argv)
    log = Console(stderr=True)
    table = Table(title="certificates, medians")
    for column in ("network", "answer"):
        table.add_column(column)
    for column in ("plain s", "produced s", "ratio", "checked s", "ratio", "lines", "bytes"):
        table.add_column(column, justify="right", no_wrap=True)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        measure(next(cases()), 0, Path(folder))  # imports and the solver's start
        for case in chosen(arguments):
            if arguments.quick and not case.quick:
                continue
            log.print(case.label)
            found = [measure(case, seed, Path(folder)) for seed in range(case.networks)]
            good = good and all(item.answer == "accepted" for item in found)
            table.add_row(*row_of(case, found))
    Console(width=140).print(table)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
