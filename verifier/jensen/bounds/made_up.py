"""Weights on neurons that others make up for, since they are on wherever the neurons are.

Given the slopes behind, ``S_m >= 0``, a neuron k makes up for a neuron j of its layer where k is
on wherever j is, ``J_k >= r J_j >= 0`` by the weights behind, and ``W_ki > 0 > W_ji >= -r W_ki``:
the two terms of J_i are not negative together, whatever the state is (docs/theory.md, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jensen.arithmetic.intervals import UNIT
from jensen.types import BoolArray, FloatArray, IndexArray

LARGEST = 1e140
TABLE = 1 << 22  # numbers in a table of pairs of neurons: beyond, none are looked for
LESS = 1 - 16 * UNIT  # of quotients and products of them, so that they err to one side
MORE = 1 + 16 * UNIT


@dataclass(frozen=True, eq=False)
class Rows:
    """The neurons of one layer, of many networks.

    Attributes
    ----------
    reads : array (networks, neurons, inputs)
        Weights and bias on what they read, which is not negative; 0 on what is never on.
    behind : array (networks, out, neurons)
        Weights on them in the layer behind, of twins both together; 0 where nothing is passed on
        of it.
    usable : bool array (networks,)
        Whether all slopes behind are not negative.
    may_fall : bool array (networks, neurons)
        Neurons that may be made up for: J >= 0, and they change their states.
    may_rise : bool array (networks, neurons)
        Neurons that may make up for others and change their states: J >= 0.
    steady : bool array (networks, neurons)
        Neurons, or leads of twins, that are linear: they make up for any.
    """

    reads: FloatArray
    behind: FloatArray
    usable: BoolArray
    may_fall: BoolArray
    may_rise: BoolArray
    steady: BoolArray


def without_made_up(matrix: FloatArray, wanted: BoolArray, rows: Rows) -> FloatArray | None:
    """Return weights without those that make up for others, and without these; None if all stay.

    Parameters
    ----------
    matrix : array (networks, neurons, columns)
        Weights of the layer.
    wanted : bool array (networks, columns)
        Columns whose sums over the neurons shall rise.
    rows : Rows
    """
    network, better, worse, rate, alike = _candidates(matrix, wanted, rows)
    if not len(network) or len(network) * matrix.shape[2] > TABLE:
        return None
    gain, loss = matrix[network, better], matrix[network, worse]
    covered = (loss < 0) & (gain > 0)
    covered &= (loss + rate[:, None] * gain >= 0) | (alike[:, None] & (loss + gain >= 0))
    worth = np.count_nonzero(covered & wanted[network], axis=1)
    steady = rows.steady[network, better]
    implied = np.zeros(len(network), dtype=bool)
    asked = np.flatnonzero(~steady & (worth > 0))
    implied[asked] = _implied(
        rows.reads[network[asked], better[asked]], rows.reads[network[asked], worse[asked]]
    )
    worth[~(steady | implied)] = 0
    chosen = _matched(network, better, worse, worth)
    if not chosen:
        return None
    kept = matrix.copy()
    for pair in chosen:
        columns = covered[pair]
        kept[network[pair], better[pair], columns] = 0.0
        kept[network[pair], worse[pair], columns] = 0.0
    return kept


def _candidates(
    matrix: FloatArray, wanted: BoolArray, rows: Rows
) -> tuple[IndexArray, IndexArray, IndexArray, FloatArray, BoolArray]:
    """Return (network, k, j) of neurons where J_k is at least a multiple of J_j, by the weights.

    Returns
    -------
    network, k, j : int arrays (pairs,)
    rate : array (pairs,)
        ``J_k >= rate J_j``, minus infinity where no rate is known.
    alike : bool array (pairs,)
        Whether ``J_k >= J_j``, without any rounding.
    """
    count, size, _ = matrix.shape
    empty = np.empty(0, dtype=np.intp)
    nothing = empty, empty, empty, np.empty(0), np.empty(0, dtype=bool)
    if size < 2 or count * size * size * rows.behind.shape[1] > TABLE:
        return nothing
    falls = rows.may_fall & ((matrix < 0) & wanted[:, None, :]).any(axis=2)
    rises = (rows.may_rise | rows.steady) & (matrix > 0).any(axis=2)
    rises &= rows.usable[:, None]
    fits = rises[:, :, None] & falls[:, None, :]
    fits &= ~np.eye(size, dtype=bool)
    if not fits.any():
        return nothing
    upper, lower = rows.behind[:, :, :, None], rows.behind[:, :, None, :]
    alike = np.all(upper >= lower, axis=1)
    ratio = np.where(lower > 0, upper / lower, np.where(upper >= 0, np.inf, -np.inf))
    rate = np.minimum(LESS * ratio.min(axis=1), LARGEST)
    network, better, worse = np.nonzero(fits & (alike | (rate > 0)))
    at = network, better, worse
    return network, better, worse, rate[at], alike[at]


def _implied(upper: FloatArray, lower: FloatArray) -> BoolArray:
    """Return for pairs of rows whether ``z_k >= c z_j`` for some c > 0 and any values >= 0."""
    ratio = upper / lower
    most = np.where(lower > 0, ratio, np.inf).min(axis=1, initial=np.inf)
    least = np.where(lower < 0, ratio, -np.inf).max(axis=1, initial=-np.inf)
    wrong = ((lower == 0) & (upper < 0)).any(axis=1)
    found: BoolArray = ~wrong & (most > 0) & ((least <= 0) | (least * MORE <= most * LESS))
    return found


def _matched(
    network: IndexArray, better: IndexArray, worse: IndexArray, worth: IndexArray
) -> list[int]:
    """Match neurons with such as make up for most of their weights, no two with the same one.

    Returns
    -------
    list of int
        The pairs that are chosen.
    """
    best: dict[tuple[int, int], int] = {}
    useful = np.flatnonzero(worth).tolist()
    keys = [(int(network[p]), int(better[p]), int(worse[p]), int(worth[p])) for p in useful]
    for n, _, j, value in keys:
        best[n, j] = max(best.get((n, j), 0), value)
    choices: dict[tuple[int, int], list[tuple[int, int]]] = {}
    numbers = {}
    for pair, (n, k, j, value) in zip(useful, keys, strict=True):
        if value == best[n, j]:
            choices.setdefault((n, j), []).append((n, k))
            numbers[n, k, j] = pair
    return [numbers[n, k, j] for (n, k), (_, j) in _matching(choices).items()]


def _matching(
    choices: Mapping[tuple[int, int], Sequence[tuple[int, int]]],
) -> dict[tuple[int, int], tuple[int, int]]:
    """Return a largest matching, from what is chosen to who chose it, by augmenting paths."""
    chosen: dict[tuple[int, int], tuple[int, int]] = {}

    def place(j: tuple[int, int], seen: set[tuple[int, int]]) -> bool:
        for k in choices[j]:
            if k not in seen:
                seen.add(k)
                if k not in chosen or place(chosen[k], seen):
                    chosen[k] = j
                    return True
        return False

    for j in choices:
        place(j, set())
    return chosen
