"""Big-M copy of a ReLU network: its graph ``{(x, f(x))}`` as mixed-integer rows.

For an unstable neuron with bounds ``l < 0 < u`` on its pre-activation z::

    h >= z,   h >= 0,   h <= u a,   h <= z - l (1 - a),   a in {0, 1}

so that ``a = 1`` forces ``h = z >= 0`` and ``a = 0`` forces ``h = 0 >= z``. A stable
neuron needs no binary: ``h = z`` if ``l >= 0``, ``h = 0`` if ``u <= 0``. Affine layers have
``h = z``. All coefficients are the given doubles, none is rounded.

References
----------
Tjeng, Xiao, Tedrake, "Evaluating robustness of neural networks with mixed integer
programming", ICLR 2019, equation (4). Fischetti, Jo, "Deep neural networks and mixed
integer linear optimization", Constraints 23, 2018.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo

from jensen_encodings.affine_rows import add_affine_rows, check_inputs
from jensen_encodings.data import INPUT, NetworkData

Neuron = tuple[str, int]
THIN = 1e-3  # of the size of a bound: HiGHS takes bounds nearer to one another for equal or empty
Group = Sequence[tuple[str, int, Any]]


@dataclass(frozen=True)
class Switch:
    """The activation of a neuron: a constant, or a binary variable, possibly flipped.

    The activation is ``constant + slope * variable``.
    """

    constant: int
    slope: int = 0
    variable: Any = None

    @property
    def expression(self) -> Any:
        """The activation as a Pyomo expression or a number."""
        return (
            self.constant if self.variable is None else self.constant + self.slope * self.variable
        )

    def flipped(self) -> Switch:
        """Return one minus the activation."""
        return Switch(1 - self.constant, -self.slope, self.variable)


@dataclass(frozen=True, eq=False)
class NetworkCopy:
    """The variables of one copy.

    Attributes
    ----------
    data : NetworkData
    block : pyomo Block
        Holds ``z[name, i]``, ``h[name, i]``, ``a[name, i]`` and the rows.
    inputs : sequence of pyomo variables
    switches : mapping from (layer name, index) to the neuron's activation

    Examples
    --------
    >>> import numpy as np
    >>> from jensen_encodings.data import LayerData
    >>> one = np.ones(1)
    >>> relu = LayerData("relu", {"input": np.eye(1)}, 0 * one, True, -one, one)
    >>> out = LayerData("output", {"relu": np.eye(1)}, 0 * one, False, 0 * one, one)
    >>> model = pyo.ConcreteModel()
    >>> model.x = pyo.Var([0], bounds=(-1, 1))
    >>> copy = add_network_copy(model, NetworkData(-one, one, (relu, out)), [model.x[0]])
    >>> copy.pre("relu", 0).bounds, copy.post("relu", 0).lb
    ((-1.0, 1.0), 0.0)
    """

    data: NetworkData
    block: Any
    inputs: Sequence[Any]
    switches: Mapping[Neuron, Switch]

    def pre(self, name: str, index: int) -> Any:
        """Return the variable of a pre-activation z.

        Parameters
        ----------
        name : str
        index : int

        Returns
        -------
        pyomo variable
        """
        return self.block.z[name, index]

    def post(self, name: str, index: int) -> Any | None:
        """Return the variable of a neuron's (or input's) value; None where it is always 0.

        Parameters
        ----------
        name : str
        index : int

        Returns
        -------
        pyomo variable, or None
        """
        if name == INPUT:
            return self.inputs[index]
        switch = self.switches[name, index]
        if switch.variable is not None:
            return self.block.h[name, index]
        return self.block.z[name, index] if switch.constant else None

    @property
    def output(self) -> Any:
        """The variable of f."""
        return self.block.z[self.data.output.name, 0]


def add_network_copy(
    block: Any, data: NetworkData, inputs: Sequence[Any], *, groups: Iterable[Group] = ()
) -> NetworkCopy:
    """Add a big-M copy of a network to a Pyomo block or model.

    Parameters
    ----------
    block : pyomo Block or ConcreteModel
        Gets the components ``z``, ``h``, ``a``, ``affine`` and ``relu``.
    data : NetworkData
    inputs : sequence of pyomo variables, length inputs
        Kept by the caller inside the box that the bounds of ``data`` were computed for.
    groups : iterable of sequences of (layer name, index, c)
        Neurons with ``z_i = c_i z_lead``, where c of the first member is positive: they
        share one binary (docs/theory.md, section 2).

    Returns
    -------
    NetworkCopy

    Raises
    ------
    EncodingError
        If the number of inputs differs.

    Examples
    --------
    The network ``|x| = relu(x) + relu(-x)``, with its input fixed:

    >>> import numpy as np
    >>> from jensen_encodings.data import LayerData
    >>> from jensen_encodings.pyomo_model import solve_model
    >>> one, two = np.ones(1), np.ones(2)
    >>> relu = LayerData("relu", {"input": np.array([[1.0], [-1.0]])}, 0 * two, True, -two, two)
    >>> out = LayerData("output", {"relu": np.ones((1, 2))}, 0 * one, False, 0 * one, 2 * one)
    >>> model = pyo.ConcreteModel()
    >>> model.x = pyo.Var([0], bounds=(-1, 1))
    >>> copy = add_network_copy(model, NetworkData(-one, one, (relu, out)), [model.x[0]])
    >>> model.x[0].fix(-0.75)
    >>> model.goal = pyo.Objective(expr=copy.output)
    >>> _ = solve_model(model)
    >>> pyo.value(copy.output)
    0.75
    """
    check_inputs(data, inputs)
    bounds = {
        (layer.name, i): (float(layer.lower[i]), float(layer.upper[i]))
        for layer in data.layers
        for i in range(layer.size)
    }
    unstable = [(layer.name, i) for layer in data.layers for i in layer.unstable()]
    block.z = pyo.Var(list(bounds), bounds=lambda _, name, i: _useful(*bounds[name, i]))
    block.h = pyo.Var(unstable, bounds=lambda _, name, i: (0.0, bounds[name, i][1]))
    switches = _add_switches(block, data, unstable, groups)
    copy = NetworkCopy(data, block, inputs, switches)
    add_affine_rows(block, data, copy.post)
    block.relu = pyo.ConstraintList()
    for neuron in unstable:
        _add_relu_rows(block, neuron, bounds[neuron], switches[neuron])
    return copy


def _useful(lower: float, upper: float) -> tuple[float | None, float | None]:
    """Return the bounds of a variable that its row fixes, but none where they are very thin.

    A solver's tolerance may take thin ones for empty. Where they were widened instead, HiGHS let
    variables be anywhere between them, and ended with an optimum that was none.
    """
    thin = upper - lower < THIN * max(1.0, abs(lower), abs(upper))
    return (None, None) if thin else (lower, upper)


def _add_switches(
    block: Any, data: NetworkData, unstable: list[Neuron], groups: Iterable[Group]
) -> dict[Neuron, Switch]:
    switches = {
        (layer.name, i): Switch(int(not layer.is_relu or layer.lower[i] >= 0))
        for layer in data.layers
        for i in range(layer.size)
    }
    waiting = set(unstable)
    leads: list[tuple[Neuron, list[tuple[Neuron, bool]]]] = []
    for group in groups:
        members = [((name, i), c > 0) for name, i, c in group if (name, i) in waiting]
        if members:
            waiting.difference_update(neuron for neuron, _ in members)
            lead, orientation = members[0]
            leads.append((lead, [(neuron, same == orientation) for neuron, same in members]))
    leads += [(neuron, [(neuron, True)]) for neuron in unstable if neuron in waiting]
    block.a = pyo.Var([lead for lead, _ in leads], domain=pyo.Binary)
    for lead, members in leads:
        switch = Switch(0, 1, block.a[lead])
        for neuron, same in members:
            switches[neuron] = switch if same else switch.flipped()
    return switches


def _add_relu_rows(block: Any, neuron: Neuron, bounds: tuple[float, float], on: Switch) -> None:
    lower, upper = bounds
    h, z, a = block.h[neuron], block.z[neuron], on.variable
    block.relu.add(h - z >= 0)
    # h <= upper * on and h <= z - lower * (1 - on), with on = a or 1 - a
    block.relu.add(h - upper * on.slope * a <= upper * on.constant)
    block.relu.add(h - z - lower * on.slope * a <= -lower * (1 - on.constant))
