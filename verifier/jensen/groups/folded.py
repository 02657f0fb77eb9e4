"""Linear units put into the units that read them (docs/theory.md, section 2).

A group with ``on == off`` for all that read it passes z on and bends nothing, and neither do
affine blocks and neurons that are always on. As long as they are units of their own, intervals of J
forget behind them how their numbers hang together: where a layer is passed on turned, and
turned back by the next one, ``Q (P u)`` is ``u``, but its interval is far wider. So readers get
their weights on what the linear units read, where no double is rounded by that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jensen.arithmetic.exact import Matrix
from jensen.arithmetic.lossless import exact_product, exact_sum
from jensen.arithmetic.rational import rationals
from jensen.groups.groups import SOURCE, GroupedNetwork, Level
from jensen.groups.slopes import Slopes
from jensen.types import BoolArray, FloatArray, IndexArray

SMALL = 4096  # weights that may be there after a fold, however few there were before
GROWTH = 2  # times as many as before it


def fold_linear_units(net: GroupedNetwork) -> GroupedNetwork:
    """Return the same function as levels with fewer linear units.

    Levels that are left without units stay in their places, so that numbers of levels keep their
    meaning; only groups that bend nothing are missing, and are named in ``passed``.

    Parameters
    ----------
    net : GroupedNetwork

    Examples
    --------
    >>> from jensen.domains.domain import Box
    >>> from jensen.groups.prepared import prepare
    >>> from jensen.network.relu_network import ReluNetwork
    >>> passing = ReluNetwork.from_layers(
    ...     [[[1.0], [-2.0]], [[1.0, 1.0], [-1.0, -1.0]], [[3.0, -3.0]]], [[0, 0], [-1, 1], [0]]
    ... )
    >>> net = prepare(passing, Box(-1, 1)).grouped
    >>> len(net.groups()), len(fold_linear_units(net).groups())
    (2, 1)
    """
    draft = _Draft(net)
    for index in range(net.output_level):
        for linear in draft.linear(index):
            draft.fold(index, linear)
    return draft.network()


@dataclass(frozen=True, eq=False)
class _Fold:
    """What a reader becomes when some units of a level are put into it."""

    reader: int
    slopes: dict[int, Slopes]
    bias: Any


class _Draft:
    """The levels of a network while they change."""

    def __init__(self, net: GroupedNetwork) -> None:
        self._net = net
        self._slopes = [dict(level.slopes) for level in net.levels]
        self._bias = [level.exact_bias for level in net.levels]
        self._kept = [np.ones(level.size, dtype=bool) for level in net.levels]

    def linear(self, index: int) -> list[IndexArray]:
        """Return units that may be folded: those that pass z on, and those that never kink."""
        level = self._net.levels[index]
        passing = level.kink.copy()
        for reader in self._net.readers[index]:
            passing &= _equal_sides(self._slopes[reader][index])
        return [np.flatnonzero(part) for part in (passing, ~level.kink) if part.any()]

    def fold(self, index: int, units: IndexArray) -> None:
        """Put units of a level into all that read it, if nothing is rounded and little is added."""
        folds = []
        for reader in self._net.readers[index]:
            fold = self._folded(index, units, reader)
            if fold is None:
                return
            folds.append(fold)
        for fold in folds:
            self._slopes[fold.reader], self._bias[fold.reader] = fold.slopes, fold.bias
        self._kept[index][units] = False

    def _folded(self, index: int, units: IndexArray, reader: int) -> _Fold | None:
        slopes, inner = dict(self._slopes[reader]), self._slopes[index]
        outer = slopes[index]
        if not outer.is_exact:
            return None
        weight = outer.on[:, units]
        if not weight.any():
            return _Fold(reader, slopes, self._bias[reader])
        used = np.flatnonzero(weight.any(axis=0))
        weight, rows = weight[:, used], units[used]
        before = weight.size + sum(s.on[rows].size for s in inner.values())
        fresh = {source: s for source, s in inner.items() if source not in slopes}
        after = sum(len(weight) * s.on.shape[1] for s in fresh.values())
        if after > max(SMALL, GROWTH * before):
            return None
        for source, part in inner.items():
            total = _sum(slopes.get(source), weight, part.take_rows(rows))
            if total is None:
                return None
            slopes[source] = total
        shift = self._bias[index][rows]
        return _Fold(reader, slopes, self._bias[reader] + rationals(weight) @ shift)

    def network(self) -> GroupedNetwork:
        """Return the levels without the units that were folded."""
        if all(kept.all() for kept in self._kept):
            return self._net
        levels, passed = [], []
        for index, (level, kept) in enumerate(zip(self._net.levels, self._kept, strict=True)):
            rows = np.flatnonzero(kept)
            slopes = {
                source: _columns(s.take_rows(rows), self._kept[source] if source >= 0 else None)
                for source, s in sorted(self._slopes[index].items())
                if source == SOURCE or self._kept[source].any()
            }
            levels.append(
                Level(
                    [level.units[u] for u in rows],
                    level.kink[rows],
                    level.lower[rows],
                    level.upper[rows],
                    slopes,
                    self._bias[index][rows],
                )
            )
            gone = np.flatnonzero(level.kink & ~kept).tolist()
            passed += [self._net.neurons((index, unit)) for unit in gone]
        return replace(self._net, levels=tuple(levels), passed=tuple(passed), unfolded=self._net)


def _equal_sides(slopes: Slopes) -> BoolArray:
    """Return of which units exactly the same is read on both sides of the kink."""
    if slopes.off is None:
        return np.asarray(~slopes.on.any(axis=0))
    equal = (slopes.on == slopes.off).all(axis=0)
    if not slopes.is_exact and equal.any():
        equal &= np.asarray(slopes.rational_on == slopes.rational_off).all(axis=0)
    return np.asarray(equal)


def _sum(old: Slopes | None, weight: FloatArray, inner: Slopes) -> Slopes | None:
    """Return ``old + weight @ inner``; None if a double would be rounded."""
    if not inner.is_exact or (old is not None and not old.is_exact):
        return None
    on = _added(None if old is None else old.on, exact_product(weight, inner.on))
    if on is None:
        return None
    if inner.off is None:
        return Slopes(on, None if old is None else old.off)
    off = _added(None if old is None else old.off, exact_product(weight, inner.off))
    return None if off is None else Slopes(on, off)


def _added(old: FloatArray | None, new: Matrix | None) -> FloatArray | None:
    total = new if new is None or old is None else exact_sum(old, new)
    return None if total is None else np.asarray(total)


def _columns(slopes: Slopes, kept: BoolArray | None) -> Slopes:
    if kept is None or kept.all():
        return slopes
    parts = (slopes.on, slopes.off, slopes.exact_on, slopes.exact_off)
    return Slopes(*(None if part is None else part[:, kept] for part in parts))  # type: ignore[arg-type]
