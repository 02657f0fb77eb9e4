"""Path conditions: J of every hyperplane group under the patterns behind it (theory, section 2).

f is convex iff J >= 0 on every facet. For one or two inputs all facets are known, and with
them every condition that some point of the domain asks for; for more inputs the least J per
neuron is bounded over all patterns, reachable or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from jensen.arithmetic.exact import to_double
from jensen.arithmetic.rational import decimal
from jensen.cells.start import is_flat
from jensen.domains.domain import Domain
from jensen.errors import DomainError, NetworkError
from jensen.groups.prepared import prepare
from jensen.linear_regions.items import Point
from jensen.linear_regions.regions import MOST_INPUTS, Regions, regions
from jensen.network.relu_network import Pattern, ReluNetwork
from jensen.types import Neurons


@dataclass(frozen=True, eq=False)
class Condition:
    """One path condition: J of a hyperplane group under one pattern of the neurons behind.

    Attributes
    ----------
    neurons : tuple of (block name, index)
        Those that bend together; J is per unit of the first one's pre-activation.
    pattern : mapping from block name to bool array, or None
        Which neurons of the blocks behind are on. None: whatever they are.
    value : Fraction
        J; where ``pattern`` is None a lower bound.
    point : tuple of Fraction or None
        A point of a facet that asks for it.
    reachable : bool or None
        Whether some point of the domain asks for it; None where that was not looked into.
    reason : str
        Why not, or what is known instead.
    """

    neurons: Neurons
    pattern: Pattern | None
    value: Fraction
    point: Point | None = None
    reachable: bool | None = None
    reason: str = ""

    @property
    def is_violated(self) -> bool:
        """Whether it is asked for, and J is negative."""
        return bool(self.reachable) and self.value < 0

    @property
    def pattern_text(self) -> str:
        """The pattern as digits per block, 1 for on; ``any`` without one."""
        if self.pattern is None:
            return "any"
        parts = (f"{name}:{''.join('01'[int(v)] for v in on)}" for name, on in self.pattern.items())
        return " ".join(parts) or "nothing behind"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready record; exact numbers are strings."""
        pattern = self.pattern
        return {
            "neurons": [f"{block}[{index}]" for block, index in self.neurons],
            "pattern": None if pattern is None else {k: v.tolist() for k, v in pattern.items()},
            "value": decimal(self.value),
            "value_float": to_double(self.value),
            "point": None if self.point is None else [decimal(v) for v in self.point],
            "point_float": None if self.point is None else [to_double(v) for v in self.point],
            "reachable": self.reachable,
            "violated": self.is_violated,
            "reason": self.reason,
        }


def path_conditions(
    network: ReluNetwork, domain: Domain, reasons: Mapping[tuple[str, int], str] | None = None
) -> tuple[Condition, ...]:
    """Return the path conditions of a network with one output, the most violated first.

    Parameters
    ----------
    network : ReluNetwork
    domain : Domain
    reasons : mapping from (block name, index) to a word, optional
        What closed each neuron in a proof, for more than two inputs.

    Examples
    --------
    >>> from jensen.domains.domain import Box
    >>> net = ReluNetwork.from_layers([[[1.0], [1.0]], [[1.0, -3.0]]], [[0, -1], [0]])
    >>> [(str(c.value), c.reachable) for c in path_conditions(net, Box(-2, 2))]
    [('-3', True), ('1', True)]
    """
    if network.input_size <= MOST_INPUTS and not is_flat(domain, network.input_size):
        try:
            with np.errstate(all="ignore"):
                return _of_regions(network, regions(network, domain))
        except (DomainError, NetworkError):
            pass  # no interior, or out of the range of error bounds
    return _least(network, domain, reasons or {})


def _of_regions(network: ReluNetwork, found: Regions) -> tuple[Condition, ...]:
    """Return one condition for every group and pattern behind it that a facet asks for."""
    behind = _behind(network)
    conditions: dict[tuple[Any, ...], Condition] = {}
    for facet in found.facets:
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
        for c in _least(network, found.domain, {})
        if c.neurons[0] not in kinking
    ]
    return tuple(sorted([*conditions.values(), *never], key=_order))


def _least(
    network: ReluNetwork, domain: Domain, reasons: Mapping[tuple[str, int], str]
) -> tuple[Condition, ...]:
    """Return the least J of each neuron over all patterns of the neurons that are not stable."""
    with np.errstate(all="ignore"):
        signs = prepare(network, domain).stable_signs
    found = []
    for block in network.hidden:
        if not block.is_relu:
            continue
        for i, low in enumerate(signs[block.name][0].tolist()):
            reason = reasons.get((block.name, i), "")
            reachable = False if reason == "never crosses" else None
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
