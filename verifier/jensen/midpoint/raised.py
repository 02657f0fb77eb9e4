"""What makes a network convex: multiples of relu(z) of units that bend down (theory, section 6).

Let F = f + sum d_u relu(z_u) be convex. Then no pair violates the midpoint convexity of F, and
that of f is violated by at most

    sum d_u e_u,    e_u = (h_u(x) + h_u(y)) / 2 - h_u((x + y) / 2),

which is linear in the post-activations: a row that ties the three copies of a network together
by what is known of its jumps. d is minus the least J on the kink of u. Where u reads inputs
only, e_u >= 0, and d may be negative: what bends up there makes a pair that crosses it worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from jensen.arithmetic.intervals import round_up, rounding_factor
from jensen.errors import NetworkError, OutOfTimeError
from jensen.groups.groups import SOURCE, GroupedNetwork
from jensen.groups.prepared import Prepared, prepare
from jensen.midpoint.bad_facets import BadFacets
from jensen.midpoint.least_jumps import UNMET, least_jumps
from jensen.midpoint.linked import (
    EPS,
    PAIR_WEIGHTS,
    TINY,
    Cuts,
    LinkedNetwork,
    Objective,
)
from jensen.network.relu_network import INPUT, ReluNetwork
from jensen.types import FloatArray, Unit
from jensen_encodings import NetworkData
from jensen_encodings.deadline import Deadline

Neuron = tuple[str, int]
GAP_WEIGHTS = np.array([0.5, 0.5, -1.0])  # of h at x, y, m in e
DEEP_SHARE = 0.5  # of the time, for units that read others


@dataclass(frozen=True, eq=False)
class Raised:
    """What makes a network convex, and what was found on the way.

    Attributes
    ----------
    amounts : dict from (block, index) to float
        Each number holds up to a rounding of itself and of the neuron's output weight, which
        :func:`convexity_row` takes into account.
    kinks : dict from group to BadFacets, or None
        Searches where J is negative, of the groups that read inputs only. None if too much is
        open there, or if units that read others are raised: then they are of another network.
    """

    amounts: dict[Neuron, float]
    kinks: dict[Unit, BadFacets] | None


def raises(prepared: Prepared, deadline: Deadline) -> Raised | None:
    """Return d for neurons so that ``f + sum d relu(z)`` is convex on the domain.

    The units behind come first: what is added to them changes the jumps in front.

    Parameters
    ----------
    prepared : Prepared
        A network on a box.
    deadline : Deadline

    Returns
    -------
    Raised or None
        None where no finite ones were found.
    """
    try:
        net = prepared.grouped
    except (NetworkError, OutOfTimeError):
        return None
    deep: dict[Neuron, float] = {}
    for level in reversed(range(net.output_level)):
        if set(net.levels[level].slopes) <= {SOURCE}:
            continue
        stage = {
            (member.block, member.index)
            for unit, kink in zip(net.levels[level].units, net.levels[level].kink, strict=True)
            for member in unit
            if kink
        }
        found = _least(prepared, stage, deadline.share(DEEP_SHARE))
        if found is None:
            return None
        bent = {neuron: -jump for neuron, jump in found[0].items() if jump < 0}
        if bent:
            network, added = _with_output(prepared.network, bent)
            deep |= added
            prepared = prepare(network, prepared.domain, deadline=deadline)
    found = _least(prepared, None, deadline)
    if found is None:
        return None
    least, kinks = found
    amounts = deep | {neuron: -jump for neuron, jump in least.items()}
    return Raised(amounts, None if deep else kinks)


def _least(
    prepared: Prepared, stage: set[Neuron] | None, deadline: Deadline
) -> tuple[dict[Neuron, float], dict[Unit, BadFacets] | None] | None:
    """Bound J of the groups with a neuron of the stage, or of those that read inputs only."""
    try:
        net = prepared.grouped
    except OutOfTimeError:
        return None
    groups = [
        group
        for group in net.groups()
        if (
            set(net.levels[group[0]].slopes) <= {SOURCE}
            if stage is None
            else not stage.isdisjoint(net.neurons(group))
        )
    ]
    found = least_jumps(
        net, prepared.network, groups, {group: _reach(net, group) for group in groups}, deadline
    )
    if found is None or -np.inf in found[0].values():
        return None
    least, kinks = found
    return {net.neurons(group)[0]: jump for group, jump in least.items() if jump < UNMET}, kinks


def _reach(net: GroupedNetwork, group: Unit) -> float:
    level, unit = net.levels[group[0]], group[1]
    return float(min(-level.lower[unit], level.upper[unit])) / 2


def _with_output(
    network: ReluNetwork, more: Mapping[Neuron, float]
) -> tuple[ReluNetwork, dict[Neuron, float]]:
    """Add to output weights; return what was added, up to one rounding each."""
    output = network.output
    weights = {source: _dense(w) for source, w in output.weights.items()}
    added = {}
    for (block, index), amount in more.items():
        row = weights.setdefault(block, np.zeros((1, network.size_of(block))))
        old = float(row[0, index])
        row[0, index] = round_up(Fraction(old) + Fraction(amount))
        added[block, index] = float(row[0, index] - old)
    return network.with_output(replace(output, weights=weights)), added


def raise_bound(data: NetworkData, amounts: Mapping[Neuron, float]) -> float:
    """Bound the violation by ``sum of max(0, d) max e``; infinite if deeper units are raised.

    Parameters
    ----------
    data : NetworkData
    amounts : mapping from (block, index) to float
    """
    layers = {layer.name: layer for layer in data.layers}
    total = 0.0
    for (block, index), amount in amounts.items():
        layer = layers[block]
        if amount > 0 and not set(layer.weights) <= {INPUT}:
            return np.inf
        reach = min(-float(layer.lower[index]), float(layer.upper[index])) / 2
        if amount > 0 and reach > 0:
            total += amount * reach + TINY
    return total * (1 + (2 * len(amounts) + 8) * EPS)


def convexity_row(
    linked: LinkedNetwork, data: NetworkData, amounts: Mapping[Neuron, float]
) -> Cuts:
    """Return the row ``violation - sum d e <= 0`` as a cut.

    Parameters
    ----------
    linked : LinkedNetwork
        Three copies of the network's hidden layers.
    data : NetworkData
    amounts : mapping from (block, index) to float
        Of :class:`Raised`.
    """
    layers = {layer.name: layer for layer in data.layers}
    prices = dict(Objective.of_row(data.output, 0, PAIR_WEIGHTS).prices)
    unsure = 0.0
    for (block, index), amount in amounts.items():
        old = prices.setdefault(block, np.zeros((layers[block].size, linked.points)))
        size = float(np.abs(old[index]).max()) + abs(amount)
        price = old.copy()
        price[index] -= amount * GAP_WEIGHTS
        prices[block] = price
        unsure += 8 * EPS * size * float(linked.magnitude[linked.spans[block]][index])
    objective = Objective(prices, 0.0)
    v, c = linked.complete(np.zeros((1, len(linked.free), linked.points)), objective)
    cut = Cuts.none(linked, 1)
    cut.hidden[0] = c[0, linked.free]
    cut.inputs[0] = -linked.collect(v, INPUT, objective)[0]
    cut.right[0] = -float(np.einsum("nc,n->", v[0], linked.bias))
    cut.right[0] += _rounding(linked, objective) + unsure
    return cut


def _rounding(linked: LinkedNetwork, objective: Objective) -> float:
    """Bound the rounding errors of a row in which stable neurons were substituted."""
    size = np.zeros(linked.neurons)
    terms = 16 + linked.points
    pays: dict[str, FloatArray] = {
        name: np.abs(price).sum(axis=1) for name, price in objective.prices.items()
    }
    total = 0.0
    for layer in reversed(linked.layers):
        here = pays.get(layer.name, np.zeros(len(layer.bias)))
        span = layer.span
        size[span] = np.where(linked.is_on[span], here, 0.0)
        total += float(here @ linked.magnitude[span] + size[span] @ np.abs(layer.bias))
        terms += 2 * len(layer.bias) + 4
        for source, weight in layer.weights.items():
            more = size[span] @ np.abs(weight)
            pays[source] = pays[source] + more if source in pays else more
    if INPUT in pays:
        total += float(pays[INPUT] @ linked.input_reach)
    tiny = TINY * terms * (1 + linked.magnitude.sum() + linked.input_reach.sum())
    return 4 * rounding_factor(terms) * total + float(tiny)


def _dense(weight: object) -> FloatArray:
    dense = weight.toarray() if hasattr(weight, "toarray") else weight
    return np.array(dense, dtype=np.float64)
