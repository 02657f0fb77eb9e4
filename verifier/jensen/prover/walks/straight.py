"""Two levels in the plane: walk the kinks of the first along their lines, without any cells.

On the line where a neuron k of the first level kinks, ``z_j`` of the second level is piecewise
linear, with breaks where the other lines are crossed. ``J_k`` is the sum of ``v_j W_jk`` over the
neurons j that are on, so that all there is to know is where each ``z_j`` changes its sign. All
lines are cut into pieces at once, of many networks if need be, and nothing but products of small
matrices is computed.

Every number comes with a bound on its error, and a neuron whose sign is not certain counts with
whichever state lowers ``J_k``: that is a lower bound where several kinks coincide, too, as long
as no neuron of the second level bends down. One whose output weight is negative must not change its
sign: z is linear on the cells between the lines, so that its signs along the lines, and at the
corners of a box, say all. What is not found to be ``>= 0`` is left to the walk
along the whole complex.

References
----------
docs/theory.md, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse as sp

from jensen.domains.domain import Domain
from jensen.network.relu_network import INPUT, ReluNetwork
from jensen.network.stack import NetworkStack
from jensen.prover.walks.straight_levels import TwoLevels
from jensen.prover.walks.straight_lines import FAR, Lines
from jensen.prover.walks.straight_pieces import CHUNK
from jensen.types import BoolArray, FloatArray

WIDEST = 64  # neurons of the first level: beyond, cells cost less than patterns on all lines
PLANE = 2  # inputs
SHARES = np.linspace(0.0, 1.0, 5)
FROM_LOW = np.array([(x, y) for x in SHARES for y in SHARES]).T  # points between sides of a box
FROM_HIGH = 1 - FROM_LOW
FAR_AWAY = np.full(PLANE, -FAR), np.full(PLANE, FAR)


def bend_upwards(network: ReluNetwork, domain: Domain, closed: Mapping[str, BoolArray]) -> bool:
    """Whether the open kinks of the first of two levels are proved to bend upwards on a domain.

    Parameters
    ----------
    network : ReluNetwork
        With one output. Nothing is found unless it has two inputs and two dense levels.
    domain : Domain
        With an interior.
    closed : mapping from block name to bool array (size,)
        Neurons that bend nothing down, by their signs or since they never cross. Where one of
        the second level is open, it has to keep its sign on the domain, a box or everything.
    """
    levels = _two_levels(network)
    if levels is None:
        return False
    first, second = (closed[block.name][None] for block in network.hidden)
    return bool(_upwards(levels, domain, first, second)[0])


def stack_bends_upwards(
    stack: NetworkStack, domain: Domain, closed: Sequence[BoolArray]
) -> BoolArray:
    """Return the networks that :func:`bend_upwards` proves, of a stack.

    Parameters
    ----------
    stack : NetworkStack
        With one output.
    domain : Domain
        With an interior.
    closed : sequence of bool arrays (networks, neurons), one per hidden layer

    Returns
    -------
    bool array (networks,)
    """
    if not can_bend_upwards(stack):
        return np.zeros(len(stack), dtype=bool)
    (normals, weights, last), (offsets, bias, _) = stack.weights, stack.biases
    levels = TwoLevels(normals, offsets, weights, bias, last[:, 0])
    return _upwards(levels, domain, closed[0], closed[1])


def can_bend_upwards(stack: NetworkStack) -> bool:
    """Whether lines of a stack's networks can be walked."""
    plane = stack.input_size == PLANE and len(stack.weights) == 3
    return plane and stack.biases[0].shape[1] <= WIDEST


def seems_to_bend_down(network: ReluNetwork, domain: Domain) -> bool:
    """Whether a kink bends down between some points of a box, or far away: f is not convex.

    Floating point says so, and only chooses what is tried first.

    Parameters
    ----------
    network : ReluNetwork
        With one output, for which :func:`has_two_levels` holds.
    domain : Domain
    """
    levels = _two_levels(network)
    if levels is None:
        return False
    low, high = domain.box_sides(PLANE) or FAR_AWAY
    points = low[:, None] * FROM_HIGH + high[:, None] * FROM_LOW
    first = levels.normals[0] @ points
    first += levels.offsets[0][:, None]
    second = levels.weights[0] @ np.maximum(first, 0.0)
    second += levels.bias[0][:, None]
    if levels.skips is not None:
        second += levels.skips[0] @ points
    jumps = (levels.weights[0].T * levels.last[0]) @ (second > 0)
    if levels.direct is not None:
        jumps += levels.direct[0][:, None]
    down = np.minimum.reduce(jumps, axis=1) < 0
    return _has_both_signs(first[down]) or _has_both_signs(second[levels.last[0] < 0])


def _has_both_signs(z: FloatArray) -> bool:
    """Whether one of some neurons, z of shape (neurons, points), has both signs."""
    low, high = np.minimum.reduce(z, axis=1), np.maximum.reduce(z, axis=1)
    return bool(np.count_nonzero((low < 0) & (high > 0)))


def has_two_levels(network: ReluNetwork) -> bool:
    """Whether a network is of the kind that :func:`bend_upwards` looks at."""
    if network.input_size != PLANE or len(network.blocks) != 3:
        return False
    first, second, output = network.blocks
    if not (first.is_relu and second.is_relu and first.name in second.weights):
        return False
    if second.name not in output.weights or first.size > WIDEST:
        return False
    return not any(sp.issparse(w) for block in network.blocks for w in block.weights.values())


def _two_levels(network: ReluNetwork) -> TwoLevels | None:
    """Return the two levels of a network of two inputs that has just these; None elsewhere."""
    if not has_two_levels(network):
        return None
    first, second, output = network.blocks
    direct = output.weights.get(first.name)
    skips = second.weights.get(INPUT)
    return TwoLevels(
        first.weights[INPUT][None],
        first.bias[None],
        second.weights[first.name][None],
        second.bias[None],
        output.weights[second.name],
        direct,
        None if skips is None else skips[None],
    )


def _upwards(levels: TwoLevels, domain: Domain, first: BoolArray, second: BoolArray) -> BoolArray:
    """Return the networks that are proved, from which neurons are closed."""
    found = levels.usable()
    if domain.has_rows:
        found &= second.all(axis=1)
    left = np.flatnonzero(found)
    width = levels.offsets.shape[1]
    # tables of one line, and of all lines of a network: several networks, or some of its lines
    line = (width + 2) * levels.widest
    step, together = max(1, CHUNK // line), max(1, CHUNK // (line * width))
    for at in range(0, left.size, together):
        some = left[at : at + together]
        whole = some.size == found.size
        part = levels if whole else levels.take(some)
        found[some] = Lines(part, domain, ~first[some], ~second[some]).upwards(step)
    return found
