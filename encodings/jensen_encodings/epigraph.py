"""Epigraph copy of a ReLU network: linear rows for an output that is only pushed down.

Every neuron is relaxed to the two rows below its graph::

    h >= z,   h >= 0,   z = sum_j W_j h_j + b

so that h may be larger than ``relu(z)``. Let J_v(a) be the slope of the output per unit of h_v
for activations a in [0, 1] behind v. If ``J_v(a) >= 0`` for all neurons v and all a, then raising
any h_v never lowers the output, as long as the neurons behind it follow as little as they must: J
is affine in each activation, and a neuron's least response to a change of z is a times that change,
for some a in [0, 1]. Replacing the h of one layer after the other by ``relu(z)`` therefore does not
raise the output: its minimum over the rows is f(x). No binary, no bound and no big-M is needed.
Input-convex networks [Amos et al. 2017] are the case of non-negative weights.

The rows say nothing about how *large* the output may be: an objective or a row that pushes it up
gets a wrong answer. For a concave network (all J <= 0) the output may be pushed up, not down.

References
----------
B. Amos, L. Xu, J. Z. Kolter, "Input convex neural networks", ICML 2017. docs/theory.md,
sections 2 and 3, for J.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo

from jensen_encodings.affine_rows import add_affine_rows, check_inputs
from jensen_encodings.data import INPUT, NetworkData


@dataclass(frozen=True, eq=False)
class EpigraphCopy:
    """The variables of one copy.

    Attributes
    ----------
    data : NetworkData
    block : pyomo Block
        Holds ``z[name, i]``, ``h[name, i]`` and the rows ``affine`` and ``above``.
    inputs : sequence of pyomo variables

    Examples
    --------
    >>> import numpy as np
    >>> from jensen_encodings.data import LayerData
    >>> one = np.ones(1)
    >>> relu = LayerData("relu", {"input": np.eye(1)}, 0 * one, True, -one, one)
    >>> out = LayerData("output", {"relu": np.eye(1)}, 0 * one, False, 0 * one, one)
    >>> model = pyo.ConcreteModel()
    >>> model.x = pyo.Var([0], bounds=(-1, 1))
    >>> copy = add_epigraph_copy(model, NetworkData(-one, one, (relu, out)), [model.x[0]])
    >>> copy.post("input", 0) is model.x[0], copy.post("relu", 0).lb
    (True, 0)
    """

    data: NetworkData
    block: Any
    inputs: Sequence[Any]

    def post(self, name: str, index: int) -> Any:
        """Return the variable of a neuron's (or input's) value.

        Parameters
        ----------
        name : str
        index : int

        Returns
        -------
        pyomo variable
        """
        if name == INPUT:
            return self.inputs[index]
        return (
            self.block.h[name, index]
            if (name, index) in self.block.h
            else self.block.z[name, index]
        )

    @property
    def output(self) -> Any:
        """The variable of f."""
        return self.block.z[self.data.output.name, 0]


def add_epigraph_copy(block: Any, data: NetworkData, inputs: Sequence[Any]) -> EpigraphCopy:
    """Add the epigraph rows of a network to a Pyomo block or model.

    Parameters
    ----------
    block : pyomo Block or ConcreteModel
        Gets the components ``z``, ``h``, ``affine`` and ``above``.
    data : NetworkData
        Every J of its outputs must be ``>= 0`` (or every one ``<= 0``); its bounds are not used.
    inputs : sequence of pyomo variables, length inputs

    Returns
    -------
    EpigraphCopy

    Raises
    ------
    EncodingError
        If the number of inputs differs.

    Examples
    --------
    The network ``|x| = relu(x) + relu(-x)``, pushed down where x is at least 0.25:

    >>> import numpy as np
    >>> from jensen_encodings.data import LayerData
    >>> from jensen_encodings.pyomo_model import solve_model
    >>> one, two = np.ones(1), np.ones(2)
    >>> relu = LayerData("relu", {"input": np.array([[1.0], [-1.0]])}, 0 * two, True, -two, two)
    >>> out = LayerData("output", {"relu": np.ones((1, 2))}, 0 * one, False, 0 * one, 2 * one)
    >>> model = pyo.ConcreteModel()
    >>> model.x = pyo.Var([0], bounds=(0.25, 1))
    >>> copy = add_epigraph_copy(model, NetworkData(-one, one, (relu, out)), [model.x[0]])
    >>> model.goal = pyo.Objective(expr=copy.output)
    >>> solve_model(model).objective
    0.25
    """
    check_inputs(data, inputs)
    neurons = [(layer.name, i) for layer in data.layers for i in range(layer.size)]
    block.z = pyo.Var(neurons)
    relus = [(layer.name, i) for layer in data.layers if layer.is_relu for i in range(layer.size)]
    block.h = pyo.Var(relus, bounds=(0, None))
    copy = EpigraphCopy(data, block, inputs)
    add_affine_rows(block, data, copy.post)
    block.above = pyo.Constraint(relus, rule=lambda b, name, i: b.h[name, i] >= b.z[name, i])
    return copy
