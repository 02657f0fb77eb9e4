"""Which neurons kink on the same hyperplane: exact proportionality of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jensen.arithmetic.rational import ONE, floats, rational
from jensen.groups.slopes import Slopes
from jensen.types import ObjectArray

# Rows whose float signatures differ by more than this are not compared exactly. A twin
# missed here is still decided rightly: its coincidence is found at the tree's leaves.
SIGNATURE_WIDTH = 1e-7


@dataclass(frozen=True)
class Member:
    """A neuron of a hyperplane group, with ``z = c * z_lead``."""

    block: str
    index: int
    c: Any


def find_twins(
    slopes: Mapping[int, Slopes], bias: ObjectArray, candidates: NDArray[np.intp]
) -> list[list[tuple[int, Any]]]:
    """Group rows that are exactly proportional, bias included.

    Parameters
    ----------
    slopes : mapping from level to Slopes
        The rows, over all levels they read.
    bias : object array (rows,)
    candidates : array of row numbers

    Returns
    -------
    groups : list of lists of (row, c)
        The lead first, with ``c = 1``, in the order of the rows.
    """
    table = _table(slopes, bias)[candidates]
    signatures, pivots = _signatures(table)
    groups: list[list[tuple[int, Any]]] = []
    open_groups: list[tuple[float, int]] = []  # (signature, group)
    for position in np.argsort(signatures, kind="stable"):
        row = int(candidates[position])
        signature = signatures[position]
        while open_groups and signature - open_groups[0][0] > SIGNATURE_WIDTH * (
            1 + abs(signature)
        ):
            open_groups.pop(0)
        for _, group in open_groups:
            lead = groups[group][0][0]
            c = _ratio(slopes, bias, lead, row, pivots[position])
            if c is not None:
                groups[group].append((row, c))
                break
        else:
            open_groups.append((signature, len(groups)))
            groups.append([(row, ONE)])
    return sorted((_led_by_first(group) for group in groups), key=lambda g: g[0][0])


def _led_by_first(group: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
    ordered = sorted(group, key=lambda item: item[0])
    scale = ordered[0][1]
    return [(row, c / scale) for row, c in ordered]


def _table(slopes: Mapping[int, Slopes], bias: ObjectArray) -> NDArray[np.float64]:
    parts = [floats(bias)[:, None]]
    for part in slopes.values():
        parts.append(part.on)
        if part.off is not None:
            parts.append(part.off)
    return np.concatenate(parts, axis=1)


def _signatures(table: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Project rows, scaled to a pivot of 1, on a fixed direction: equal for twins."""
    if not table.size:
        return np.zeros(len(table)), np.zeros(len(table), dtype=np.intp)
    pivots = np.argmax(np.abs(table), axis=1)
    pivot_values = table[np.arange(len(table)), pivots]
    scaled = table / np.where(pivot_values == 0, 1.0, pivot_values)[:, None]
    direction = np.random.default_rng(20250103).uniform(0.5, 1.0, table.shape[1])
    return scaled @ direction / np.sqrt(table.shape[1]), pivots


def _row_parts(slopes: Mapping[int, Slopes], row: int) -> list[tuple[Any, bool]]:
    parts = []
    for part in slopes.values():
        parts.append(
            (part.on[row] if part.exact_on is None else part.exact_on[row], part.exact_on is None)
        )
        if part.off is not None:
            parts.append(
                (
                    part.off[row] if part.exact_off is None else part.exact_off[row],
                    part.exact_off is None,
                )
            )
    return parts


def _ratio(
    slopes: Mapping[int, Slopes], bias: ObjectArray, lead: int, row: int, pivot: int
) -> Any | None:
    """Return c with ``row == c * lead`` exactly, None if there is none."""
    first, second = _exact_entries(slopes, bias, lead), _exact_entries(slopes, bias, row)
    if first[pivot] == 0 or second[pivot] == 0:
        return None
    c = second[pivot] / first[pivot]
    for a, b in zip(first, second, strict=True):
        if b != c * a:
            return None
    return c


def _exact_entries(slopes: Mapping[int, Slopes], bias: ObjectArray, row: int) -> list[Any]:
    values = [bias[row]]
    for part, is_float in _row_parts(slopes, row):
        values.extend(map(rational, part.tolist()) if is_float else part)
    return values
