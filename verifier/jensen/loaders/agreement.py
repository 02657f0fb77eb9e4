"""A loaded network against the object it was read from, on a few points.

What is verified is the network. An exporter that drops an argument in silence would
otherwise let another function be verified than the one the user holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.exact import Matrix
from jensen.errors import ModelFileError
from jensen.graphs.convolution import Convolution
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.node import GraphNode
from jensen.network.relu_network import INPUT, OUTPUT, ReluNetwork
from jensen.types import FloatArray

EXPORTED = "the exporter changed the function (change the operator that it exports differently)"
SCALES = (1.0, 1.0, 0.1, 10.0, 100.0)  # of the random points
_ROUNDINGS = 8  # per operation: a block of the network may stand for several of them


def check_agreement(
    network: ReluNetwork | FunctionGraph,
    run: Callable[[Sequence[FloatArray]], Any],
    shapes: Sequence[Sequence[int]],
    *,
    precision: float,
    name: str,
    cause: str = EXPORTED,
) -> None:
    """Raise unless a network computes what the original computes, up to its rounding.

    Parameters
    ----------
    network : ReluNetwork or FunctionGraph
    run : callable
        The original: takes one array per input, of a batch of one, and returns the
        outputs as arrays, possibly nested in lists and mappings.
    shapes : sequence of shapes
        Of one sample of each input.
    precision : float
        The unit of rounding of the original; outputs of fewer digits are allowed theirs.
    name : str
        The original's name for the message.
    cause : str
        What has happened where they disagree, and what to do.

    Raises
    ------
    ModelFileError
        If the original does not run, or an output differs by more than its rounding
        errors can make up: some units of rounding of the sum of all absolute values that
        enter the output, or of the largest number in the network.
    """
    rng = np.random.default_rng(0)
    for scale in SCALES:
        inputs = [scale * rng.normal(size=(1, *shape)) for shape in shapes]
        expected, last = _joined(run, inputs, name)
        unit = max(precision, last)
        x = np.concatenate([part.ravel() for part in inputs])
        values = network.pre_activations(x[None, :])
        found = values[OUTPUT][0]
        if found.shape != expected.shape:
            raise ModelFileError(
                f"{name}: it has {expected.size} outputs, the network read of it {found.size}"
            )
        if not np.isfinite(expected).all():
            continue
        largest = max(np.abs(x).max(), *(np.abs(z).max() for z in values.values()))
        # what cancels in the network was computed, and rounded, by the original
        allowed = unit * np.maximum(_rounding(network, x, values, unit), _ROUNDINGS * largest)
        allowed = np.where(np.isnan(allowed), np.inf, allowed)  # an error bound that overflowed
        worst = int((np.abs(found - expected) - allowed).argmax())
        if abs(found[worst] - expected[worst]) > allowed[worst]:
            raise ModelFileError(
                f"{name}: {cause}: at a random point output {worst} is {expected[worst]:.17g}, "
                f"of the network read of it {found[worst]:.17g}, which is more than rounding "
                f"({allowed[worst]:.1g})"
            )


def _rounding(
    network: ReluNetwork | FunctionGraph,
    x: FloatArray,
    values: Mapping[str, FloatArray],
    precision: float,
) -> FloatArray:
    """Bound the rounding errors of the outputs, in units of rounding.

    Every block adds its own to what it receives (Higham, Accuracy and Stability of Numerical
    Algorithms, section 3.1).
    """
    sizes, errors = {INPUT: np.abs(x)}, {INPUT: np.abs(x)}
    for block in network.blocks if isinstance(network, ReluNetwork) else network.nodes:
        rows = len(block.bias)
        carried, size, terms = np.zeros(rows), np.abs(block.bias), 1
        for source, weight in block.weights.items():
            carried = carried + abs(weight) @ errors[source]
            size = size + abs(weight) @ sizes[source]
            terms += _longest_row(weight)
        error = carried + _ROUNDINGS * (terms + _ROUNDINGS) * size
        z = values[block.name][0]
        if isinstance(block, GraphNode):
            errors[block.name], sizes[block.name] = _after(block, z, error, precision)
            continue
        errors[block.name] = error
        sizes[block.name] = np.abs(np.maximum(z, 0.0) if block.is_relu else z)
    return errors[OUTPUT]


def _after(
    node: GraphNode, z: FloatArray, error: FloatArray, precision: float
) -> tuple[FloatArray, FloatArray]:
    """Return errors and sizes of a node's values: how far they move if z does by its errors.

    Every function here is monotone in each argument on either side of a change of sign, so that the
    corners of a box around z show it; a group moves by no more than the sum over its members.
    """
    moves = [np.zeros(node.size)]
    with np.errstate(all="ignore"):
        value = node.values(z[None, :])[0]
        for member in range(node.group):
            for sign in (1.0, -1.0):
                moved = z.copy()
                moved[member :: node.group] += sign * precision * error[member :: node.group]
                moves.append(np.abs(node.values(moved[None, :])[0] - value) / precision)
    move = np.sum(moves, axis=0)
    inner = node.grouped(np.abs(z)).max(axis=-1) if node.reduces else np.abs(value)
    finite = np.where(np.isfinite(move), move, np.inf)
    return finite + _ROUNDINGS * (np.abs(value) + inner), np.abs(value)


def _longest_row(weight: Matrix | Convolution) -> int:
    if isinstance(weight, Convolution):
        return weight.longest_row
    if sp.issparse(weight):
        return int(np.diff(weight.indptr).max(initial=0))
    return int(weight.shape[1])


def _joined(
    run: Callable[..., Any], inputs: Sequence[FloatArray], name: str
) -> tuple[FloatArray, float]:
    """Return all outputs, and the unit by which they were rounded at least."""
    try:
        parts = _arrays(run(inputs))
    except Exception as error:  # any operator of the original may raise anything
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(f"{name}: it does not run on a random point ({reason})") from None
    units = [float(np.finfo(part.dtype).eps) for part in parts]
    return np.concatenate([np.zeros(0), *(part.ravel() for part in parts)]), max(units, default=0.0)


def _arrays(result: Any) -> list[Any]:
    if isinstance(result, Mapping):
        result = list(result.values())
    if isinstance(result, list | tuple):
        return [array for part in result for array in _arrays(part)]
    array = np.asarray(result)
    return [array if array.dtype.kind == "f" else array.astype(np.float64)]
