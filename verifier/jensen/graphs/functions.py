"""The functions that nodes of a graph apply: values, enclosures and shape.

Every function is one :class:`Rule` of a table. Elementwise rules take arrays of any shape; rules
of groups reduce the last axis. What is claimed of a shape (monotone, convex, concave) is
claimed on an interval of arguments, and proved in docs/smooth.md.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from jensen.graphs.shapes import MARGIN, Enclosure, Rule, Shape, Values, outward
from jensen.graphs.valleys import GELU, SILU, gelu, sigmoid, silu, valley_enclosure, valley_shape
from jensen.types import BoolArray, FloatArray, Interval

MAX_POWER = 64


class Function(StrEnum):
    """What a node applies to its pre-activation.

    Examples
    --------
    >>> Function.LOG_SUM_EXP in GROUPED, Function.POWER in RATIONAL
    (True, True)
    """

    IDENTITY = "identity"
    RELU = "relu"
    SOFTPLUS = "softplus"
    ELU = "elu"
    CELU = "celu"
    EXP = "exp"
    LOG = "log"
    SQRT = "sqrt"
    POWER = "power"
    RECIPROCAL = "reciprocal"
    SIGMOID = "sigmoid"
    TANH = "tanh"
    ERF = "erf"
    GELU = "gelu"
    SILU = "silu"
    LOG_SUM_EXP = "log-sum-exp"
    NORM = "norm"
    PRODUCT = "product"


def _increasing(values: Values, least: float, most: float = np.inf) -> Enclosure:
    """Enclose a nondecreasing function whose values lie between two numbers."""

    def enclosure(lower: FloatArray, upper: FloatArray, parameter: float) -> Interval:
        with np.errstate(all="ignore"):
            low, high = outward(values(lower, parameter), values(upper, parameter))
        return np.maximum(low, least), np.minimum(high, most)

    return enclosure


def _const(like: FloatArray, value: bool) -> BoolArray:
    return np.full(like.shape, value)


# ------------------------------------------------------------------ piecewise linear


def _relu(z: FloatArray, _: float) -> FloatArray:
    return np.maximum(z, 0.0)


def _relu_shape(lower: FloatArray, upper: FloatArray, _: float) -> Shape:
    yes, off = _const(lower, True), upper <= 0
    return Shape(yes, off, yes, off | (lower >= 0), yes)


# ------------------------------------------------------------------------- smooth


def softplus(z: FloatArray, _: float = 1.0) -> FloatArray:
    """Return ``log(1 + exp(z))`` without overflow."""
    return np.where(
        z > 0, np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))), np.log1p(np.exp(np.minimum(z, 0)))
    )


def _elu(z: FloatArray, alpha: float) -> FloatArray:
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0.0)))


def _elu_shape(lower: FloatArray, upper: FloatArray, alpha: float) -> Shape:
    yes, off = _const(lower, True), _const(lower, alpha == 0) & (upper <= 0)
    one_sided = (upper <= 0) | (lower >= 0)
    return Shape(yes, off, one_sided | (alpha <= 1), off | (lower >= 0), yes)


def _celu(z: FloatArray, alpha: float) -> FloatArray:
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0.0) / alpha))


def _celu_shape(lower: FloatArray, upper: FloatArray, _: float) -> Shape:
    yes, no = _const(lower, True), _const(lower, False)
    return Shape(yes, no, yes, lower >= 0, yes)


def _convex_increasing(lower: FloatArray, upper: FloatArray, _: float) -> Shape:
    yes, no = _const(lower, True), _const(lower, False)
    return Shape(yes, no, yes, no, yes)


def _exp(z: FloatArray, _: float) -> FloatArray:
    result: FloatArray = np.exp(z)
    return result


def _log(z: FloatArray, _: float) -> FloatArray:
    result: FloatArray = np.log(z)
    return result


def _log_enclosure(lower: FloatArray, upper: FloatArray, _: float) -> Interval:
    with np.errstate(all="ignore"):
        low = np.where(lower > 0, np.log(lower), -np.inf)
        high = np.where(upper > 0, np.log(upper), -np.inf)
    return outward(low, high)


def _log_shape(lower: FloatArray, upper: FloatArray, _: float) -> Shape:
    inside, no = lower > 0, _const(lower, False)
    return Shape(inside, no, no, inside, inside)


def _sqrt(z: FloatArray, _: float) -> FloatArray:
    result: FloatArray = np.sqrt(z)
    return result


def _sqrt_enclosure(lower: FloatArray, upper: FloatArray, _: float) -> Interval:
    with np.errstate(all="ignore"):
        low, high = outward(np.sqrt(np.maximum(lower, 0)), np.sqrt(np.maximum(upper, 0)))
    return np.maximum(low, 0.0), high


def _sqrt_shape(lower: FloatArray, upper: FloatArray, _: float) -> Shape:
    inside, no = lower >= 0, _const(lower, False)
    return Shape(inside, no, no, inside, inside)


def _power(z: FloatArray, exponent: float) -> FloatArray:
    result: FloatArray = z ** int(exponent)
    return result


def _power_enclosure(lower: FloatArray, upper: FloatArray, exponent: float) -> Interval:
    with np.errstate(all="ignore"):
        if int(exponent) % 2:
            return outward(_power(lower, exponent), _power(upper, exponent))
        nearest = np.where((lower <= 0) & (upper >= 0), 0, np.minimum(abs(lower), abs(upper)))
        farthest = np.maximum(np.abs(lower), np.abs(upper))
        low, high = outward(_power(nearest, exponent), _power(farthest, exponent))
    return np.maximum(low, 0.0), high


def _power_shape(lower: FloatArray, upper: FloatArray, exponent: float) -> Shape:
    yes, up, down = _const(lower, True), lower >= 0, upper <= 0
    if int(exponent) % 2:
        return Shape(yes, _const(lower, False), up, down, yes)
    return Shape(up, down, yes, _const(lower, False), yes)


def _reciprocal(z: FloatArray, _: float) -> FloatArray:
    result: FloatArray = 1.0 / z
    return result


def _reciprocal_enclosure(lower: FloatArray, upper: FloatArray, _: float) -> Interval:
    one_sided = (lower > 0) | (upper < 0)
    with np.errstate(all="ignore"):
        low = np.where(one_sided, 1.0 / upper, -np.inf)
        high = np.where(one_sided, 1.0 / lower, np.inf)
    low, high = outward(low, high)
    return np.where(lower > 0, np.maximum(low, 0.0), low), np.where(
        upper < 0, np.minimum(high, 0.0), high
    )


def _reciprocal_shape(lower: FloatArray, upper: FloatArray, _: float) -> Shape:
    right, left = lower > 0, upper < 0
    return Shape(_const(lower, False), right | left, right, left, right | left)


def _tanh(z: FloatArray, _: float) -> FloatArray:
    result: FloatArray = np.tanh(z)
    return result


def _s_shape(lower: FloatArray, upper: FloatArray, _: float) -> Shape:
    yes, no = _const(lower, True), _const(lower, False)
    return Shape(yes, no, upper <= 0, lower >= 0, yes)


def _erf(z: FloatArray, _: float) -> FloatArray:
    from scipy.special import erf  # noqa: PLC0415  (takes as long to import as half of NumPy)

    result: FloatArray = erf(z)
    return result


# ------------------------------------------------------------------------ of groups


def log_sum_exp(z: FloatArray, _: float = 1.0) -> FloatArray:
    """Return ``log(sum(exp(z)))`` over the last axis."""
    top = z.max(axis=-1)
    shift = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        result: FloatArray = shift + np.log(np.exp(z - shift[..., None]).sum(axis=-1))
    return result


def _log_sum_exp_enclosure(lower: FloatArray, upper: FloatArray, _: float) -> Interval:
    """Enclose by monotonicity; terms may cancel, so that the margin is that of the terms."""
    with np.errstate(all="ignore"):
        low, high = log_sum_exp(lower), log_sum_exp(upper)
        count = lower.shape[-1]
        slack = MARGIN * (1.0 + count)
        low = low - slack * (1.0 + np.abs(lower.max(axis=-1)))
        high = high + slack * (1.0 + np.abs(upper.max(axis=-1)))
    # at least the largest term, at most that plus log(count) in real arithmetic
    low = np.where(np.isnan(low), lower.max(axis=-1), low)
    return np.minimum(low, np.finfo(np.float64).max), np.where(np.isnan(high), np.inf, high)


def norm(z: FloatArray, _: float = 1.0) -> FloatArray:
    """Return the Euclidean length over the last axis; squares neither under- nor overflow."""
    top = np.abs(z).max(axis=-1)
    scale = np.where((top > 0) & np.isfinite(top), top, 1.0)
    result: FloatArray = scale * np.sqrt(((z / scale[..., None]) ** 2).sum(axis=-1))
    return result


def _norm_enclosure(lower: FloatArray, upper: FloatArray, _: float) -> Interval:
    nearest = np.where((lower <= 0) & (upper >= 0), 0.0, np.minimum(np.abs(lower), np.abs(upper)))
    farthest = np.maximum(np.abs(lower), np.abs(upper))
    growth = 1.0 + lower.shape[-1] * MARGIN
    with np.errstate(all="ignore"):
        low, high = outward(norm(nearest) / growth, norm(farthest) * growth)
    return np.maximum(low, 0.0), high


def product(z: FloatArray, _: float = 1.0) -> FloatArray:
    """Return the product over the last axis, of two numbers."""
    result: FloatArray = z[..., 0] * z[..., 1]
    return result


def _product_enclosure(lower: FloatArray, upper: FloatArray, _: float) -> Interval:
    with np.errstate(all="ignore"):
        ends = np.stack([a[..., 0] * b[..., 1] for a in (lower, upper) for b in (lower, upper)])
    ends = np.where(np.isnan(ends), 0.0, ends)  # 0 times what is unbounded, but a number
    return outward(ends.min(axis=0), ends.max(axis=0))


def _identity(z: FloatArray, _: float) -> FloatArray:
    return z


def _identity_shape(lower: FloatArray, upper: FloatArray, _: float) -> Shape:
    yes, no = _const(lower, True), _const(lower, False)
    return Shape(yes, no, yes, yes, yes)


RULES: dict[Function, Rule] = {
    Function.IDENTITY: Rule(_identity, lambda low, high, _: (low, high), _identity_shape),
    Function.RELU: Rule(
        _relu, lambda low, high, _: (np.maximum(low, 0.0), np.maximum(high, 0.0)), _relu_shape
    ),
    Function.SOFTPLUS: Rule(softplus, _increasing(softplus, 0.0), _convex_increasing),
    Function.ELU: Rule(_elu, _increasing(_elu, -np.inf), _elu_shape),
    Function.CELU: Rule(_celu, _increasing(_celu, -np.inf), _celu_shape),
    Function.EXP: Rule(_exp, _increasing(_exp, 0.0), _convex_increasing),
    Function.LOG: Rule(_log, _log_enclosure, _log_shape),
    Function.SQRT: Rule(_sqrt, _sqrt_enclosure, _sqrt_shape),
    Function.POWER: Rule(_power, _power_enclosure, _power_shape),
    Function.RECIPROCAL: Rule(_reciprocal, _reciprocal_enclosure, _reciprocal_shape),
    Function.SIGMOID: Rule(sigmoid, _increasing(sigmoid, 0.0, 1.0), _s_shape),
    Function.TANH: Rule(_tanh, _increasing(_tanh, -1.0, 1.0), _s_shape),
    Function.ERF: Rule(_erf, _increasing(_erf, -1.0, 1.0), _s_shape),
    Function.GELU: Rule(gelu, valley_enclosure(gelu, GELU), valley_shape(GELU)),
    Function.SILU: Rule(silu, valley_enclosure(silu, SILU), valley_shape(SILU)),
    Function.LOG_SUM_EXP: Rule(log_sum_exp, _log_sum_exp_enclosure),
    Function.NORM: Rule(norm, _norm_enclosure),
    Function.PRODUCT: Rule(product, _product_enclosure),
}
GROUPED = frozenset({Function.LOG_SUM_EXP, Function.NORM, Function.PRODUCT})
RATIONAL = frozenset(
    {Function.IDENTITY, Function.RELU, Function.POWER, Function.RECIPROCAL, Function.PRODUCT}
)
