"""Path conditions that points of kinks ask for, where there are too many facets to list them.

A descent along the kink of each group looks for the least J
(:mod:`jensen.prover.descents.descent`). What it finds is a guess in floating point: it is moved
on the kink in rational arithmetic, between two points of the domain on both sides, and J is the
exact sum over paths there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction

import numpy as np

from jensen.arithmetic.exact import ExactVector
from jensen.arithmetic.rational import floats, fraction, rational
from jensen.bounds.paths import exact_path_sum
from jensen.domains.working_set import WorkingSet
from jensen.groups.prepared import Prepared
from jensen.linear_regions.condition import Condition
from jensen.linear_regions.items import Point
from jensen.network.relu_network import ReluNetwork
from jensen.prover.descents.descent import Descent
from jensen.prover.descents.pieces import pieces_of
from jensen.types import FloatArray, Neurons

SEED = 20251126
STARTS, STEPS = 24, 40
ROWS = 20_000  # of starts of all groups together
TRIES = 4  # points that are made exact, per group
MOST_GROUPS = 400  # that are looked at exactly
NEAR = (1e-3, 1e-5, 1e-7)  # from the kink, in units of the domain's size


def met_conditions(prepared: Prepared) -> Iterator[Condition]:
    """Yield, for the groups where one was found, a condition that some point asks for.

    It is the least J that was met on the group's kink, not the least that there is. Looks no
    longer than the deadline of the prepared network.
    """
    deadline = prepared.deadline
    net = prepared.grouped
    pieces, groups = pieces_of(net.working_set), net.groups()
    if not pieces or not groups:
        return
    starts = int(np.clip(ROWS // len(groups), 2, STARTS))
    tried: Counter[tuple[int, int]] = Counter()
    done: set[tuple[int, int]] = set()
    descent = Descent(net, groups, pieces, SEED, deadline)
    for group, working in descent.lowest(starts, STEPS, TRIES):
        if deadline.over():
            return
        if group in done or tried[group] >= TRIES:
            continue
        if not tried[group] and len(tried) >= MOST_GROUPS:
            continue
        tried[group] += 1
        at = net.working_set.to_input([rational(v) for v in working.tolist()])
        found = None if at is None else condition_at(prepared, net.neurons(group), at)
        if found is not None:
            done.add(group)
            yield found


def condition_at(prepared: Prepared, neurons: Neurons, at: Point) -> Condition | None:
    """Return the condition of a group at a point of its kink near another one, exactly.

    None where the kink does not pass through the domain there, or others vanish with it.
    """
    network, domain = prepared.network, prepared.domain
    point = np.array([float(v) for v in at])
    box = domain.box_sides(network.input_size)
    size = max(1.0, float(np.abs(point).max())) if box is None else float((box[1] - box[0]).max())
    normal = _normal(network, neurons[0], point, size)
    if normal is None:
        return None
    inside = _within_the_hull(prepared.working, normal) if box is None else None
    for share in NEAR:
        ends = point + share * size * normal, point - share * size * normal
        if box is not None:
            ends = np.clip(ends[0], *box), np.clip(ends[1], *box)
        x, y = (tuple(Fraction(v) for v in end.tolist()) for end in ends)
        if inside is not None:
            far = Fraction(share * size)
            x, y = (
                tuple(v + s * far * w for v, w in zip(at, inside, strict=True)) for s in (1, -1)
            )
        if domain.contains(x) and domain.contains(y):
            found = condition_across(network, neurons, x, y)
            if found is not None:
                return found
    return None


def _normal(
    network: ReluNetwork, neuron: tuple[str, int], point: FloatArray, size: float
) -> FloatArray | None:
    """Return the direction in which a neuron's z rises, about."""
    steps = 1e-7 * size * np.eye(len(point))
    z = network.pre_activations(np.concatenate([point + steps, point - steps]))
    values = z[neuron[0]][:, neuron[1]]
    rise: FloatArray = values[: len(point)] - values[len(point) :]
    length = float(np.linalg.norm(rise))
    return rise / length if 0 < length < np.inf else None


def _within_the_hull(working: WorkingSet, normal: FloatArray) -> Point | None:
    """Return about a unit normal as a direction that stays exactly in a flat domain; or None."""
    if working.dim == len(normal) + working.lifted:
        return None
    moves = working.matrix[:-1]
    step = working.exact_step(working.steepest(normal @ floats(moves)))
    return tuple(fraction(v) for v in moves @ step)


def condition_across(
    network: ReluNetwork, neurons: Neurons, x: Point, y: Point
) -> Condition | None:
    """Return the condition of a group at the point of its kink between two others.

    None if the neurons in front change between the points, so that z is not affine there, if z has
    no sign change, or if other neurons vanish at the point as well.
    """
    import networkx as nx  # noqa: PLC0415  (a second of imports that most calls do without)

    lead = neurons[0]
    at_x, at_y = (network.exact_pre_activations(p) for p in (x, y))
    above, below = _value(at_x, lead), _value(at_y, lead)
    if above * below >= 0:
        return None
    graph = network.graph
    relus = [block.name for block in network.hidden if block.is_relu]
    in_front = nx.ancestors(graph, lead[0])
    for name in relus:
        if name in in_front and (_signs(at_x[name]) != _signs(at_y[name])):
            return None
    share = above / (above - below)
    point = tuple(a + share * (b - a) for a, b in zip(x, y, strict=True))
    z = network.exact_pre_activations(point)
    zeros = {(name, i) for name in relus for i, v in enumerate(z[name].integers) if v == 0}
    if zeros != set(neurons):
        return None
    behind = nx.descendants(graph, lead[0])
    pattern = {name: z[name].positive() for name in relus if name in behind}
    value = sum(
        (
            abs(_value(at_x, neuron) / above) * exact_path_sum(network, neuron, pattern)
            for neuron in neurons
        ),
        Fraction(0),
    )
    return Condition(neurons, pattern, value, point, reachable=True, reason="met")


def _value(z: Mapping[str, ExactVector], neuron: tuple[str, int]) -> Fraction:
    return z[neuron[0]].to_fractions()[neuron[1]]


def _signs(z: ExactVector) -> list[int]:
    """Return the signs of the entries."""
    return [(v > 0) - (v < 0) for v in z.integers]
