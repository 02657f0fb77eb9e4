"""Brute force for the worst midpoint violation of tiny networks.

In one dimension the violation is piecewise linear in (x, y) on the arrangement of the
lines x = b, y = b, (x + y) / 2 = b over the kinks b of f, so its maximum lies at a vertex:
all are tried in rational arithmetic. In more dimensions, one LP per triple of regions.
"""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog

from jensen.network.relu_network import Block, ReluNetwork


def kinks(network, lower, upper):
    """Exact points of [lower, upper] between which every neuron is affine; both ends too."""
    points = {Fraction(lower), Fraction(upper)}
    for block in network.hidden:
        if not block.is_relu:
            continue
        ordered = sorted(points)
        values = [network.exact_pre_activations([p])[block.name].to_fractions() for p in ordered]
        for (p, zp), (q, zq) in itertools.pairwise(zip(ordered, values, strict=True)):
            for a, b in zip(zp, zq, strict=True):
                if a * b < 0:
                    points.add(p + (q - p) * a / (a - b))
    return sorted(points)


def worst_in_one_dimension(network, lower, upper):
    """The exact optimum for one input."""
    points = kinks(network, lower, upper)
    low, high = Fraction(lower), Fraction(upper)
    pairs = set(itertools.combinations(points, 2))
    for a in points:
        for b in points:
            if low <= 2 * b - a <= high:
                pairs.add((a, 2 * b - a))
    cache = {}

    def f(x):
        if x not in cache:
            cache[x] = network.exact([x])[0]
        return cache[x]

    return max((f((a + b) / 2) - (f(a) + f(b)) / 2 for a, b in pairs), default=Fraction(0))


def regions(network, lower, upper):
    """(A, b, slope, offset) of every region {A x <= b} of the box, by trying all patterns."""
    names = [block.name for block in network.hidden if block.is_relu]
    sizes = [network[name].size for name in names]
    d = network.input_size
    box = (np.vstack([np.eye(d), -np.eye(d)]), np.concatenate([upper, -lower]))
    found = []
    for bits in itertools.product([False, True], repeat=sum(sizes)):
        flat, pattern = np.array(bits), {}
        for name, size in zip(names, sizes, strict=True):
            pattern[name], flat = flat[:size], flat[size:]
        A, b = [box[0]], [box[1]]
        forms = {"input": (np.eye(d), np.zeros(d))}
        for block in network.blocks:
            slope = sum(w @ forms[s][0] for s, w in block.weights.items())
            offset = block.bias + sum(w @ forms[s][1] for s, w in block.weights.items())
            mask = network.mask(block, pattern)
            if block.is_relu:
                sign = np.where(mask > 0, -1.0, 1.0)
                A.append(sign[:, None] * slope)
                b.append(-sign * offset)
            forms[block.name] = (slope * mask[:, None], offset * mask)
        A, b = np.vstack(A), np.concatenate(b)
        if linprog(np.zeros(d), A, b, bounds=(None, None)).status == 0:
            slope, offset = forms["output"]
            found.append((A, b, slope[0], float(offset[0])))
    return found


def worst_over_regions(network, lower, upper):
    """The optimum over all triples of regions, by linear programming."""
    lower, upper = np.asarray(lower, float), np.asarray(upper, float)
    d = network.input_size
    best = 0.0
    parts = regions(network, lower, upper)
    for (Ax, bx, gx, ox), (Ay, by, gy, oy) in itertools.combinations_with_replacement(parts, 2):
        for Am, bm, gm, om in parts:
            A = np.vstack(
                [
                    np.hstack([Ax, np.zeros_like(Ax)]),
                    np.hstack([np.zeros_like(Ay), Ay]),
                    np.hstack([Am, Am]) / 2,
                ]
            )
            cost = np.concatenate([gm - gx, gm - gy]) / 2
            result = linprog(-cost, A, np.concatenate([bx, by, bm]), bounds=[(None, None)] * 2 * d)
            if result.status == 0:
                best = max(best, -result.fun + om - (ox + oy) / 2)
    return best


KINDS = ("uniform", "integer", "no bias", "sparse", "twins", "skips", "affine block", "scaled")


def tiny_network(seed, inputs=1, widths=None):
    """A seeded tiny network of one of ``KINDS``, with integer, zero or proportional rows."""
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    widths = widths or [int(w) for w in rng.integers(1, 4, size=int(rng.integers(1, 4)))]
    blocks, previous = [], [("input", inputs)]
    for k, width in enumerate((*widths, 1)):
        last = k == len(widths)
        sources = previous if kind == "skips" else previous[-1:]
        weights = {}
        for source, size in sources:
            weight = rng.uniform(-1, 1, (width, size))
            if kind in {"integer", "no bias"}:
                weight = rng.integers(-1, 2, (width, size)).astype(float)
            if kind == "sparse":
                weight *= rng.random((width, size)) > 0.3
            weights[source] = weight
        bias = rng.uniform(-1, 1, width) * (kind != "no bias")
        if kind == "integer":
            bias = np.round(bias)
        if kind == "twins" and width > 1:
            factor = rng.choice([-2.0, -1.0, 1.0])
            for weight in weights.values():
                weight[1] = factor * weight[0]
            bias[1] = factor * bias[0]
        if kind == "scaled":
            scale = 10.0 ** rng.integers(-2, 3)
            weights = {s: w * scale for s, w in weights.items()}
        name = "output" if last else f"relu_{k + 1}"
        affine = last or (kind == "affine block" and k == 1)
        blocks.append(Block(name, weights, bias, "identity" if affine else "relu"))
        previous.append((name, width))
    return ReluNetwork(inputs, blocks)
