"""Rows that tie the three copies of the midpoint program together.

Without them three big-M copies know nothing of each other. For every neuron let
``p = (z_x - z_y) / 2`` be the half-difference of its pre-activations,
``s = (z_x + z_y) / 2 - z_m`` what the neurons in front have lost, and
``e = (h_x + h_y) / 2 - h_m`` its own Jensen gap, all linear in the variables.

*Lower rows.* ``e >= relu((z_x + z_y) / 2) - relu((z_x + z_y) / 2 - s) >= min(0, s)`` since
relu is convex, monotone and 1-Lipschitz; for ``s in [sl, su]``, ``sl < 0 < su``, the chord
``e >= sl (su - s) / (su - sl)`` of the concave ``min(0, s)`` is valid.

*Upper rows.* ``e <= |p| / 2 + max(0, s)``, because ``(relu(c + p) + relu(c - p)) / 2 -
relu(c) = max(0, |p| - |c|) / 2``. A binary d says which of the points has the larger
pre-activation: ``d = 1`` if p > 0. With ``|p| <= P`` and ``max(0, s) <= chord(s)``::

    e <= p / 2 + P (1 - d) + chord(s),    e <= -p / 2 + P d + chord(s)

and ``d = 1`` implies ``a_x >= a_y``.

*Difference rows.* ``h_v - h_w`` lies between 0 and ``z_v - z_w`` for every two of the points
x, y, m; for ``z_v - z_w in [l, u]``, l < 0 < u, the two chords of that double wedge.

*Symmetry.* x and y may be swapped: ``x_k <= y_k`` for one coordinate k.

References
----------
docs/theory.md, section 6. The difference rows are those of Wang et al., "Interleaving
twin-network encoding", DATE 2022, for robustness.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.core.expr.numeric_expr import LinearExpression

from jensen_encodings.data import INPUT, NetworkData
from jensen_encodings.midpoint import MidpointProgram
from jensen_encodings.types import FloatArray

Interval = tuple[FloatArray, FloatArray]
EPS = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Strengthening:
    """Which families of rows are added."""

    gap_lower: bool = True
    gap_upper: bool = True
    differences: bool = True
    symmetry: bool = True


@dataclass(frozen=True, eq=False)
class GapBounds:
    """True bounds, per layer, of p and s and (``INPUT`` included) of e and of the h-difference.

    Attributes
    ----------
    half_difference : mapping from layer to array (size,)
        ``|p| <= half_difference``.
    loss : mapping from layer to (lower, upper)
        Of s.
    gap : mapping from layer to (lower, upper)
        Of e.
    """

    half_difference: Mapping[str, FloatArray]
    loss: Mapping[str, Interval]
    gap: Mapping[str, Interval]


def gap_bounds(data: NetworkData) -> GapBounds:
    """Propagate bounds of half-differences and Jensen gaps through the layers.

    All rounding errors are included: the bounds hold in real arithmetic.
    """
    zero = np.zeros(data.input_size)
    passed_p = {INPUT: (data.input_upper - data.input_lower) / 2 * (1 + 4 * EPS)}
    gap: dict[str, Interval] = {INPUT: (zero, zero)}
    half, loss = {}, {}
    for layer in data.layers:
        p, low, high = (np.zeros(layer.size) for _ in range(3))
        terms = 4
        for source, weight in layer.csr.items():
            plus, minus = weight.maximum(0), weight.minimum(0)
            a, b = gap[source]
            p += abs(weight) @ passed_p[source]
            low += plus @ a + minus @ b
            high += plus @ b + minus @ a
            terms += 2 * weight.shape[1]
        size = sum(
            abs(w) @ np.maximum(np.abs(gap[s][0]), np.abs(gap[s][1])) for s, w in layer.csr.items()
        )
        low, high = low - terms * EPS * size, high + terms * EPS * size
        width = (layer.upper - layer.lower) * (1 + 4 * EPS)
        p = np.minimum(p * (1 + terms * EPS), width / 2)
        low, high = np.maximum(low, -width), np.minimum(high, width)
        half[layer.name], loss[layer.name] = p, (low, high)
        passed_p[layer.name], gap[layer.name] = _through_relu(layer, p, low, high)
    return GapBounds(half, loss, gap)


def _through_relu(
    layer: Any, p: FloatArray, low: FloatArray, high: FloatArray
) -> tuple[FloatArray, Interval]:
    if not layer.is_relu:
        return p, (low, high)
    on, off = layer.lower >= 0, layer.upper <= 0
    free = ~(on | off)
    reach = np.where(off, 0.0, layer.upper) * (1 + EPS)  # of h, so of |e| and |h_x - h_y|
    passed = np.where(on, p, np.where(off, 0.0, np.minimum(p, reach / 2)))
    e_low = np.where(free, np.maximum(np.minimum(low, 0), -reach), np.where(on, low, 0.0))
    most = p / 2 + np.maximum(high, 0)
    e_high = np.where(free, np.minimum(most * (1 + 4 * EPS), reach), np.where(on, high, 0.0))
    return passed, (e_low, e_high)


def strengthen(program: MidpointProgram, options: Strengthening | None = None) -> None:
    """Add rows to a midpoint program; no pair of points of the box is cut off but by symmetry.

    Parameters
    ----------
    program : MidpointProgram
    options : Strengthening, optional

    Examples
    --------
    >>> from jensen_encodings.data import LayerData
    >>> from jensen_encodings.pyomo_model import solve_model
    >>> from jensen_encodings.midpoint import midpoint_program
    >>> one, two = np.ones(1), np.ones(2)
    >>> relu = LayerData("relu", {"input": np.array([[1.0], [-1.0]])}, 0 * two, True, -two, two)
    >>> out = LayerData("output", {"relu": -np.ones((1, 2))}, 0 * one, False, -2 * one, 0 * one)
    >>> program = midpoint_program(NetworkData(-one, one, (relu, out)))
    >>> strengthen(program)
    >>> round(solve_model(program.model).objective, 6)
    1.0
    """
    options = options or Strengthening()
    data, model = program.data, program.model
    bounds = gap_bounds(data)
    model.jensen = pyo.ConstraintList()
    unstable = [(layer.name, i) for layer in data.layers for i in layer.unstable()]
    if options.gap_upper:
        model.larger = pyo.Var(unstable, domain=pyo.Binary)
    for name, i in unstable:
        rows = _NeuronRows(program, name, i, bounds)
        if options.gap_lower:
            rows.add_lower()
        if options.gap_upper:
            rows.add_upper()
        if options.differences:
            rows.add_differences()
    if options.symmetry:
        k = int(np.argmax(data.input_upper - data.input_lower))
        model.jensen.add(program.at_x.inputs[k] - program.at_y.inputs[k] <= 0)


class _NeuronRows:
    """The rows of one unstable neuron, all multiplied by 2 to keep coefficients exact."""

    def __init__(self, program: MidpointProgram, name: str, index: int, bounds: GapBounds) -> None:
        self._model = program.model
        self._key = (name, index)
        copies = (program.at_x, program.at_y, program.at_m)
        self._z = [copy.pre(name, index) for copy in copies]
        self._h = [copy.post(name, index) for copy in copies]
        self._a = [copy.switches[name, index].expression for copy in copies]
        self._p = float(bounds.half_difference[name][index])
        self._s = tuple(float(side[index]) for side in bounds.loss[name])
        layer = next(item for item in program.data.layers if item.name == name)
        self._range = (float(layer.lower[index]), float(layer.upper[index]))

    def _row(self, h: tuple[float, ...], z: tuple[float, ...], *more: tuple[float, Any]) -> Any:
        pairs = [*zip(h, self._h, strict=True), *zip(z, self._z, strict=True), *more]
        pairs = [(c, v) for c, v in pairs if c]
        return LinearExpression(
            constant=0, linear_coefs=[c for c, _ in pairs], linear_vars=[v for _, v in pairs]
        )

    def add_lower(self) -> None:
        """``2 e >= 2 min(0, s)`` by its chord, and ``e >= s`` or ``e >= 0`` where they bind."""
        low, high = self._s
        slope, intercept = _chord_below_min(low, high)
        # 2 e - slope * 2 s >= 2 * intercept, with 2 s = z_x + z_y - 2 z_m
        self._model.jensen.add(self._row((1, 1, -2), (-slope, -slope, 2 * slope)) >= 2 * intercept)

    def add_upper(self) -> None:
        """``2 e <= |p| + 2 chord(s)``, the sign of p given by a binary."""
        d, p = self._model.larger[self._key], self._p
        slope, intercept = _chord_above_max(*self._s)
        jensen = self._model.jensen
        # 4 e - 2 p - 4 slope s <= 4 P (1 - d) + 4 intercept
        for sign in (1, -1):
            row = self._row(
                (2, 2, -4),
                (-2 * slope - sign, -2 * slope + sign, 4 * slope),
                (4 * sign * p, d),
            )
            jensen.add(row <= 4 * intercept + (4 * p if sign > 0 else 0))
        # the binary: -P (1 - d) <= p <= P d, with 2 p = z_x - z_y
        jensen.add(self._row((0, 0, 0), (1, -1, 0), (-2 * p, d)) <= 0)
        jensen.add(self._row((0, 0, 0), (1, -1, 0), (-2 * p, d)) >= -2 * p)
        jensen.add(self._a[1] - self._a[0] <= 1 - d)
        jensen.add(self._a[0] - self._a[1] <= d)

    def add_differences(self) -> None:
        """``h_v - h_w`` between 0 and ``z_v - z_w``, by the chords of the double wedge."""
        width = self._range[1] - self._range[0]
        low, high = self._s
        reach = {
            (0, 1): (-2 * self._p, 2 * self._p),
            # z_x - z_m = p + s, z_y - z_m = -p + s
            (0, 2): (low - self._p, high + self._p),
            (1, 2): (low - self._p, high + self._p),
        }
        for (v, w), (low, high) in reach.items():
            least, most = max(low * (1 + EPS), -width), min(high * (1 + EPS), width)
            h, z = [0.0] * 3, [0.0] * 3
            h[v], h[w] = 1.0, -1.0
            # max(0, t) <= chord and min(0, t) >= chord on [least, most]
            slope, intercept = _chord_above_max(least, most)
            z[v], z[w] = -slope, slope
            self._model.jensen.add(self._row(tuple(h), tuple(z)) <= intercept)
            slope, intercept = _chord_below_min(least, most)
            z[v], z[w] = -slope, slope
            self._model.jensen.add(self._row(tuple(h), tuple(z)) >= intercept)


def _chord_above_max(low: float, high: float) -> tuple[float, float]:
    """Return (slope, intercept) of a line that is >= max(0, t) on [low, high], rounded up."""
    if high <= 0:
        return 0.0, 0.0
    if low >= 0:
        return 1.0, 0.0
    slope = high / (high - low)
    at_low, at_high = -slope * low, high * (1 - slope)
    size = max(abs(low), abs(high))
    return slope, max(at_low, at_high) + 8 * EPS * size


def _chord_below_min(low: float, high: float) -> tuple[float, float]:
    """Return (slope, intercept) of a line that is <= min(0, t) on [low, high], rounded down."""
    slope, intercept = _chord_above_max(-high, -low)
    return slope, -intercept
