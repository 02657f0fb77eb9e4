"""Exact midpoint violations of many networks at once.

The numbers are integers times a power of two, which one is known beforehand. Their residues
modulo a few primes are computed for all networks together in machine integers, and the
Chinese remainder theorem gives back the integers. Which ReLUs are on is decided in floating
point where a rounding-error bound proves it; where it does not, nothing is returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import islice

import numpy as np
from flint import fmpz
from numpy.typing import NDArray

from jensen.network.stack import NetworkStack
from jensen.types import FloatArray, IntArray

_PRIME_BITS = 27
_TERMS = 2**8  # products of two residues that an int64 can sum, and one more
_MOST_PRIMES = 64  # beyond, rational arithmetic is as fast
_LARGEST_SHIFT = 2200  # more than the exponents of two doubles can differ by
_UNIT = 2.0**-52  # twice the unit roundoff: the bounds below are rounded, too
_TINY = 1e-290  # more than any underflow


def exact_violations(stack: NetworkStack, x: FloatArray, y: FloatArray) -> list[Fraction | None]:
    """Return ``f((x + y) / 2) - (f(x) + f(y)) / 2`` of every network, exactly.

    Parameters
    ----------
    stack : NetworkStack
        With one output.
    x, y : arrays of shape (networks, inputs)

    Returns
    -------
    list of Fraction or None
        None where floating point cannot tell which ReLUs are on, or where the numbers are
        of too different a size.
    """
    with np.errstate(all="ignore"):  # an overflow proves no sign
        return _exact_violations(stack, x, y)


def _exact_violations(stack: NetworkStack, x: FloatArray, y: FloatArray) -> list[Fraction | None]:
    floats = _evaluate(stack, x, y)
    layers = [
        _Integers.of(array, axis)
        for w, b in zip(stack.weights, stack.biases, strict=True)
        for array, axis in ((w, (1, 2)), (b, (1,)))
    ]
    points = _Integers.of(np.stack([x, y], axis=2), (1, 2))
    exponent = points.exponent - 1  # for the midpoint, whose coordinates are halves
    for weight, bias in zip(layers[::2], layers[1::2], strict=True):
        exponent = np.minimum(exponent + weight.exponent, bias.exponent)
    exponent = exponent - 1
    _, size = np.frexp(floats.bound)
    bits = size + 2 - exponent
    primes = -(-bits // (_PRIME_BITS - 1))
    spread = np.max([part.spread for part in [*layers, points]], axis=0)
    good = floats.certain & (primes <= _MOST_PRIMES) & (spread < _LARGEST_SHIFT)
    result: list[Fraction | None] = [None] * len(stack)
    chosen = np.flatnonzero(good)
    if not chosen.size:
        return result
    moduli = _primes(max(1, int(primes[chosen].max())))
    patterns = [pattern[chosen] for pattern in floats.patterns]
    parts = [part.take(chosen) for part in layers]
    ends = points.take(chosen)
    residues = np.array([_residues(parts, ends, patterns, p) for p in moduli])
    for index, column in zip(chosen.tolist(), residues.T.tolist(), strict=True):
        result[index] = _scaled(_chinese(column, moduli), int(exponent[index]))
    return result


@dataclass(frozen=True)
class _Floats:
    """What floating point knows of the three points x, midpoint, y of each network.

    ``certain``: whether every sign in ``patterns`` is proved; ``bound``: of the violation.
    """

    patterns: list[NDArray[np.bool_]]
    certain: NDArray[np.bool_]
    bound: FloatArray


def _evaluate(stack: NetworkStack, x: FloatArray, y: FloatArray) -> _Floats:
    """Evaluate with a bound of the rounding errors (Higham, Accuracy and Stability, ch. 3)."""
    value = np.stack([x, x / 2 + y / 2, y], axis=2)
    error = 2 * _UNIT * np.abs(value) + _TINY
    patterns = []
    certain = np.ones(len(stack), dtype=bool)
    for layer, (w, b) in enumerate(zip(stack.weights, stack.biases, strict=True)):
        size = np.abs(w)
        carried = size @ error
        rounding = (
            (w.shape[2] + 4) * _UNIT * (size @ (np.abs(value) + error) + np.abs(b)[..., None])
        )
        error = 1.001 * (carried + rounding) + _TINY
        value = w @ value + b[..., None]
        if layer == len(stack.weights) - 1:
            break
        on = value > 0
        certain &= (np.abs(value) > error).all(axis=(1, 2))
        patterns.append(on)
        value, error = value * on, error * on
    bound = (np.abs(value) + error).sum(axis=(1, 2)) * 1.001
    certain &= np.isfinite(bound)
    return _Floats(patterns, certain, np.where(certain, bound, 1.0))


@dataclass(frozen=True)
class _Integers:
    """Doubles of each network as ``mantissa * 2**(shift + exponent)``, shifts >= 0.

    The exponent is one per network, as an array of shape (networks,).
    """

    mantissa: IntArray
    shift: IntArray
    exponent: IntArray
    spread: IntArray

    @classmethod
    def of(cls, values: FloatArray, axes: tuple[int, ...]) -> _Integers:
        single = bool((values.astype(np.float32) == values).all())
        digits = 24 if single else 53  # fewer digits need fewer primes
        fraction, exponent = np.frexp(values)
        mantissa = np.ldexp(fraction, digits).astype(np.int64)
        power = exponent.astype(np.int64) - digits
        zero = mantissa == 0
        lowest = np.where(zero, np.iinfo(np.int64).max, power).min(axis=axes, keepdims=True)
        lowest = np.where(lowest == np.iinfo(np.int64).max, 0, lowest)
        shift = np.where(zero, 0, power - lowest)
        base = lowest.reshape(len(values))
        return cls(mantissa, shift, base, shift.max(axis=axes))

    def take(self, chosen: NDArray[np.int64]) -> _Integers:
        parts = (self.mantissa, self.shift, self.exponent, self.spread)
        return _Integers(*(part[chosen] for part in parts))

    def modulo(self, p: int) -> IntArray:
        """Return the residues of ``mantissa * 2**shift``."""
        mantissa = self.mantissa if np.abs(self.mantissa).max() < p else _mod(self.mantissa, p)
        return _mod(mantissa * _powers(p)[self.shift], p)


def _residues(
    layers: list[_Integers], points: _Integers, patterns: list[NDArray[np.bool_]], p: int
) -> IntArray:
    """Return ``2 f(m) - f(x) - f(y)`` of every network, an integer at its scale, modulo p."""
    ends = points.modulo(p)
    middle = ends.sum(axis=2)
    value = _mod(np.stack([2 * ends[..., 0], middle, 2 * ends[..., 1]], axis=2), p)
    exponent = points.exponent - 1
    for weight, bias, pattern in zip(layers[::2], layers[1::2], [*patterns, None], strict=True):
        before = exponent + weight.exponent
        exponent = np.minimum(before, bias.exponent)
        up = _power(before - exponent, p)[:, None, None]
        offset = _mod(bias.modulo(p) * _power(bias.exponent - exponent, p)[:, None], p)
        value = _mod(_product(weight.modulo(p), value, p) * up + offset[..., None], p)
        if pattern is not None:
            value = value * pattern
    return _mod(2 * value[:, 0, 1] - value[:, 0, 0] - value[:, 0, 2], p)


def _product(weight: IntArray, value: IntArray, p: int) -> IntArray:
    """Return the product of matrices of residues, summed in parts that do not overflow."""
    total = np.zeros((len(weight), weight.shape[1], value.shape[2]), dtype=np.int64)
    for start in range(0, weight.shape[2], _TERMS):
        part = slice(start, start + _TERMS)
        total = _mod(total + weight[:, :, part] @ value[:, part], p)
    return total


def _mod(values: IntArray, p: int) -> IntArray:
    # division by a scalar is vectorised, the remainder is not
    rest: IntArray = values - values // p * p
    return rest


@cache
def _powers(p: int) -> IntArray:
    powers = [1]
    for _ in range(_LARGEST_SHIFT):
        powers.append(2 * powers[-1] % p)
    return np.array(powers, dtype=np.int64)


def _power(exponents: IntArray, p: int) -> IntArray:
    """Return powers of two modulo p; exponents may be beyond the table."""
    if exponents.max() <= _LARGEST_SHIFT:
        return _powers(p)[exponents]
    return np.array([pow(2, int(e), p) for e in exponents], dtype=np.int64)


@cache
def _primes(count: int) -> tuple[int, ...]:
    """Return the largest primes below ``2**_PRIME_BITS``."""
    odd = range(2**_PRIME_BITS - 1, 2 ** (_PRIME_BITS - 1), -2)
    return tuple(islice((p for p in odd if fmpz(p).is_prime()), count))


@cache
def _basis(moduli: tuple[int, ...]) -> tuple[list[int], int]:
    """Return the integers that are 1 modulo one prime and 0 modulo the others."""
    whole = 1
    for p in moduli:
        whole *= p
    return [whole // p * pow(whole // p, -1, p) for p in moduli], whole


def _chinese(residues: list[int], moduli: tuple[int, ...]) -> int:
    """Return the integer of least absolute value with these residues."""
    basis, whole = _basis(moduli)
    number = sum(r * unit for r, unit in zip(residues, basis, strict=True)) % whole
    return number - whole if 2 * number > whole else number


def _scaled(integer: int, exponent: int) -> Fraction:
    return Fraction(integer << exponent) if exponent >= 0 else Fraction(integer, 1 << -exponent)
