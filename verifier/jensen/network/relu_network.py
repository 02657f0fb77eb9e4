"""The ReLU DAG network in canonical form (docs/theory.md, section 1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from jensen.arithmetic.exact import ExactMatrix, ExactVector, Matrix
from jensen.errors import NetworkError
from jensen.network.block import INPUT, OUTPUT, Activation, Block
from jensen.network.checks import as_count, as_matrix, as_vector, checked_shape, frozen, ordered
from jensen.network.digest import network_digest
from jensen.network.display import network_table
from jensen.network.fixing import fixed_blocks
from jensen.network.npz_writer import write_npz
from jensen.network.order import layer_graph, paths_to_output
from jensen.types import BoolArray, FloatArray

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["INPUT", "OUTPUT", "Activation", "Block", "Pattern", "ReluNetwork"]

Pattern = Mapping[str, BoolArray]


@dataclass(frozen=True, eq=False)
class ReluNetwork:
    """An immutable ReLU network over a directed acyclic *layer graph*.

    Weights are ``(out, in)``. The verified function is the real-valued one whose
    weights are the stored doubles, taken as exact rationals.

    Parameters
    ----------
    input_size : int
        Number of scalar inputs.
    blocks : iterable of Block
        In any order; exactly one is called ``"output"`` and is affine.
    input_shape, output_shape : tuple of int, optional
        Shapes of the tensors before flattening in C order (without the batch).
    roundings : tuple of str, optional
        What a loader had to round because no double holds it, such as a third, one line
        each. The network is the rounded one.

    Raises
    ------
    NetworkError
        For NaN or infinite weights, mismatching shapes, cycles, zero-sized layers,
        and blocks that the input does not reach or that do not reach the output.
    """

    input_size: int
    blocks: tuple[Block, ...]
    input_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()
    roundings: tuple[str, ...] = ()
    _by_name: dict[str, Block] = field(init=False, repr=False)

    def __init__(
        self,
        input_size: int,
        blocks: Iterable[Block],
        *,
        input_shape: Sequence[int] | None = None,
        output_shape: Sequence[int] | None = None,
        roundings: Sequence[str] = (),
    ) -> None:
        size = as_count(input_size, "input_size")
        if isinstance(blocks, str | Mapping) or not isinstance(blocks, Iterable):
            raise NetworkError(
                f"blocks: {type(blocks).__name__}; needed is ReluNetwork(input_size, [Block, ...])"
            )
        checked = ordered(size, [frozen(block) for block in blocks])
        object.__setattr__(self, "input_size", size)
        object.__setattr__(self, "blocks", checked)
        object.__setattr__(self, "_by_name", {block.name: block for block in checked})
        object.__setattr__(self, "roundings", tuple(roundings))
        for name, shape, size in (
            ("input_shape", input_shape, self.input_size),
            ("output_shape", output_shape, self.output_size),
        ):
            object.__setattr__(self, name, checked_shape(name, shape, size))

    @classmethod
    def from_layers(
        cls, weights: Sequence[ArrayLike | Matrix], biases: Sequence[ArrayLike]
    ) -> ReluNetwork:
        """Build a feed-forward network: ReLU between the layers, none after the last.

        Parameters
        ----------
        weights : sequence of (out, in) matrices
        biases : sequence of (out,) vectors

        Examples
        --------
        >>> net = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
        >>> net([[-2.0], [3.0]])
        array([[2.],
               [3.]])
        """
        for name, given in (("weights", weights), ("biases", biases)):
            if not isinstance(given, Sequence | np.ndarray) or isinstance(given, str):
                raise NetworkError(
                    f"{name}: {type(given).__name__}; needed is a list with one array per layer, "
                    "from_layers(weights, biases)"
                )
        if len(weights) != len(biases) or not len(weights):
            raise NetworkError(
                f"{len(weights)} weight matrices, {len(biases)} biases: need n and n"
            )
        blocks = []
        previous = INPUT
        for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            last = index == len(weights) - 1
            name = OUTPUT if last else f"relu_{index + 1}"
            activation = Activation.IDENTITY if last else Activation.RELU
            matrix = as_matrix(weight, f"weights[{index}]")
            blocks.append(Block(name, {previous: matrix}, as_vector(bias, name), activation))
            previous = name
        first = blocks[0].weights[INPUT]
        return cls(int(first.shape[1]), blocks)

    # ---------------------------------------------------------------- structure

    def __getitem__(self, name: str) -> Block:
        return self._by_name[name]

    @property
    def output_size(self) -> int:
        """Number of scalar outputs."""
        return self._by_name[OUTPUT].size

    @property
    def output(self) -> Block:
        """The affine output block."""
        return self._by_name[OUTPUT]

    @property
    def hidden(self) -> tuple[Block, ...]:
        """All blocks but the output, in topological order."""
        return tuple(block for block in self.blocks if block.name != OUTPUT)

    @property
    def relu_count(self) -> int:
        """Number of ReLU neurons."""
        return sum(block.size for block in self.blocks if block.is_relu)

    @property
    def parameter_count(self) -> int:
        """Number of stored weights and biases (non-zeros of sparse matrices)."""
        edges = sum(_stored(w) for block in self.blocks for w in block.weights.values())
        return edges + sum(block.size for block in self.blocks)

    def size_of(self, name: str) -> int:
        """Width of a block, or of the input."""
        return self.input_size if name == INPUT else self._by_name[name].size

    @cached_property
    def graph(self) -> nx.DiGraph:
        """The layer graph; every edge carries its matrix as ``weight`` (frozen)."""
        import networkx as nx  # noqa: PLC0415  (loaded where a graph is walked)

        return nx.freeze(layer_graph(self.input_size, self.blocks))

    @cached_property
    def successors(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the blocks that read a block, in topological order."""
        readers: dict[str, list[str]] = {INPUT: []}
        for block in self.blocks:
            readers.setdefault(block.name, [])
            for source in block.weights:
                readers[source].append(block.name)
        return {name: tuple(names) for name, names in readers.items()}

    def layer_paths(self, block: str) -> Iterator[tuple[str, ...]]:
        """Enumerate the layer paths from a block to the output.

        Their number can grow exponentially with the skips; sums over all of
        them are taken by :func:`jensen.bounds.paths.path_sums` without enumeration.
        """
        return paths_to_output(self.graph, block)

    def select_output(self, index: int) -> ReluNetwork:
        """Return the network of one output, without the neurons it does not read.

        Raises
        ------
        NetworkError
            If there is no such output.
        """
        index = as_count(index, "output")
        if not 0 <= index < self.output_size:
            raise NetworkError(f"output {index} asked for, the network has {self.output_size}")
        if self.output_size == 1:
            return self
        weights = {source: _row(w, index) for source, w in self.output.weights.items()}
        return self.with_output(
            Block(OUTPUT, weights, self.output.bias[[index]], Activation.IDENTITY)
        )

    def with_output(self, output: Block) -> ReluNetwork:
        """Return the same hidden blocks under another output block, dead blocks dropped."""
        keep = {OUTPUT}
        candidates = [*self.hidden, output]
        for block in reversed(candidates):
            if block.name in keep:
                keep.update(block.weights)
        return ReluNetwork(
            self.input_size,
            [block for block in candidates if block.name in keep],
            input_shape=self.input_shape,
            roundings=self.roundings,
        )

    def fix_inputs(self, values: Mapping[int, float]) -> ReluNetwork:
        """Return the network of the other inputs, some being fixed; nothing is rounded.

        Parameters
        ----------
        values : mapping from input to its value
            Input tensors are flattened in C order.

        Raises
        ------
        NetworkError
            For an input that does not exist, a value that is not finite, and if no input
            is left.

        Examples
        --------
        >>> net = ReluNetwork.from_layers([[[1.0, -1.0]], [[2.0]]], [[0], [0]])
        >>> at_three = net.fix_inputs({0: 3.0})
        >>> at_three([[1.0], [4.0]])[:, 0]
        array([4., 0.])
        """
        blocks = fixed_blocks(self.input_size, self.blocks, values)
        return ReluNetwork(
            self.input_size - len(values),
            blocks,
            output_shape=self.output_shape,
            roundings=self.roundings,
        )

    def negated(self) -> ReluNetwork:
        """Return the network of ``-f``."""
        weights = {source: -w for source, w in self.output.weights.items()}
        return self.with_output(replace(self.output, weights=weights, bias=-self.output.bias))

    # --------------------------------------------------------------- evaluation

    def __call__(self, X: ArrayLike) -> FloatArray:
        """Evaluate in floating point: (n, inputs) -> (n, outputs), or one point -> (outputs,).

        One point has the shape ``(inputs,)`` or ``input_shape``, where that cannot be several
        points: numbers in a row are points of a network with one input.

        Examples
        --------
        >>> net = ReluNetwork.from_layers([[[1.0, -1.0]], [[2.0]]], [[0], [0]])
        >>> net([3.0, 1.0])
        array([4.])
        >>> net([[3.0, 1.0], [1.0, 3.0]])
        array([[4.],
               [0.]])
        """
        points = np.asarray(X, dtype=np.float64)
        several = points.ndim and points.size == points.shape[0] * self.input_size
        shapes = {(self.input_size,), self.input_shape, () if self.input_size == 1 else None}
        if not several and points.shape in shapes:
            value: FloatArray = self.pre_activations(points.reshape(1, -1))[OUTPUT][0]
            return value
        return self.pre_activations(points)[OUTPUT]

    def pre_activations(self, X: ArrayLike) -> dict[str, FloatArray]:
        """Return z of every block at every point: name -> (n, size)."""
        points = np.asarray(X, dtype=np.float64)
        if points.ndim < 1 or points.size != points.shape[0] * self.input_size:
            raise NetworkError(
                f"points of shape {points.shape}: need (n, {self.input_size}), "
                f"or ({self.input_size},) for a single point"
            )
        values = {INPUT: points.reshape(points.shape[0], self.input_size)}
        result: dict[str, FloatArray] = {}
        for block in self.blocks:
            z = np.broadcast_to(block.bias, (points.shape[0], block.size)).copy()
            for source, weight in block.weights.items():
                z += values[source] @ weight.T
            result[block.name] = z
            values[block.name] = np.maximum(z, 0.0) if block.is_relu else z
        return result

    def exact_pre_activations(self, x: Iterable[Fraction | int | float]) -> dict[str, ExactVector]:
        """Return z of every block at one point, in rational arithmetic."""
        point = ExactVector.from_fractions(x)
        if len(point.integers) != self.input_size:
            raise NetworkError(f"a point of {len(point.integers)} numbers: need {self.input_size}")
        values = {INPUT: point}
        result: dict[str, ExactVector] = {}
        for block in self.blocks:
            z = self._exact_bias[block.name]
            for source in block.weights:
                z = z + self._exact_weight(source, block.name) @ values[source]
            z = z.reduced()
            result[block.name] = z
            values[block.name] = z.masked(z.positive()) if block.is_relu else z
        return result

    def exact(self, x: Iterable[Fraction | int | float]) -> tuple[Fraction, ...]:
        """Evaluate at one point in rational arithmetic."""
        return tuple(self.exact_pre_activations(x)[OUTPUT].to_fractions())

    def activation_pattern(self, x: Iterable[Fraction | int | float]) -> dict[str, BoolArray]:
        """Return which ReLUs are on (z > 0) at a point, decided exactly."""
        values = self.exact_pre_activations(x)
        return {block.name: values[block.name].positive() for block in self.blocks if block.is_relu}

    def affine_form(self, pattern: Pattern) -> tuple[FloatArray, FloatArray]:
        """Return (A, c) with ``f(x) = A x + c`` under an activation pattern, in float64.

        Parameters
        ----------
        pattern : mapping from ReLU block name to bool array of shape (size,)
        """
        slopes: dict[str, FloatArray] = {INPUT: np.eye(self.input_size)}
        offsets: dict[str, FloatArray] = {INPUT: np.zeros(self.input_size)}
        for block in self.blocks:
            mask = self.mask(block, pattern)
            slope = np.zeros((block.size, self.input_size))
            offset = block.bias.copy()
            for source, weight in block.weights.items():
                slope += weight @ slopes[source]
                offset += weight @ offsets[source]
            slopes[block.name] = slope * mask[:, None]
            offsets[block.name] = offset * mask
        return slopes[OUTPUT], offsets[OUTPUT]

    def mask(self, block: Block, pattern: Pattern) -> FloatArray:
        """Return the 0/1 slopes of a block's neurons under a pattern."""
        if not block.is_relu:
            return np.ones(block.size)
        if block.name not in pattern:
            raise NetworkError(f"the activation pattern has no entry for block {block.name!r}")
        return np.asarray(pattern[block.name], dtype=np.float64)

    @cached_property
    def _exact_bias(self) -> dict[str, ExactVector]:
        return {block.name: ExactVector.from_floats(block.bias) for block in self.blocks}

    @cached_property
    def _exact_cache(self) -> dict[tuple[str, str], ExactMatrix]:
        return {}

    def _exact_weight(self, source: str, target: str) -> ExactMatrix:
        key = (source, target)
        if key not in self._exact_cache:
            self._exact_cache[key] = ExactMatrix(self._by_name[target].weights[source])
        return self._exact_cache[key]

    # ------------------------------------------------------------------ identity

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the exact function description (see docs/npz-format.md)."""
        return network_digest(self.input_size, self.blocks)

    def save(self, path: str | Path) -> None:
        """Write the network as ``.npz`` (docs/npz-format.md); never with pickle."""
        write_npz(Path(path), self.blocks, self.input_shape, self.output_shape)

    def __repr__(self) -> str:
        widths = "-".join(str(self.size_of(name)) for name in (INPUT, *self._by_name))
        return f"ReluNetwork({widths}, {self.relu_count} ReLUs)"

    def _repr_html_(self) -> str:
        return network_table(repr(self), self.input_size, self.blocks)


def _row(weight: Matrix, index: int) -> Matrix:
    return weight[[index], :]


def _stored(weight: Matrix) -> int:
    return int(weight.nnz) if sp.issparse(weight) else int(weight.size)
