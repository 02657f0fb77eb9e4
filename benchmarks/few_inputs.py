"""Convex networks of few inputs whose weights do not show it, of several kinds. All are seeded.

Every kind is a plain network of ``sizes`` (inputs, widths), as the paper's program takes it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

import jensen
from jensen import Box, Everywhere, NetworkStack, ReluNetwork

Array = NDArray[np.float64]
Sizes = tuple[int, ...]
SIDE = 100.0  # of the box
DRAWN, LARGEST = 400, 4000  # networks drawn at a time, and at most, until one is convex


def _single(values: Array) -> Array:
    """Round to single precision, which the paper's program computes in."""
    return values.astype(np.float32).astype(float)


def _layers(sizes: Sizes, rng: np.random.Generator) -> tuple[list[Array], list[Array]]:
    """Return weights and biases as PyTorch draws them."""
    weights, biases = [], []
    for before, width in pairwise((*sizes, 1)):
        weights.append(rng.uniform(-1, 1, (width, before)) / np.sqrt(before))
        biases.append(rng.uniform(-1, 1, width) / np.sqrt(before))
    return weights, biases


def _network(weights: list[Array], biases: list[Array]) -> ReluNetwork:
    return ReluNetwork.from_layers([_single(w) for w in weights], [_single(b) for b in biases])


def outweighed(sizes: Sizes, seed: int) -> ReluNetwork:
    """Negative weights of half of the second layer, outweighed by neurons that are always on."""
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


def always_on(sizes: Sizes, seed: int) -> ReluNetwork:
    """Half of the last layer is always on, some of it with negative output weights."""
    rng = np.random.default_rng(seed)
    weights, biases = _layers(sizes, rng)
    for weight in weights[1:-1]:
        np.abs(weight, out=weight)
    on = np.arange(sizes[-1]) < (sizes[-1] + 1) // 2
    biases[-2][on] = np.abs(biases[-2][on]) + 0.1
    last = weights[-1][0]
    last[:] = np.abs(last)
    last[on] *= rng.choice([-1.0, 1.0], int(on.sum()))
    last[0] = 0.0
    # the first of them makes up for the others
    needed = np.maximum(-(last[on] @ weights[-2][on]), 0.0)
    last[0] = 1.1 * float((needed / weights[-2][0]).max()) + 0.01
    return _network(weights, biases)


def never_crossing(sizes: Sizes, seed: int) -> ReluNetwork:
    """Default-initialised; what would bend down lies off the box, what is behind is always on."""
    rng = np.random.default_rng(seed)
    weights, biases = _layers(sizes, rng)
    high = np.full(sizes[0], SIDE)
    low = -high
    slope = weights[-1]
    for weight in weights[-2:0:-1]:
        slope = slope @ weight
    reach = np.abs(weights[0]).sum(axis=1) * SIDE
    down = slope[0] < 0
    biases[0][down] = 1.1 * reach[down] * rng.choice([-1.0, 1.0], int(down.sum()))
    for k, (weight, bias) in enumerate(zip(weights[:-1], biases[:-1], strict=True)):
        least = np.maximum(weight, 0) @ low + np.minimum(weight, 0) @ high
        most = np.maximum(weight, 0) @ high + np.minimum(weight, 0) @ low
        if k:
            bias[:] = np.maximum(bias, 1.0 - 1.1 * least)
        low, high = np.maximum(least + bias, 0), np.maximum(most + bias, 0)
    return _network(weights, biases)


def pairs(sizes: Sizes, seed: int) -> ReluNetwork:
    """Pairs of the second layer of which one is on wherever the other is, and both cross."""
    rng = np.random.default_rng(seed)
    weights, biases = _layers(sizes, rng)
    for weight in weights[2:]:
        np.abs(weight, out=weight)
    first, bias, later = weights[1], biases[1], weights[2]
    half = sizes[2] // 2
    for k in range(half):
        gain = 2 * np.maximum(-first[k], 0.0) + np.abs(first[half + k]) * 0.1
        first[half + k] = first[k] + gain
        bias[k] = -abs(bias[k]) - 0.2
        bias[half + k] = bias[k] + 0.1
        later[:, half + k] = 1.1 * later[:, k]
    first[2 * half :] = np.abs(first[2 * half :])
    return _network(weights, biases)


def tournament(sizes: Sizes, seed: int) -> ReluNetwork | None:
    """Maxima of four affine functions each, passed on as twins; None if none finds a place."""
    inputs, *widths = sizes
    rng = np.random.default_rng(seed)
    count = min(widths[0] // 6, widths[1] // 4, min(widths[2:], default=99) // 3)
    if not count:
        return None
    weights = [np.zeros((b, a)) for a, b in pairwise((*sizes, 1))]
    biases = [np.zeros(w) for w in (*widths, 1)]
    grid = 2.0**8
    for t in range(count):
        slopes = np.round(rng.normal(size=(4, inputs)) * grid) / grid
        offsets = np.round(rng.normal(size=4) * 40 * grid) / grid
        rows = np.array([[1, -1, 0, 0], [0, 0, 1, -1], [0, 1, 0, -1], [0, -1, 0, 1],
                         [0, 0, 0, 1], [0, 0, 0, -1]])  # fmt: skip
        at = slice(6 * t, 6 * t + 6)
        weights[0][at], biases[0][at] = rows @ slopes, rows @ offsets
        # the final, the second semi-final's rise, and the last player
        final = [[1, -1, 1, -1, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, -1], [0, 0, 0, 0, -1, 1]]
        weights[1][4 * t : 4 * t + 4, at] = final
        place = np.arange(4 * t, 4 * t + 4)
        for weight in weights[2:-1]:
            behind = np.arange(3 * t, 3 * t + 3)
            if len(place) == 4:
                weight[behind[0], place[:2]] = 1.0
            else:
                weight[behind[0], place[0]] = 1.0
            weight[behind[1], place[-2:]] = [1.0, -1.0]
            weight[behind[2], place[-2:]] = [-1.0, 1.0]
            place = behind
        weights[-1][0, place] = [1.0] * (len(place) - 1) + [-1.0]
    # what is left of the widths holds an input-convex network
    used = [6 * count, 4 * count, *[3 * count] * (len(widths) - 2), 0]
    for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        rows, columns = weight.shape[0] - used[k], weight.shape[1] - (used[k - 1] if k else 0)
        some = rng.uniform(-1, 1, (rows, columns)) / np.sqrt(max(columns, 1))
        if k:
            weight[weight.shape[0] - rows :, weight.shape[1] - columns :] += np.abs(some)
        else:
            weight[weight.shape[0] - rows :] = some
        bias[bias.size - rows :] += rng.uniform(-1, 1, rows)
    return _network(weights, biases)


def default(sizes: Sizes, seed: int) -> ReluNetwork | None:
    """Default-initialised, the first convex one that signs do not show; None if none is found."""
    rng = np.random.default_rng([*sizes, seed])
    if max(sizes[1:]) > 10:
        return None
    for _ in range(LARGEST // DRAWN):
        weights, biases = [], []
        for before, width in pairwise((*sizes, 1)):
            bound = 1 / np.sqrt(before)
            weights.append(_single(rng.uniform(-bound, bound, (DRAWN, width, before))))
            biases.append(_single(rng.uniform(-bound, bound, (DRAWN, width))))
        stack = NetworkStack(weights, biases)
        verdicts = jensen.verify_many(stack, Everywhere(), time_limit=1.0)
        for k, verdict in enumerate(verdicts):
            if verdict.status == "convex" and set(verdict.reasons) != {"sign"}:
                return stack[k]
    return None


def trained(sizes: Sizes, seed: int) -> ReluNetwork | None:
    """Trained to a log-sum-exp with a penalty on kinks that bend down, until proved."""
    import torch  # noqa: PLC0415

    from jensen.learning import make_convex  # noqa: PLC0415

    if max(sizes[1:]) > 64 or len(sizes) > 6 or min(sizes[1:]) < 4:
        return None
    torch.manual_seed(seed)
    modules: list[torch.nn.Module] = []
    for before, width in pairwise(sizes):
        modules += [torch.nn.Linear(before, width), torch.nn.ReLU()]
    module = torch.nn.Sequential(*modules, torch.nn.Linear(sizes[-1], 1))
    slopes = 3 * torch.randn(8, sizes[0])
    points = 2 * torch.rand(512, sizes[0]) - 1
    target = torch.logsumexp(points @ slopes.T, 1, keepdim=True)
    result = make_convex(
        module,
        lambda m: ((m(points) - target) ** 2).mean(),
        Box(-1, 1),
        steps=600,
        seed=seed,
        time_limit=120.0,
    )
    if not result.certified:
        return None
    network = jensen.from_torch(result.module.eval(), (1, sizes[0]))
    weights = [np.array(next(iter(block.weights.values()))) for block in network.blocks]
    # powers of two only: on the box +-100 as on the smaller one +-1.28
    weights[0] = weights[0] / 128
    return ReluNetwork.from_layers(weights, [np.array(block.bias) for block in network.blocks])


KINDS: dict[str, Callable[[Sizes, int], ReluNetwork | None]] = {
    "outweighed": outweighed,
    "always-on": always_on,
    "never-crossing": never_crossing,
    "pairs": pairs,
    "tournament": tournament,
    "default": default,
    "trained": trained,
}
