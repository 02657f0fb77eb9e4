"""Facets of small networks in exact arithmetic, for tests of the checker's rules."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from certificate_tools import claim_of

from jensen.certificate import checker
from jensen.certificate.model_export import export_bytes
from jensen.domains.domain import Domain
from jensen.network.relu_network import ReluNetwork


def random_network(seed: int, depth: int, width: int = 3) -> ReluNetwork:
    """Return a network of small integers, whose kinks meet in many ways."""
    rng = np.random.default_rng(seed)
    sizes = [int(rng.integers(1, 4)), *[width] * depth, 1]
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    return ReluNetwork.from_layers(
        [rng.integers(-2, 3, shape).astype(float) for shape in shapes],
        [rng.integers(-1, 2, rows).astype(float) for rows, _ in shapes],
    )


class Facet:
    """A point of the kink of a group, and the pattern on one side of it."""

    def __init__(self, net: checker.Network, x: list[Fraction], near: list[Fraction]) -> None:
        far = [2 * a - b for a, b in zip(x, near, strict=True)]
        self.at, beside, beyond = values_at(net, x), values_at(net, near), values_at(net, far)
        self.pattern = [z > 0 for z in beside]
        self.bend = beside[net.output] + beyond[net.output] - 2 * self.at[net.output]
        self.net = net

    def slopes(self, group: int) -> list[Fraction]:
        """Return the slopes of all units over max(zeta, 0) of a group, in this pattern."""
        found = [Fraction(0)] * len(self.net.units)
        for k in range(group + 1, len(found)):
            for key, factor in self.net.units[k].form.items():
                h = abs(key)
                passed = Fraction(1) if h == group else found[h]
                if (key > 0 and h != group) or (key < 0 and (h == group or self.pattern[h])):
                    found[k] += factor * passed
        return found

    def value(self, form: checker.Form, slopes: list[Fraction]) -> Fraction:
        """Evaluate a form of units, states and products."""
        count, total = len(self.net.units), Fraction(0)
        for key, factor in form.items():
            if key < 0:
                value = max(self.at[-key], Fraction(0))
            elif key < count:
                value = self.at[key]
            else:
                state = Fraction(int(self.pattern[key % count]))
                value = state if key < 2 * count else state * slopes[key % count]
            total += factor * value
        return total


def values_at(net: checker.Network, x: list[Fraction]) -> list[Fraction]:
    """Return zeta of all units at a point of the work domain."""
    z = [Fraction(1), *x]
    for unit in net.units[net.inputs :]:
        z.append(sum((c * (z[k] if k >= 0 else max(z[-k], Fraction(0)))
                      for k, c in unit.form.items()), Fraction(0)))  # fmt: skip
    return z


def facets(net: checker.Network, group: int, rng: np.random.Generator) -> Iterator[Facet]:
    """Yield points of a kink with a pattern beside them, found along random segments."""
    inputs = net.units[1 : net.inputs]
    low, high = [unit.low for unit in inputs], [unit.high for unit in inputs]
    for _ in range(20):
        shares = [[Fraction(int(v), 97) for v in rng.integers(0, 98, len(low))] for _ in "xy"]
        x, y = ([a + s * (b - a) for s, a, b in zip(share, low, high, strict=True)]
                for share in shares)  # fmt: skip
        for _ in range(60):
            middle = [(a + b) / 2 for a, b in zip(x, y, strict=True)]
            ends = [values_at(net, p)[group] for p in (x, middle, y)]
            if ends[0] * ends[2] >= 0:
                break
            share = ends[0] / (ends[0] - ends[2])
            crossing = [a + share * (b - a) for a, b in zip(x, y, strict=True)]
            if values_at(net, crossing)[group] == 0:
                yield Facet(net, crossing, [a + Fraction(1, 2**40) * (b - a)
                                            for a, b in zip(crossing, x, strict=True)])  # fmt: skip
                break
            x, y = (x, middle) if ends[0] * ends[1] < 0 else (middle, y)


def network_of(network: ReluNetwork, domain: Domain) -> checker.Network:
    """Return what the checker makes of the claim that a network is convex, without bounds."""
    model = checker.read_model(export_bytes(network))
    return checker.Network(model, checker.Claim(claim_of(network, domain), model), {})
