"""Path conditions: J of every hyperplane group under the patterns behind it (theory, section 2).

f is convex iff J >= 0 on every facet. For one or two inputs, and for smaller networks of three,
all facets are known, and with them every condition that some point of the domain asks for. For
more inputs the least J per group that was met on its kink is exact, and beside it stands
a bound over all patterns, reachable or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from jensen.arithmetic.exact import ExactVector, to_double
from jensen.bounds.paths import exact_path_sum, path_shares
from jensen.cells.start import is_flat
from jensen.domains.domain import Domain, Everywhere
from jensen.errors import DomainError, NetworkError, OptionError, OutOfTimeError, UndecidedError
from jensen.graphs.function_graph import FunctionGraph
from jensen.groups.prepared import Prepared, prepare
from jensen.linear_regions.condition import Condition, Conditions, Pair
from jensen.linear_regions.items import Point
from jensen.linear_regions.met import met_conditions
from jensen.linear_regions.regions import Regions, regions_of
from jensen.loaders import opened
from jensen.network.relu_network import ReluNetwork
from jensen.prover.question import check_subject
from jensen.text import shown
from jensen.verdicts.options import checked_seconds
from jensen_encodings.deadline import Deadline

PLANE, SPACE = 2, 3  # inputs of which all facets are listed
MOST_NEURONS = 32  # of a network of three inputs of which they are: some thousand facets
MOST_KINKS = 64  # between two points that are looked at: each one costs an exact evaluation
LISTING_SHARE = 0.5  # of a time limit that is for finding all facets
HALVINGS = 12  # of a pair, until one kink is left in it


def path_conditions(
    network: ReluNetwork | FunctionGraph | str | Path,
    domain: Domain | None = None,
    reasons: Mapping[tuple[str, int], str] | None = None,
    *,
    pair: Pair | None = None,
    time_limit: float | None = None,
) -> Conditions:
    """Return the path conditions of a network with one output, the most violated first.

    Parameters
    ----------
    network : ReluNetwork or path
    domain : Box, Polyhedron or Everywhere
        Default: ``Everywhere()``.
    reasons : mapping from (block name, index) to a word, optional
        What closed each neuron in a proof, for more than two inputs.
    pair : Pair, optional
        A pair that breaks convexity: with more than two inputs the condition that fails between
        its points comes first.
    time_limit : float, optional
        Seconds. What was found by then is returned; ``.complete`` of the result is False.

    Returns
    -------
    Conditions
        A tuple, those with the smallest J first.

    Raises
    ------
    OptionError
        If there are several outputs: ``network.select_output(k)`` is the network of one; for a
        time limit that is none.
    NetworkError, DomainError
        If something else was given, or the domain is empty or of the wrong dimension.

    Examples
    --------
    >>> from jensen.domains.domain import Box
    >>> net = ReluNetwork.from_layers([[[1.0], [1.0]], [[1.0, -3.0]]], [[0, -1], [0]])
    >>> [(str(c.value), c.reachable) for c in path_conditions(net, Box(-2, 2))]
    [('-3', True), ('1', True)]
    """
    deadline = Deadline.after(checked_seconds(time_limit))
    domain = Everywhere() if domain is None else domain
    if reasons is not None and not isinstance(reasons, Mapping):
        raise OptionError(f"reasons {shown(reasons)}: a mapping from (block, index) to words")
    if pair is not None and not (hasattr(pair, "x") and hasattr(pair, "y")):
        raise OptionError(f"pair {shown(pair)}: a Counterexample, with points x and y, is needed")
    network = check_subject(opened(network), domain).select_output(None)
    if _lists_all(network, domain):
        try:
            with np.errstate(all="ignore"):
                found = regions_of(network, domain, deadline.share(LISTING_SHARE))
                return _of_regions(network, found, deadline)
        except (DomainError, NetworkError):
            pass  # no interior, or out of the range of error bounds
        except UndecidedError:
            pass  # time was up for all of them: some are met without
    broken = None if pair is None else condition_between(network, pair)
    try:
        found_all = _of_descents(network, domain, reasons or {}, broken, deadline)
    except OutOfTimeError:  # before it was known what set a polyhedron is
        return Conditions.of(() if broken is None else (broken,), complete=False)
    return Conditions.of(found_all, complete=not deadline.over())


def _of_descents(
    network: ReluNetwork,
    domain: Domain,
    reasons: Mapping[tuple[str, int], str],
    broken: Condition | None,
    deadline: Deadline,
) -> tuple[Condition, ...]:
    """Return the least condition that was met on each kink, and bounds over all patterns."""
    with np.errstate(all="ignore"):
        prepared = prepare(network, domain, deadline=deadline)
        met = () if deadline.over() else _met(prepared, reasons)
    if broken is not None:
        met = (broken, *(condition for condition in met if not _same(broken, condition)))
    if deadline.over():
        return met
    seen = {neuron for condition in met for neuron in condition.neurons}
    return (*met, *(_explained(c, seen) for c in _least(prepared, reasons)))


def _explained(condition: Condition, met: set[tuple[str, int]]) -> Condition:
    """Say of a bound over all patterns whether a point of its kink was met."""
    if condition.reachable is False or condition.reason:
        return condition
    found = condition.neurons[0] in met
    return replace(condition, reason="bound" if found else "bound; no point of its kink was met")


def _lists_all(network: ReluNetwork, domain: Domain) -> bool:
    inputs = network.input_size
    few = inputs <= PLANE or (inputs == SPACE and network.relu_count <= MOST_NEURONS)
    return few and not is_flat(domain, inputs)


def _met(prepared: Prepared, reasons: Mapping[tuple[str, int], str]) -> tuple[Condition, ...]:
    """Return the least conditions that were met, those that fail first."""
    try:
        found = list(met_conditions(prepared))
    except NetworkError:  # too large to be held as groups
        return ()
    named = [replace(c, reason=reasons.get(c.neurons[0], c.reason)) for c in found]
    return tuple(sorted(named, key=_order))


def _same(one: Condition, two: Condition) -> bool:
    return one.neurons == two.neurons and one.pattern_text == two.pattern_text


def condition_between(network: ReluNetwork, pair: Pair) -> Condition | None:
    """Return a condition that fails at a kink between the points of a pair, exactly.

    Halves the pair until z of a neuron is affine between its points. None where none is found,
    as where several kinks meet in one.
    """
    x, y = pair.x, pair.y
    for _ in range(HALVINGS):
        found = _at_single_kink(network, x, y)
        if found is not None:
            return found
        x, y = _worse_half(network, x, y)
    return None


def _worse_half(network: ReluNetwork, x: Point, y: Point) -> tuple[Point, Point]:
    """Return of the first, middle and last half one that breaks midpoint convexity as well.

    Were all three convex, f(m) <= (f(p) + f(q)) / 2 <= (f(x) + 2 f(m) + f(y)) / 4.
    """
    points = [
        tuple(a + Fraction(k, 4) * (b - a) for a, b in zip(x, y, strict=True)) for k in range(5)
    ]
    f = [network.exact(point)[0] for point in points]
    best = max(range(3), key=lambda k: 2 * f[k + 1] - f[k] - f[k + 2])
    return points[best], points[best + 2]


def _at_single_kink(network: ReluNetwork, x: Point, y: Point) -> Condition | None:
    """Return a condition that fails where a single neuron is 0 between two points."""
    ends = [network.exact_pre_activations(point) for point in (x, y)]
    behind = _behind(network)
    candidates = MOST_KINKS
    for block in network.hidden:
        if not block.is_relu:
            continue
        signs = [z[block.name].to_fractions() for z in ends]
        for i, (at_x, at_y) in enumerate(zip(*signs, strict=True)):
            if at_x * at_y >= 0 or not candidates:
                continue
            candidates -= 1
            share = at_x / (at_x - at_y)
            point = tuple(a + share * (b - a) for a, b in zip(x, y, strict=True))
            z = network.exact_pre_activations(point)
            if _zeros(network, z) != [(block.name, i)]:
                continue
            pattern = {name: z[name].positive() for name in behind[block.name]}
            value = exact_path_sum(network, (block.name, i), pattern)
            if value < 0:
                return Condition(((block.name, i),), pattern, value, point, reachable=True)
    return None


def _zeros(network: ReluNetwork, z: Mapping[str, ExactVector]) -> list[tuple[str, int]]:
    """Return the ReLU neurons that are exactly 0."""
    relus = [block.name for block in network.hidden if block.is_relu]
    return [(name, i) for name in relus for i, v in enumerate(z[name].integers) if v == 0]


def path_terms(network: ReluNetwork, condition: Condition, most: int = 8) -> str:
    """Return J of a condition as the sum over layer paths that it is, in numbers.

    Examples
    --------
    >>> from jensen.domains.domain import Box
    >>> net = ReluNetwork.from_layers([[[1.0]], [[2.0]], [[-3.0]]], [[0], [1], [0]])
    >>> path_terms(net, path_conditions(net, Box(-1, 1))[0])
    'J[relu_1[0]] = -6 (relu_1, relu_2, output)'
    """
    neuron = condition.neurons[0]
    shares = path_shares(network, neuron, condition.pattern or {}, most + 1)
    terms = [f"{to_double(v):.6g} ({', '.join(path)})" for path, v in shares.items()]
    more = " + ..." if len(terms) > most else ""
    return f"J[{neuron[0]}[{neuron[1]}]] = {' + '.join(terms[:most])}{more}"


def _of_regions(network: ReluNetwork, found: Regions, deadline: Deadline) -> Conditions:
    """Return one condition for every group and pattern behind it that a facet asks for."""
    behind = _behind(network)
    conditions: dict[tuple[Any, ...], Condition] = {}
    for facet in found.facets:
        if deadline.over():
            return Conditions.of(sorted(conditions.values(), key=_order), complete=False)
        if not facet.neurons:
            continue
        level, unit = facet.neurons[0]
        own = set(facet.neurons)
        cell = found.cells[facet.cells[0]]
        pattern = {
            name: np.array([on and (name, i) not in own for i, on in enumerate(cell.pattern[name])])
            for name in behind[level]
        }
        key = (facet.neurons, *(on.tobytes() for on in pattern.values()))
        if key not in conditions:
            value = found.exact_bend(facet.index, (level, unit))
            point = found.exact_middle(facet.index)
            conditions[key] = Condition(facet.neurons, pattern, value, point, reachable=True)
    kinking = {neuron for condition in conditions.values() for neuron in condition.neurons}
    never = [
        Condition(c.neurons, None, c.value, reachable=False, reason="never changes sign inside")
        for c in _least(prepare(network, found.domain), {})
        if c.neurons[0] not in kinking
    ]
    return Conditions(sorted([*conditions.values(), *never], key=_order))


def _least(prepared: Prepared, reasons: Mapping[tuple[str, int], str]) -> tuple[Condition, ...]:
    """Return the least J of each neuron over all patterns of the neurons that are not stable."""
    with np.errstate(all="ignore"):
        signs, bounds = prepared.stable_signs, prepared.bounds
    found = []
    for block in prepared.network.hidden:
        if not block.is_relu:
            continue
        for i, low in enumerate(signs[block.name][0].tolist()):
            reason = reasons.get((block.name, i), "")
            lower, upper = (float(side[i]) for side in bounds[block.name])
            reachable = None
            if reason == "never crosses" or lower >= 0 or upper <= 0:
                reachable, reason = False, "never changes sign inside"
            if np.isfinite(low):
                found.append(
                    Condition(((block.name, i),), None, Fraction(low), None, reachable, reason)
                )
    return tuple(sorted(found, key=_order))


def _order(condition: Condition) -> tuple[Any, ...]:
    return (not condition.is_violated, condition.reachable is False, condition.value)


def _behind(network: ReluNetwork) -> dict[str, tuple[str, ...]]:
    """Return, for every block, the ReLU blocks that it reaches, in topological order."""
    import networkx as nx  # noqa: PLC0415  (a second of imports that most calls do without)

    reached = {block.name: nx.descendants(network.graph, block.name) for block in network.hidden}
    relus = [block.name for block in network.hidden if block.is_relu]
    return {name: tuple(n for n in relus if n in after) for name, after in reached.items()}


def path_formula(network: ReluNetwork, block: str, most: int = 8) -> str:
    """Return the sum over layer paths that J of a block is, in words.

    Parameters
    ----------
    network : ReluNetwork
    block : str
    most : int
        Paths that are written out.

    Examples
    --------
    >>> net = ReluNetwork.from_layers([[[1.0]], [[2.0]], [[3.0]]], [[0], [0], [0]])
    >>> path_formula(net, "relu_1")
    'J[relu_1] = W[output, relu_2] a[relu_2] W[relu_2, relu_1]'
    """
    terms: list[str] = []
    more = ""
    for path in network.layer_paths(block):
        if len(terms) == most:
            more = " + ..."
            break
        factors = []
        for source, target in zip(reversed(path[:-1]), reversed(path), strict=False):
            factors.append(f"W[{target}, {source}]")
            if source != block and network[source].is_relu:
                factors.append(f"a[{source}]")
        terms.append(" ".join(factors))
    return f"J[{block}] = {' + '.join(terms)}{more}"
