"""Multipliers that bound a unit by lines, without a linear program (docs/FORMAT.md, `bounds`)."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from jensen.certificate.checker import Form, Network, text_of

FINE_BITS = 40  # that coefficients have behind the point
BITS = 32  # of a multiplier


def line_multipliers(net: Network, lead: Callable[[int], list[Any]], form: Form) -> list[Any]:
    """Return multipliers of rows that bound a form from above, over the whole domain.

    From the last unit to the first, ``max(zeta, 0)`` is replaced by the chord above it where its
    coefficient is positive, and where it is negative by the better of zeta and 0.

    Parameters
    ----------
    net : Network
        As far as it is there.
    lead : callable
        The words that name a unit.
    form : dict
        Of units that are there.
    """
    entries: list[Any] = []
    left = {key: value << FINE_BITS for key, value in form.items()}
    for h in range(max(map(abs, left), default=0), net.inputs - 1, -1):
        slope, kink = left.pop(h, 0), left.pop(-h, 0)
        low, high = net.units[h].low, net.units[h].high
        if kink > 0 and low < 0 < high:
            entries.append(["below", *lead(h), text_of(_rounded(kink, high - low))])
            slope += kink * high // (high - low)
        elif kink < 0 and high > -low:
            entries.append(["above", *lead(h), text_of(_rounded(-kink, 1))])
            slope += kink
        for key, value in net.units[h].form.items() if slope else ():
            left[key] = left.get(key, 0) + slope * value
    return entries


def _rounded(value: int, divisor: int) -> Fraction:
    """Return ``value / divisor``, with few bits, of coefficients that were made larger."""
    exponent = value.bit_length() - divisor.bit_length() - BITS
    scaled = value << -exponent if exponent < 0 else value >> exponent
    whole = scaled // divisor
    return (whole or 1) * Fraction(2) ** (exponent - FINE_BITS)
