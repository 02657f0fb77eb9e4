"""Train to a proof, size by size: where it ends, and why.

    python benchmarks/bench_trainings.py 10:128,128 20:64,64 10:32,32,32
    python benchmarks/bench_trainings.py 10:32,32 --everywhere --target quadratic --limit 300
    python benchmarks/bench_trainings.py 10:64,64 --certificate --save FOLDER

Each size is INPUTS:WIDTHS. A free network is trained by ``make_convex`` on a convex target, a
log-sum-exp of 2 d + 3 affine functions or a quadratic form, and the last verdict is asked for
once more, which times the proof alone. *closed* counts kinks, and *switching* the ReLUs of each
layer that are not proved to be stable on the domain. Errors are root mean squares on new points, in
percent of the target's standard deviation, beside those of a network trained as many steps without
a penalty; negative weights are counted behind the first layer. Repair is off: a row says what
training and the prover do.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

import jensen
from jensen.certificate import checker
from jensen.certificate.model_export import export_json

BATCH, TEST = 256, 8192
RATE, FIRST = 3e-3, 2500  # of make_convex: its rate falls to a tenth over the first stretch
Target = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Size:
    """Inputs and widths, as ``10:64,64``."""

    inputs: int
    widths: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Size:
        inputs, _, widths = text.partition(":")
        return cls(int(inputs), tuple(int(width) for width in widths.split(",")))

    def __str__(self) -> str:
        return f"{self.inputs}-D {list(self.widths)}"

    def network(self) -> nn.Sequential:
        layers: list[nn.Module] = []
        for a, b in pairwise((self.inputs, *self.widths)):
            layers += [nn.Linear(a, b), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(self.widths[-1], 1))


def target(name: str, d: int, generator: torch.Generator) -> Target:
    """Return a convex function of d inputs, its coefficients drawn at random."""
    if name == "log-sum-exp":
        slopes = 2 * torch.randn(2 * d + 3, d, generator=generator) / d**0.5
        shifts = 0.5 * torch.randn(2 * d + 3, generator=generator) / d**0.5
        return lambda x: torch.logsumexp(x @ slopes.T + shifts, 1)
    factor = torch.randn(d, d, generator=generator) / d**0.5
    return lambda x: (x @ factor.T).square().sum(1)


def negative_share(network: jensen.ReluNetwork) -> float:
    """Return the share of negative weights behind the first layer."""
    weights = [
        np.ravel(w)
        for b in network.blocks
        for source, w in b.weights.items()
        if source != "input" and w.size
    ]
    return float((np.concatenate(weights) < 0).mean()) if weights else 0.0


def switching(network: jensen.ReluNetwork, verdict: jensen.Verdict) -> str:
    """Return how many ReLUs of each layer are not known to be stable."""
    stable = [
        block
        for item in verdict.evidence
        if item.reason == "never crosses"
        for block, _ in item.neurons
    ]
    return "+".join(str(b.size - stable.count(b.name)) for b in network.hidden if b.is_relu)


def free(size: Size, loss: Callable[[nn.Module], torch.Tensor], steps: int) -> nn.Module:
    """Return a network trained as long, at the same rates, without a penalty."""
    module = size.network()
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * 0.1 ** min(step / FIRST, 1.0)
        optimizer.zero_grad()
        loss(module).backward()
        optimizer.step()
    return module


def certified(network: jensen.ReluNetwork, domain: jensen.Domain, limit: float) -> str:
    """Return what a certificate costs, and whether the checker accepts it."""
    began = time.process_time()
    verdict = jensen.verify(network, domain, time_limit=limit, certificate=True)
    spent = time.process_time() - began
    if verdict.certificate is None:
        return f"none after {spent:.1f} s"
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("network.json", "proof.jsonl")]
        export_json(network, files[0])
        verdict.certificate.write(files[1])
        size = Path(files[1]).stat().st_size
        began = time.process_time()
        code, _ = checker.run(*files)
    word = "accepted" if code == 0 else "REFUSED"
    return f"{size / 1e3:.0f} kB in {spent:.1f} s, {word} in {time.process_time() - began:.1f} s"


def trial(size: Size, options: argparse.Namespace) -> list[str]:
    """Train one network and return its row."""
    d = size.inputs
    generator = torch.Generator().manual_seed(options.seed)
    wanted = target(options.target, d, generator)
    test = 2 * torch.rand(TEST, d, generator=generator) - 1
    spread = wanted(test).std()

    def loss(module: nn.Module) -> torch.Tensor:
        x = 2 * torch.rand(BATCH, d, generator=generator) - 1
        return ((module(x)[:, 0] - wanted(x)) / spread).square().mean()

    def report(found: jensen.learning.Round) -> None:
        if options.verbose:
            print(f"{time.process_time() - began:.1f} s CPU", found, file=sys.stderr, flush=True)

    domain = jensen.Everywhere() if options.everywhere else jensen.Box(-1, 1)
    torch.manual_seed(options.seed)
    began = time.process_time()
    done = jensen.learning.make_convex(
        size.network(),
        loss,
        domain,
        time_limit=options.limit,
        verify_seconds=options.verify,
        repair_seconds=0.0,
        rounds=10**6,
        seed=options.seed,
        progress=report,
        settle=not options.no_settle,
        **{k: v for k in ("margin", "weight", "steps") if (v := getattr(options, k)) is not None},
    )
    spent, began = time.process_time() - began, time.process_time()
    verdict = jensen.verify(done.network, domain, time_limit=options.verify)
    proof = time.process_time() - began
    closed = sum(e.reason != "open" for e in verdict.evidence)
    torch.manual_seed(options.seed)
    unbound = free(size, loss, done.history[-1].steps)
    with torch.no_grad():
        error, least = (
            ((m(test)[:, 0] - wanted(test)) / spread).square().mean().sqrt().item()
            for m in (done.module, unbound)
        )
    if options.save:
        done.network.save(options.save / f"{d}_{'x'.join(map(str, size.widths))}.npz")
    row = [
        str(size),
        str(done.verdict.status),
        str(done.history[-1].steps),
        str(len(done.history)),
        f"{spent:.0f}",
        f"{proof:.1f}",
        f"{closed}/{len(verdict.evidence)}",
        str(verdict.nodes),
        switching(done.network, verdict),
        f"{100 * error:.1f} ({100 * least:.1f})",
        f"{100 * negative_share(done.network):.0f}",
    ]
    if options.certificate:
        row.append(certified(done.network, domain, options.limit) if done.certified else "-")
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sizes", nargs="+", type=Size.parse)
    parser.add_argument("--target", choices=["log-sum-exp", "quadratic"], default="log-sum-exp")
    parser.add_argument("--everywhere", action="store_true", help="all of R^n, before the box")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds of each training")
    parser.add_argument("--verify", type=float, default=60.0, help="seconds of a verification")
    parser.add_argument("--margin", type=float)
    parser.add_argument("--weight", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--no-settle", action="store_true", help="leave ReLUs as they are")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--certificate", action="store_true", help="write and check one")
    parser.add_argument("--save", type=Path, help="folder for the networks")
    parser.add_argument("--verbose", action="store_true", help="every round on stderr")
    options = parser.parse_args()
    torch.set_num_threads(1)
    where = "R^n" if options.everywhere else "the box [-1, 1]"
    table = Table(title=f"{options.target} on {where}, CPU seconds")
    columns = ["network", "verdict", "steps", "rounds", "training", "proof", "closed", "nodes"]
    columns += ["switching", "error (free), %", "negative, %"]
    for column in columns + ["certificate"] * options.certificate:
        table.add_column(column, overflow="fold")
    for size in options.sizes:
        row = trial(size, options)
        print(" | ".join(row), file=sys.stderr, flush=True)
        table.add_row(*row)
    Console(width=150).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
