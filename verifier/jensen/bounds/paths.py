"""Weight products along paths: the slope of the network per unit of each neuron.

For a neuron v and an activation pattern a, ``J_v(a)`` sums, over all paths from v to the
output, the product of the weights times the activations of the neurons behind v. Over
the layer graph that is one backward sweep ``... W diag(a) W`` (docs/theory.md, section 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import islice

import numpy as np

from jensen.arithmetic.exact import ExactMatrix, ExactVector
from jensen.arithmetic.intervals import interval_affine
from jensen.errors import NetworkError
from jensen.network.relu_network import OUTPUT, Block, Pattern, ReluNetwork
from jensen.types import BoolArray, FloatArray, Interval


def exact_path_sum(network: ReluNetwork, neuron: tuple[str, int], pattern: Pattern) -> Fraction:
    """Return J of one neuron of a network with one output, exactly, in one forward sweep.

    Parameters
    ----------
    network : ReluNetwork
    neuron : (block name, index)
    pattern : mapping from ReLU block name to bool array of shape (size,)
        Needed for the blocks behind the neuron only.

    Examples
    --------
    >>> net = ReluNetwork.from_layers([[[1.0]], [[2.0]], [[-3.0]]], [[0], [0], [0]])
    >>> exact_path_sum(net, ("relu_1", 0), {"relu_2": np.array([True])})
    Fraction(-6, 1)
    """
    block, index = neuron
    moved = {block: _unit(network.size_of(block), index)}
    for node in network.blocks:
        terms = [ExactMatrix(w) @ moved[s] for s, w in node.weights.items() if s in moved]
        if terms and node.name != block:
            moved[node.name] = _passed(network, node, sum(terms[1:], terms[0]), pattern)
    return moved[OUTPUT].to_fractions()[0]


def path_shares(
    network: ReluNetwork, neuron: tuple[str, int], pattern: Pattern, most: int = 100
) -> dict[tuple[str, ...], Fraction]:
    """Return what each layer path adds to J of one neuron, exactly.

    Parameters
    ----------
    network, neuron, pattern
        As there.
    most : int
        Paths that are looked at.

    Returns
    -------
    dict from layer path to Fraction
        In the order of :meth:`ReluNetwork.layer_paths`.
    """
    block, index = neuron
    moved: dict[tuple[str, ...], ExactVector] = {(block,): _unit(network.size_of(block), index)}
    shares = {}
    for path in islice(network.layer_paths(block), most):
        for end in range(2, len(path) + 1):  # beginnings are shared by many paths
            if path[:end] not in moved:
                source, target = path[end - 2 : end]
                node = network[target]
                term = ExactMatrix(node.weights[source]) @ moved[path[: end - 1]]
                moved[path[:end]] = _passed(network, node, term, pattern)
        shares[path] = moved[path].to_fractions()[0]
    return shares


def _unit(size: int, index: int) -> ExactVector:
    return ExactVector.from_fractions([int(i == index) for i in range(size)])


def _passed(network: ReluNetwork, node: Block, moved: ExactVector, pattern: Pattern) -> ExactVector:
    """Return what comes out of a block under a pattern."""
    moved = moved.reduced()
    return moved.masked(network.mask(node, pattern) > 0) if node.is_relu else moved


def sign_bounds(
    network: ReluNetwork,
    stable: Mapping[str, tuple[BoolArray, BoolArray]] | None = None,
) -> dict[str, Interval]:
    """Bound J of every hidden neuron over all patterns that respect the stable neurons.

    One backward interval sweep, about the cost of a few forward passes; sparse weights stay
    sparse. Bounds hold in real arithmetic, and sums of zeros are exactly zero: with
    non-negative weights behind a neuron its lower bound is >= 0.

    Parameters
    ----------
    network : ReluNetwork
        With a single output.
    stable : mapping from block name to (on, off), optional
        As :func:`jensen.bounds.pre_activation.stable_pattern` returns it. A neuron that is both has
        ``z = 0`` and counts as off. Blocks that are left out are free.

    Returns
    -------
    dict from hidden block name to (lower, upper), each of shape (size,)

    Raises
    ------
    NetworkError
        If the network has several outputs.
    """
    if network.output_size != 1:
        raise NetworkError(
            f"the network has {network.output_size} outputs: pick one with select_output(k)"
        )
    one = np.ones(1)
    active: dict[str, Interval] = {OUTPUT: (one, one)}
    result: dict[str, Interval] = {}
    for block in reversed(network.hidden):
        terms = [
            (network[reader].weights[block.name].T, active[reader])
            for reader in network.successors[block.name]
        ]
        low, high = interval_affine(terms, np.zeros(block.size))
        result[block.name] = (low, high)
        active[block.name] = _under_activation(block, low, high, stable)
    return result


def _under_activation(
    block: Block,
    low: FloatArray,
    high: FloatArray,
    stable: Mapping[str, tuple[BoolArray, BoolArray]] | None,
) -> Interval:
    """Enclose ``a * J`` for the activations that are possible."""
    if not block.is_relu:
        return low, high
    free = (np.minimum(low, 0.0), np.maximum(high, 0.0))
    if stable is None or block.name not in stable:
        return free
    on, off = stable[block.name]
    return (
        np.where(off, 0.0, np.where(on, low, free[0])),
        np.where(off, 0.0, np.where(on, high, free[1])),
    )
