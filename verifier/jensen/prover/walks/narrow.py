"""Many narrow levels: walk a plane of few cells in exact arithmetic.

A network of three inputs whose first level has two units is a function of these two, so that the
plane of their pre-activations is walked instead of space (docs/theory.md, section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import flint
import numpy as np

from jensen.arithmetic.exact import nearest_double
from jensen.arithmetic.rational import ONE, ZERO, fraction, rational, rationals
from jensen.cells.exact_plane import Corner, Edge, ExactPlane, Polygon
from jensen.cells.layers import matrix
from jensen.cells.start import CENTRE, FAN, is_flat
from jensen.domains.domain import Domain
from jensen.network.relu_network import ReluNetwork
from jensen.network.stack import NetworkStack, architecture
from jensen.prover.walks.walked import Walked
from jensen.types import BoolArray, FloatArray
from jensen.verdicts.counterexample import Point, counterexample
from jensen.verdicts.evidence import Counterexample
from jensen_encodings.deadline import NEVER, Deadline

PLANE, SPACE = 2, 3  # inputs
WIDEST, FEWEST = 3, 3  # units of a level, and levels, where arrays cost more
CELLS = 128  # from which on arrays are faster, whatever the levels
HALVINGS = 400  # of a pair, until it lies in the two cells beside an edge

Place = tuple[Any, Any]


@dataclass(frozen=True)
class _Plane:
    """The domain in the plane, and the way back to points of the network's own domain."""

    corners: list[Corner]
    polygons: list[Polygon]
    lift: Callable[[Place], Point | None]


def is_narrow(network: ReluNetwork, domain: Domain) -> bool:
    """Whether a network and a domain are of the kind that :func:`walk_narrow` takes.

    Parameters
    ----------
    network : ReluNetwork
    domain : Domain
    """
    widths = architecture(network)
    return widths is not None and _are_narrow(widths, domain)


def can_walk_narrow(stack: NetworkStack, domain: Domain) -> bool:
    """Whether networks and a domain are of the kind that :func:`narrow_bend_upwards` takes.

    Parameters
    ----------
    stack : NetworkStack
    domain : Domain
    """
    sizes = (bias.shape[1] for bias in stack.biases)
    return _are_narrow((stack.input_size, *sizes), domain)


def _are_narrow(widths: tuple[int, ...], domain: Domain) -> bool:
    """Whether levels of these widths, inputs and output among them, are walked here."""
    inputs, first, *_ = widths
    if domain.has_rows or is_flat(domain, inputs):
        return False
    if len(widths) - 2 < FEWEST or max(widths[1:]) > WIDEST:
        return False
    return inputs == PLANE or (inputs == SPACE and first == PLANE)


def walk_narrow(network: ReluNetwork, domain: Domain, deadline: Deadline = NEVER) -> Walked | None:
    """Decide convexity where :func:`is_narrow`; None if there are more than a few cells.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    domain : Box or Everywhere
    deadline : Deadline
    """
    levels = [
        np.column_stack([next(iter(block.weights.values())), block.bias])
        for block in network.blocks
    ]
    looked = _looked_at(levels, domain, deadline)
    if looked is None:
        return None
    plane, cells = looked
    edge = _falling(cells)
    if edge is None:
        return Walked(proved=True)
    pair = _pair(network, domain, plane, cells, *edge)
    return None if pair is None else Walked(proved=False, pair=pair)


def narrow_bend_upwards(stack: NetworkStack, domain: Domain, asked: BoolArray) -> BoolArray:
    """Return the networks that are proved convex, one by one, where :func:`can_walk_narrow`.

    Parameters
    ----------
    stack : NetworkStack
        With one output.
    domain : Box or Everywhere
    asked : bool array (networks, units)
        Neurons that are not known to bend upwards; all edges are looked at where there are any.

    Returns
    -------
    bool array (networks,)
        False says nothing.
    """
    found = np.logical_not(asked.any(axis=1))
    for k in np.flatnonzero(~found).tolist():
        pairs = zip(stack.weights, stack.biases, strict=True)
        levels = [np.column_stack([weight[k], bias[k]]) for weight, bias in pairs]
        looked = _looked_at(levels, domain, NEVER)
        found[k] = looked is not None and _falling(looked[1]) is None
    return found


def _looked_at(
    levels: list[FloatArray], domain: Domain, deadline: Deadline
) -> tuple[_Plane, ExactPlane] | None:
    """Return the plane and its cells; None if there are more than a few, or no plane.

    Parameters
    ----------
    levels : list of array (units, 1 + units before or inputs)
        Weights and biases.
    """
    inputs = levels[0].shape[1] - 1
    plane = _plane(domain) if inputs == PLANE else _behind_two_units(domain, levels)
    if plane is None:
        return None
    cells = ExactPlane(plane.corners, plane.polygons)
    return (plane, cells) if cells.cut(levels, CELLS, deadline) else None


def _falling(cells: ExactPlane) -> tuple[Edge, Polygon] | None:
    """Return an edge where f bends down and a cell beside it, or None."""
    return None if cells.bends_upwards() else next(cells.falling_edges(), None)


def _plane(domain: Domain) -> _Plane:
    """Return the domain of a network of two inputs."""
    box = domain.box_sides(PLANE)
    if box is None:
        return _Plane(*_fan(), lambda place: tuple(map(fraction, place)))
    (left, low), (right, high) = ([rational(v) for v in side.tolist()] for side in box)
    corners = [(left, low, ONE), (right, low, ONE), (right, high, ONE), (left, high, ONE)]
    return _Plane(corners, [[0, 1, 2, 3]], lambda place: tuple(map(fraction, place)))


def _fan() -> tuple[list[Corner], list[Polygon]]:
    points = [tuple(map(rational, point)) for point in (CENTRE.tolist(), *FAN.tolist())]
    return points, [[0, 1, 2], [0, 2, 3], [0, 3, 1]]


def _behind_two_units(domain: Domain, levels: list[FloatArray]) -> _Plane | None:
    """Return where two units' sums over three inputs lie, which take the place of the inputs.

    None if one is a multiple of the other. The first of the ``levels`` then reads the sums.
    """
    rows = matrix(rationals(levels[0][:, :-1]))
    squares = rows * rows.transpose()
    if squares.det() == 0:
        return None
    levels[0] = np.column_stack([np.eye(2), levels[0][:, -1]])
    box = domain.box_sides(SPACE)
    if box is None:
        back = rows.transpose() * squares.inv()
        return _Plane(*_fan(), lambda place: _numbers(back * flint.fmpq_mat(2, 1, list(place))))
    sides = [[rational(v) for v in side.tolist()] for side in box]
    images: dict[Place, tuple[Any, ...]] = {}
    for choice in product((0, 1), repeat=SPACE):
        point = tuple(sides[side][k] for k, side in enumerate(choice))
        image = (rows * flint.fmpq_mat(3, 1, list(point))).tolist()
        images[image[0][0], image[1][0]] = point
    hull = _hull(list(images))
    ends = [images[place] for place in hull]
    corners = [(*place, ONE) for place in hull]
    return _Plane(corners, [list(range(len(hull)))], lambda place: _between(hull, ends, place))


def _numbers(column: Any) -> Point:
    return tuple(fraction(row[0]) for row in column.tolist())


def _turn(one: Place, two: Place, three: Place) -> Any:
    return (two[0] - one[0]) * (three[1] - one[1]) - (two[1] - one[1]) * (three[0] - one[0])


def _hull(places: Sequence[Place]) -> list[Place]:
    """Return the corners of the convex hull in order (Andrew's monotone chain)."""
    ordered = sorted(places)
    sides: list[list[Place]] = []
    for run in (ordered, ordered[::-1]):
        side: list[Place] = []
        for place in run:
            while len(side) > 1 and _turn(side[-2], side[-1], place) <= 0:
                side.pop()
            side.append(place)
        sides.append(side[:-1])
    return sides[0] + sides[1]


def _between(hull: Sequence[Place], ends: Sequence[tuple[Any, ...]], place: Place) -> Point | None:
    """Return a point whose image is a place of the hull, of those that its corners are of."""
    for k, (one, two) in enumerate(pairwise(hull[1:]), start=1):
        whole = _turn(hull[0], one, two)
        shares = _turn(place, one, two), _turn(hull[0], place, two), _turn(hull[0], one, place)
        if min(shares) >= 0:
            chosen = (ends[0], ends[k], ends[k + 1])
            return tuple(
                fraction(sum((s * x for s, x in zip(shares, numbers, strict=True)), ZERO) / whole)
                for numbers in zip(*chosen, strict=True)
            )
    return None


def _pair(
    network: ReluNetwork,
    domain: Domain,
    plane: _Plane,
    cells: ExactPlane,
    edge: Edge,
    cell: Polygon,
) -> Counterexample | None:
    """Return a pair across an edge where f bends down."""
    middle, inside = cells.middle(edge), cells.middle(cell)
    step = tuple(there - here for there, here in zip(inside, middle, strict=True))
    for _ in range(HALVINGS):
        x = plane.lift((middle[0] + step[0], middle[1] + step[1]))
        y = plane.lift((middle[0] - step[0], middle[1] - step[1]))
        if x is not None and y is not None:
            found = counterexample(network, domain, _rounded(x), _rounded(y))
            found = found or counterexample(network, domain, x, y)
            if found is not None:
                return found
        step = tuple(part / 2 for part in step)
    return None


def _rounded(point: Point) -> Point:
    """Return the nearest doubles: corners are long fractions."""
    return tuple(Fraction(nearest_double(v.numerator, v.denominator)) for v in point)
