"""What a caller hands over: variables, numbers and a domain, as the formulations need them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.core.base.indexed_component_slice import IndexedComponent_slice
from pyomo.core.expr.numvalue import is_potentially_variable
from pyomo.core.expr.visitor import identify_mutable_parameters, identify_variables

from jensen.arithmetic.doubles import NotADoubleError, exact_doubles
from jensen.domains.domain import Box, Domain
from jensen.errors import DomainError, OptionError
from jensen.network.relu_network import ReluNetwork
from jensen.optimise.ground import Ground, ground_of
from jensen.prover.question import check_domain
from jensen.text import shown
from jensen.types import FloatArray


@dataclass(frozen=True, eq=False)
class Arguments:
    """A network whose inputs are all variables, on its domain.

    Attributes
    ----------
    network : ReluNetwork
        Inputs that were given as numbers are fixed.
    inputs : list of pyomo variables or expressions
    domain : Domain
        Of these inputs.
    ground : Ground
        The domain, as what the formulations rest on.
    parameters : list of pairs of a pyomo Param and its value
        Those that the domain was made of.
    """

    network: ReluNetwork
    inputs: list[Any]
    domain: Domain
    ground: Ground
    parameters: Sequence[tuple[Any, float]] = ()

    def check_parameters(self) -> None:
        """Refuse parameters that have changed since the domain was made of them."""
        for parameter, value in self.parameters:
            if pyo.value(parameter) != value:
                raise OptionError(
                    f"parameter {parameter} was {value:g} when the network got its domain from it, "
                    f"and is {pyo.value(parameter):g} now: give add_network a domain= for all "
                    "its values"
                )


def read_arguments(network: ReluNetwork, inputs: Any, domain: Domain | None) -> Arguments:
    """Tell variables from numbers, and find out about the domain.

    Raises
    ------
    OptionError
        If the number of inputs is wrong, or no domain is given and a variable has no bounds.
    DomainError
        If the domain does not fit, or a number lies outside it.
    """
    if domain is not None:
        check_domain(domain)
    given = _as_list(inputs)
    if len(given) != network.input_size:
        raise OptionError(f"{len(given)} inputs given: the network has {network.input_size}")
    numbers = {i: _number(v, i) for i, v in enumerate(given) if _is_constant(v)}
    if len(numbers) == len(given):
        raise OptionError("all inputs are numbers: evaluate the network instead, net(x)")
    variables = [v for i, v in enumerate(given) if i not in numbers]
    parameters: list[tuple[Any, float]] = []
    if domain is None:
        domain = _bounds_of(variables)
        parameters = [(p, pyo.value(p)) for v in variables for p in identify_mutable_parameters(v)]
    else:
        domain.check(network.input_size)
        domain = _without(domain, numbers, network.input_size)
    reduced = network.fix_inputs(numbers) if numbers else network
    return Arguments(reduced, variables, domain, ground_of(domain, len(variables)), parameters)


def _as_list(inputs: Any) -> list[Any]:
    if isinstance(inputs, IndexedComponent_slice):
        return list(inputs)
    if hasattr(inputs, "is_indexed"):
        return list(inputs.values()) if inputs.is_indexed() else [inputs]
    if isinstance(inputs, Mapping):
        return list(inputs.values())
    if isinstance(inputs, np.ndarray):
        return list(inputs.ravel())
    if not isinstance(inputs, Iterable):
        raise OptionError(f"inputs {shown(inputs)}: a list of variables and numbers is needed")
    return list(inputs)


def _is_constant(value: Any) -> bool:
    """Whether an input is a number; parameters that may change are none."""
    changes = hasattr(value, "is_constant") and not value.is_constant()
    return not is_potentially_variable(value) and not changes


def _number(value: Any, index: int) -> float:
    try:
        return float(exact_doubles(pyo.value(value)))
    except NotADoubleError as error:
        raise OptionError(f"input {index}: a variable or a number is needed, {error}") from None
    except (TypeError, ValueError):
        raise OptionError(
            f"input {index} is {shown(value)}: a variable or a number is needed"
        ) from None


def _bounds_of(variables: Sequence[Any]) -> Box:
    """Return the box of the variables' own bounds."""
    lower, upper = [], []
    for variable in variables:
        if next(identify_variables(variable), None) is None:
            raise OptionError(
                f"input {variable} is made of parameters that may change: give the network a "
                "domain= for all of their values, or the number itself, pyomo.environ.value(...)"
            )
        low, high = _sides(variable)
        if low is None or high is None:
            raise OptionError(
                f"input {variable} has the bounds [{low}, {high}]: give it finite ones, or "
                "the network a domain="
            )
        lower.append(float(low))
        upper.append(float(high))
    return Box(lower, upper)


def _sides(variable: Any) -> tuple[float | None, float | None]:
    if hasattr(variable, "bounds"):
        low, high = variable.bounds
        if low is None or high is None:
            reach = _reach_of_output(variable)
            low, high = reach[0] if low is None else low, reach[1] if high is None else high
        return low, high
    from pyomo.contrib.fbbt.fbbt import compute_bounds_on_expr  # noqa: PLC0415  (slow to load)

    low, high = compute_bounds_on_expr(variable)
    return low, high


def _reach_of_output(variable: Any) -> tuple[float | None, float | None]:
    """Return bounds of a variable that is an output of another network, if it is one."""
    handle = getattr(variable.parent_block(), "jensen_handle", None)
    for part in () if handle is None else handle.parts:
        if part.variable is variable and part.arguments.ground.bounded:
            low, high = part.reach()
            return low, high
    return None, None


def _without(domain: Domain, numbers: Mapping[int, float], inputs: int) -> Domain:
    """Return the domain of the inputs that are not given as numbers."""
    if not numbers:
        return domain
    sides = domain.box_sides(inputs)
    if sides is None:
        if domain.has_rows:
            raise DomainError("numbers among the inputs and a polyhedron: use net.fix_inputs first")
        return domain
    lower, upper = sides
    for index, value in numbers.items():
        if not lower[index] <= value <= upper[index]:
            raise DomainError(f"input {index} is {value}, outside the domain")
    free = [i for i in range(inputs) if i not in numbers]
    return Box(lower[free], upper[free])


def keep_inside(block: Any, arguments: Arguments) -> list[Any]:
    """Add variables equal to inputs that are expressions, and rows that keep all in the domain.

    The rows are added even where the variables have these bounds: what a formulation rests on
    must not change with bounds that are loosened later.
    """
    inputs = []
    block.copied = pyo.VarList()
    block.equal = pyo.ConstraintList()
    for given in arguments.inputs:
        if hasattr(given, "is_variable_type") and given.is_variable_type():
            inputs.append(given)
            continue
        copied = block.copied.add()
        block.equal.add(copied == given)
        inputs.append(copied)
    block.inside = pyo.ConstraintList()
    ground = arguments.ground
    if not len(ground.b):
        for variable, low, high in zip(inputs, ground.lower, ground.upper, strict=True):
            sides = (_side(low), variable, _side(high))
            if sides[0] is not None or sides[2] is not None:
                block.inside.add(sides)
    for row, limit in zip(ground.A, ground.b, strict=True):
        terms = [float(a) * v for a, v in zip(row, inputs, strict=True) if a]
        if terms:
            block.inside.add(sum(terms) <= float(limit))
    return inputs


def _side(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def working_box(arguments: Arguments) -> tuple[FloatArray, FloatArray]:
    """Return finite bounds of the inputs, for big-M constants.

    Raises
    ------
    OptionError
        If the domain gives none.
    """
    ground = arguments.ground
    if not ground.bounded:
        raise OptionError(
            f"big_m needs bounded inputs, the domain is {arguments.domain}: give a box"
        )
    return ground.lower, ground.upper
