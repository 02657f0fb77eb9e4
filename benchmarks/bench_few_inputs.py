"""CPU time of convexity proofs in a few inputs, beside the paper's own program.

    python benchmarks/bench_few_inputs.py [--paper FOLDER] [--kinds pairs] [--inputs 2 3] [--many]

FOLDER holds a checkout of github.com/annegnx/beyondicnn (Gagneux et al., arXiv 2501.03017);
it needs PyTorch. Its program is timed as its own scripts call it, on a box +-100 without
gradients. Without the folder only Jensen's columns are printed. Set OMP_NUM_THREADS=1: threads of
the BLAS that wait for one another count as CPU time.

Networks are convex, and no product of weights along paths shows it; the kinds are in
``few_inputs.py``. What the paper's program prints goes to standard output, too.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Collection
from itertools import pairwise

import numpy as np
from few_inputs import KINDS, Sizes

import jensen
from jensen import Box, Everywhere, ReluNetwork

PLANE: list[Sizes] = [(2, w, w) for w in (2, 4, 8, 16, 32, 64, 128, 256)]
SPACE: list[Sizes] = [
    (3, 5, 5),
    (3, 10, 10),
    (3, 10, 10, 10),
    (3, *[5] * 5),
    (3, *[2] * 10),
    (3, *[10] * 10),
]
MORE: list[Sizes] = [(4, 10, 10), (6, 6, 6), (6, 8, 8), (8, 6, 6), (10, 6, 6), (12, 6, 6)]
STACK = 64  # networks that verify_many is given at once


DOMAINS = {"box": Box(-100, 100), "R^n": Everywhere()}


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


def time_regions(folder: str | None, widest: int, inputs: Collection[int]) -> None:
    """Time the complex of default-initialised networks, which the paper's program finds, too."""
    print("| sizes | cells | paper's program, ms | jensen.regions, ms | ratio |")
    print("|---|---|---|---|---|")
    for sizes in [*PLANE, *SPACE]:
        if max(sizes) > widest or sizes[0] not in inputs:
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


def theirs_and_ours(
    folder: str | None, network: ReluNetwork
) -> tuple[float, list[tuple[str, float]]]:
    """Return the paper's program's CPU time, and ours on the box and on R^n where it is convex."""
    ours = []
    for name, domain in DOMAINS.items():
        if jensen.verify(network, domain, time_limit=20).status is jensen.Status.CONVEX:
            ours.append((name, cpu(lambda d=domain: jensen.verify(network, d))))  # type: ignore[misc]
    return cpu(paper_program(folder, network)) if folder else np.nan, ours


def compare(folder: str | None, kind: str, sizes: Sizes, networks: int) -> None:
    """Print a row of the table: medians over networks."""
    made = [KINDS[kind](sizes, seed) for seed in range(networks if max(sizes) < 128 else 1)]
    found = [network for network in made if network is not None]
    if not found:
        return
    theirs, times = [], {name: [] for name in DOMAINS}
    for network in found:
        paper, ours = theirs_and_ours(folder, network)
        theirs.append(paper)
        for name, spent in ours:
            times[name].append((spent, paper / spent))
    row = [f"{kind} {list(sizes)}", f"{np.median(theirs):.2f}"]
    for name in DOMAINS:
        if times[name]:
            spent, ratio = np.median(times[name], axis=0)
            row.append(f"{spent:.2f} ({ratio:.1f}x)")
        else:
            row.append("not convex")
    print("| " + " | ".join(row) + " |", flush=True)


def compare_many(folder: str | None, kind: str, sizes: Sizes, networks: int) -> None:
    """Print a row of the table: networks by stacks, CPU time of each."""
    made = [KINDS[kind](sizes, seed) for seed in range(min(networks, STACK))]
    found = [network for network in made if network is not None]
    if not found:
        return
    theirs = np.median([cpu(paper_program(folder, n)) for n in found[:3]]) if folder else np.nan
    found = (found * STACK)[:STACK]
    row = [f"{kind} {list(sizes)}", f"{theirs:.2f}"]
    for domain in DOMAINS.values():
        spent = cpu(lambda d=domain: jensen.verify_many(found, d, time_limit=20))  # type: ignore[misc]
        row.append(f"{spent / STACK:.3f} ({theirs * STACK / spent:.1f}x)")
    print("| " + " | ".join(row) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paper", help="a checkout of annegnx/beyondicnn")
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--networks", type=int, default=3, help="seeds per size")
    parser.add_argument("--widest", type=int, default=64)
    parser.add_argument("--regions", action="store_true", help="time jensen.regions instead")
    parser.add_argument("--many", action="store_true", help="time verify_many instead")
    parser.add_argument("--inputs", type=int, nargs="*", default=[2, 3, 4, 6, 8, 10, 12])
    arguments = parser.parse_args()
    if arguments.regions:
        time_regions(arguments.paper, arguments.widest, arguments.inputs)
        return
    print("| network | paper's program, ms | Jensen on the box, ms | on R^n, ms |")
    print("|---|---|---|---|")
    for kind in arguments.kinds:
        for sizes in [*PLANE, *SPACE, *MORE]:
            if max(sizes) <= arguments.widest and sizes[0] in arguments.inputs:
                row = compare_many if arguments.many else compare
                row(arguments.paper, kind, sizes, arguments.networks)


if __name__ == "__main__":
    main()
