"""The groups of several neurons that kink on one set, as the encodings take them."""

from __future__ import annotations

from jensen.arithmetic.exact import to_double
from jensen.arithmetic.rational import fraction
from jensen.errors import NetworkError, OutOfTimeError
from jensen.groups.prepared import Prepared

Twins = tuple[tuple[str, int, float], ...]


def twin_groups(prepared: Prepared) -> tuple[Twins, ...]:
    """Return the groups of several neurons that vanish on the same set.

    Their activations follow from one another (docs/theory.md, section 2): one binary, or one
    branch, does for all. In networks too large for the exact comparison, or where time is up,
    none are returned.

    Parameters
    ----------
    prepared : Prepared
        A network on a box.

    Returns
    -------
    tuple of groups
        Of (block name, index, c) each, with ``z = c z_lead``.
    """
    try:
        grouped = prepared.grouped
    except (NetworkError, OutOfTimeError):
        return ()
    return tuple(
        tuple((m.block, m.index, to_double(fraction(m.c))) for m in unit)  # of the same sign
        for level in grouped.levels
        for unit in level.units
        if len(unit) > 1
    )
