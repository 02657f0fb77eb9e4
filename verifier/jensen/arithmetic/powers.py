"""Powers of two near sizes: scaling by them rounds nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def exponents_near(sizes: ArrayLike) -> NDArray[np.int32]:
    """Return the exponents of the powers of two that are next above sizes.

    Parameters
    ----------
    sizes : array of any shape
        Doubles >= 0.

    Returns
    -------
    int array of the same shape
        ``2**(e - 1) <= size < 2**e``; 0 for 0 and for what is not finite.

    Examples
    --------
    >>> exponents_near([0.75, 1.0, 6.0, 0.0, np.inf]).tolist()
    [0, 1, 3, 0, 0]
    """
    given = np.asarray(sizes, dtype=np.float64)
    found = np.frexp(given)[1]
    return np.where((given > 0) & np.isfinite(given), found, 0).astype(np.int32)
