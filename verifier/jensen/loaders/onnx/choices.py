"""Where, by a constant condition or by a comparison at which nothing jumps."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.doubles import NotADoubleError, exact_doubles
from jensen.graphs.functions import Function
from jensen.loaders.exact_rows import common_factors, multiples
from jensen.loaders.lowering import Lowering
from jensen.loaders.onnx.node import Condition, OnnxNode, operator
from jensen.loaders.steps import same_map
from jensen.loaders.symbolic import NotPiecewiseLinearError, SymbolicTensor, constant, stack
from jensen.types import FloatArray

LEAST_THRESHOLD = 10.0  # beyond which a softplus may be cut off; PyTorch's is 20
_NEAR = 1e-6  # of float32 numbers that were rounded once


@operator("Greater", "GreaterOrEqual")
def greater(node: OnnxNode) -> Condition:
    """Compare; on the boundary nothing may jump, so that equality does not matter."""
    return Condition(node.tensor(0), node.tensor(1))


@operator("Less", "LessOrEqual")
def less(node: OnnxNode) -> Condition:
    """Compare the other way round."""
    return Condition(node.tensor(1), node.tensor(0))


@operator("Where")
def where(node: OnnxNode) -> SymbolicTensor:
    """Choose between two tensors."""
    if node.has_condition(0):
        smooth = _softplus_beyond_a_threshold(node)
        return _continuous_choice(node) if smooth is None else smooth
    condition = node.array(0).astype(bool)
    first, second = node.tensor(1), node.tensor(2)
    shape = np.broadcast_shapes(condition.shape, first.shape, second.shape)
    left, right = first.broadcast(shape), second.broadcast(shape)
    positions = np.where(condition, left.indices(), right.indices() + left.size)
    return stack([left, right]).take(positions)


def _softplus_beyond_a_threshold(node: OnnxNode) -> SymbolicTensor | None:
    """Return the softplus that a Where replaces by its argument where both are nearly equal.

    PyTorch exports softplus as ``Where(beta x > threshold, x, Softplus(beta x) / beta)``. In real
    numbers that function jumps at the threshold, by less than float32 can see; it is read
    as the softplus, and the user is told of the difference.

    Raises
    ------
    NotPiecewiseLinearError
        If the jump is one that float32 sees.
    """
    condition, argument, smooth = node.condition(0), node.tensor(1), node.tensor(2)
    found = node.lowering.argument_of(smooth, Function.SOFTPLUS)
    threshold = np.unique(condition.right.bias)
    if found is None or not condition.right.is_constant or threshold.size != 1:
        return None
    inner, factors = found
    sizes = {inner.size, argument.size, condition.left.size}
    if len(sizes) > 1 or not (factors > 0).all():
        return None
    ones = np.ones(inner.size)
    if not _nearly(condition.left, inner, ones, 0.0) or not _nearly(
        argument, inner, factors, _NEAR
    ):
        return None
    most = float(np.logaddexp(0.0, -threshold[0]) * factors.max())
    if threshold[0] < LEAST_THRESHOLD:
        raise NotPiecewiseLinearError(
            f"beyond {threshold[0]:g} it replaces a softplus by its argument, a jump of "
            f"{most:.2g}; supported are thresholds of {LEAST_THRESHOLD:g} or more"
        )
    exact = _nearly(argument, inner, factors, 0.0)
    slopes = "" if exact else f", and by the rounding of its slopes, a share of {_NEAR:g} at most"
    node.lowering.roundings.append(
        f"{node.label}: beyond {threshold[0]:g} it returns the argument of a softplus; it was "
        f"read as the softplus itself, which differs by at most {most:.2g}{slopes}"
    )
    return smooth


def _nearly(x: SymbolicTensor, y: SymbolicTensor, factors: FloatArray, tolerance: float) -> bool:
    """Whether ``x = factors * y``, each number up to a relative tolerance of its own."""
    if set(x.terms) != set(y.terms):
        return False
    pairs = [(x.bias[:, None], y.bias[:, None]), *((m, y.terms[s]) for s, m in x.terms.items())]
    for given, base in pairs:
        scaled = sp.csr_array(sp.csr_array(base).multiply(factors[:, None]))
        miss = abs(sp.csr_array(given) - scaled) - tolerance * abs(scaled)
        if not (sp.csr_array(miss).data <= 0).all():
            return False
    return True


def _continuous_choice(node: OnnxNode) -> SymbolicTensor:
    """Return ``Where(d > 0, a, b)`` where ``a - b = c d``: that is ``b + c relu(d)``.

    Where ``a - b = c d^2``, as in Huber's function, it is ``b + c relu(d)^2``. Where d is
    ``|z| - l`` there are two sides, on which the sign of z is known.

    Raises
    ------
    NotPiecewiseLinearError
        If it is not known to be so, and values may jump at ``d = 0``.
    """
    condition, low = node.condition(0), node.lowering
    first, second = node.tensor(1), node.tensor(2)
    excess = low.subtract(condition.left, condition.right)
    shape = np.broadcast_shapes(excess.shape, first.shape, second.shape)
    excess, first, second = (tensor.broadcast(shape) for tensor in (excess, first, second))
    for expand in (False, True):  # as they are read, then without identity blocks between
        squares = _square_multiples(low, low.subtract(first, second), excess, expand=expand)
        if squares is not None:
            bend = low.apply(low.relu(excess), Function.POWER, 2.0)
            return low.add(second, low.scale(bend, squares))
    difference = low.subtract(first, second)
    factors = multiples(difference, excess)
    if factors is not None:  # also where d happens to be |z| - l
        return low.add(second, low.scale(low.relu(excess), factors))
    for outer, inner, beyond in ((first, second, excess), (second, first, low.negate(excess))):
        magnitude = low.steps.magnitude(beyond)
        if magnitude is not None and (magnitude[1] >= 0).all():
            return _beyond(low, *magnitude, outer, inner)
    return low.add(second, _bend(low, difference, excess))


def _square_multiples(
    low: Lowering, x: SymbolicTensor, y: SymbolicTensor, *, expand: bool
) -> FloatArray | None:
    """Return c with ``x = c y^2``, over the rationals; None where that is not known.

    The one square in a row of x is ``(s y + d)^2``, and what is left of the row cancels
    all of its expansion but ``s^2 y^2``.
    """
    squares = {name for name in x.terms if low.squared(name) is not None}
    rows = low.exact_rows(x, expand=expand) if len(squares) == 1 else None
    others = None if rows is None else low.exact_rows(y, expand=expand)
    if rows is None or others is None:
        return None
    keys = [[key for key in row if key is not None and key[0] in squares] for row in rows]
    squared = low.squared(next(iter(squares)))
    if squared is None or any(len(found) != 1 for found in keys):
        return None
    places = np.array([found[0][1] for found in keys])
    maps = _as_multiples(low, squared.reshape((squared.size,)).take(places), y, expand=expand)
    factors = []
    for row, (key,), other, (scale, shift) in zip(rows, keys, others, maps or [], strict=False):
        weight, rest = row[key], {k: v for k, v in row.items() if k != key and v}
        wanted = {k: -2 * weight * scale * shift * v for k, v in other.items()}
        wanted[None] = wanted.get(None, Fraction(0)) - weight * shift * shift
        if rest == {k: v for k, v in wanted.items() if v}:
            factors.append(weight * scale * scale)
    try:
        return exact_doubles(factors) if len(factors) == len(rows) else None
    except NotADoubleError:
        return None


def _as_multiples(
    low: Lowering, x: SymbolicTensor, y: SymbolicTensor, *, expand: bool
) -> list[tuple[Fraction, Fraction]] | None:
    """Return s and d with ``|x| = |s y + d|``, number by number; None where they are not known."""
    for sign, signed in ((1, y), (-1, low.negate(y))):
        magnitude = low.steps.magnitude(signed)
        if magnitude is not None and same_map(magnitude[0].reshape(x.shape), x):
            return [(Fraction(sign), Fraction(limit)) for limit in magnitude[1].ravel().tolist()]
    rows, others = low.exact_rows(x, expand=expand), low.exact_rows(y, expand=expand)
    scales = None if rows is None or others is None else common_factors(rows, others)
    if rows is None or others is None or scales is None:
        return None
    zero = Fraction(0)
    return [
        (scale, row.get(None, zero) - scale * other.get(None, zero))
        for row, other, scale in zip(rows, others, scales, strict=True)
    ]


def _beyond(
    low: Lowering,
    z: SymbolicTensor,
    limits: FloatArray,
    outer: SymbolicTensor,
    inner: SymbolicTensor,
) -> SymbolicTensor:
    """Return ``Where(|z| > limit, outer, inner)``, bent at both limits."""
    total = inner
    for sign in (1.0, -1.0):
        side = low.steps.decided(outer, z, sign)
        if side is None:
            raise NotPiecewiseLinearError("it reads the sign of another value, which jumps")
        signed = z if sign > 0 else low.negate(z)
        excess = low.subtract(signed, constant(limits.reshape(z.shape)))
        total = low.add(total, _bend(low, low.subtract(side, inner), excess))
    return total


def _bend(low: Lowering, difference: SymbolicTensor, excess: SymbolicTensor) -> SymbolicTensor:
    """Return ``c relu(excess)`` where ``difference = c * excess``.

    Raises
    ------
    NotPiecewiseLinearError
        If it is not known to be so; the jump is named where there is one.
    """
    factors = multiples(difference, excess)
    if factors is None:
        factors = _exact_multiples(low, difference, excess)
    return low.scale(low.relu(excess), factors)


def _exact_multiples(low: Lowering, x: SymbolicTensor, y: SymbolicTensor) -> FloatArray:
    """Return c with ``x = c * y``, where both are written out over the rationals.

    Raises
    ------
    NotPiecewiseLinearError
        If there is none; the jump is named where there is one.
    """
    rows, others = low.exact_rows(x), low.exact_rows(y)
    factors = None if rows is None or others is None else common_factors(rows, others)
    if rows is None or others is None or factors is None:
        raise NotPiecewiseLinearError(
            "its values may jump where the comparison changes: the difference of the branches "
            "is not a multiple of that of the compared values"
        )
    jumps = [p[None] - c * q[None] for p, q, c in zip(rows, others, factors, strict=True)]
    if any(jumps):
        largest = float(max(map(abs, jumps)))
        raise NotPiecewiseLinearError(
            f"its values jump by {largest:.6g} where the comparison changes"
        )
    try:
        return exact_doubles(factors)
    except NotADoubleError as error:
        raise NotPiecewiseLinearError(f"the bend where the comparison changes: {error}") from None
