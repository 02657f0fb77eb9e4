"""Learning and repair: what the penalty costs, training to a proof, nearest convex networks.

python benchmarks/bench_learning.py cost
python benchmarks/bench_learning.py certify 5 32,32 box
python benchmarks/bench_learning.py repair FOLDER   # of .npz files with W0, b0, W1, b1, ...
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

import jensen

BATCH = 256
SIZES = ((2, (64, 64)), (6, (8, 8)), (5, (32, 32)), (10, (64, 64)), (50, (128, 128)))


def mlp(inputs: int, widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise((inputs, *widths)):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 1))


def per_call(work, count: int = 200) -> float:
    """Return CPU milliseconds of a call."""
    for _ in range(40):
        work()
    began = time.process_time()
    for _ in range(count):
        work()
    return 1e3 * (time.process_time() - began) / count


def cost() -> None:
    table = Table("network", "forward and backward, ms", "penalty, ms", "ratio")
    for inputs, widths in SIZES:
        torch.manual_seed(0)
        module = mlp(inputs, widths)
        guard = jensen.learning.ConvexityGuard(module, jensen.Box(-1, 1))
        x = torch.randn(BATCH, inputs)
        plain = per_call(lambda m=module, x=x: m(x).square().mean().backward())
        penalty = per_call(lambda g=guard: g.penalty().backward())
        row = f"{inputs}-D {list(widths)}", f"{plain:.3f}", f"{penalty:.3f}"
        table.add_row(*row, f"{penalty / plain:.2f}")
    Console().print(table)


def certify(inputs: int, widths: tuple[int, ...], where: str, seed: int = 0) -> None:
    """Train on a log-sum-exp of 2 d + 3 affine functions until proved."""
    generator = torch.Generator().manual_seed(seed)
    slopes = torch.randn(2 * inputs + 3, inputs, generator=generator)
    shifts = 0.3 * torch.randn(2 * inputs + 3, generator=generator)

    def loss(module: nn.Module) -> torch.Tensor:
        x = 2 * torch.rand(BATCH, inputs, generator=generator) - 1
        return (module(x)[:, 0] - torch.logsumexp(x @ slopes.T + shifts, 1)).square().mean()

    torch.manual_seed(seed)
    domain = jensen.Box(-1, 1) if where == "box" else jensen.Everywhere()
    found = jensen.learning.make_convex(
        mlp(inputs, widths), loss, domain, progress=print, time_limit=600
    )
    print(found.summary)


def repair(folder: Path, limit: float) -> None:
    table = Table("network", "status", "CPU s", "rounds", "change", "gap", "moves f by")
    spent = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as file:
            count = len(file.files) // 2
            arrays = [
                (file[f"W{i}"].astype(float), file[f"b{i}"].astype(float)) for i in range(count)
            ]
        network = jensen.ReluNetwork.from_layers(*zip(*arrays, strict=True))
        if jensen.verify(network, jensen.Box(-1, 1), time_limit=5).status == "convex":
            continue
        began = time.process_time()
        found = jensen.repair(network, jensen.Box(-1, 1), time_limit=limit)
        spent.append(time.process_time() - began)
        gap = found.upper / found.lower - 1 if found.lower else 0.0
        numbers = (
            f"{spent[-1]:.1f}",
            str(found.rounds),
            f"{found.relative_change:.2%}",
            f"{gap:.1e}",
        )
        table.add_row(path.stem, str(found.verdict.status), *numbers, f"{found.sup_change:.3g}")
    Console().print(table)
    print(f"median {np.median(spent):.1f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["cost", "certify", "repair"])
    parser.add_argument("given", nargs="*")
    parser.add_argument("--limit", type=float, default=150.0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.what == "cost":
        cost()
    elif arguments.what == "certify":
        inputs, widths, where = arguments.given
        certify(int(inputs), tuple(map(int, widths.split(","))), where)
    else:
        repair(Path(arguments.given[0]), arguments.limit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
