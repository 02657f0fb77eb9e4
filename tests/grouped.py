"""Grouped networks for the tests, and what their patterns mean for single neurons.

Jumps and affine forms are computed here neuron by neuron from the stored weights, in
fractions, and share nothing with the levels of :mod:`jensen.groups` but the twins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product

import numpy as np
from oracle import dense

from jensen.arithmetic.rational import fraction
from jensen.domains.domain import Domain
from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import FREE, OFF, ON
from jensen.groups.prepared import prepare
from jensen.network.relu_network import INPUT, OUTPUT, ReluNetwork
from jensen.prover.trees.nodes import Node

Pattern = tuple[np.ndarray, ...]
Form = list[Fraction]  # constant, then one coefficient per input


def grouped(network: ReluNetwork, domain: Domain) -> tuple[GroupedNetwork, ReluNetwork]:
    """Group a network as the verifier does; also return the network that was grouped."""
    prepared = prepare(network, domain)
    return prepared.grouped, prepared.lifted


def walk(root: Node) -> Iterator[Node]:
    """Yield all nodes of a tree."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(node.children)


def free_pattern(net: GroupedNetwork) -> Pattern:
    return tuple(np.where(level.kink, FREE, ON).astype(np.int8) for level in net.levels)


def completions(net: GroupedNetwork, group: tuple[int, int], pattern: Pattern) -> Iterator[Pattern]:
    """Yield all full patterns that agree with a partial one; the group itself stays free."""
    free = [
        (k, int(u))
        for k, act in enumerate(pattern)
        for u in np.flatnonzero(act == FREE)
        if (k, int(u)) != group
    ]
    for values in product((OFF, ON), repeat=len(free)):
        full = tuple(act.copy() for act in pattern)
        for (k, u), value in zip(free, values, strict=True):
            full[k][u] = value
        yield full


def random_partial(
    net: GroupedNetwork, group: tuple[int, int], rng: np.random.Generator, share: float = 0.5
) -> Pattern:
    pattern = free_pattern(net)
    for k, u in net.groups():
        if (k, u) != group and rng.random() < share:
            pattern[k][u] = rng.choice([OFF, ON])
    return pattern


def neuron_activations(
    net: GroupedNetwork, network: ReluNetwork, pattern: Pattern
) -> dict[str, list[int | None]]:
    """Return 0, 1 or None (free) for every neuron; 1 for all of an affine block."""
    active: dict[str, list[int | None]] = {
        block.name: [0 if block.is_relu else 1] * block.size for block in network.blocks
    }
    for k, level in enumerate(net.levels):
        for u, members in enumerate(level.units):
            for member in members:
                if not level.kink[u]:
                    value: int | None = 1
                elif pattern[k][u] == FREE:
                    value = None
                else:
                    value = int((pattern[k][u] == ON) == (member.c > 0))
                active[member.block][member.index] = value
    return active


def exact_weights(network: ReluNetwork) -> dict[tuple[str, str], list[list[Fraction]]]:
    return {
        (source, block.name): [[Fraction(float(v)) for v in row] for row in dense(weight)]
        for block in network.blocks
        for source, weight in block.weights.items()
    }


def true_jump(
    net: GroupedNetwork, network: ReluNetwork, group: tuple[int, int], pattern: Pattern
) -> Fraction:
    """Return J_g under a full pattern: the sum of ``|c| J`` over the twins (theory, section 2)."""
    active = neuron_activations(net, network, pattern)
    weights = exact_weights(network)
    slopes: dict[str, list[Fraction]] = {OUTPUT: [Fraction(1)]}
    for block in reversed(network.hidden):
        total = [Fraction(0)] * block.size
        for reader in network.blocks:
            if block.name in reader.weights and reader.name in slopes:
                for k, row in enumerate(weights[block.name, reader.name]):
                    on = 1 if reader.name == OUTPUT else (active[reader.name][k] or 0)
                    for j, w in enumerate(row):
                        total[j] += w * on * slopes[reader.name][k]
        slopes[block.name] = total
    level, unit = group
    return sum(
        (abs(fraction(m.c)) * slopes[m.block][m.index] for m in net.levels[level].units[unit]),
        Fraction(0),
    )


def neuron_forms(
    net: GroupedNetwork, network: ReluNetwork, group: tuple[int, int], pattern: Pattern
) -> dict[tuple[int, int], Form]:
    """Return z of every unit's lead as an affine form of the inputs, h = 0 for the group."""
    active = neuron_activations(net, network, pattern)
    weights = exact_weights(network)
    n = network.input_size
    own = {(m.block, m.index) for m in net.levels[group[0]].units[group[1]]}
    outputs = {INPUT: [[Fraction(int(j == i + 1)) for j in range(n + 1)] for i in range(n)]}
    z: dict[str, list[Form]] = {}
    for block in network.blocks:
        z[block.name] = []
        for i in range(block.size):
            form = [Fraction(float(block.bias[i])), *[Fraction(0)] * n]
            for source in block.weights:
                for w, h in zip(weights[source, block.name][i], outputs[source], strict=True):
                    if w:
                        form = [a + w * b for a, b in zip(form, h, strict=True)]
            z[block.name].append(form)
        outputs[block.name] = [
            form
            if active[block.name][i] and (block.name, i) not in own
            else [Fraction(0)] * (n + 1)
            for i, form in enumerate(z[block.name])
        ]
    return {
        (k, u): z[members[0].block][members[0].index]
        for k, level in enumerate(net.levels)
        for u, members in enumerate(level.units)
    }


def value(form: Sequence[Fraction], x: Sequence[Fraction]) -> Fraction:
    return form[0] + sum((a * b for a, b in zip(form[1:], x, strict=True)), Fraction(0))
