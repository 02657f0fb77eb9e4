"""Rigorous intervals of all pre-activations and values of a graph, on a box or beyond."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.exact import Matrix
from jensen.arithmetic.intervals import interval_affine
from jensen.graphs.convolution import Convolution
from jensen.graphs.function_graph import FunctionGraph
from jensen.network.block import INPUT
from jensen.types import BoolArray, FloatArray, Interval


@dataclass(frozen=True, eq=False)
class Enclosures:
    """Bounds of what every node receives and returns.

    Attributes
    ----------
    pre_activations, values : mapping from node name to (lower, upper)
    """

    pre_activations: Mapping[str, Interval]
    values: Mapping[str, Interval]


def enclose(graph: FunctionGraph, lower: FloatArray, upper: FloatArray) -> Enclosures:
    """Enclose every node of a graph on a box.

    Parameters
    ----------
    graph : FunctionGraph
    lower, upper : arrays (inputs,)
        Sides of the box; they may be infinite.
    """
    values: dict[str, Interval] = {INPUT: (lower, upper)}
    received: dict[str, Interval] = {}
    for node in graph.nodes:
        terms = [(weight, values[source]) for source, weight in node.weights.items()]
        z = affine_interval(terms, node.bias)
        received[node.name] = z
        values[node.name] = node.enclosure(z)
    return Enclosures(received, values)


def affine_interval(
    terms: Sequence[tuple[Matrix | Convolution, Interval]], bias: FloatArray
) -> Interval:
    """Enclose ``sum_j W_j h_j + bias`` where the ends of h may be infinite."""
    finite, convolved = [], []
    open_below, open_above = np.zeros(len(bias), dtype=bool), np.zeros(len(bias), dtype=bool)
    for matrix, (lower, upper) in terms:
        below, above = ~np.isfinite(lower), ~np.isfinite(upper)
        ends = np.where(below, 0.0, lower), np.where(above, 0.0, upper)
        if isinstance(matrix, Convolution):
            convolved.append(matrix.enclose(*ends))
        else:
            finite.append((matrix, ends))
        if below.any() or above.any():
            positive, negative = signs(matrix)
            open_below |= reaches(positive, below) | reaches(negative, above)
            open_above |= reaches(positive, above) | reaches(negative, below)
    low, high = interval_affine(finite, bias)
    for least, most in convolved:
        low, high = _added(low, least, -np.inf), _added(high, most, np.inf)
    return np.where(open_below, -np.inf, low), np.where(open_above, np.inf, high)


def _added(a: FloatArray, b: FloatArray, towards: float) -> FloatArray:
    """Return sums rounded in one direction; adding 0 rounds nothing."""
    with np.errstate(over="ignore"):
        total = np.nextafter(a + b, towards)
    return np.where(a == 0, b, np.where(b == 0, a, total))


def signs(matrix: Matrix | Convolution) -> tuple[Any, Any]:
    """Return where a matrix is positive and where it is negative, as 0 and 1."""
    if isinstance(matrix, Convolution):
        weight = matrix.weight
        return (
            replace(matrix, weight=(weight > 0).astype(np.float32)),
            replace(matrix, weight=(weight < 0).astype(np.float32)),
        )
    if sp.issparse(matrix):
        parts = []
        for mask in (matrix.data > 0, matrix.data < 0):
            part = sp.csr_array(
                (mask.astype(np.float32), matrix.indices, matrix.indptr), matrix.shape
            )
            parts.append(part)
        return parts[0], parts[1]
    return (matrix > 0).astype(np.float32), (matrix < 0).astype(np.float32)


def reaches(pattern: Any, flags: BoolArray) -> BoolArray:
    """Return which rows of a 0/1 pattern have a 1 at a position that is flagged."""
    # sums of up to 2**24 ones are exact in float32; a sum of ones is never rounded to 0
    reached: BoolArray = np.asarray(pattern @ flags.astype(np.float32)) > 0
    return reached
