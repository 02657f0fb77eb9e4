"""The violation on triples of boxes by the Jensen gaps of the neurons (theory, Lemma 9).

With x, y and m in a box each, the violation is ``- sum of J(a) g``: of every neuron the gap

    g = (relu(z(x)) + relu(z(y))) / 2 - relu((z(x) + z(y)) / 2)

lies between two numbers that the boxes of x and y give, and its averaged activation a is 0 or 1
where (z(x) + z(y)) / 2 and z(m) surely have one sign. Gaps of neurons that read inputs only are
bounded by affine forms in x and y, too. Where f is convex around both points this bound is 0,
which bounds of f itself on boxes never are.

References
----------
docs/theory.md, section 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jensen.arithmetic.intervals import rounding_factor
from jensen.midpoint.box_forms import BoxForms, Enclosed, ScaledLayer, chord, tangent
from jensen.midpoint.linked import TINY
from jensen.types import FloatArray, Interval


@dataclass(frozen=True, eq=False)
class Triple:
    """What boxes of x, of y and of their middles give.

    Attributes
    ----------
    x, y, m : Enclosed
    half : array (pairs, 2, inputs)
        Of the boxes of x and y, in scaled inputs.
    """

    x: Enclosed
    y: Enclosed
    m: Enclosed
    half: FloatArray

    @cached_property
    def gaps(self) -> Interval:
        """The least and the largest g of all neurons, each (pairs, neurons)."""
        x, y = self.x, self.y
        least = np.maximum(np.minimum(x.low, -y.high), np.minimum(y.low, -x.high))
        most = np.maximum(np.minimum(x.high, -y.low), np.minimum(y.high, -x.low))
        return np.maximum(least, 0.0) / 2, np.maximum(most, 0.0) / 2

    def averaged(self, span: slice, low: FloatArray, high: FloatArray) -> Interval:
        """Return bounds of ``J a`` of some neurons from those of J, each (pairs, neurons)."""
        # the sign of a rounded sum is that of the sum
        on = (self.x.low[:, span] + self.y.low[:, span] >= 0) & (self.m.low[:, span] >= 0)
        off = (self.x.high[:, span] + self.y.high[:, span] <= 0) & (self.m.high[:, span] <= 0)
        below = np.where(on, low, np.where(off, 0.0, np.minimum(low, 0.0)))
        return below, np.where(on, high, np.where(off, 0.0, np.maximum(high, 0.0)))


class GapForms:
    """Bounds of the violation by the gaps of all neurons.

    Parameters
    ----------
    forms : BoxForms

    Attributes
    ----------
    rounding : float
        What is added for rounding errors.
    """

    def __init__(self, forms: BoxForms) -> None:
        self._layers = forms.layers
        terms = forms.units + len(forms.reach) + len(forms.layers) + 16
        output = forms.output.name
        # of J of every neuron: its size, and what was rounded at most
        sizes, errors = {output: np.ones(1)}, {output: np.zeros(1)}
        paid = TINY
        for layer in reversed(self._layers):
            size = sizes.setdefault(layer.name, np.zeros(len(layer.bias)))
            error = errors.setdefault(layer.name, np.zeros(len(layer.bias)))
            if layer.is_relu:
                each = 8 * layer.error + 8 * rounding_factor(terms) * layer.size
                paid += float(size @ each) + terms * TINY * float(1 + size.sum())
            rounding = 2 * rounding_factor(2 * len(layer.bias) + len(self._layers) + 4)
            for source, weight in layer.weights.items():
                more = np.abs(weight).T @ size
                lost = np.abs(weight).T @ error + rounding * more + TINY * (1 + size.sum())
                sizes[source] = sizes.get(source, 0.0) + more
                errors[source] = errors.get(source, 0.0) + lost
        self._errors = {
            name: 2 * error + rounding_factor(len(self._layers)) * sizes[name]
            for name, error in errors.items()
        }
        self.rounding = 2 * paid

    def bound(self, at: Triple) -> FloatArray:
        """Bound the violation of all pairs: (pairs,).

        Parameters
        ----------
        at : Triple
        """
        least, most = at.gaps
        total = np.full(len(least), self.rounding)
        one = np.ones((len(least), 1))
        jumps = {self._layers[-1].name: (one, one)}  # lower and upper bounds of J
        for layer in reversed(self._layers):
            if layer.name not in jumps:
                continue
            low, high = jumps[layer.name]
            if layer.is_relu:
                span, prices = layer.span, self._errors[layer.name] - low
                part = np.maximum(prices * most[:, span], prices * least[:, span]).sum(axis=1)
                if layer.slopes is not None:
                    part = np.minimum(part, _affine_gaps(layer, prices, at))
                total += part
                low, high = at.averaged(span, low, high)
            if layer.slopes is not None:
                continue  # no neuron is in front
            for source, (positive, negative) in layer.split.items():
                below = low @ positive.T + high @ negative.T
                above = high @ positive.T + low @ negative.T
                old = jumps.get(source, (0.0, 0.0))
                jumps[source] = old[0] + below, old[1] + above
        return total


def _affine_gaps(layer: ScaledLayer, prices: FloatArray, at: Triple) -> FloatArray:
    """Bound ``sum of prices g`` over the boxes of x and y, for neurons that read inputs only."""
    dear = prices > 0  # g from above; otherwise from below
    slopes, offset, centres = [], np.zeros(prices.shape), []
    for end, above, weight in ((at.x, dear, 0.5), (at.y, dear, 0.5), (at.m, ~dear, -1.0)):
        low, high = end.low[:, layer.span], end.high[:, layer.span]
        steep, constant = chord(low, high)
        slopes.append(np.where(above, steep, tangent(low, high)))
        offset += weight * np.where(above, constant, 0.0)
        centres.append((low + high) / 2)
    by_x, by_y = (slopes[0] - slopes[2]) / 2, (slopes[1] - slopes[2]) / 2
    value = (prices * (offset + by_x * centres[0] + by_y * centres[1])).sum(axis=1)
    assert layer.slopes is not None
    along = np.stack([(prices * by) @ layer.slopes.T for by in (by_x, by_y)], axis=1)
    return np.asarray(value + (np.abs(along) * at.half).sum(axis=(1, 2)))
