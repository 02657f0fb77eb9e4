"""Cuts for values in a certificate: max(zeta, 0) of a unit is at most a form of the inputs.

The engine's slopes are hints, and so are the multiples of the group that are added here: the
checker finds the constants (docs/FORMAT.md, section 5, *Cuts*).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jensen.certificate.bounded_network import BoundedNetwork, Names
from jensen.certificate.checker import ONE
from jensen.certificate.float_units import HUGE, FloatUnits, quotient, rounded, texts
from jensen.certificate.joint_roots import Root
from jensen.prover.descents.pieces import Piece
from jensen.prover.joint.kink_bounds import Kink, best_multipliers
from jensen.prover.joint.proof import JointProof
from jensen.types import FloatArray

BITS = 20  # of a slope, relative to the largest one


@dataclass(frozen=True, eq=False)
class CutHint:
    """That ``max(zeta, 0) <= slopes @ inputs + some constant``, all divided by their sizes.

    Attributes
    ----------
    unit : int
    slopes : array (inputs,)
    size : float
        The engine's value is so many times this one.
    """

    unit: int
    slopes: FloatArray
    size: float


@dataclass(frozen=True, eq=False)
class Cuts:
    """The cuts of a root, which the checker's node knows by their order.

    Attributes
    ----------
    lines : list
        What the certificate says of them.
    places : dict from number to (int, float)
        Which of them stands for a hint, whose value is so many times as large.
    bits, rows, sizes : list and arrays (cuts, 1 + columns) and (cuts,)
        As :class:`jensen.certificate.joint_rows.JointRows` has them.
    """

    lines: list[Any]
    places: dict[int, tuple[int, float]]
    bits: list[int]
    rows: FloatArray
    sizes: FloatArray


def hinted_cuts(
    net: BoundedNetwork, units: FloatUnits, names: Names, proof: JointProof
) -> dict[int, CutHint]:
    """Return the cuts of the engine that its leaves need, by number: inputs for working points."""
    if not proof.cuts:
        return {}
    numbers = {n.unit for leaf in proof.leaves for n in leaf.multipliers if n.kind == "cut"}
    wanted = sorted(number for number in numbers if names.unit(*proof.cuts[number][0])[1] > 0)
    if not wanted:
        return {}
    # a free input is so many times its unit, and a form of the working variables
    free = {key: factor for key, (form, factor) in net.free.items() if ONE not in form}
    matrix = names.working_matrix([key - 1 for key in free])
    scale = np.array([quotient(*factor.as_integer_ratio()) for factor in free.values()])
    scale = np.ldexp(scale, units.bits[1 : units.inputs])
    found = {}
    with np.errstate(all="ignore"):
        slopes = np.linalg.solve(matrix.T, np.array([proof.cuts[n][1] for n in wanted]).T).T
        for number, row in zip(wanted, slopes * scale, strict=True):
            unit, factor = names.unit(*proof.cuts[number][0])
            size = quotient(factor.numerator * units.size[unit], factor.denominator)
            found[number] = CutHint(unit, row / size, size)
    sizes = {number: np.abs(hint.slopes).max() for number, hint in found.items()}
    return {number: found[number] for number, size in sizes.items() if 1 / HUGE < size < HUGE}


def cuts_of(
    units: FloatUnits,
    root: Root,
    forms: FloatArray,
    values: Mapping[int, int],
    hints: Mapping[int, CutHint],
    lead: Callable[[int], list[Any]],
) -> Cuts:
    """Let the checker's node find the constants of cuts of values that read the inputs alone.

    Parameters
    ----------
    units : FloatUnits
    root : Root
    forms : array (units, 1 + columns)
        At the root, of the group and of units with a value.
    values : mapping from unit to the column of its value
    hints : mapping from number to CutHint
    lead : callable
        The words that name a unit.
    """
    flat = {u for u in values if not forms[u, units.inputs :].any()}
    hints = {number: hint for number, hint in hints.items() if hint.unit in flat}
    if not hints:
        return Cuts([], {}, [], np.empty((0, forms.shape[1])), np.empty(0))
    of, node, inputs = [hint.unit for hint in hints.values()], root.node, slice(1, units.inputs)
    # slopes are integers times a power of two
    slopes = np.array([hint.slopes for hint in hints.values()])
    exponents = np.frexp(np.abs(slopes).max(axis=1))[1] - BITS
    whole = np.rint(np.ldexp(slopes, -exponents[:, None]))
    slopes = np.ldexp(whole, exponents[:, None])
    shifts, normal = np.zeros((2, len(of))), forms[node.group]
    affine = not normal[units.inputs :].any()
    if affine:
        sides = root.ranges.lower[inputs], root.ranges.upper[inputs]
        piece = Piece(*sides, np.empty((0, slopes.shape[1])), np.empty(0))
        kink = Kink(normal[inputs], float(normal[0]))
        both = np.concatenate([slopes, slopes - forms[of, inputs]])
        shifts = rounded(best_multipliers(both, piece, kink)).reshape(shifts.shape)
    if not units.affine[of].all() or (affine and not units.affine[node.group]):
        node.settle()  # lines may take part
    # all is multiplied by a power of two, so that slopes are integers
    most = units.bits[inputs].max()
    powers = most - exponents - units.bits[of]
    bits = (most - exponents + np.maximum(-powers, 0)).tolist()
    at_off, at_on = (texts(side, np.array(bits) - units.bits[node.group]) for side in shifts)
    lines, rows = [], np.zeros((len(of), forms.shape[1]))
    rows[:, inputs] = slopes
    for i, factor in enumerate(texts(np.ones(len(of)), powers)):
        numbers = [factor, *texts(whole[i], most - units.bits[inputs])]
        node.cut(of[i], at_off[i], at_on[i], numbers)
        lines.append([*lead(of[i]), at_off[i], at_on[i], numbers])
        rows[i, 0] = quotient(node.cuts[-1][0][ONE], 1 << bits[i])
        rows[i, 1 + values[of[i]]] = -1.0
    places = {number: (i, hint.size) for i, (number, hint) in enumerate(hints.items())}
    sizes = np.abs(rows).sum(axis=1) + units.reach[of] + units.own_reach[of]
    return Cuts(lines, places, bits, rows, sizes)
