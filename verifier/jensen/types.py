"""The arrays and tuples that everything here is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]
IntArray: TypeAlias = NDArray[np.int64]
IndexArray: TypeAlias = NDArray[np.intp]
ObjectArray: TypeAlias = NDArray[Any]  # of int, Fraction or fmpq

Interval: TypeAlias = tuple[FloatArray, FloatArray]  # lower and upper ends
Bounds: TypeAlias = Mapping[str, Interval]  # of every block's pre-activations
Unit: TypeAlias = tuple[int, int]  # (level, unit) of a grouped network
Neurons: TypeAlias = tuple[tuple[str, int], ...]  # (block name, index) each
