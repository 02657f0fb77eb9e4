"""Many networks of one architecture as stacked arrays, the network on the leading axis."""

from __future__ import annotations

import operator
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jensen.arguments import checked_flag
from jensen.arithmetic.doubles import NotADoubleError, exact_doubles
from jensen.errors import ModelFileError, NetworkError
from jensen.network.checks import as_count, chosen_output, listed
from jensen.network.relu_network import ReluNetwork
from jensen.outputs import path_of, replacing
from jensen.text import shown
from jensen.types import FloatArray

_LARGEST = 2**31  # bytes of a file of stacked arrays


@dataclass(frozen=True, eq=False, init=False)
class NetworkStack(Sequence[ReluNetwork]):
    """Feed-forward ReLU networks of one architecture: ``W_L relu(... relu(W_0 x + b_0))``.

    A network is only built when it is asked for, by its number.

    Parameters
    ----------
    weights : sequence of arrays of shape (networks, out, in)
        One per layer.
    biases : sequence of arrays of shape (networks, out)

    Raises
    ------
    NetworkError
        For mismatching shapes, NaN or infinite numbers.

    Examples
    --------
    >>> stack = NetworkStack([[[[1.0]], [[2.0]]], [[[1.0]], [[-1.0]]]], [[[0], [0]], [[0], [1]]])
    >>> len(stack), stack[1]([[3.0]])
    (2, array([[-5.]]))
    >>> stack.take([1]).scalar(0, negated=True)[0]([[3.0]])
    array([[5.]])
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     stack.save(pathlib.Path(folder, "stack.npz"))
    ...     again = NetworkStack.load(pathlib.Path(folder, "stack.npz"))
    >>> len(NetworkStack.from_networks([*again, stack[0]]))
    3
    """

    weights: tuple[FloatArray, ...]
    biases: tuple[FloatArray, ...]

    def __init__(self, weights: Sequence[ArrayLike], biases: Sequence[ArrayLike]) -> None:
        if not isinstance(weights, Sequence) or not isinstance(biases, Sequence):
            raise NetworkError(
                "a stack needs a list of weight arrays and one of bias arrays, one per layer"
            )
        if len(weights) != len(biases) or not len(weights):
            raise NetworkError(f"{len(weights)} weight arrays, {len(biases)} biases: need n and n")
        checked = [_layer(w, b, k) for k, (w, b) in enumerate(zip(weights, biases, strict=True))]
        for k, ((before, _), (after, _)) in enumerate(pairwise(checked)):
            if len(before) != len(after) or before.shape[1] != after.shape[2]:
                raise NetworkError(
                    f"weights[{k}] has shape {before.shape}, weights[{k + 1}] {after.shape}: "
                    "needed are (networks, out, in) with the outputs of one as inputs of the next"
                )
        object.__setattr__(self, "weights", tuple(w for w, _ in checked))
        object.__setattr__(self, "biases", tuple(b for _, b in checked))

    @classmethod
    def from_networks(cls, networks: Sequence[ReluNetwork]) -> NetworkStack:
        """Stack networks that :func:`architecture` calls the same.

        Parameters
        ----------
        networks : sequence of ReluNetwork

        Returns
        -------
        NetworkStack

        Raises
        ------
        NetworkError
            If there are none, or one does not fit.
        """
        networks = listed(networks, "networks")
        if not all(isinstance(network, ReluNetwork) for network in networks):
            raise NetworkError("networks to stack: a list of ReluNetwork is needed")
        kinds = {architecture(network) for network in networks}
        if len(kinds) != 1 or None in kinds:
            raise NetworkError(
                f"{len(networks)} networks cannot be stacked: needed is one feed-forward "
                "architecture with ReLUs between dense layers"
            )
        layers = list(zip(*(network.blocks for network in networks), strict=True))
        if len(networks) == 1:  # its numbers have been looked at
            stack = cls.__new__(cls)
            blocks = networks[0].blocks
            weights = tuple(next(iter(block.weights.values()))[None] for block in blocks)
            object.__setattr__(stack, "weights", weights)
            object.__setattr__(stack, "biases", tuple(block.bias[None] for block in blocks))
            return stack
        return cls(
            [np.stack([next(iter(b.weights.values())) for b in blocks]) for blocks in layers],
            [np.stack([block.bias for block in blocks]) for blocks in layers],
        )

    @classmethod
    def load(cls, path: str | Path) -> NetworkStack:
        """Read a stack from ``.npz`` with arrays ``W0, b0, W1, b1, ...`` (docs/manifest.md).

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        NetworkStack

        Raises
        ------
        ModelFileError
            If it is no such file.
        NetworkError
            If the arrays do not fit together.
        """
        path = path_of(path)
        weights: list[FloatArray] = []
        biases: list[FloatArray] = []
        try:
            with zipfile.ZipFile(path) as parts:  # a declared size is checked before it is read
                size = sum(part.file_size for part in parts.infolist())
            if size > _LARGEST:
                raise ValueError(f"{size:,} bytes; at most {_LARGEST:,} are supported")
            with np.load(path, allow_pickle=False) as archive:
                while f"W{len(weights)}" in archive.files:
                    biases.append(archive[f"b{len(weights)}"])
                    weights.append(archive[f"W{len(weights)}"])
        except MemoryError:
            raise ModelFileError(f"{path}: not a stack of networks (out of memory)") from None
        except Exception as error:  # damaged archives make their readers raise almost anything
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ModelFileError(f"{path}: not a stack of networks ({reason})") from None
        if not weights:
            raise ModelFileError(f"{path}: not a stack of networks (no array W0)")
        try:
            return cls(weights, biases)
        except NetworkError as error:
            raise NetworkError(f"{path}: {error}") from None

    def save(self, path: str | Path) -> None:
        """Write the stack as ``.npz`` (docs/manifest.md).

        Parameters
        ----------
        path : str or Path
            Ends in ``.npz``.
        """
        arrays = {f"W{k}": weight for k, weight in enumerate(self.weights)}
        arrays |= {f"b{k}": bias for k, bias in enumerate(self.biases)}
        file = path_of(path)
        with replacing(file if file.suffix == ".npz" else Path(f"{file}.npz")) as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.weights[0])

    @overload
    def __getitem__(self, index: int) -> ReluNetwork: ...
    @overload
    def __getitem__(self, index: slice) -> NetworkStack: ...
    def __getitem__(self, index: int | slice) -> ReluNetwork | NetworkStack:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"network {index} of {len(self)}")
        return ReluNetwork.from_layers(
            [w[index] for w in self.weights], [b[index] for b in self.biases]
        )

    def __iter__(self) -> Iterator[ReluNetwork]:
        return (self[index] for index in range(len(self)))

    def take(self, numbers: Sequence[int] | NDArray[np.int64]) -> NetworkStack:
        """Return the stack of some of the networks.

        Parameters
        ----------
        numbers : sequence of int

        Returns
        -------
        NetworkStack

        Raises
        ------
        NetworkError
            If there is no such network.
        """
        chosen = listed(numbers, "numbers of networks")
        for number in chosen:
            if not 0 <= as_count(number, "network") < len(self):
                raise NetworkError(f"network {shown(number)}: the stack has 0 to {len(self) - 1}")
        indices = np.array(chosen, dtype=np.intp)
        part = object.__new__(NetworkStack)
        object.__setattr__(part, "weights", tuple(w[indices] for w in self.weights))
        object.__setattr__(part, "biases", tuple(b[indices] for b in self.biases))
        return part

    def scalar(self, output: int, *, negated: bool = False) -> NetworkStack:
        """Return the stack of one output, or of its negative.

        Parameters
        ----------
        output : int
        negated : bool

        Returns
        -------
        NetworkStack

        Raises
        ------
        NetworkError
            If there is no such output.
        """
        output = chosen_output(self.output_size, output)
        sign = -1.0 if checked_flag(negated, "negated") else 1.0
        rows = slice(output, output + 1)
        part = object.__new__(NetworkStack)
        last = sign * self.weights[-1][:, rows], sign * self.biases[-1][:, rows]
        object.__setattr__(part, "weights", (*self.weights[:-1], last[0]))
        object.__setattr__(part, "biases", (*self.biases[:-1], last[1]))
        return part

    @property
    def input_size(self) -> int:
        """Number of scalar inputs of each network."""
        return int(self.weights[0].shape[2])

    @property
    def output_size(self) -> int:
        """Number of scalar outputs of each network."""
        return int(self.weights[-1].shape[1])

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases of each network."""
        return sum(part[0].size for part in (*self.weights, *self.biases))

    @property
    def relu_count(self) -> int:
        """Number of ReLUs of each network."""
        return sum(bias.shape[1] for bias in self.biases[:-1])

    def __repr__(self) -> str:
        widths = "-".join(str(w.shape[2]) for w in self.weights)
        return f"NetworkStack({len(self)} of {widths}-{self.output_size})"


def architecture(network: ReluNetwork) -> tuple[int, ...] | None:
    """Return the widths of a feed-forward network of dense layers, None for any other."""
    return network.dense_widths


def by_architecture(
    networks: Sequence[ReluNetwork] | NetworkStack,
) -> Iterator[tuple[Sequence[int], NetworkStack]]:
    """Yield networks of the same architecture, with their numbers."""
    if isinstance(networks, NetworkStack):
        yield range(len(networks)), networks
        return
    kinds: dict[tuple[int, ...], list[int]] = {}
    for number, network in enumerate(networks):
        kind = architecture(network)
        if kind is not None:
            kinds.setdefault(kind, []).append(number)
    for numbers in kinds.values():
        yield numbers, NetworkStack.from_networks([networks[k] for k in numbers])


def _layer(weight: ArrayLike, bias: ArrayLike, number: int) -> tuple[FloatArray, FloatArray]:
    try:
        w, b = exact_doubles(weight), exact_doubles(bias)
    except NotADoubleError as error:
        raise NetworkError(
            f"layer {number}: not arrays of numbers that doubles hold: {error}"
        ) from None
    if w.ndim != 3 or b.shape != w.shape[:2] or not w.size:
        raise NetworkError(
            f"weights[{number}] has shape {w.shape}, biases[{number}] {b.shape}: "
            "needed are (networks, out, in) and (networks, out)"
        )
    for name, array in (("weights", w), ("biases", b)):
        if not np.isfinite(array).all():
            network = int(np.argwhere(~np.isfinite(array))[0][0])
            raise NetworkError(f"{name}[{number}] of network {network} holds NaN or infinity")
        array.flags.writeable = False
    return w, b
