"""What branching has brought, to tell what it will bring."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from jensen.types import FloatArray

PRIOR = 2.0  # observations that the mean of all counts for
LEAST_GAIN = 1e-6  # per unit of score


class PseudoCosts:
    """Gains per unit of score, by what was branched on.

    Parameters
    ----------
    shape : tuple of int
        Of what can be branched on, and of the scores.

    References
    ----------
    Achterberg, Koch, Martin, "Branching rules revisited", Operations Research Letters 33,
    2005.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._sum, self._count = np.zeros(shape), np.zeros(shape)

    def expected(self, score: FloatArray) -> FloatArray:
        """Return the gains that scores promise, up to a factor."""
        count = self._count.sum()
        mean = self._sum.sum() / count if count else 1.0
        return np.asarray(score * (self._sum + PRIOR * mean) / (self._count + PRIOR))

    def learn(self, place: tuple[int, ...], score: float, gains: Sequence[float]) -> None:
        """Note what the children gained, by the geometric mean."""
        if score > 0:
            logs = [math.log(max(gain, LEAST_GAIN * score)) for gain in gains]
            self._sum[place] += math.exp(sum(logs) / len(logs)) / score
            self._count[place] += 1
