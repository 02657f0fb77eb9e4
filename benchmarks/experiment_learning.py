"""The experiment of docs/experiment.md: free, clipped, input-convex and certified networks.

    python benchmarks/experiment_learning.py run results.jsonl
    python benchmarks/experiment_learning.py table results.jsonl
    python benchmarks/experiment_learning.py plot results.jsonl docs/pictures/experiment.svg

``run`` appends one line per training, and leaves out what the file has already. Every method
gets as many steps as the certified network took. ``complex`` is the regulariser of Gagneux et
al. (arXiv 2501.03017) by its definition: all facets of the polyhedral complex, rebuilt in every
step; it runs for two inputs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import jensen

BOX = jensen.Box(-1, 1)
BATCH, RATE = 256, 3e-3
Target = Callable[[torch.Tensor], torch.Tensor]
METHODS = ("certified", "free", "clipped", "icnn", "complex")
MARGIN, WEIGHT = 1e-2, 3.0  # of the penalties on the jumps


def targets(d: int, seed: int) -> dict[str, Target]:
    """Five convex functions of d inputs, from practice; the seed draws their coefficients."""
    generator = torch.Generator().manual_seed(1000 + seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) / d**0.5

    pieces, shifts = 2 * normal(2 * d + 3, d), 0.5 * normal(2 * d + 3)
    losses, constants = normal(2 * d, d), 0.5 * normal(2 * d)
    factor, frame, points = normal(d, d), 2 * normal(2 * d, d), normal(6 * d, d)
    return {
        "log-sum-exp": lambda x: torch.logsumexp(x @ pieces.T + shifts, 1),
        # max of l (A x + b) over 0 <= l <= 1, sum l = d / 2: the value of a linear program
        "LP value": lambda x: (x @ losses.T + constants).topk(max(1, d // 2), dim=1).values.sum(1),
        "portfolio risk": lambda x: ((x @ factor).square().sum(1) + 1e-3).sqrt(),
        # of |A x|_1: quadratic near 0, linear beyond
        "Moreau envelope": lambda x: functional.huber_loss(
            x @ frame.T, torch.zeros(len(x), 2 * d), reduction="none", delta=0.3
        ).sum(1),
        "support function": lambda x: (x @ points.T).amax(1),
    }


class Icnn(nn.Module):
    """Amos et al., with the same widths; weights behind ReLUs are squares, skips are free."""

    def __init__(self, d: int, width: int) -> None:
        super().__init__()
        self.first, self.skip, self.straight = (nn.Linear(d, n) for n in (width, width, 1))
        scale = width**-0.5
        self.second = nn.Parameter(scale * torch.rand(width, width).sqrt())
        self.last = nn.Parameter(scale * torch.rand(1, width).sqrt())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.first(x))
        h = torch.relu(functional.linear(h, self.second.square()) + self.skip(x))
        return functional.linear(h, self.last.square()) + self.straight(x)


def mlp(d: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(d, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
    )


def complex_penalty(module: nn.Module) -> torch.Tensor:
    """Return the mean of ``relu(margin - J)`` over all facets of the complex on the box."""
    first, second, last = (layer for layer in module if isinstance(layer, nn.Linear))
    arrays = [
        [tensor.detach().double().numpy() for tensor in (layer.weight, layer.bias)]
        for layer in (first, second, last)
    ]
    found = jensen.regions(jensen.ReluNetwork.from_layers(*zip(*arrays, strict=True)), BOX)
    if not found.facets:
        return torch.zeros(())
    ends = found.vertices[np.array([facet.vertices for facet in found.facets])]
    at = torch.from_numpy(ends.mean(axis=1)).to(first.weight)
    names = [facet.neurons[0] for facet in found.facets]
    column = torch.tensor([k + first.out_features * (name == "relu_2") for name, k in names])
    with torch.no_grad():
        on = (second(torch.relu(first(at))) > 0).to(at)
    behind_second = last.weight.expand(len(at), -1)
    jumps = torch.cat([(behind_second * on) @ second.weight, behind_second], dim=1)
    return torch.relu(MARGIN - jumps.gather(1, column[:, None])).mean()


def train(module: nn.Module, loss: Callable[[nn.Module], torch.Tensor], steps: int, method: str):
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * 0.1 ** (step / steps)
        optimizer.zero_grad()
        total = loss(module)
        if method == "complex":
            total = total + WEIGHT * min(1.0, 2 * step / steps) * complex_penalty(module)
        total.backward()
        optimizer.step()
        if method == "clipped":
            jensen.learning.clip_to_icnn_(module)


def trial(d: int, name: str, method: str, seed: int, width: int, steps: int, limit: float) -> dict:
    """Train one network; errors are on new points, relative to the target's spread."""
    target = targets(d, seed)[name]
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    test = 2 * torch.rand(8192, d, generator=generator) - 1
    spread = target(test).std()

    def loss(module: nn.Module) -> torch.Tensor:
        x = 2 * torch.rand(BATCH, d, generator=generator) - 1
        return ((module(x)[:, 0] - target(x)) / spread).square().mean()

    module = Icnn(d, width) if method == "icnn" else mlp(d, width)
    began = time.process_time()
    if method == "certified":
        done = jensen.learning.make_convex(
            module,
            loss,
            BOX,
            steps=steps,
            time_limit=limit,
            verify_seconds=limit,
            margin=MARGIN,
            weight=WEIGHT,
            seed=seed,
        )
        module, network, verdict = done.module, done.network, done.verdict
        steps = done.history[-1].steps
        trained = time.process_time() - began
    else:
        train(module, loss, steps, method)
        trained = time.process_time() - began
        network = jensen.from_torch(module, d)
        began = time.process_time()
        verdict = jensen.verify(network, BOX, time_limit=20)
    proof = time.process_time() - began
    with torch.no_grad():
        error = ((module(test)[:, 0] - target(test)) / spread).square().mean().sqrt().item()
    behind = [
        w for b in network.blocks for s, w in b.weights.items() if s != "input" and w.size > 0
    ]
    signs = np.concatenate([np.ravel(w) for w in behind]) if behind else np.zeros(1)
    return {
        "inputs": d,
        "target": name,
        "method": method,
        "seed": seed,
        "width": width,
        "steps": steps,
        "error": error,
        "negative": float((signs < 0).mean()),
        "status": str(verdict.status),
        "icnn": jensen.is_icnn(network),
        "cpu": trained,
        "proof": proof,
    }


def run(path: Path, arguments: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    done: dict[tuple, int] = {}
    if path.exists():
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            done[row["inputs"], row["target"], row["seed"], row["method"]] = row["steps"]
    seeds, names = range(arguments.seeds), targets(1, 0)
    cases = itertools.product(arguments.inputs, seeds, names, arguments.methods)
    for d, seed, name, method in cases:
        if (d, name, seed, method) in done or (method == "complex" and d > 2):
            continue
        steps = done.get((d, name, seed, "certified"), arguments.steps)
        found = trial(d, name, method, seed, arguments.width, steps, arguments.limit)
        done[d, name, seed, method] = found["steps"]
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
        print(found, flush=True)


def grouped(path: Path) -> dict:
    groups = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        groups[row["inputs"], row["target"], row["method"]].append(row)
    return groups


def table(path: Path) -> None:
    groups = grouped(path)
    print("| d | target | " + " | ".join(METHODS) + " |")
    print("|---|---|" + "---|" * len(METHODS))
    for d, name in dict.fromkeys((d, name) for d, name, _ in groups):
        cells = []
        for method in METHODS:
            rows = groups.get((d, name, method), [])
            if not rows:
                cells.append("-")
                continue
            errors = 100 * np.array([r["error"] for r in rows])
            proved = sum(r["status"] == "convex" for r in rows)
            spread = f" ± {errors.std(ddof=1):.1f}" if len(errors) > 1 else ""
            cells.append(f"{errors.mean():.1f}{spread} ({proved}/{len(rows)})")
        print(f"| {d} | {name} | {' | '.join(cells)} |")
    print("\n| d | method | proved convex | negative weights | steps | ms a step | proof, s |")
    print("|---|---|---|---|---|---|---|")
    for d, method in itertools.product(sorted({d for d, *_ in groups}), METHODS):
        rows = [r for (a, _, b), found in groups.items() if (a, b) == (d, method) for r in found]
        if not rows:
            continue
        proved = sum(r["status"] == "convex" for r in rows)
        share, steps, proof = (
            np.mean([r[k] for r in rows]) for k in ("negative", "steps", "proof")
        )
        each = 1e3 * np.mean([r["cpu"] / r["steps"] for r in rows])
        within = "in training" if method == "certified" else f"{proof:.2f}"
        print(
            f"| {d} | {method} | {proved}/{len(rows)} | {share:.0%} | {steps:.0f} "
            f"| {each:.2f} | {within} |"
        )


def plot(path: Path, target: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415  (an extra, for this command)

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "jensen"
    import matplotlib.pyplot as plt  # noqa: PLC0415

    groups = grouped(path)
    sizes = sorted({d for d, *_ in groups})
    names = list(dict.fromkeys(name for _, name, _ in groups))
    wide = min(2, len(sizes))
    high = -(-len(sizes) // wide)
    figure, grid = plt.subplots(high, wide, figsize=(3.8 * wide, 2.9 * high), squeeze=False)
    axes = grid.ravel()
    for axis in axes[len(sizes) :]:
        axis.set_axis_off()
    for axis, d in zip(axes, sizes, strict=False):
        for k, method in enumerate(METHODS):
            rows = [[r["error"] for r in groups.get((d, name, method), [])] for name in names]
            at = np.arange(len(names)) + 0.16 * (k - 2)
            means = [100 * np.mean(r) if r else np.nan for r in rows]
            bars = [100 * np.std(r, ddof=1) if len(r) > 1 else 0 for r in rows]
            axis.bar(at, means, 0.16, yerr=bars, label=method)
        axis.set_title(f"{d} inputs")
        axis.set_xticks(np.arange(len(names)), names, rotation=35, ha="right", fontsize=7)
    for axis in grid[:, 0]:
        axis.set_ylabel("error, % of the target's spread", fontsize=8)
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="upper center", ncols=len(METHODS), fontsize=7)
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    figure.savefig(target, metadata={"Date": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["run", "table", "plot"])
    parser.add_argument("results", type=Path)
    parser.add_argument("target", type=Path, nargs="?")
    parser.add_argument("--inputs", type=int, nargs="+", default=[2, 5, 10, 20])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--limit", type=float, default=240.0, help="seconds per certified run")
    arguments = parser.parse_args()
    if arguments.what == "run":
        run(arguments.results, arguments)
    elif arguments.what == "table":
        table(arguments.results)
    else:
        plot(arguments.results, arguments.target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
