"""Levels of two-slope units: pairs of twins of stacked networks act as one (theory, section 2).

Neurons of a layer whose rows are equal, or equal up to the sign, kink at one place. A pair is
written as one unit: the layer behind receives ``on * z`` for ``z >= 0`` and ``off * z`` for
``z <= 0``. Multiples other than 1 and -1, third twins, and weights whose sums no double holds
stay units of their own, which costs proofs and not truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from jensen.network.relu_network import ReluNetwork
from jensen.types import BoolArray, FloatArray, IndexArray


@dataclass(frozen=True, eq=False)
class UnitLayer:
    """What the layer behind receives of the units of one layer.

    Attributes
    ----------
    twin : int array (networks, units)
        The other twin's number; -1 for neurons that are alone.
    lead : bool array (networks, units)
        False for the second of two twins, whose columns are 0.
    on, off : arrays (networks, out, units)
        Weights on ``max(z, 0)`` and on ``min(z, 0)``.
    kink : array (networks, out, units)
        Their differences. All are stored weights, or sums of two that are exact.
    """

    twin: IndexArray
    lead: BoolArray
    on: FloatArray
    off: FloatArray
    kink: FloatArray

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(self.lead.shape[1])

    @cached_property
    def paired(self) -> bool:
        """Whether there are twins in any network."""
        return not bool(self.lead.all())


def unit_layers(
    weights: Sequence[FloatArray],
    biases: Sequence[FloatArray],
    crossing: Sequence[BoolArray],
    *,
    twins: bool = True,
) -> list[UnitLayer]:
    """Pair the twins of every hidden layer.

    Parameters
    ----------
    weights : sequence of arrays (networks, out, in)
        Of all layers, the output included.
    biases : sequence of arrays (networks, out)
    crossing : sequence of bool arrays (networks, units)
        Neurons of the hidden layers that may change their sign; only these are paired.
    twins : bool
        False: none are looked for.
    """
    found = []
    for k, crosses in enumerate(crossing):
        if not twins:
            found.append(_alone(crosses.shape, weights[k + 1]))
            continue
        rows = np.concatenate([weights[k], biases[k][:, :, None]], axis=2)
        found.append(_paired(rows, crosses, weights[k + 1]))
    return found


def may_have_twins(network: ReluNetwork) -> bool:
    """Whether two rows of a hidden block are equal up to signs of their entries: a quick hint."""
    for block in network.hidden:
        if len(set(np.abs(block.bias).tolist())) == block.size:
            continue  # their biases tell all rows apart
        parts = [*block.weights.values(), block.bias[:, None]]
        if any(not isinstance(part, np.ndarray) for part in parts):
            return False
        keys = _keys(np.concatenate(parts, axis=1))
        keys.sort()
        if (keys[1:] == keys[:-1]).any():
            return True
    return False


def _alone(shape: tuple[int, ...], behind: FloatArray) -> UnitLayer:
    """Return a layer without twins."""
    twin, lead = np.full(shape, -1, dtype=np.intp), np.ones(shape, dtype=bool)
    return UnitLayer(twin, lead, behind, np.zeros(1), behind)


def _paired(rows: FloatArray, crosses: BoolArray, behind: FloatArray) -> UnitLayer:
    count, size = crosses.shape
    keys = _keys(rows)
    order = np.argsort(keys, axis=1)
    ordered = np.take_along_axis(keys, order, axis=1)
    network, place = np.nonzero(ordered[:, 1:] == ordered[:, :-1])
    if not len(network):
        return _alone((count, size), behind)
    twin = np.full((count, size), -1, dtype=np.intp)
    lead = np.ones((count, size), dtype=bool)
    on, off, kink = behind.copy(), np.zeros_like(behind), behind.copy()
    for n, at in zip(network.tolist(), place.tolist(), strict=True):
        one, two = sorted(order[n, at : at + 2].tolist())
        if (twin[n, [one, two]] >= 0).any() or not (crosses[n, one] and crosses[n, two]):
            continue
        opposite = bool((rows[n, one] == -rows[n, two]).all())
        if not opposite and not (rows[n, one] == rows[n, two]).all():
            continue
        both = _exact_sum(behind[n, :, one], behind[n, :, two])
        if both is None:
            continue
        twin[n, one], twin[n, two], lead[n, two] = two, one, False
        kink[n, :, one] = both
        if opposite:
            off[n, :, one] = -behind[n, :, two]
        else:
            on[n, :, one] = both
        on[n, :, two] = kink[n, :, two] = 0.0
    return UnitLayer(twin, lead, on, off, kink)


def _exact_sum(a: FloatArray, b: FloatArray) -> FloatArray | None:
    """Return sums of doubles, None if one is rounded (Knuth's two-sum)."""
    total = a + b
    part = total - a
    lost = (a - (total - part)) + (b - part)
    return total if (lost == 0).all() else None


def _keys(rows: FloatArray) -> NDArray[np.uint64]:
    """Return numbers that are equal for rows of equal absolute values."""
    bits = np.abs(rows).view(np.uint64)
    keys: NDArray[np.uint64] = (bits * _multipliers(rows.shape[-1])).sum(axis=-1, dtype=np.uint64)
    return keys


@lru_cache(maxsize=64)
def _multipliers(count: int) -> NDArray[np.uint64]:
    """Return fixed odd numbers of 64 bits."""
    rng = np.random.default_rng([20250103, count])
    numbers = rng.integers(0, 2**63, count, dtype=np.uint64)
    return numbers * np.uint64(2) + np.uint64(1)
