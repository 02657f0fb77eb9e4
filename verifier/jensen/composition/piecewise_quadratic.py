"""A piecewise-linear function plus a quadratic form: both decided exactly (docs/theory.md).

f = p + q with p piecewise linear and q quadratic is convex on D if and only if p is convex there
and q is convex along all directions of D. The first is asked of the provers of ReLU networks, the
second of LDL' over the rationals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import flint
import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.rational import ZERO, fraction, null_space, rational
from jensen.arithmetic.semidefinite import negative_direction
from jensen.composition.pairs import counterexample
from jensen.composition.quadratic import BIAS, QuadraticForms, Row, entries_of, is_quadratic
from jensen.domains.domain import Domain
from jensen.domains.hull import relative_interior
from jensen.domains.working_set import cone_of
from jensen.errors import NetworkError
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import Function
from jensen.graphs.node import GraphNode
from jensen.network.block import INPUT, OUTPUT, Activation, Block
from jensen.network.relu_network import ReluNetwork
from jensen.prover.lines.line_search import LineSampler
from jensen.types import ObjectArray
from jensen.verdicts.evidence import Counterexample
from jensen_encodings.deadline import NEVER, Deadline

MOST_INPUTS = 256
POINTS = 32
KINK_HALVINGS = 4200  # the largest double is 2^2098 times the smallest, and jumps are products
HALVINGS = 200

Point = tuple[Fraction, ...]


@dataclass(frozen=True, eq=False)
class PiecewiseQuadratic:
    """A graph as ``f = p + q``, for every output.

    Attributes
    ----------
    graph : FunctionGraph
        f.
    piecewise : ReluNetwork
        p.
    """

    graph: FunctionGraph
    piecewise: ReluNetwork
    _forms: QuadraticForms

    def polynomial(self, output: int) -> dict[tuple[int, int], Any]:
        """Return q of an output: the rational factor of ``x_i x_j``, i <= j; BIAS stands for 1."""
        total: dict[tuple[int, int], Any] = {}
        for weight, left, right in self._products(output):
            for i, a in left.items():
                for j, b in right.items():
                    place = (min(i, j), max(i, j))
                    total[place] = total.get(place, ZERO) + weight * a * b
        return {place: factor for place, factor in sorted(total.items()) if factor != 0}

    def hessian(self, output: int) -> ObjectArray:
        """Return the Hessian of q of an output, in all inputs: (inputs, inputs) of ``fmpq``."""
        return self._forms.hessian(self._products(output))

    def slope(self, output: int, at: Sequence[Fraction], step: Sequence[Fraction]) -> Fraction:
        """Return the derivative of q of an output at a point along a step."""
        x, n = (Fraction(1), *at), (Fraction(0), *step)
        terms = self.polynomial(output).items()
        return sum(
            (fraction(v) * (n[i + 1] * x[j + 1] + x[i + 1] * n[j + 1]) for (i, j), v in terms),
            Fraction(0),
        )

    def with_piecewise(self, network: ReluNetwork) -> FunctionGraph:
        """Return the graph of another p with as many outputs, and the same q, exactly.

        Parameters
        ----------
        network : ReluNetwork
            Its blocks keep their names.
        """
        mark = "quadratic_"
        while any(block.name.startswith(mark) for block in network.blocks):
            mark = f"_{mark}"
        blocks = [
            GraphNode(b.name, b.weights, b.bias, Function(str(b.activation)))
            for b in network.blocks
        ]
        *nodes, last = [_renamed(node, mark) for node in self._quadratic_nodes()]
        output = replace(blocks[-1], weights={**blocks[-1].weights, **last.weights})
        return FunctionGraph(
            self.graph.input_size,
            [*blocks[:-1], *nodes, output],
            input_shape=self.graph.input_shape,
            output_shape=self.graph.output_shape,
            roundings=self.graph.roundings,
        )

    def _quadratic_nodes(self) -> list[GraphNode]:
        """Return the nodes of q: sums of products lose what else they add up."""
        curved = _curved(self.graph)
        kept: list[GraphNode] = []
        needed = {OUTPUT}
        for node in reversed(self.graph.nodes):
            if node.name not in needed:
                continue
            part = node
            if node.name == OUTPUT or (node.name in curved and not is_quadratic(node)):
                weights = {s: w for s, w in node.weights.items() if s in curved}
                part = replace(node, weights=weights, bias=np.zeros(node.rows))
            needed.update(part.weights)
            kept.append(part)
        return kept[::-1]

    def _products(self, output: int) -> list[tuple[Any, Row, Row]]:
        """Return the factor and both factors, affine in the inputs, of every product."""
        graph = self.graph
        terms: list[tuple[Any, Row, Row]] = []
        coefficients: dict[str, dict[int, Any]] = {OUTPUT: {output: rational(1)}}
        for node in reversed(graph.nodes):
            given = coefficients.get(node.name, {})
            if is_quadratic(node):
                for index, value in given.items():
                    factors = self._forms.factors(node.name, index)
                    if factors is not None:
                        terms.append((value, *factors))
            elif node.function is Function.IDENTITY:
                for row, value in given.items():
                    _pass_back(graph, node, row, value, coefficients)
        return terms


def split(graph: FunctionGraph, *, sums_of_squares: bool = False) -> PiecewiseQuadratic | None:
    """Write a graph as the sum of a ReLU network and quadratic functions.

    Parameters
    ----------
    graph : FunctionGraph
    sums_of_squares : bool
        Take more than ``MOST_INPUTS`` inputs where every product is of one of them alone.

    Returns
    -------
    PiecewiseQuadratic or None
        None where a node applies another function, multiplies what is not affine in the
        inputs, or where a ReLU reads a quadratic value.
    """
    forms = QuadraticForms(graph, np.ones(graph.input_size, dtype=bool))
    if graph.has_convolutions:
        return None
    few = graph.input_size <= MOST_INPUTS or (sums_of_squares and _is_diagonal(graph, forms))
    if not few or not _fits(graph, forms):
        return None
    return PiecewiseQuadratic(graph, _without_products(graph), forms)


def not_split(graph: FunctionGraph, what: str, sizes: str) -> NetworkError:
    """Return the error for a graph that is no such sum: it says what to pass.

    Parameters
    ----------
    graph : FunctionGraph
    what : str
        Who asks: the subject of the sentence.
    sizes : str
        The end of the sentence: what is taken of large graphs.
    """
    plain = (Function.IDENTITY, Function.RELU)
    others = (n for n in graph.nodes if n.function not in plain and not is_quadratic(n))
    node = next(others, None)
    if node is not None:
        return NetworkError(
            f"{what} takes ReLU networks plus quadratic functions of the inputs, and node "
            f"{node.name!r} is {node.function}; jensen.verify takes this one"
        )
    return NetworkError(
        f"{what} takes quadratic functions beside a dense ReLU network, not inside it, and {sizes}"
    )


def _renamed(node: GraphNode, mark: str) -> GraphNode:
    name = node.name if node.name == OUTPUT else mark + node.name
    weights = {s if s == INPUT else mark + s: w for s, w in node.weights.items()}
    return replace(node, name=name, weights=weights)


def _curved(graph: FunctionGraph) -> set[str]:
    """Return the nodes of a graph that fits that are products, or add up some."""
    curved: set[str] = set()
    for node in graph.nodes:
        if is_quadratic(node) or curved & set(node.weights):
            curved.add(node.name)
    return curved


def _pass_back(
    graph: FunctionGraph,
    node: GraphNode,
    row: int,
    value: Any,
    coefficients: dict[str, dict[int, Any]],
) -> None:
    """Add to the coefficients of what a row reads what the row's own one makes of it."""
    for source, weight in node.weights.items():
        if source == INPUT or graph[source].function is Function.RELU:
            continue
        table = coefficients.setdefault(source, {})
        for column, entry in entries_of(weight, row):
            table[column] = table.get(column, ZERO) + value * rational(entry)


def _fits(graph: FunctionGraph, forms: QuadraticForms) -> bool:
    """Whether all products are of affine functions, and no ReLU or product reads one."""
    curved: set[str] = set()
    for node in graph.nodes:
        reads = bool(curved & set(node.weights))
        if is_quadratic(node):
            if reads or any(forms.factors(node.name, i) is None for i in range(node.size)):
                return False
            curved.add(node.name)
        elif node.function is Function.IDENTITY:
            if reads:
                curved.add(node.name)
        elif node.function is not Function.RELU or reads:
            return False
    return True


def _is_diagonal(graph: FunctionGraph, forms: QuadraticForms) -> bool:
    """Whether every product is of affine functions of one input, so that no form mixes two."""
    for node in graph.nodes:
        for i in range(node.size if is_quadratic(node) else 0):
            factors = forms.factors(node.name, i)
            if factors is None or len({*factors[0], *factors[1]} - {BIAS}) > 1:
                return False
    return True


def _without_products(graph: FunctionGraph) -> ReluNetwork:
    """Return the ReLU network of all terms but the products."""
    products = {node.name for node in graph.nodes if is_quadratic(node)}
    kept: list[Block] = []
    needed = {OUTPUT}
    for node in reversed(graph.nodes):
        if node.name not in needed or node.name in products:
            continue
        weights = {s: w for s, w in node.weights.items() if s not in products}
        if not weights:
            weights = {INPUT: sp.csr_array((node.rows, graph.input_size))}
        needed.update(weights)
        relu = node.function is Function.RELU
        activation = Activation.RELU if relu else Activation.IDENTITY
        kept.append(Block(node.name, weights, node.bias, activation))
    return ReluNetwork(graph.input_size, kept[::-1])


def directions(
    domain: Domain, inputs: int, moving: tuple[int, ...] | None, deadline: Deadline = NEVER
) -> ObjectArray:
    """Return a basis of the directions between points of a domain that agree in the other inputs.

    Returns
    -------
    object array (inputs, dimensions) of ``fmpq``

    Raises
    ------
    DomainError
        If the domain is empty.
    OutOfTimeError
        If that was not known in time.
    """
    working = domain.working_set(inputs, deadline)
    still = [i for i in range(inputs) if moving is not None and i not in moving]
    # tau does not change between points
    rows = [working.matrix[i] for i in (*still, inputs)]
    vectors = null_space([[row[k] for row in rows] for k in range(working.dim)])
    if not vectors:
        return np.empty((inputs, 0), dtype=object)
    basis = flint.fmpq_mat(working.matrix[:-1].tolist()) * flint.fmpq_mat(vectors).transpose()
    return np.array(basis.tolist(), dtype=object)


def falling_direction(
    hessian: ObjectArray,
    domain: Domain,
    moving: tuple[int, ...] | None,
    deadline: Deadline = NEVER,
) -> ObjectArray | None:
    """Return a direction within a domain along which a form bends down; None if there is none."""
    basis = directions(domain, len(hessian), moving, deadline)
    if not basis.shape[1]:
        return None
    turned = flint.fmpq_mat(basis.T.tolist())
    form = turned * flint.fmpq_mat(hessian.tolist()) * turned.transpose()
    found = negative_direction(np.array(form.tolist(), dtype=object), deadline)
    return None if found is None else basis @ found


def pair_along(
    graph: FunctionGraph,
    domain: Domain,
    direction: ObjectArray,
    inputs: tuple[int, ...] | None,
    seed: int,
    deadline: Deadline = NEVER,
) -> Counterexample | None:
    """Return a pair along a direction of negative curvature, short enough to meet no kink.

    At almost every point a short segment lies in one region, where f is quadratic.
    """
    step = [fraction(v) for v in direction]
    largest = max(abs(v) for v in step)
    rng = np.random.default_rng(seed)
    for x, size in _inner_points(graph, domain, rng):
        reach = size / largest
        for _ in range(HALVINGS // 4):
            ends = ([a + s * reach * b for a, b in zip(x, step, strict=True)] for s in (-1, 1))
            found = counterexample(graph, domain, *ends, inputs=inputs, deadline=deadline)
            if found is not None or deadline.over():
                return found
            reach /= 4
    return None


def _inner_points(
    graph: FunctionGraph, domain: Domain, rng: np.random.Generator
) -> Iterator[tuple[list[Fraction], Fraction]]:
    """Yield points of a domain and a typical length: random ones, exactly on flat polyhedra."""
    starts, steps = LineSampler(domain, graph.input_size, 1.0, rng).lines(POINTS)
    sizes = [Fraction(float(np.abs(move).max(initial=0.0)) or 1.0) for move in steps]
    basis = directions(domain, graph.input_size, None)
    if not domain.has_rows or basis.shape[1] == graph.input_size:
        for start, move, size in zip(starts, steps, sizes, strict=True):
            yield [Fraction(float(v)) for v in start + move * rng.uniform(8, 24)], size
        return
    # doubles miss a hyperplane: from a point inside along directions of the hull
    found = relative_interior(cone_of(*domain.inequalities(graph.input_size)))
    assert found is not None  # directions() has refused an empty domain
    centre = [fraction(v / found.point[-1]) for v in found.point[:-1]]
    for size in sizes:
        mixture = [rational(float(v)) for v in rng.normal(size=(basis.shape[1],))]
        drift: ObjectArray = basis @ np.array(mixture, dtype=object)
        step = [fraction(v) for v in drift]
        x, reach = centre, size
        for _ in range(HALVINGS // 4):
            moved = [a + reach * b for a, b in zip(centre, step, strict=True)]
            if domain.contains(moved):
                x = moved
                break
            reach /= 4
        yield x, reach


def pair_at_kink(
    graph: FunctionGraph,
    domain: Domain,
    x: Point,
    y: Point,
    inputs: tuple[int, ...] | None,
    deadline: Deadline = NEVER,
) -> Counterexample | None:
    """Shorten a pair that refutes p until it refutes f as well.

    Of the left, the middle and the right half of a segment one keeps the kink well inside: the
    violation of p shrinks with the length, that of q with its square.
    """
    for _ in range(KINK_HALVINGS):
        found = counterexample(graph, domain, x, y, inputs=inputs, deadline=deadline)
        if found is not None or deadline.over():
            return found
        middle = _mean(x, y)
        left, right = _mean(x, middle), _mean(middle, y)
        halves = ((left, right), (x, middle), (middle, y))
        x, y = max(halves, key=lambda ends: _excess(graph, *ends))
    return None


def _mean(x: Point, y: Point) -> Point:
    return tuple((a + b) / 2 for a, b in zip(x, y, strict=True))


def _excess(graph: FunctionGraph, x: Point, y: Point) -> Fraction:
    (fx,), (fy,), (fm,) = graph.exact(x), graph.exact(y), graph.exact(_mean(x, y))
    return fm - (fx + fy) / 2
