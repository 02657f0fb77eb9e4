"""Where the rules of composition end, in words; and what they said of every node."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from jensen.composition.curvature import Composition, Curvature
from jensen.graphs.convolution import row_of
from jensen.graphs.enclosures import Enclosures
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import Function
from jensen.graphs.node import GraphNode
from jensen.network.block import OUTPUT
from jensen.text import printable
from jensen.verdicts.evidence import GroupEvidence, Reason


@dataclass(frozen=True)
class NodeEvidence(GroupEvidence):
    """Why the values of one node of a graph are what they have to be.

    Attributes
    ----------
    rule : str
        The rule in words, such as "softplus of convex, nondecreasing".
    """

    rule: str = ""

    @property
    def label(self) -> str:
        """The node's name, and the rule."""
        return f"{printable(self.neurons[0][0])} ({self.rule})"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return super().to_json() | {"neurons": [], "node": self.neurons[0][0], "rule": self.rule}


def evidence_of(
    graph: FunctionGraph,
    found: Composition,
    quadratic: Collection[str],
    *,
    decided: Collection[str] = (),
    ridges: Collection[str] = (),
) -> tuple[NodeEvidence, ...]:
    """Return one record per node that applies a function, and per joint quadratic form.

    Parameters
    ----------
    graph : FunctionGraph
    found : Composition
    quadratic : collection of str
        Nodes with a row that is a semidefinite form.
    decided : collection of str
        Nodes with a row that the exact provers of ReLU networks decided.
    ridges : collection of str
        Nodes with a row that is a sum of functions of one affine number each.
    """
    records = []
    for node in graph.nodes:
        name = node.name
        by_form = name in quadratic
        known = found.values[name]
        part_of_form = not (known.convex | known.concave).any()
        affine = (
            node.function is Function.IDENTITY and not by_form and name not in {*decided, *ridges}
        )
        if affine or part_of_form:
            continue
        rule = f"{node.size} x {node.function}: {_words(known)}"
        if by_form:
            rule += ", by a quadratic form that is semidefinite in rational arithmetic"
        if name in decided:
            rule += ", of rows decided by the exact prover of ReLU networks"
        if name in ridges:
            rule += ", by functions of one affine number each, in rational arithmetic"
        reason = Reason.QUADRATIC if by_form else Reason.COMPOSITION
        records.append(NodeEvidence(((name, 0),), reason, rule=rule))
    return tuple(records)


def _words(known: Curvature) -> str:
    """Summarise what is known of a vector of values."""
    parts = [
        ("constant", known.constant),
        ("affine", known.affine & ~known.constant),
        ("convex", known.convex & ~known.concave),
        ("concave", known.concave & ~known.convex),
        ("neither", ~known.convex & ~known.concave),
    ]
    counts = [(name, int(flags.sum())) for name, flags in parts if flags.any()]
    if len(counts) == 1:
        return counts[0][0]
    return ", ".join(f"{count} {name}" for name, count in counts)


def where_it_ends(graph: FunctionGraph, bounds: Enclosures, found: Composition) -> str:
    """Say at which node the rules end, walking back from the output.

    Parameters
    ----------
    graph : FunctionGraph
        With one output, which the rules do not show to be convex.
    bounds : Enclosures
    found : Composition
    """
    if found.undefined:
        name, row = found.undefined[0]
        low, high = (float(side[row]) for side in bounds.pre_activations[name])
        return (
            f"{_title(graph[name], row)} may have no value: "
            f"its argument lies in [{low:.4g}, {high:.4g}]"
        )
    end = obstacle(graph, bounds, found)
    if end.culprit is None:
        return f"{_title(end.node, end.row)} is not known to be {_side(end.upwards)}"
    source, column, weight = end.culprit
    return (
        f"the rules of composition end at {_title(graph[source], column)}: {end.reason}; the "
        f"weight {weight:.4g} on it in {_title(end.node, end.row)} needs it {_side(end.upwards)}"
    )


@dataclass(frozen=True, eq=False)
class Obstacle:
    """Where the rules end.

    Attributes
    ----------
    node : GraphNode
    row : int
        Of the node, that should bend the right way.
    culprit : (source, column, weight) or None
        A term of the row that is not known to.
    upwards : bool
        How the value in the term, or the row where there is no term, should bend.
    reason : str
        Why that value is not known to.
    """

    node: GraphNode
    row: int
    culprit: tuple[str, int, float] | None
    upwards: bool
    reason: str = ""


def obstacle(graph: FunctionGraph, bounds: Enclosures, found: Composition) -> Obstacle:
    """Walk back from an output that is not known to be convex to where the rules end.

    Parameters
    ----------
    graph : FunctionGraph
    bounds : Enclosures
    found : Composition
    """
    node, row, upwards = graph[OUTPUT], 0, True
    while True:
        culprit = _culprit(node, row, found, upwards=upwards)
        if culprit is None:
            return Obstacle(node, row, None, upwards)
        source, column, weight = culprit
        wanted = upwards == (weight > 0)
        inner = graph[source]
        deeper = _step(inner, column, found, bounds, upwards=wanted)
        if isinstance(deeper, str):
            return Obstacle(node, row, culprit, wanted, deeper)
        node, (row, upwards) = inner, deeper


def _side(upwards: bool) -> str:
    return "convex" if upwards else "concave"


def _title(node: GraphNode, row: int) -> str:
    if node.name == OUTPUT:
        return "the output"
    index = row // node.group if node.reduces else row
    kind = "" if node.function is Function.IDENTITY else f" ({node.function})"
    return f"node {printable(node.name)}[{index}]{kind}"


def _culprit(
    node: GraphNode, row: int, found: Composition, *, upwards: bool
) -> tuple[str, int, float] | None:
    """Return the term of a row that is not known to bend the right way."""
    for source, weight in node.weights.items():
        columns, entries = row_of(weight, row)
        given = found.values[source]
        for column, entry in zip(columns, entries, strict=True):
            if not entry:
                continue
            fits = given.convex if upwards == (entry > 0) else given.concave
            if not fits[column]:
                return source, int(column), float(entry)
    return None


def _step(
    node: GraphNode, index: int, found: Composition, bounds: Enclosures, *, upwards: bool
) -> str | tuple[int, bool]:
    """Return the row to look at next and how it should bend, or why the rules end here."""
    known = found.pre_activations[node.name]
    if node.function is Function.IDENTITY:
        return index, upwards
    if node.function is Function.PRODUCT:
        return "both factors depend on the inputs, or the sign of the constant one is open"
    if node.function in {Function.LOG_SUM_EXP, Function.NORM}:
        rows = range(index * node.group, (index + 1) * node.group)
        open_rows = [row for row in rows if not known.convex[row]]
        if upwards and open_rows:
            return open_rows[0], True
        return "it is convex" if not upwards else "an argument changes its sign"
    low, high = (float(side[index]) for side in bounds.pre_activations[node.name])
    words = _words(Curvature(*(v[[index]] for v in (known.constant, known.convex, known.concave))))
    single = node.function in {Function.RELU, Function.SOFTPLUS, Function.CELU, Function.EXP}
    if upwards and single and not known.convex[index]:
        return index, True
    return f"its argument is {words}, in [{low:.4g}, {high:.4g}]"
