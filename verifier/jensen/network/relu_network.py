"""The ReLU DAG network in canonical form (docs/theory.md, section 1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from jensen.arithmetic.exact import Matrix
from jensen.errors import NetworkError
from jensen.network.block import INPUT, OUTPUT, Activation, Block
from jensen.network.checks import (
    as_count,
    as_matrix,
    as_vector,
    check_orientation,
    checked_shape,
    chosen_output,
    frozen,
    listed,
    ordered,
)
from jensen.network.digest import network_digest
from jensen.network.display import network_table
from jensen.network.evaluation import Evaluation, Pattern
from jensen.network.fixing import fixed_blocks
from jensen.network.npz_writer import write_npz
from jensen.network.order import layer_graph, paths_to_output
from jensen.outputs import path_of
from jensen.text import counted

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["INPUT", "OUTPUT", "Activation", "Block", "Pattern", "ReluNetwork"]


@dataclass(frozen=True, eq=False)
class ReluNetwork(Evaluation):
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

    Examples
    --------
    >>> net = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 3.0]]], [[0, 0], [-1]])
    >>> net, net.size_of("relu_1"), list(net.layer_paths("relu_1"))
    (ReluNetwork(1-2-1, 2 ReLUs), 2, [('relu_1', 'output')])
    >>> net.exact([-2]), net.negated()([[-2.0]]).tolist()
    ((Fraction(5, 1),), [[-5.0]])
    >>> net.pre_activations([[-2.0]])["relu_1"].tolist()
    [[-2.0, 2.0]]
    >>> net.exact_pre_activations([-2])["relu_1"].integers.tolist()
    [-2, 2]
    >>> pattern = net.activation_pattern([-2])
    >>> pattern["relu_1"].tolist(), net.mask(net.hidden[0], pattern).tolist()
    ([False, True], [0.0, 1.0])
    >>> net.affine_form(pattern)  # f(x) = -3 x - 1 there
    (array([[-3.]]), array([-1.]))
    >>> net.with_output(Block("output", {"input": [[1.0]]}, [0.0], Activation.IDENTITY)).relu_count
    0
    >>> net.select_output(0).output_size
    1
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(pathlib.Path(folder, "net.npz"))
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
        object.__setattr__(self, "roundings", listed(roundings, "roundings"))
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

        Returns
        -------
        ReluNetwork

        Raises
        ------
        NetworkError
            If the sizes do not fit, or a number is not finite.

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
        names = [*(f"relu_{k}" for k in range(1, len(weights))), OUTPUT]
        matrices = [as_matrix(weight, f"weights[{k}]") for k, weight in enumerate(weights)]
        vectors = [as_vector(bias, name) for bias, name in zip(biases, names, strict=True)]
        check_orientation(matrices, vectors)
        blocks = []
        previous = INPUT
        for name, matrix, vector in zip(names, matrices, vectors, strict=True):
            activation = Activation.IDENTITY if name == OUTPUT else Activation.RELU
            blocks.append(Block(name, {previous: matrix}, vector, activation))
            previous = name
        return cls(int(matrices[0].shape[1]), blocks)

    # ---------------------------------------------------------------- structure

    __iter__ = None  # or Python would ask for blocks 0, 1, ...

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

    @cached_property
    def hidden(self) -> tuple[Block, ...]:
        """All blocks but the output, in topological order."""
        return tuple(block for block in self.blocks if block.name != OUTPUT)

    @cached_property
    def dense_widths(self) -> tuple[int, ...] | None:
        """Inputs and widths of a chain of dense layers with ReLUs between them, else None."""
        before = INPUT
        for block in self.blocks:
            chained = tuple(block.weights) == (before,)
            if not chained or not isinstance(block.weights[before], np.ndarray):
                return None
            if block.is_relu == (block.name == OUTPUT):
                return None
            before = block.name
        return (self.input_size, *(block.size for block in self.blocks))

    @cached_property
    def relu_count(self) -> int:
        """Number of ReLU neurons."""
        return sum(block.size for block in self.blocks if block.is_relu)

    @cached_property
    def parameter_count(self) -> int:
        """Number of stored weights and biases (non-zeros of sparse matrices)."""
        edges = sum(_stored(w) for block in self.blocks for w in block.weights.values())
        return edges + sum(block.size for block in self.blocks)

    def size_of(self, name: str) -> int:
        """Width of a block, or of the input.

        Parameters
        ----------
        name : str

        Returns
        -------
        int
        """
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
        them are taken by :func:`jensen.bounds.paths.exact_path_sum` without enumeration.

        Parameters
        ----------
        block : str

        Yields
        ------
        tuple of str
        """
        return paths_to_output(self.graph, block)

    def select_output(self, index: int | None) -> ReluNetwork:
        """Return the network of one output, without the neurons it does not read.

        Parameters
        ----------
        index : int or None
            None stands for the only output.

        Returns
        -------
        ReluNetwork

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
        weights = {source: _row(w, index) for source, w in self.output.weights.items()}
        return self.with_output(
            Block(OUTPUT, weights, self.output.bias[[index]], Activation.IDENTITY)
        )

    def with_output(self, output: Block) -> ReluNetwork:
        """Return the same hidden blocks under another output block, dead blocks dropped.

        Parameters
        ----------
        output : Block

        Returns
        -------
        ReluNetwork
        """
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

        Returns
        -------
        ReluNetwork

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
        """Return the network of ``-f``.

        Returns
        -------
        ReluNetwork
        """
        weights = {source: -w for source, w in self.output.weights.items()}
        return self.with_output(replace(self.output, weights=weights, bias=-self.output.bias))

    # ------------------------------------------------------------------ identity

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the exact function description (see docs/npz-format.md)."""
        return network_digest(self.input_size, self.blocks)

    def save(self, path: str | Path) -> None:
        """Write the network as ``.npz`` (docs/npz-format.md); never with pickle.

        Parameters
        ----------
        path : str or Path
            Ends in ``.npz``.
        """
        write_npz(path_of(path), self.blocks, self.input_shape, self.output_shape)

    def __repr__(self) -> str:
        widths = "-".join(str(self.size_of(name)) for name in (INPUT, *self._by_name))
        return f"ReluNetwork({widths}, {counted(self.relu_count, 'ReLU')})"

    def _repr_html_(self) -> str:
        return network_table(repr(self), self.input_size, self.blocks)


def _row(weight: Matrix, index: int) -> Matrix:
    return weight[[index], :]


def _stored(weight: Matrix) -> int:
    return int(weight.nnz) if sp.issparse(weight) else int(weight.size)
