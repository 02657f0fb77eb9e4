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
from jensen.midpoint.least_jumps import UNMET, all_listed, least_jumps
from jensen.midpoint.linked import (
    EPS,
    PAIR_WEIGHTS,
    TINY,
    Cuts,
    LinkedNetwork,
    Objective,
)
from jensen.midpoint.touched_kinks import TouchedKink, touched_jumps
from jensen.midpoint.touching import Touching
from jensen.network.relu_network import INPUT, ReluNetwork
from jensen.types import FloatArray, Unit
from jensen_encodings import NetworkData
from jensen_encodings.deadline import Deadline

Neuron = tuple[str, int]
PAID = 0.5
UNTOUCHED_SHARE = 0.6  # of the time, before functions that touch f are tried
FEW_LEAVES = 256  # which are searched around instead (midpoint/centred.py)
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
    kinks : mapping from group to BadFacets, or None
        Searches where J is negative, of the groups that read inputs only. None if too much is
        open there, or if units that read others are raised: then they are of another network.
    """

    amounts: dict[Neuron, float]
    kinks: Mapping[Unit, BadFacets] | None
    touched: Touched | None = None


@dataclass(frozen=True, eq=False)
class Touched:
    """What makes a network convex but for facets where functions touch it (theory, Lemma 16).

    Attributes
    ----------
    amounts : dict from (block, index) to float
        As of :class:`Raised`.
    excess : float
        What no pair violates by more whatever it crosses there: ``violation <= excess + sum d e``.
    """

    amounts: dict[Neuron, float]
    excess: float


@dataclass(frozen=True, eq=False)
class Aim:
    """What touching functions are to prove.

    Attributes
    ----------
    data : NetworkData
        Bounds of the hidden layers.
    excess : float
        The violation that is good enough.
    """

    data: NetworkData
    excess: float


def raises(prepared: Prepared, deadline: Deadline, aim: Aim | None = None) -> Raised | None:
    """Return d for neurons so that ``f + sum d relu(z)`` is convex on the domain.

    The units behind come first: what is added to them changes the jumps in front.

    Parameters
    ----------
    prepared : Prepared
        A network on a box.
    deadline : Deadline
    aim : Aim, optional
        Where not all facets are soon known, functions that touch f there are tried.

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
    found = _least(prepared, None, deadline if aim is None else deadline.share(UNTOUCHED_SHARE))
    if found is None:
        return None
    least, searches = found
    amounts = deep | {neuron: -jump for neuron, jump in least.items()}
    reach = {group: _reach(prepared.grouped, group) for group in searches}
    listed = all_listed(searches, reach)
    leaves = sum(len(kink.leaves) for kink in searches.values())
    if listed and (aim is None or leaves <= FEW_LEAVES):
        return Raised(amounts, None if deep else searches)
    touched = None if aim is None else _touched(prepared, searches, reach, least, aim, deadline)
    for group, kink in searches.items():
        neuron = prepared.grouped.neurons(group)[0]
        if amounts.get(neuron, 0.0) > 0:
            amounts[neuron] = max(0.0, min(amounts[neuron], -kink.plain))
    return Raised(amounts, None, touched and replace(touched, amounts=deep | touched.amounts))


def _touched(
    prepared: Prepared,
    searches: Mapping[Unit, TouchedKink],
    reach: Mapping[Unit, float],
    least: Mapping[Neuron, float],
    aim: Aim,
    deadline: Deadline,
) -> Touched | None:
    """Go on where J may be negative; facets do not count at which functions touch f closely."""
    net = prepared.grouped
    leads = {net.neurons(group)[0]: group for group in searches}
    # half of what other kinks bend up by at least pays for sum d e, the other half for A - f
    paid = {neuron: PAID * jump for neuron, jump in least.items() if jump > 0}
    kinks = {leads[neuron]: searches[leads[neuron]] for neuron, jump in least.items() if jump < 0}
    if deadline.over() or any(len(kink.pieces) != 1 for kink in kinks.values()):
        return None
    touching = Touching(net, prepared.network, aim.data, paid)
    found, excess = touched_jumps(kinks, reach, touching, aim.excess, deadline)
    if not excess > 0:
        return None
    amounts = {neuron: -amount for neuron, amount in paid.items()}
    for group, jump in found.items():
        neuron = net.neurons(group)[0]
        amounts[neuron] = -max(jump, least[neuron])
    return Touched(amounts, excess)


def _least(
    prepared: Prepared, stage: set[Neuron] | None, deadline: Deadline
) -> tuple[dict[Neuron, float], dict[Unit, TouchedKink]] | None:
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


def raise_bound(data: NetworkData, amounts: Mapping[Neuron, float], excess: float = 0.0) -> float:
    """Bound the violation by ``sum of max(0, d) max e``; infinite if deeper units are raised.

    Parameters
    ----------
    data : NetworkData
    amounts : mapping from (block, index) to float
    excess : float
        Of :class:`Touched`, to be added.
    """
    layers = {layer.name: layer for layer in data.layers}
    total = excess
    for (block, index), amount in amounts.items():
        layer = layers[block]
        if amount > 0 and not set(layer.weights) <= {INPUT}:
            return np.inf
        reach = min(-float(layer.lower[index]), float(layer.upper[index])) / 2
        if amount > 0 and reach > 0:
            total += amount * reach + TINY
    return total * (1 + (2 * len(amounts) + 8) * EPS)


def convexity_row(
    linked: LinkedNetwork,
    data: NetworkData,
    amounts: Mapping[Neuron, float],
    excess: float = 0.0,
) -> Cuts:
    """Return the row ``violation - sum d e <= excess`` as a cut.

    Parameters
    ----------
    linked : LinkedNetwork
        Three copies of the network's hidden layers.
    data : NetworkData
    amounts : mapping from (block, index) to float
        Of :class:`Raised`.
    excess : float
        Of :class:`Touched`.
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
    # the sum's own roundings are small beside the first term's size, which is counted there
    cut.right[0] += _rounding(linked, objective) + unsure + excess * (1 + 8 * EPS)
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
