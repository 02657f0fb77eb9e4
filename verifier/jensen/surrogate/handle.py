"""A network in a Pyomo model: one formulation per output, and what it is good for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.common.modeling import unique_component_name
from pyomo.core.expr.numeric_expr import LinearExpression

from jensen.bounds.network_data import network_data
from jensen.bounds.pre_activation import pre_activation_bounds
from jensen.errors import OptionError
from jensen.network.relu_network import ReluNetwork
from jensen.optimise.cuts import Cuts, Term
from jensen.optimise.ground import Ground
from jensen.surrogate.arguments import Arguments, working_box
from jensen.surrogate.direction import Pushes
from jensen.surrogate.hidden import HiddenUnits
from jensen.surrogate.scaling import FINE, sides_of_output, tamed
from jensen.types import FloatArray
from jensen_encodings import add_epigraph_copy, add_network_copy

GUARD = "solve_with_jensen_surrogate_solve"
MOST_DOUBLINGS = 40  # of an output that varies little
IGNORED = 1e-9  # HiGHS's small_matrix_value: coefficients up to it are left out


class Formulation(StrEnum):
    """How a network enters a model.

    Examples
    --------
    >>> Formulation("cuts")
    <Formulation.CUTS: 'cuts'>
    """

    AUTO = "auto"
    BIG_M = "big_m"
    EPIGRAPH = "epigraph"
    CUTS = "cuts"


class Shape(StrEnum):
    """What was proved of an output."""

    CONVEX = "convex"
    CONCAVE = "concave"
    UNKNOWN = "unknown"


@dataclass(eq=False)
class Output:
    """One output of a network in a model.

    Attributes
    ----------
    network : ReluNetwork
        With this output only.
    variable : pyomo variable
    block : pyomo Block
        Holds the rows.
    shape : Shape
    formulation : Formulation
    why : str
        Why this formulation.
    switches : bool
        Whether another formulation may take its place (it was picked by ``auto``).
    index : int
        Which output of the network it is.
    hidden : HiddenUnits or None
        Shared with the other outputs, where there are several.
    proves : callable
        Whether f is proved convex on the domain; asked of f that is concave by signs, since it
        may be affine there.
    """

    network: ReluNetwork
    variable: Any
    block: Any
    shape: Shape
    formulation: Formulation
    why: str
    switches: bool
    arguments: Arguments
    inputs: Sequence[Any]
    index: int = 0
    hidden: HiddenUnits | None = None
    proves: Callable[[], bool] = lambda: False
    term: Term | None = None
    spread: float = 0.0
    cuts: list[Any] = field(default_factory=list)
    _known: set[bytes] = field(default_factory=set, repr=False)
    _raised: int = field(default=0, repr=False)  # the rows speak of 2 to it times the output
    _target: Any = field(default=None, repr=False)  # what they bound

    @property
    def sign(self) -> float:
        """1 for a convex output, -1 for a concave one, whose cuts are those of ``-f``."""
        return -1.0 if self.shape is Shape.CONCAVE else 1.0

    def build(self) -> None:
        """Add the rows of the formulation."""
        self.spread = self._spread()
        if self.formulation is Formulation.BIG_M and self.hidden is not None:
            self.block.same = pyo.Constraint(expr=self.hidden.row(self.index, self.variable))
            return
        if self.formulation is Formulation.BIG_M:
            self._same_as(add_network_copy, working_box(self.arguments))
            return
        if self.formulation is Formulation.EPIGRAPH:
            self._same_as(add_epigraph_copy, _some_box(self.arguments))
        else:
            self._start_cuts()
        # a cubic row that no linear solver takes: without the check it must not be solved
        guard = pyo.Constraint(expr=self.variable**3 - self.variable**3 <= 1.0)
        self.block.add_component(GUARD, guard)

    def _spread(self) -> float:
        """Return by about how much f varies, 0 only where it is constant or nothing is known."""
        values = self.network(_first_points(self.arguments))
        spread = float(values.max() - values.min()) if values.size else 0.0
        ground = self.arguments.ground
        if spread or not ground.bounded:
            return spread
        low, high = self.reach()
        return high - low

    def reach(self) -> tuple[float, float]:
        """Return bounds of f on a bounded domain, which hold in real arithmetic."""
        ground = self.arguments.ground
        bounds = pre_activation_bounds(self.network, ground.lower, ground.upper)
        low, high = bounds[self.network.output.name]
        return float(low[0]), float(high[0])

    def _same_as(self, encode: Callable[..., Any], box: tuple[FloatArray, FloatArray]) -> None:
        """Add a copy of the network, scaled, and the row that ties the output to it."""
        network, exponents = tamed(self.network, *box)
        copy = encode(self.block, network_data(network, *box), self.inputs)
        own, other = sides_of_output(exponents[0])
        self.block.same = pyo.Constraint(expr=own * self.variable == other * copy.output)

    def check(self, pushes: Pushes) -> None:
        """Make sure that the model may push the output as it does.

        Raises
        ------
        OptionError
            If the formulation would be wrong there.
        """
        if self.formulation is Formulation.BIG_M:
            return
        wrong = pushes.down if self.shape is Shape.CONCAVE else pushes.up
        if not wrong:
            return
        if self._is_affine_too(pushes):
            self._rebuild("rows_of_convex")
            return
        way = "down" if self.shape is Shape.CONCAVE else "up"
        reason = f"{', '.join(wrong[:3])} pushes it {way}, and f is {self.shape}"
        if not self.switches:
            raise OptionError(
                f"formulation {self.formulation} of {self.variable.name} would be wrong: {reason}; "
                "use big_m"
            )
        self._become_big_m(reason)

    def _is_affine_too(self, pushes: Pushes) -> bool:
        """Take f for convex where it is concave by signs, pushed down, and affine there."""
        cuts = self.formulation is Formulation.CUTS and not self.switches
        if not cuts or self.shape is not Shape.CONCAVE or pushes.up or not self.proves():
            return False
        self.shape = Shape.CONVEX
        return True

    def _become_big_m(self, reason: str) -> None:
        self.formulation, self.why = Formulation.BIG_M, f"big_m: {reason}"
        self._rebuild("exact")

    def _rebuild(self, name: str) -> None:
        parent = self.block.parent_block()
        parent.del_component(self.block)
        self.block = pyo.Block(concrete=True)
        parent.add_component(unique_component_name(parent, name), self.block)
        self.cuts = []
        self._known.clear()
        self.build()

    # -------------------------------------------------------------------------------- cuts

    def _start_cuts(self) -> None:
        self.block.cuts = pyo.ConstraintList()
        net = self.network.negated() if self.shape is Shape.CONCAVE else self.network
        self.term = Term(net, self.arguments.ground)
        self._target, self._raised = self.variable, 0
        little = -int(np.frexp(self.spread)[1]) if self.spread > 0 else 0
        if little > FINE:
            self._raised = min(little, MOST_DOUBLINGS)
            self._target = self.block.raised = pyo.Var()
            own, other = sides_of_output(-self._raised)
            self.block.same = pyo.Constraint(expr=own * self.variable == other * self._target)
        points = _first_points(self.arguments)
        for x in points:
            self.add_cuts(self.term.at(x)[1])

    def add_cuts(self, cuts: Cuts) -> list[Any]:
        """Add rows ``t >= g x + c`` (``<=`` for a concave output), and return them.

        What is there already is not added again: the solver's tolerance hides the rest.
        """
        added = []
        for gradient, offset in zip(cuts.gradient, cuts.offset, strict=True):
            key = np.append(gradient, offset).tobytes()
            if key in self._known:
                continue
            self._known.add(key)
            unit, slopes, constant = self._scaled(gradient, float(offset))
            body = LinearExpression(
                constant=0,
                linear_coefs=[unit, *(-self.sign * slopes).tolist()],
                linear_vars=[self._target, *self.inputs],
            )
            side = self.sign * constant
            row = body >= side if self.sign > 0 else body <= side
            added.append(self.block.cuts.add(row))
        self.cuts += added
        return added

    def _scaled(self, gradient: FloatArray, offset: float) -> tuple[float, FloatArray, float]:
        """Return ``unit t >= g x + c``, a row that HiGHS takes as it is, of the raised output.

        Its tolerance is absolute, so functions that vary little are raised. Slopes that it takes
        for 0 are left out, at the end of their side where the row is weaker.
        """
        ground = self.arguments.ground
        raised = float(2.0**self._raised)
        varies = float(np.abs(gradient) @ _reach(ground)) * raised
        unit = 2.0 ** -min(max(int(np.frexp(varies)[1]), 0), FINE) if self._raised else 1.0
        slopes, constant = gradient * (raised * unit), offset * (raised * unit)
        for i in np.flatnonzero((np.abs(slopes) <= IGNORED) & (slopes != 0)).tolist():
            end = ground.lower[i] if slopes[i] > 0 else ground.upper[i]
            if np.isfinite(end):
                constant = float(np.nextafter(constant + slopes[i] * end, -np.inf))
                slopes[i] = 0.0
        return unit, slopes, constant

    def point(self) -> FloatArray:
        """Return the inputs as they stand in the model."""
        return np.array([float(pyo.value(v)) for v in self.inputs])

    def value(self) -> float:
        """Return f at the inputs as they stand in the model."""
        return float(self.network(self.point()[None])[0, 0])

    def miss(self) -> float:
        """Return by how much the variable is below f (above, if f is concave)."""
        return self.sign * (self.value() - float(pyo.value(self.variable)))


@dataclass(eq=False, repr=False)
class NetworkHandle:
    """A network that was added to a model.

    Attributes
    ----------
    network : ReluNetwork
    block : pyomo Block
        All of its components.
    parts : tuple of Output

    Examples
    --------
    >>> import jensen, pyomo.environ as pyo
    >>> net = jensen.ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])  # |x|
    >>> model = pyo.ConcreteModel()
    >>> model.x = pyo.Var([0], bounds=(-1, 2))
    >>> handle = jensen.surrogate.add_network(model, net, model.x)
    >>> model.cost = pyo.Objective(expr=handle.output)
    >>> _ = jensen.surrogate.solve(model)
    >>> handle.error() < 1e-6
    True
    >>> from jensen.surrogate.direction import pushes_on
    >>> handle.check(pushes_on(model, handle.outputs, [handle.block]))  # as solve does
    """

    network: ReluNetwork
    block: Any
    parts: tuple[Output, ...]

    def __repr__(self) -> str:
        """Return one line."""
        return f"NetworkHandle({self.block.name!r}, {self.network}, {self.why!r})"

    @property
    def output(self) -> Any:
        """The variable of the only output, for any objective or constraint."""
        if len(self.parts) > 1:
            raise OptionError(f"the network has {len(self.parts)} outputs: take .outputs[k]")
        return self.parts[0].variable

    @property
    def outputs(self) -> list[Any]:
        """The variables of all outputs."""
        return [part.variable for part in self.parts]

    @property
    def formulation(self) -> str:
        """What was picked, one word for all outputs or one for each."""
        names = [str(part.formulation) for part in self.parts]
        return names[0] if len(set(names)) == 1 else ", ".join(names)

    @property
    def why(self) -> str:
        """Why this formulation was picked."""
        return "; ".join(dict.fromkeys(part.why for part in self.parts))

    def error(self) -> float:
        """Return the largest ``|output - f(inputs)|`` at the values in the model.

        Returns
        -------
        float
        """
        return max(abs(part.value() - float(pyo.value(part.variable))) for part in self.parts)

    def check(self, pushes: Mapping[int, Pushes]) -> None:
        """Check all outputs (see :meth:`Output.check`).

        Parameters
        ----------
        pushes : mapping from a variable's id to its pushes
        """
        for part in self.parts:
            part.check(pushes[id(part.variable)])


def _some_box(arguments: Arguments) -> tuple[FloatArray, FloatArray]:
    """Return bounds for the arrays of an epigraph, which uses none."""
    ground = arguments.ground
    low = np.where(np.isfinite(ground.lower), ground.lower, -1.0)
    return low, np.where(np.isfinite(ground.upper), ground.upper, np.maximum(low, 1.0))


def _reach(ground: Ground) -> FloatArray:
    """Return the widths of the domain, or some where it has none."""
    width = ground.upper - ground.lower
    return np.where(np.isfinite(width), width, 2.0)


def _first_points(arguments: Arguments) -> FloatArray:
    """Return the middle of the domain and points towards its sides, one pair per input."""
    ground = arguments.ground
    center = np.array([float(v) for v in ground.center])
    steps = 0.375 * np.diag(_reach(ground))
    points = np.concatenate([center[None], center + steps, center - steps])
    return np.array([p for p in points if ground.settle(p) is not None]) if len(points) else points
