"""The training experiment of Gagneux et al. (arXiv 2501.03017), every end decided exactly.

    python -m benchmarks.paper.training [--seeds 3] [--steps 2000] [--store training.jsonl]

The target is a random network of two layers, of 4 and 8 neurons, drawn until one is proved convex
on the box [-10, 10]^2; students have the same widths and start alike. As in the paper: mean
absolute error, batches of 256 points, Adam with a rate of 1e-3 and betas 0.7 and 0.9. The methods:

free       no constraint
clipped    negative weights behind the first layer are set to 0 after each step
complex    the paper's regulariser by its definition: 0.1 times the sum of the negative conditions,
           one per facet of the polyhedral complex, which is built anew in every step
sampled    `jensen.learning.ConvexityGuard`: the same conditions on kinks that random points find
certified  `jensen.learning.make_convex`: the sampled penalty until the prover says convex

Seeds are fixed, results are kept in the store, and a second call goes on where the first one
stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is loaded
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import torch
from benchmarks.paper.store import Row, filled
from torch import nn

import jensen

BOX = jensen.Box(-10, 10)
SIZES = (2, 4, 8, 1)
BATCH, RATE, BETAS, WEIGHT, MARGIN = 256, 1e-3, (0.7, 0.9), 0.1, 1e-2
DRAWN = 512  # networks at a time, until one is convex
METHODS = ("free", "clipped", "complex", "sampled", "certified")
Loss = Callable[[nn.Module], torch.Tensor]
HEAD = (
    "| method | error, % | proved convex | worst jump | worst violation | negative weights "
    "| steps | ms a step |"
)


def mlp() -> nn.Sequential:
    """Return a network as PyTorch initialises it."""
    layers: list[nn.Module] = []
    for before, after in pairwise(SIZES):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def target(seed: int) -> nn.Sequential:
    """Return the first random network that is proved convex on the box and bends inside.

    Weights are normal, biases too and a thousand times smaller, as in the paper.
    """
    rng = np.random.default_rng([seed, *SIZES])
    shapes = [(after, before) for before, after in pairwise(SIZES)]
    while True:
        weights = [rng.normal(size=(DRAWN, *shape)).astype(np.float32) for shape in shapes]
        biases = [1e-3 * rng.normal(size=(DRAWN, rows)).astype(np.float32) for rows, _ in shapes]
        stack = jensen.NetworkStack(weights, biases)
        for k, verdict in enumerate(jensen.verify_many(stack, BOX)):
            if verdict.status == "convex" and len(jensen.regions(stack[k], BOX).facets):
                return with_weights([w[k] for w in weights], [b[k] for b in biases])


def with_weights(weights: list[np.ndarray], biases: list[np.ndarray]) -> nn.Sequential:
    """Return a network of given weights."""
    module = mlp()
    linear = [layer for layer in module if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer, weight, bias in zip(linear, weights, biases, strict=True):
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))
    return module


def complex_penalty(module: nn.Sequential) -> torch.Tensor:
    """Return the sum of ``relu(-J)`` over all facets of the complex on the box."""
    first, second, last = linear = [layer for layer in module if isinstance(layer, nn.Linear)]
    arrays = [
        [tensor.detach().double().numpy() for tensor in (layer.weight, layer.bias)]
        for layer in linear
    ]
    found = jensen.regions(jensen.ReluNetwork.from_layers(*zip(*arrays, strict=True)), BOX)
    if not len(found.facets):
        return torch.zeros(())
    ends = found.vertices[np.array([facet.vertices for facet in found.facets])]
    at = torch.from_numpy(ends.mean(axis=1)).to(first.weight)
    neurons = [facet.neurons[0] for facet in found.facets]
    names = [block.name for block in found.network.hidden]
    column = torch.tensor([k + SIZES[1] * (name == names[1]) for name, k in neurons])
    with torch.no_grad():
        on = (second(torch.relu(first(at))) > 0).to(at)
    behind = last.weight.expand(len(at), -1)
    jumps = torch.cat([(behind * on) @ second.weight, behind], dim=1)
    return torch.relu(-jumps.gather(1, column[:, None])).sum()


def train(module: nn.Sequential, loss: Loss, steps: int, method: str) -> None:
    """Train in place."""
    guard = None
    if method == "sampled":
        guard = jensen.learning.ConvexityGuard(module, BOX, margin=MARGIN)
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE, betas=BETAS)
    for _ in range(steps):
        optimizer.zero_grad()
        total = loss(module)
        if method == "complex":
            total = total + WEIGHT * complex_penalty(module)
        elif guard is not None:
            total = total + guard.penalty()
        total.backward()
        optimizer.step()
        if method == "clipped":
            jensen.learning.clip_to_icnn_(module)


def trial(method: str, seed: int, steps: int, limit: float) -> dict[str, object]:
    """Train one network and measure it, certified."""
    wanted = target(seed)
    generator = torch.Generator().manual_seed(seed)

    def points(count: int) -> torch.Tensor:
        return 20 * torch.rand(count, 2, generator=generator) - 10

    test = points(20_000)
    with torch.no_grad():
        truth = wanted(test)
    spread = (truth - truth.mean()).abs().mean()

    def loss(module: nn.Module) -> torch.Tensor:
        x = points(BATCH)
        with torch.no_grad():
            y = wanted(x)
        return (module(x) - y).abs().mean() / spread

    torch.manual_seed(10_000 + seed)
    module: nn.Module = mlp()
    began = time.process_time()
    if method == "certified":
        done = jensen.learning.make_convex(
            module, loss, BOX, steps=steps, time_limit=limit, margin=MARGIN, seed=seed
        )
        module, network = done.module, done.network
        steps = done.history[-1].steps
    else:
        train(module, loss, steps, method)  # type: ignore[arg-type]
        network = jensen.from_torch(module, 2)
    spent = time.process_time() - began
    verdict = jensen.verify(network, BOX, time_limit=limit)
    with torch.no_grad():
        error = float((module(test) - truth).abs().mean() / spread)
    jump = jensen.worst_jump(network, BOX, time_limit=limit)
    violation = jensen.worst_violation(network, BOX, time_limit=limit)
    behind = [w for b in network.blocks for s, w in b.weights.items() if s != "input"]
    return {
        "method": method,
        "seed": seed,
        "steps": steps,
        "error": error,
        "status": str(verdict.status),
        "jump": [jump.lower, jump.upper],
        "violation": [violation.lower, violation.upper],
        "spread": float(spread),
        "negative": float((np.concatenate([np.ravel(w) for w in behind]) < 0).mean()),
        "seconds": spent,
    }


def _range(rows: list[dict], name: str) -> str:
    """Return the largest proved lower and upper bound over the seeds."""
    low, high = (max(float(row[name][k]) for row in rows) for k in range(2))
    if high == 0:
        return "0"
    return f"{low:.3g}" if high - low <= 1e-2 * high else f"{low:.3g} to {high:.3g}"


def table(rows: list[dict]) -> str:
    """Return the results as Markdown."""
    lines = [HEAD, "|---" * 8 + "|"]
    for method in METHODS:
        own = [row for row in rows if row["method"] == method]
        if not own:
            continue
        errors = 100 * np.array([row["error"] for row in own])
        spread = f" ± {errors.std(ddof=1):.1f}" if len(own) > 1 else ""
        proved = sum(row["status"] == "convex" for row in own)
        each = 1e3 * np.mean([row["seconds"] / row["steps"] for row in own])
        lines.append(
            f"| {method} | {errors.mean():.1f}{spread} | {proved} of {len(own)} "
            f"| {_range(own, 'jump')} | {_range(own, 'violation')} "
            f"| {np.mean([row['negative'] for row in own]):.0%} "
            f"| {np.mean([row['steps'] for row in own]):.0f} | {each:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2000, help="the paper's are 19,525")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds of a proof or bound")
    parser.add_argument("--store", type=Path, default=Path("training.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    def tried(key: tuple[str, int]) -> Row:
        row = trial(*key, arguments.steps, arguments.limit)
        print(f"{key[0]}, seed {key[1]}: {row['status']}", file=sys.stderr)
        return row

    keys = ((method, seed) for seed, method in product(range(arguments.seeds), METHODS))
    print(table(filled(arguments.store, keys, lambda row: (row["method"], row["seed"]), tried)))


if __name__ == "__main__":
    main()
