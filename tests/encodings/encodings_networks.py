"""Small networks as arrays, with plain interval bounds, for the tests of the encodings."""

from __future__ import annotations

import numpy as np

from jensen_encodings import LayerData, NetworkData


def network_data(
    lower,
    upper,
    layers,
    *,
    margin=0.0,
):
    """Build from (name, {source: matrix}, bias, is_relu); bounds by interval arithmetic."""
    lower, upper = np.asarray(lower, float), np.asarray(upper, float)
    ranges = {"input": (lower, upper)}
    built = []
    for name, matrices, constants, is_relu in layers:
        bias = np.asarray(constants, float)
        low, high = bias.copy(), bias.copy()
        weights = {s: np.asarray(w, float) for s, w in matrices.items()}
        for source, weight in weights.items():
            a, b = ranges[source]
            low += np.maximum(weight, 0) @ a + np.minimum(weight, 0) @ b
            high += np.maximum(weight, 0) @ b + np.minimum(weight, 0) @ a
        low, high = low - margin, high + margin
        built.append(LayerData(name, weights, bias, is_relu, low, high))
        ranges[name] = (np.maximum(low, 0), np.maximum(high, 0)) if is_relu else (low, high)
    return NetworkData(lower, upper, tuple(built))


def random_data(seed, inputs=2, widths=(3, 3), *, skips=False, integer=False):
    """Return a random network on [-1, 1]^inputs."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        if integer:
            return rng.integers(-1, 2, size=shape).astype(float)
        return rng.uniform(-1, 1, size=shape)

    layers, previous = [], [("input", inputs)]
    for k, width in enumerate((*widths, 1)):
        name = "output" if k == len(widths) else f"relu_{k + 1}"
        sources = previous if skips else previous[-1:]
        weights = {s: draw(width, n) for s, n in sources}
        layers.append((name, weights, 0.5 * draw(width), k < len(widths)))
        previous.append((name, width))
    return network_data(-np.ones(inputs), np.ones(inputs), layers, margin=1e-9)
