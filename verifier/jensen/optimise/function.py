"""What can be done with a convex function that is known by its cuts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self, overload

import numpy as np
from numpy.typing import ArrayLike

from jensen.arithmetic.doubles import refuse_masked
from jensen.arithmetic.intervals import round_down, round_up
from jensen.errors import DomainError, UnboundedError
from jensen.optimise.answers import Conjugate, Minimum, Proximal
from jensen.optimise.cuts import Convex, no_cuts, slopes
from jensen.optimise.cutting_planes import Pool
from jensen.optimise.ground import dot
from jensen.optimise.problem import Limits, problem_of, vector, with_fixed_inputs
from jensen.optimise.solving import proximal_point, solve
from jensen.types import FloatArray
from jensen.verdicts.options import checked_number


@dataclass(frozen=True, eq=False)
class Support:
    """An affine function ``gradient y + offset`` that is below f on the whole domain.

    Attributes
    ----------
    gradient : array (inputs,)
    offset : float
    """

    gradient: FloatArray
    offset: float

    def level_cut(self, level: float) -> tuple[FloatArray, float]:
        """Return (a, b) such that ``a y <= b`` wherever ``f(y) <= level``."""
        return self.gradient, round_up(Fraction(level) - Fraction(self.offset))


class Function:
    """A convex function on a domain: values, cuts, and problems in which it is the objective.

    Parameters
    ----------
    convex : Convex
        Proved convex.
    """

    def __init__(self, convex: Convex) -> None:
        self._convex = convex
        self._pool = Pool(no_cuts(len(convex.ground.lower)))

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return len(self._convex.ground.lower)

    # ---------------------------------------------------------------------- around points

    def __call__(self, X: ArrayLike) -> Any:
        """Return :meth:`value`."""
        return self.value(X)

    def value(self, X: ArrayLike) -> Any:
        """Return f in floating point: a number at a point (inputs,), else (n,) at (n, inputs)."""
        points, single = self._points(X)
        values = self._convex.values(points)
        return float(values[0]) if single else values

    def subgradient(self, X: ArrayLike) -> FloatArray:
        """Return a subgradient at points of the domain.

        At a kink it is the gradient of a region of the domain that touches the point, found in
        rational arithmetic; never a mixture of slopes that no region has.

        Parameters
        ----------
        X : array (inputs,) or (n, inputs)

        Returns
        -------
        array of the same shape
            Rounded to the nearest doubles.

        Raises
        ------
        DomainError
            For a point outside the domain, where the slopes of f prove nothing.
        SolverError
            If a slope is no double.
        """
        points, single = self._points(X)
        for x in points:
            self._check_inside(x)
        gradients = self._convex.gradients(points)
        return gradients[0] if single else gradients

    def support(self, x: ArrayLike) -> Support:
        """Return an affine function below f that is close to it at a point of the domain.

        It touches f there up to rounding; at a kink it may be that of a point a little beside.

        Raises
        ------
        DomainError
            For a point outside the domain, and on unbounded domains, where no doubles hold
            the exact function: rounded slopes are wrong somewhere.
        """
        point = vector(x, self.inputs, "the point")
        self._check_inside(point)
        if not self._convex.ground.bounded:
            raise DomainError("supporting functions in doubles need a bounded domain")
        _, cuts = self._convex.at(point)
        shares = self._convex.weights[cuts.term]
        if len(cuts) == 1 and shares[0] == 1.0:
            return Support(cuts.gradient[0], float(cuts.offset[0]))
        exact = [
            dot(shares.tolist(), column.tolist()) for column in [*cuts.gradient.T, cuts.offset]
        ]
        return self._rounded_support(exact[:-1], exact[-1])

    def level_cut(self, x: ArrayLike, level: float) -> tuple[FloatArray, float]:
        """Return (a, b) such that ``a y <= b`` wherever ``f(y) <= level`` in the domain.

        A cut for level sets: it removes x where ``f(x) > level`` (by more than rounding).
        """
        number = float(vector(level, 1, "the level")[0])
        return self.support(x).level_cut(number)

    def _rounded_support(self, gradient: Sequence[Fraction], offset: Fraction) -> Support:
        rounded = slopes(gradient)
        ground = self._convex.ground
        reach = np.maximum(np.abs(ground.lower), np.abs(ground.upper)).tolist()
        misses = [abs(g - Fraction(r)) for g, r in zip(gradient, rounded.tolist(), strict=True)]
        return Support(rounded, round_down(offset - dot(misses, reach)))

    # --------------------------------------------------------------------------- problems

    def minimise(
        self,
        linear: ArrayLike | None = None,
        A: ArrayLike | None = None,
        b: ArrayLike | None = None,
        equality: tuple[ArrayLike, ArrayLike] | None = None,
        integers: Sequence[int] = (),
        *,
        fixed: Mapping[int, float] | None = None,
        tolerance: float = 1e-9,
        time_limit: float | None = None,
    ) -> Minimum:
        """Minimise ``linear x + f(x)`` over the domain, ``A x <= b`` and ``E x = e``.

        Parameters
        ----------
        linear : array (inputs,), optional
        A, b : arrays (rows, inputs) and (rows,), optional
        equality : pair of arrays (E, e), optional
        integers : sequence of int
            Inputs that have to be whole numbers.
        fixed : mapping from input to its value, optional
            Such as the state in a control problem. The cuts of all values serve all others.
        tolerance : float
            Relative gap at which the search stops.
        time_limit : float or None
            Seconds; the answer then has the gap that is proved by then.

        Returns
        -------
        Minimum
            ``.lower`` and ``.value`` enclose the minimum in real arithmetic. ``.point`` satisfies
            everything exactly, equations included; ``.x`` is the same in doubles.

        Raises
        ------
        InfeasibleError
            If no point is feasible.
        UnboundedError
            If the objective falls for ever; ``.ray`` is a direction along which it does.
        DomainError, OptionError
            For numbers and shapes that make no sense.
        UndecidedError
            If no feasible point was found within the limits.
        SolverError
            If slopes or values are too large for HiGHS, or for doubles.
        """
        problem = problem_of(self._convex, linear, A, b, equality, integers)
        if fixed is not None:
            problem = with_fixed_inputs(problem, fixed)
        return solve(problem, Limits(tolerance, time_limit), self._pool)

    @overload
    def conjugate(
        self, y: FloatArray | Sequence[float], *, tolerance: float = ...
    ) -> Conjugate: ...

    @overload
    def conjugate(
        self, y: Sequence[Sequence[float]], *, tolerance: float = ...
    ) -> list[Conjugate]: ...

    def conjugate(self, y: Any, *, tolerance: float = 1e-9) -> Any:
        """Return ``f*(y) = sup over the domain of y x - f(x)`` with its maximiser.

        Parameters
        ----------
        y : array (inputs,) or (n, inputs)
            Of several, each starts from the cuts of those before.
        tolerance : float
            Relative gap.

        Returns
        -------
        Conjugate, or a list of them
            ``value = inf`` with a ray where f* is infinite.
        """
        points, single = self._points(y)
        found = [self._conjugate(point, tolerance) for point in points]
        return found[0] if single else found

    def _conjugate(self, y: FloatArray, tolerance: float) -> Conjugate:
        try:
            found = self.minimise(-y, tolerance=tolerance)
        except UnboundedError as error:
            return Conjugate(y, None, np.inf, np.inf, error.ray)
        return Conjugate(y, found.x, -found.value, -found.lower)

    def prox(
        self,
        x: ArrayLike,
        step: float = 1.0,
        *,
        tolerance: float = 1e-9,
        time_limit: float | None = None,
    ) -> Proximal:
        """Return ``argmin f(u) + |u - x|^2 / (2 step)`` over the domain.

        Parameters
        ----------
        x : array (inputs,)
            Need not lie in the domain.
        step : float
        tolerance : float
            Relative gap.
        time_limit : float or None
            Seconds.

        Returns
        -------
        Proximal
            ``.distance`` bounds how far ``.x`` is from the true proximal point.
        """
        center = vector(x, self.inputs, "the point")
        step = checked_number(step, "step", positive=True)
        problem = problem_of(self._convex, None, None, None, None, ())
        return proximal_point(problem, center, step, Limits(tolerance, time_limit), self._pool)

    # ---------------------------------------------------------------------------- details

    def _points(self, X: ArrayLike) -> tuple[FloatArray, bool]:
        try:
            refuse_masked(X)
            points = np.asarray(X, dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise DomainError(f"points: not numbers ({error})") from None
        single = points.ndim == 1
        points = points[None] if single else points
        if points.ndim != 2 or points.shape[1] != self.inputs:
            raise DomainError(
                f"points of shape {np.shape(X)}: needed are (n, {self.inputs}) or ({self.inputs},)"
            )
        if not np.isfinite(points).all():
            raise DomainError("a point holds a number that is not finite")
        return points, single

    def _check_inside(self, x: FloatArray) -> None:
        if not self._convex.ground.contains(x):
            raise DomainError("the point is outside the domain on which f was proved convex")

    def forget(self) -> Self:
        """Drop the cuts that earlier problems left; the next one starts afresh."""
        self._pool = Pool(no_cuts(self.inputs))
        return self
