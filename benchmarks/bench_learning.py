"""Learning and repair: what the penalty costs, training to a proof, nearest convex networks.

python benchmarks/bench_learning.py cost [PAPER]   # PAPER: a checkout of annegnx/beyondicnn
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
PAPERS = {"2-D [64, 64]": (2, (64, 64)), "6-D [8, 8]": (6, (8, 8))}
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


class Residual(nn.Module):
    """Residual blocks and a skip from the input."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList([nn.Linear(width, width) for _ in range(2)])
        self.last, self.skip = nn.Linear(width, 1), nn.Linear(inputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.first(x))
        for block in self.blocks:
            h = h + torch.relu(block(h))
        return self.last(h) + self.skip(x)


class Clipped(nn.Module):
    """clamp, abs and a maximum of all outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(5, 32), nn.Linear(32, 32), nn.Linear(32, 8)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second, last = self.layers
        return last(second(first(x).clamp(-1, 1)).abs()).amax(1, keepdim=True)


def convolutional() -> nn.Module:
    convs = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    convs += [nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*convs, nn.Linear(128, 1))


def leaky() -> nn.Module:
    layers = [nn.Linear(6, 16), nn.LeakyReLU(0.1), nn.Linear(16, 16), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, nn.Linear(16, 1))


def cost(paper: str | None) -> None:
    table = Table("network", "forward and backward, ms", "penalty, ms", "ratio", "the paper's, ms")
    others = [
        ("residual 10-D [64]x3", lambda: Residual(10, 64), (10,)),
        ("residual 6-D [8]x3", lambda: Residual(6, 8), (6,)),
        ("leaky 6-D [16, 16]", leaky, (6,)),
        ("clamp, abs, max 5-D", Clipped, (5,)),
        ("convolutions and a pool 8 x 8", convolutional, (1, 8, 8)),
    ]
    stacks = [(f"{d}-D {list(w)}", lambda d=d, w=w: mlp(d, w), (d,)) for d, w in SIZES]
    for name, build, shape in stacks + others:
        torch.manual_seed(0)
        module = build()
        guard = jensen.learning.ConvexityGuard(module, jensen.Box(-1, 1), input_shape=shape)
        x = torch.randn(BATCH, *shape)
        plain = per_call(lambda m=module, x=x: m(x).square().mean().backward())
        penalty = per_call(lambda g=guard: g.penalty().backward())
        theirs = ""
        if paper and name in PAPERS:
            theirs = f"{of_the_paper(paper, *PAPERS[name]):.0f}"
        table.add_row(name, f"{plain:.3f}", f"{penalty:.3f}", f"{penalty / plain:.2f}", theirs)
    Console().print(table)


def of_the_paper(folder: str, inputs: int, widths: tuple[int, ...]) -> float:
    """Return CPU milliseconds of the paper's regulariser and its gradient."""
    sys.path.insert(0, folder)
    from beyondicnn.convex_reg import convex_regularisation  # noqa: PLC0415
    from beyondicnn.models import FeedForwardNet  # noqa: PLC0415

    torch.manual_seed(0)
    module = FeedForwardNet(input_dim=inputs, widths=list(widths))
    spent = []
    for _ in range(5):
        began = time.process_time()
        value, _ = convex_regularisation(module, bbox=(-1, 1))
        if value.requires_grad:
            value.backward()
        spent.append(time.process_time() - began)
    return 1e3 * float(np.median(spent))


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
        cost(arguments.given[0] if arguments.given else None)
    elif arguments.what == "certify":
        inputs, widths, where = arguments.given
        certify(int(inputs), tuple(map(int, widths.split(","))), where)
    else:
        repair(Path(arguments.given[0]), arguments.limit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
