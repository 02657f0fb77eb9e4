"""Networks with smooth functions, products and norms beside ReLUs: one graph of nodes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from jensen.arithmetic.exact import Matrix
from jensen.errors import NetworkError
from jensen.graphs.convolution import Convolution
from jensen.graphs.exact import exact_values
from jensen.graphs.functions import RATIONAL, Function
from jensen.graphs.node import GraphNode, checked
from jensen.graphs.npz_writer import write_graph
from jensen.graphs.order import check_order, with_copied_input
from jensen.network.block import INPUT, Block
from jensen.network.checks import as_count, checked_shape, chosen_output, listed
from jensen.network.digest import entries
from jensen.network.fixing import fixed_blocks
from jensen.network.points import OfPoints, exact_point
from jensen.types import FloatArray

_OF_RELU_NETWORKS = frozenset(
    {
        "activation_pattern",
        "affine_form",
        "blocks",
        "graph",
        "hidden",
        "layer_paths",
        "mask",
    }
    | {"exact_pre_activations", "successors"}
)


@dataclass(frozen=True, eq=False)
class FunctionGraph(OfPoints):
    """An immutable network over the functions of :class:`Function`.

    Every node is an affine map of earlier nodes and a function of the result; the last one
    is called ``"output"`` and is affine. The function that is verified is the real-valued one
    whose weights are the stored doubles, taken as exact rationals.

    Parameters
    ----------
    input_size : int
        Number of scalar inputs.
    nodes : iterable of GraphNode
        Each after its predecessors.
    input_shape, output_shape : tuple of int, optional
        Shapes of the tensors before flattening in C order (without the batch).
    roundings : tuple of str, optional
        What a loader had to round because no double holds it, one line each.

    Raises
    ------
    NetworkError
        For NaN or infinite weights, mismatching shapes, and nodes out of order.

    Examples
    --------
    >>> square = GraphNode("square", {"input": [[1.0]]}, [0.0], Function.POWER, 2)
    >>> graph = FunctionGraph(1, [square, GraphNode("output", {"square": [[3.0]]}, [1.0])])
    >>> graph([[2.0]])
    array([[13.]])
    >>> graph.size_of("square"), graph.select_output(0).output_size
    (1, 1)
    >>> graph.negated()([[2.0]]).tolist(), graph.exact([Fraction(1, 3)])
    ([[-13.0]], (Fraction(4, 3),))
    >>> two = FunctionGraph(2, [GraphNode("output", {"input": [[3.0, 1.0]]}, [1.0])])
    >>> two.fix_inputs({1: 2.0})([[0.0]]).tolist()
    [[3.0]]
    >>> graph.pre_activations([[2.0]])["square"].tolist()
    [[2.0]]
    >>> graph.with_output(GraphNode("output", {"input": [[1.0]]}, [0.0])).nodes[0].name
    'output'
    >>> graph.refuse("jensen plot")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    jensen.errors.NetworkError: jensen plot takes piecewise-linear networks, and node 'square' ...
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     graph.save(pathlib.Path(folder, "graph.npz"))
    """

    input_size: int
    nodes: tuple[GraphNode, ...]
    input_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()
    roundings: tuple[str, ...] = ()
    _by_name: dict[str, GraphNode] = field(init=False, repr=False)

    def __init__(
        self,
        input_size: int,
        nodes: Iterable[GraphNode],
        *,
        input_shape: Sequence[int] | None = None,
        output_shape: Sequence[int] | None = None,
        roundings: Sequence[str] = (),
    ) -> None:
        size = as_count(input_size, "input_size")
        frozen = tuple(checked(node) for node in listed(nodes, "nodes"))
        check_order(size, frozen)
        object.__setattr__(self, "input_size", size)
        object.__setattr__(self, "nodes", frozen)
        object.__setattr__(self, "_by_name", {node.name: node for node in frozen})
        object.__setattr__(self, "roundings", listed(roundings, "roundings"))
        for name, shape, count in (
            ("input_shape", input_shape, size),
            ("output_shape", output_shape, frozen[-1].size),
        ):
            object.__setattr__(self, name, checked_shape(name, shape, count))

    # ---------------------------------------------------------------- structure

    def __getitem__(self, name: str) -> GraphNode:
        return self._by_name[name]

    @property
    def output(self) -> GraphNode:
        """The affine output node."""
        return self.nodes[-1]

    @property
    def output_size(self) -> int:
        """Number of scalar outputs."""
        return self.output.size

    @property
    def relu_count(self) -> int:
        """Number of ReLU neurons."""
        return sum(node.size for node in self.nodes if node.function is Function.RELU)

    @property
    def parameter_count(self) -> int:
        """Number of stored weights and biases (non-zeros of sparse matrices)."""
        matrices = (weight for node in self.nodes for weight in node.weights.values())
        edges = sum(int(w.nnz) if sp.issparse(w) else int(w.size) for w in matrices)
        return edges + sum(node.rows for node in self.nodes)

    @property
    def work(self) -> int:
        """Number of products in one evaluation."""
        matrices = (weight for node in self.nodes for weight in node.weights.values())
        return sum(
            w.work if isinstance(w, Convolution) else int(w.nnz if sp.issparse(w) else w.size)
            for w in matrices
        )

    @property
    def has_convolutions(self) -> bool:
        """Whether a weight is a :class:`Convolution`."""
        matrices = (weight for node in self.nodes for weight in node.weights.values())
        return any(isinstance(weight, Convolution) for weight in matrices)

    @property
    def function_counts(self) -> dict[str, int]:
        """How many values each function computes, affine maps left out."""
        counts: dict[str, int] = {}
        for node in self.nodes:
            if node.function is not Function.IDENTITY:
                counts[str(node.function)] = counts.get(str(node.function), 0) + node.size
        return counts

    @property
    def is_rational(self) -> bool:
        """Whether values at rational points are rational, so that :meth:`exact` exists."""
        return all(node.function in RATIONAL for node in self.nodes)

    @property
    def has_poles(self) -> bool:
        """Whether a node divides by a value, which may be 0."""
        return any(node.function is Function.RECIPROCAL for node in self.nodes)

    def size_of(self, name: str) -> int:
        """Return the width of a node, or of the input.

        Parameters
        ----------
        name : str
        """
        return self.input_size if name == INPUT else self._by_name[name].size

    def with_output(self, output: GraphNode) -> FunctionGraph:
        """Return the same nodes under another output, those that it does not read dropped.

        Parameters
        ----------
        output : GraphNode
        """
        kept, needed = [output], set(output.weights)
        for node in reversed(self.nodes[:-1]):
            if node.name in needed:
                kept.append(node)
                needed.update(node.weights)
        return FunctionGraph(
            self.input_size, kept[::-1], input_shape=self.input_shape, roundings=self.roundings
        )

    def select_output(self, index: int | None) -> FunctionGraph:
        """Return the graph of one output.

        Parameters
        ----------
        index : int or None
            None stands for the only output.

        Raises
        ------
        OptionError
            If there are several and none was chosen.
        NetworkError
            If there is no such output.
        """
        index = chosen_output(self.output_size, index)
        if self.output_size == 1:
            return self
        weights = {source: w[[index], :] for source, w in self.output.weights.items()}
        return self.with_output(
            replace(self.output, weights=weights, bias=self.output.bias[[index]])
        )

    def negated(self) -> FunctionGraph:
        """Return the graph of ``-f``."""
        weights = {source: -w for source, w in self.output.weights.items()}
        return self.with_output(replace(self.output, weights=weights, bias=-self.output.bias))

    def fix_inputs(self, values: Mapping[int, float]) -> FunctionGraph:
        """Return the graph of the other inputs, some being fixed; nothing is rounded.

        Parameters
        ----------
        values : mapping from input to its value

        Raises
        ------
        NetworkError
            For an input that does not exist, a value that is not finite, and if no input
            is left.
        """
        fixed = fixed_blocks(
            self.input_size, with_copied_input(self.input_size, self.nodes), values
        )
        nodes = [
            GraphNode(node.name, node.weights, node.bias) if isinstance(node, Block) else node
            for node in fixed
        ]
        return FunctionGraph(
            self.input_size - len(values),
            nodes,
            output_shape=self.output_shape,
            roundings=self.roundings,
        )

    def refuse(self, what: str, instead: str = "jensen.verify takes this one") -> NoReturn:
        """Say that something takes piecewise-linear networks only, naming the first other node.

        Parameters
        ----------
        what : str
            The subject of the sentence, such as "jensen plot".
        instead : str
            What can be done with this graph.

        Raises
        ------
        NetworkError
        """
        allowed = (Function.IDENTITY, Function.RELU)
        node = next((node for node in self.nodes if node.function not in allowed), self.output)
        raise NetworkError(
            f"{what} takes piecewise-linear networks, and node {node.name!r} is {node.function}; "
            f"{instead}"
        )

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse what only ReLU networks have, for every function that takes those alone."""
        if name in _OF_RELU_NETWORKS:
            self.refuse("this")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # --------------------------------------------------------------- evaluation

    def pre_activations(self, X: ArrayLike) -> dict[str, FloatArray]:
        """Return z of every node at every point: name -> (n, rows).

        Parameters
        ----------
        X : array of shape (n, inputs)

        Returns
        -------
        dict from name to array of shape (n, rows)

        Raises
        ------
        NetworkError
            If the points have another size.
        """
        points = self._as_points(X)
        values = {INPUT: points}
        result: dict[str, FloatArray] = {}
        # where a value overflows or a logarithm has none, infinity or NaN say so
        with np.errstate(all="ignore"):
            for node in self.nodes:
                z = np.broadcast_to(node.bias, (points.shape[0], node.rows)).copy()
                for source, weight in node.weights.items():
                    z += _times(values[source], weight)
                result[node.name] = z
                values[node.name] = node.values(z)
        return result

    def exact(self, x: Iterable[Fraction | int | float]) -> tuple[Fraction, ...]:
        """Evaluate at one point in rational arithmetic.

        Parameters
        ----------
        x : iterable of (inputs) rational numbers

        Returns
        -------
        tuple of (outputs) Fraction

        Raises
        ------
        NetworkError
            If a node's function has irrational values, or none at this point.
        """
        return exact_values(self.input_size, self.nodes, exact_point(x, self.input_size))

    # ----------------------------------------------------------------- identity

    def save(self, path: str | Path) -> None:
        """Write the graph as ``.npz`` (docs/npz-format.md); never with pickle.

        Parameters
        ----------
        path : str or Path
            Ends in ``.npz``.
        """
        write_graph(Path(path), self.nodes, self.input_shape, self.output_shape)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the exact function description (docs/smooth.md)."""
        sha = hashlib.sha256(b"jensen-graph/1\n")
        sha.update(f"{self.input_size}\n".encode())
        for node in self.nodes:
            head = [node.name, str(node.function), node.parameter.hex(), node.group, node.rows]
            sha.update(json.dumps([*head, list(node.weights)]).encode() + b"\n")
            sha.update((node.bias + 0.0).astype("<f8").tobytes())
            for weight in node.weights.values():
                if isinstance(weight, Convolution):
                    # filters of one size are read in several ways, which are other functions
                    sizes = [*weight.weight.shape, *weight.windows.shape, weight.positions]
                    sha.update(json.dumps(["conv", *sizes, weight.groups]).encode())
                    sha.update((weight.weight + 0.0).astype("<f8").tobytes())
                    sha.update(weight.windows.astype("<i8").tobytes())
                    continue
                stored = weight.data if sp.issparse(weight) else weight
                sha.update(int(np.count_nonzero(stored)).to_bytes(8, "little"))
                for part in entries(weight):
                    sha.update(part)
        return sha.hexdigest()

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.function_counts.items())
        return f"FunctionGraph({self.input_size}-{self.output_size}, {counts or 'affine'})"


def _times(values: FloatArray, weight: Matrix | Convolution) -> FloatArray:
    """Return the products of every row with a weight."""
    if isinstance(weight, Convolution):
        return weight.of_rows(values)
    result: FloatArray = values @ weight.T
    return result
