"""Which way a model pushes a variable: a convex function's epigraph may be pushed down only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyomo.environ as pyo
from pyomo.core.expr.visitor import identify_variables
from pyomo.gdp import Disjunct
from pyomo.repn import generate_standard_repn


@dataclass
class Pushes:
    """Names of the components that push a variable up, and down."""

    up: list[str] = field(default_factory=list)
    down: list[str] = field(default_factory=list)


def pushes_on(
    model: Any,
    variables: Iterable[Any],
    own: Iterable[Any],
    inputs: Iterable[tuple[str, Any]] = (),
) -> Mapping[int, Pushes]:
    """Return how active objectives and constraints push variables, and what they are themselves.

    A row ``a t + ... <= b`` pushes t down if ``a > 0``; an equation, and a nonlinear term, both
    ways. What does not hold t pushes it nowhere. A bound of t pushes it off; a value that t is
    fixed to, integrality and a network that reads t push it both ways.

    Parameters
    ----------
    model : pyomo Block
    variables : iterable of pyomo variables
    own : iterable of pyomo Blocks
        Whose components are not looked at: those of the networks themselves.
    inputs : iterable of (str, expression)
        What these networks read, with their names.

    Returns
    -------
    mapping from ``id(variable)`` to Pushes
    """
    found = {id(variable): _of_itself(variable) for variable in variables}
    for name, given in inputs:
        for key in {id(v) for v in identify_variables(given)} & found.keys():
            found[key].up.append(f"{name} (which reads it)")
            found[key].down.append(f"{name} (which reads it)")
    skipped = {id(block) for block in own}
    kinds = (pyo.Block, Disjunct)
    for kind in (pyo.Objective, pyo.Constraint):
        for item in model.component_data_objects(kind, active=True, descend_into=kinds):
            if _inside(item, skipped):
                continue
            body = item.expr if kind is pyo.Objective else item.body
            held = {id(v) for v in identify_variables(body, include_fixed=False)} & found.keys()
            if held:
                _note(item, body, held, found)
    return found


def _of_itself(variable: Any) -> Pushes:
    """Return how a variable is pushed by its own bounds, its domain and a fixed value."""
    pushes = Pushes()
    if variable.has_lb():
        pushes.up.append("its lower bound")
    if variable.has_ub():
        pushes.down.append("its upper bound")
    held = "the value that it is fixed to" if variable.fixed else "its domain"
    if variable.fixed or not variable.is_continuous():
        pushes.up.append(held)
        pushes.down.append(held)
    return pushes


def _inside(item: Any, skipped: set[int]) -> bool:
    block = item.parent_block()
    while block is not None:
        if id(block) in skipped:
            return True
        block = block.parent_block()
    return False


def _note(item: Any, body: Any, held: set[int], found: Mapping[int, Pushes]) -> None:
    below, above = _limits(item)
    repn = generate_standard_repn(body, quadratic=False)
    linear = {id(v): float(c) for v, c in zip(repn.linear_vars, repn.linear_coefs, strict=True)}
    nonlinear = {id(v) for v in repn.nonlinear_vars or ()}
    for key in held:
        slope = linear.get(key, 0.0)
        both = key in nonlinear
        if both or (above and slope > 0) or (below and slope < 0):
            found[key].down.append(item.name)
        if both or (above and slope < 0) or (below and slope > 0):
            found[key].up.append(item.name)


def _limits(item: Any) -> tuple[bool, bool]:
    """Return whether a component bounds its body from below, and from above."""
    if hasattr(item, "sense"):
        minimised = item.sense == pyo.minimize
        return not minimised, minimised
    return item.has_lb(), item.has_ub()
