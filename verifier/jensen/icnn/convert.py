"""The input-convex form of networks that have one (docs/icnn.md)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from jensen.arithmetic.exact import to_double
from jensen.errors import IcnnFormError, NetworkError
from jensen.graphs.function_graph import FunctionGraph
from jensen.icnn.analysis import Analysis, Expression, analyse
from jensen.icnn.check import is_icnn
from jensen.loaders import opened
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork
from jensen.types import FloatArray

MOST_PARTS = 8  # doubles whose sum is a weight


def to_icnn(network: ReluNetwork | FunctionGraph | str | Path) -> ReluNetwork:
    """Return an input-convex network that computes the same function, exactly.

    *One hidden layer*: every convex network has such a form, with as many neurons or fewer.
    On each kink, twins add up to one neuron of non-negative output weight; what they
    contribute on the other side is affine and goes straight from the input to the output.

    *More layers*: it is found where the network is input-convex up to scales and signs of
    its neurons, twins, and neurons that pass signals through. Convex networks of two and
    more hidden layers without any such form exist.

    Parameters
    ----------
    network : ReluNetwork or path
        With one output.

    Returns
    -------
    ReluNetwork
        The network itself where it is input-convex as it stands. Weights that no double
        holds are sums of several, read through affine blocks that repeat a layer.

    Raises
    ------
    IcnnFormError
        Where there is none or none was found; the message says why.
    NetworkError
        If it has several outputs.

    References
    ----------
    Gagneux et al., arXiv 2501.03017; docs/icnn.md.

    Examples
    --------
    >>> net = ReluNetwork.from_layers([[[1.0], [-1.0]], [[3.0, -1.0]]], [[2, -2], [0]])
    >>> is_icnn(net), is_icnn(to_icnn(net))
    (False, True)
    >>> to_icnn(net)([[-3.0], [5.0]]) == net([[-3.0], [5.0]])
    array([[ True],
           [ True]])
    """
    network = opened(network)
    if isinstance(network, FunctionGraph):
        network.refuse("an input-convex form")
    already = is_icnn(network)
    if network.output_size != 1:
        raise NetworkError(f"the network has {network.output_size} outputs: select one")
    if already:
        return network
    analysis = analyse(network)
    for unit in (k for k, weight in analysis.output.units.items() if weight < 0):
        source = analysis.units[unit]
        one_layer = not any(u.expression.units for u in analysis.units)
        why = "it is not convex" if one_layer else "it has no input-convex form of this kind"
        raise IcnnFormError(
            f"the kink of neuron {source.block}[{source.neuron}] bends the output down, after "
            f"signs and twins have been taken into account: {why}"
        )
    result = _Builder(network, analysis).build()
    if analyse(result).canonical() != analysis.canonical():
        raise IcnnFormError("the input-convex form could not be shown to be equal")
    return result


class _Builder:
    """Writes an analysis as a network, layer by layer of the original one."""

    def __init__(self, network: ReluNetwork, analysis: Analysis) -> None:
        self._network, self._analysis = network, analysis
        self._blocks: list[Block] = []
        self._place: dict[int, tuple[str, int]] = {}
        self._sizes = {INPUT: network.input_size}

    def build(self) -> ReluNetwork:
        """Return the network; blocks without units are gone, all-zero edges as well."""
        used = self._used()
        for block in self._network.hidden:
            units = [k for k in used if self._analysis.units[k].block == block.name]
            # units of one block may read one another: twins of earlier ones pass them on
            for number, layer in enumerate(self._layers(units)):
                name = block.name if not number else f"{block.name}_{number}"
                self._add(name, [self._analysis.units[k].expression for k in layer], relu=True)
                self._place |= {k: (name, i) for i, k in enumerate(layer)}
        self._add(OUTPUT, [self._analysis.output], relu=False)
        whole = self._network
        return ReluNetwork(
            whole.input_size,
            self._alive(),
            input_shape=whole.input_shape,
            output_shape=whole.output_shape,
            roundings=whole.roundings,
        )

    def _used(self) -> list[int]:
        """Return the units that the output depends on."""
        wanted = set(self._analysis.output.units)
        for k in reversed(range(len(self._analysis.units))):
            if k in wanted:
                wanted |= set(self._analysis.units[k].expression.units)
        return sorted(wanted)

    def _layers(self, units: Sequence[int]) -> list[list[int]]:
        depth: dict[int, int] = {}
        for k in units:
            inner = [depth[j] for j in self._analysis.units[k].expression.units if j in depth]
            depth[k] = max(inner, default=-1) + 1
        return [
            [k for k in units if depth[k] == d] for d in range(max(depth.values(), default=-1) + 1)
        ]

    def _add(self, name: str, rows: list[Expression], *, relu: bool) -> None:
        """Add a block, and the affine blocks through which it reads sums of doubles."""
        wanted: dict[str, dict[tuple[int, int], Fraction]] = {}
        for i, row in enumerate(rows):
            for j, value in row.linear.items():
                wanted.setdefault(INPUT, {})[i, j] = value
            for k, value in row.units.items():
                source, j = self._place[k]
                wanted.setdefault(source, {})[i, j] = value
        weights: dict[str, FloatArray] = {}
        for source, entries in wanted.items():
            for number, part in enumerate(_parts(entries, (len(rows), self._sizes[source]))):
                weights[self._copy(source, number)] = part
        constants = {(i, 0): row.constant for i, row in enumerate(rows) if row.constant}
        bias, *more = _parts(constants, (len(rows), 1)) or [np.zeros((len(rows), 1))]
        for number, part in enumerate(more):
            weights[self._one(number)] = part
        if not weights:
            weights[INPUT] = np.zeros((len(rows), self._sizes[INPUT]))
        activation = Activation.RELU if relu else Activation.IDENTITY
        self._blocks.append(Block(name, weights, bias[:, 0], activation))
        self._sizes[name] = len(rows)

    def _copy(self, source: str, number: int) -> str:
        """Return an affine block that repeats another one; for number 0 that one itself."""
        if not number:
            return source
        name = f"{source}_again_{number}"
        if name not in self._sizes:
            size = self._sizes[source]
            self._affine(name, source, np.eye(size), np.zeros(size))
        return name

    def _one(self, number: int) -> str:
        """Return an affine block that is constantly 1."""
        name = f"one_{number}"
        if name not in self._sizes:
            self._affine(name, INPUT, np.zeros((1, self._sizes[INPUT])), np.ones(1))
        return name

    def _affine(self, name: str, source: str, weight: FloatArray, bias: FloatArray) -> None:
        self._blocks.append(Block(name, {source: weight}, bias, Activation.IDENTITY))
        self._sizes[name] = len(bias)

    def _alive(self) -> list[Block]:
        keep = {OUTPUT}
        for block in reversed(self._blocks):
            if block.name in keep:
                keep |= set(block.weights)
        return [block for block in self._blocks if block.name in keep]


def _parts(entries: dict[tuple[int, int], Fraction], shape: tuple[int, int]) -> list[FloatArray]:
    """Write a matrix of fractions as an exact sum of matrices of doubles of the same signs."""
    found: list[FloatArray] = []
    for (i, j), value in entries.items():
        for number, part in enumerate(_doubles(value)):
            if number == len(found):
                found.append(np.zeros(shape))
            found[number][i, j] = part
    return found


def _doubles(value: Fraction) -> list[float]:
    """Return doubles of one sign whose sum is a number, exactly.

    Raises
    ------
    IcnnFormError
        If there are none, or too many.
    """
    found: list[float] = []
    left = value
    while left:
        part = _towards_zero(left)
        if not part or len(found) == MOST_PARTS:
            raise IcnnFormError(
                f"a weight of about {to_double(value):.3g} is no sum of few doubles"
            )
        found.append(part)
        left -= Fraction(part)
    return found


def _towards_zero(value: Fraction) -> float:
    part = to_double(value)
    if abs(Fraction(part)) > abs(value):
        part = float(np.nextafter(part, 0.0))
    return part
