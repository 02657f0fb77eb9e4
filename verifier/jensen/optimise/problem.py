"""One problem ``minimise c x + sum_s w_s f_s(x)``, checked, and how far to go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jensen.arguments import real
from jensen.arithmetic.doubles import NotADoubleError, exact_doubles, refuse_masked
from jensen.errors import DomainError, InfeasibleError, OptionError
from jensen.optimise.cuts import Convex
from jensen.optimise.feasible import FeasibleSet
from jensen.text import shown
from jensen.types import FloatArray
from jensen.verdicts.options import checked_number, checked_seconds


@dataclass(frozen=True)
class Limits:
    """How far to go.

    Parameters
    ----------
    tolerance : float
        Relative gap at which the search stops, of the value and of what f varies.
    time_limit : float or None
        Seconds of wall clock.
    evaluations : int
        Of f and its gradient.
    """

    tolerance: float = 1e-9
    time_limit: float | None = None
    evaluations: int = 20_000

    def __post_init__(self) -> None:
        checked_number(self.tolerance, "tolerance")
        checked_seconds(self.time_limit)
        if self.evaluations < 1:
            raise OptionError(f"evaluations {self.evaluations}: at least 1 is needed")


@dataclass(frozen=True, eq=False)
class Problem:
    """What is minimised over which set.

    Attributes
    ----------
    convex : Convex
    linear : array (inputs,)
    feasible : FeasibleSet
    integers : tuple of int
    """

    convex: Convex
    linear: FloatArray
    feasible: FeasibleSet
    integers: tuple[int, ...] = ()


def problem_of(
    convex: Convex,
    linear: ArrayLike | None,
    A: ArrayLike | None,
    b: ArrayLike | None,
    equality: tuple[ArrayLike, ArrayLike] | None,
    integers: Sequence[int],
) -> Problem:
    """Check the parts of a problem.

    Raises
    ------
    DomainError
        For shapes that do not fit, and numbers that are not finite.
    OptionError
        For integers that are no inputs, or a matrix without its right side.
    """
    inputs = len(convex.ground.lower)
    cost = np.zeros(inputs) if linear is None else vector(linear, inputs, "linear", exact=True)
    if (A is None) != (b is None):
        raise OptionError("A and b: one without the other; rows A x <= b need both")
    rows = None if A is None or b is None else matrix_rows(A, b, inputs, "A", "b")
    equations = None
    if equality is not None:
        if not isinstance(equality, Sequence) or len(equality) != 2:
            raise OptionError("equality: a pair (E, e) for E x = e is needed")
        equations = matrix_rows(*equality, inputs, "equality matrix", "equality right side")
    if not isinstance(integers, Iterable):
        raise OptionError(
            f"integers {shown(integers)}: numbers of inputs such as (0, 2) are needed"
        )
    whole = tuple(sorted({_index(i, inputs) for i in integers}))
    return Problem(convex, cost, FeasibleSet(convex.ground, rows, equations), whole)


def with_fixed_inputs(problem: Problem, fixed: Mapping[int, float]) -> Problem:
    """Return the problem with inputs fixed: by bounds, or by equations where there are none.

    Raises
    ------
    OptionError
        For an input that does not exist.
    DomainError
        For a value that is no finite double.
    InfeasibleError
        For a value outside the bounds of the domain.
    """
    feasible, inputs = problem.feasible, len(problem.linear)
    lower, upper = feasible.lower.copy(), feasible.upper.copy()
    if not isinstance(fixed, Mapping):
        raise OptionError(
            f"fixed {shown(fixed)}: a mapping from inputs to values is needed, {{2: 0.5}}"
        )
    chosen = [_index(given, inputs, "fixed") for given in fixed]
    for index, given in zip(chosen, fixed.values(), strict=True):
        value = float(vector(given, 1, f"fixed input {index}", exact=True)[0])
        if not lower[index] <= value <= upper[index]:
            raise InfeasibleError(f"input {index} fixed at {value} is outside the domain")
        lower[index] = upper[index] = value
    if feasible.bounded:
        return replace(problem, feasible=feasible.within(lower, upper))
    E = np.concatenate([feasible.E, np.eye(inputs)[chosen]])
    e = np.concatenate([feasible.e, lower[chosen]])
    own = slice(len(feasible.ground.b), None)
    rows = (feasible.A[own], feasible.b[own])
    return replace(problem, feasible=FeasibleSet(feasible.ground, rows, (E, e)))


def vector(value: ArrayLike, inputs: int, what: str, *, exact: bool = False) -> FloatArray:
    """Return a vector of so many finite numbers; a single number is repeated.

    Parts of a problem are exact: what no double holds is refused there. Points are rounded.
    """
    numbers = _finite(value, what, exact=exact)
    if numbers.ndim == 0:
        return np.full(inputs, float(numbers))
    if numbers.shape != (inputs,):
        flat = ", flat, as x.ravel() makes them" if numbers.size == inputs else ""
        raise DomainError(f"{what} has shape {numbers.shape}: needed are {inputs} numbers{flat}")
    return numbers


def matrix_rows(
    A: ArrayLike, b: ArrayLike, inputs: int, name: str, side: str
) -> tuple[FloatArray, FloatArray]:
    """Return a matrix and its right side."""
    matrix, right = np.atleast_2d(_finite(A, name)), np.atleast_1d(_finite(b, side))
    if matrix.ndim != 2 or matrix.shape[1] != inputs or right.shape != (len(matrix),):
        raise DomainError(
            f"{name} has shape {matrix.shape}, {side} {right.shape}: "
            f"needed are (rows, {inputs}) and (rows,)"
        )
    return matrix, right


def _finite(value: Any, what: str, *, exact: bool = True) -> FloatArray:
    try:
        refuse_masked(value)
        numbers = exact_doubles(value) if exact else np.array(value, dtype=np.float64)
    except NotADoubleError as error:
        raise DomainError(f"{what}: {error}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise DomainError(f"{what}: not numbers ({error})") from None
    if not np.isfinite(numbers).all():
        raise DomainError(f"{what} holds a number that is not finite")
    return numbers


def _index(index: Any, inputs: int, what: str = "integer") -> int:
    number = real(index)
    if number is None or not (number.is_integer() and 0 <= number < inputs):
        raise OptionError(f"{what} input {shown(index)}: the network has {inputs}, from 0 on")
    return int(number)
