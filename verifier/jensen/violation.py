"""The worst midpoint violation on a box or on all of R^n."""

from __future__ import annotations

from collections.abc import Callable

from jensen import midpoint
from jensen.domain import Box, Domain, Everywhere
from jensen.errors import DomainError
from jensen.midpoint import Violation
from jensen.network import ReluNetwork
from jensen.recession import everywhere_violation
from jensen_encodings.highs import Progress


def worst_violation(
    network: ReluNetwork,
    domain: Domain,
    *,
    output: int = 0,
    time_limit: float | None = None,
    gap: float = 1e-4,
    threads: int = 1,
    progress: Callable[[Progress], None] | None = None,
    seed: int = 0,
) -> Violation:
    """Bound ``max f((x + y) / 2) - (f(x) + f(y)) / 2`` over pairs of a domain.

    Parameters
    ----------
    network : ReluNetwork
    domain : Box or Everywhere
        On R^n violations may be unbounded: then ``status`` is ``"unbounded"`` and
        ``upper`` infinite.
    output : int
        Which output is f.
    time_limit : float or None
        Seconds; the best bounds so far are returned. So they are on Ctrl-C.
    gap : float
        Stop when ``upper - lower <= gap * lower``, or both are 0 within rounding.
    threads : int
        Threads of HiGHS.
    progress : callable, optional
        Gets a :class:`~jensen_encodings.highs.Progress` now and then.
    seed : int

    Raises
    ------
    DomainError, NetworkError, OptionError
        For a polyhedron, a domain or an output that does not fit, or options out of range.
    SolverError
        If HiGHS fails.

    References
    ----------
    docs/theory.md, sections 6 and 10.

    Examples
    --------
    >>> net = ReluNetwork.from_layers([[[1.0], [1.0]], [[1.0, -1.0]]], [[0, -1], [0]])
    >>> round(worst_violation(net, Everywhere()).upper, 4)
    0.5
    """
    check_supported(domain)
    if isinstance(domain, Box):
        return midpoint.worst_violation(
            network,
            domain,
            output=output,
            time_limit=time_limit,
            gap=gap,
            threads=threads,
            progress=progress,
            seed=seed,
        )
    return everywhere_violation(
        network,
        output=output,
        time_limit=time_limit,
        gap=gap,
        threads=threads,
        progress=progress,
        seed=seed,
    )


def check_supported(domain: Domain) -> None:
    """Raise :class:`DomainError` for a polyhedron."""
    if not isinstance(domain, Box | Everywhere):
        raise DomainError(
            "the midpoint violation is measured on a box or everywhere; "
            "on a polyhedron there is the measure jump"
        )
