"""CPU time of convexity proofs in a few inputs, beside the paper's own program.

    python benchmarks/bench_few_inputs.py [--paper FOLDER] [--largest SECONDS]

FOLDER holds a checkout of github.com/annegnx/beyondicnn (Gagneux et al., arXiv 2501.03017);
it needs PyTorch. Its program is timed as its own scripts call it, on a box +-100 without
gradients. Without the folder only Jensen's columns are printed. Set OMP_NUM_THREADS=1: threads of
the BLAS that wait for one another count as CPU time.

Networks are convex, and no product of weights along paths shows it: the weights of half of
the second layer are of both signs, and outweighed by neurons that are always on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np

import jensen
from jensen import Box, Everywhere, ReluNetwork

PLANE = [(2, w, w) for w in (2, 4, 8, 16, 32, 64, 128, 256)]
SPACE = [(3, 5, 5), (3, 10, 10), (3, 10, 10, 10), (3, *[5] * 5), (3, *[2] * 10), (3, *[10] * 10)]
MORE = [(4, 10, 10), (6, 6, 6), (6, 8, 8)]


def outweighed(sizes: tuple[int, ...], seed: int) -> ReluNetwork:
    """Return a convex network whose negative weights are outweighed by neurons always on."""
    rng = np.random.default_rng(seed)
    weights, biases = [], []
    for layer, (before, width) in enumerate(pairwise((*sizes, 1))):
        weight = rng.uniform(-1, 1, (width, before)) / np.sqrt(before)
        bias = rng.uniform(-1, 1, width) / np.sqrt(before)
        if layer:
            weight = np.abs(weight)
        if layer == 1 and width > 1:
            mixed = np.arange(width) >= width // 2
            weight[mixed] *= rng.choice([-1.0, 1.0], (int(mixed.sum()), before))
            bias[~mixed] = np.abs(bias[~mixed]) + 0.1
        weights.append(weight.astype(np.float32).astype(float))
        biases.append(bias.astype(np.float32).astype(float))
    # every J is at least what the neurons that are always on contribute
    mixed = np.arange(sizes[2]) >= sizes[2] // 2
    needed = np.maximum(-weights[1][mixed], 0).sum(axis=0)
    scale = float((needed / weights[1][~mixed].sum(axis=0)).max()) * 1.5 + 0.1
    later = weights[2] if len(weights) > 2 else None
    if later is not None:
        later[:, ~mixed] = later[:, mixed].max() * scale
    return ReluNetwork.from_layers(weights, biases)


def cpu(work: Callable[[], object], least: float = 0.05) -> float:
    """Return the CPU time of one call, in milliseconds: the least of three groups of calls."""
    start = time.process_time()
    work()
    repeats = max(1, int(least / max(time.process_time() - start, 1e-6)))
    best = np.inf
    for _ in range(3 if repeats > 1 else 1):
        start = time.process_time()
        for _ in range(repeats):
            work()
        best = min(best, (time.process_time() - start) / repeats)
    return 1e3 * best


def paper_program(
    folder: str, network: ReluNetwork, *, convexity: bool = True
) -> Callable[[], object]:
    """Return a call of the paper's program on a plain network; without convexity its complex."""
    sys.path.insert(0, folder)
    import torch  # noqa: PLC0415
    from beyondicnn.check_convexity import check_convexity  # noqa: PLC0415
    from beyondicnn.edges_subdivision import get_e_sv, skeletal_subdivision  # noqa: PLC0415
    from beyondicnn.models import FeedForwardNet  # noqa: PLC0415

    torch.set_num_threads(1)
    widths = [block.size for block in network.hidden]
    model = FeedForwardNet(input_dim=network.input_size, widths=widths)
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    with torch.no_grad():
        for module, block in zip(linear, network.blocks, strict=True):
            (weight,) = block.weights.values()
            module.weight.copy_(torch.tensor(np.array(weight)))
            module.bias.copy_(torch.tensor(np.array(block.bias)))

    def run() -> object:
        with torch.no_grad():
            _, edges, signs = skeletal_subdivision(
                model, device="cpu", bbox=(-100, 100), plot=True, return_intermediate=False
            )
            return check_convexity(model, get_e_sv(signs, edges))[0] if convexity else edges

    return run


def time_regions(folder: str | None, widest: int, inputs: int | None) -> None:
    """Time the complex of default-initialised networks, which the paper's program finds, too."""
    print("| sizes | cells | paper's program, ms | jensen.regions, ms | ratio |")
    print("|---|---|---|---|---|")
    for sizes in [*PLANE, *SPACE]:
        if max(sizes) > widest or inputs not in (None, sizes[0]):
            continue
        rng = np.random.default_rng(0)
        bounds = [1 / np.sqrt(before) for before in sizes]
        shapes = [(b, a) for a, b in pairwise((*sizes, 1))]
        pairs = list(zip(shapes, bounds, strict=True))
        weights = [rng.uniform(-r, r, shape).astype(np.float32).astype(float) for shape, r in pairs]
        biases = [rng.uniform(-r, r, s[0]).astype(np.float32).astype(float) for s, r in pairs]
        network = ReluNetwork.from_layers(weights, biases)
        cells = len(jensen.regions(network, Box(-100, 100)).cells)
        ours = cpu(lambda n=network: jensen.regions(n, Box(-100, 100)))  # type: ignore[misc]
        theirs = cpu(paper_program(folder, network, convexity=False)) if folder else np.nan
        ratio = theirs / ours
        print(f"| {list(sizes)} | {cells} | {theirs:.2f} | {ours:.2f} | {ratio:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paper", help="a checkout of annegnx/beyondicnn")
    parser.add_argument("--networks", type=int, default=3, help="seeds per size")
    parser.add_argument("--widest", type=int, default=256)
    parser.add_argument("--regions", action="store_true", help="time jensen.regions instead")
    parser.add_argument("--inputs", type=int, choices=(2, 3, 4, 6))
    arguments = parser.parse_args()
    if arguments.regions:
        time_regions(arguments.paper, arguments.widest, arguments.inputs)
        return
    print("| sizes | paper's program, ms | verify on the box, ms | on R^n, ms | ratios |")
    print("|---|---|---|---|---|")
    for sizes in [*PLANE, *SPACE, *MORE]:
        if max(sizes) > arguments.widest or arguments.inputs not in (None, sizes[0]):
            continue
        rows = []
        for seed in range(arguments.networks if max(sizes) < 128 else 1):
            network = outweighed(sizes, seed)
            for domain in (Box(-100, 100), Everywhere()):
                verdict = jensen.verify(network, domain)
                assert verdict.status is jensen.Status.CONVEX, (sizes, seed, verdict.summary)
            ours = [
                cpu(lambda d=domain, n=network: jensen.verify(n, d))  # type: ignore[misc]
                for domain in (Box(-100, 100), Everywhere())
            ]
            theirs = np.nan
            if arguments.paper:
                theirs = cpu(paper_program(arguments.paper, network))
            rows.append([theirs, *ours])
        theirs, box, everywhere = np.median(rows, axis=0)
        print(
            f"| {list(sizes)} | {theirs:.2f} | {box:.2f} | {everywhere:.2f} "
            f"| {theirs / box:.1f}, {theirs / everywhere:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
