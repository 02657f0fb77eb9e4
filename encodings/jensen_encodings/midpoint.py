"""The midpoint program: the worst violation of midpoint convexity over a box.

Three copies of the network (:mod:`jensen_encodings.big_m`) at x, y and m = (x + y) / 2::

    maximise  f(m) - (f(x) + f(y)) / 2     over x, y in the box.

f is convex on the box iff the maximum is 0 (x = y is always feasible). The maximum is
the size of the worst violation; a dual bound proves that none is larger.

References
----------
Gagneux, Massias, Soubies, Gribonval, "Convexity in ReLU neural networks: beyond ICNNs?",
arXiv:2501.03017, 2025, for the question; docs/theory.md, section 6, for the program.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo

from jensen_encodings.big_m import Group, NetworkCopy, add_network_copy
from jensen_encodings.data import NetworkData
from jensen_encodings.types import FloatArray


@dataclass(frozen=True, eq=False)
class MidpointProgram:
    """The program and its three copies.

    Attributes
    ----------
    model : pyomo ConcreteModel
    at_x, at_y, at_m : NetworkCopy

    Examples
    --------
    >>> from jensen_encodings.data import LayerData
    >>> from jensen_encodings.pyomo_model import solve_model
    >>> one = np.ones(1)
    >>> relu = LayerData("relu", {"input": np.eye(1)}, 0 * one, True, -one, one)
    >>> out = LayerData("output", {"relu": -np.eye(1)}, 0 * one, False, -one, 0 * one)
    >>> program = midpoint_program(NetworkData(-one, one, (relu, out)))
    >>> _ = solve_model(program.model)
    >>> sorted(float(np.round(end[0], 6)) for end in program.pair())
    [-1.0, 1.0]
    """

    model: Any
    at_x: NetworkCopy
    at_y: NetworkCopy
    at_m: NetworkCopy

    @property
    def data(self) -> NetworkData:
        """The network."""
        return self.at_m.data

    def pair(self) -> tuple[FloatArray, FloatArray]:
        """Return x and y as they stand in the model.

        Returns
        -------
        x, y : arrays of shape (inputs,)
        """
        return _values(self.at_x), _values(self.at_y)


def midpoint_program(data: NetworkData, *, groups: Iterable[Group] = ()) -> MidpointProgram:
    """Build the three-copy midpoint program.

    Parameters
    ----------
    data : NetworkData
        With bounds that hold on the whole box.
    groups : iterable of sequences of (layer name, index, c), optional
        Hyperplane groups, whose members share a binary in each copy.

    Returns
    -------
    MidpointProgram

    Examples
    --------
    ``f(x) = -|x|`` on [-1, 1] is worst between -1 and 1:

    >>> from jensen_encodings.data import LayerData
    >>> from jensen_encodings.pyomo_model import solve_model
    >>> one, two = np.ones(1), np.ones(2)
    >>> relu = LayerData("relu", {"input": np.array([[1.0], [-1.0]])}, 0 * two, True, -two, two)
    >>> out = LayerData("output", {"relu": -np.ones((1, 2))}, 0 * one, False, -2 * one, 0 * one)
    >>> program = midpoint_program(NetworkData(-one, one, (relu, out)))
    >>> round(solve_model(program.model).objective, 6)
    1.0
    """
    groups = [tuple(group) for group in groups]
    model = pyo.ConcreteModel()
    sides = [(float(a), float(b)) for a, b in zip(data.input_lower, data.input_upper, strict=True)]
    copies = []
    for name in ("x", "y", "m"):
        part = pyo.Block(concrete=True)
        model.add_component(name, part)
        part.point = pyo.Var(range(data.input_size), bounds=lambda _, i: sides[i])
        copies.append(add_network_copy(part, data, list(part.point.values()), groups=groups))
    at_x, at_y, at_m = copies
    model.middle = pyo.Constraint(
        range(data.input_size),
        rule=lambda _, i: 2 * at_m.inputs[i] - at_x.inputs[i] - at_y.inputs[i] == 0,
    )
    model.violation = pyo.Objective(
        expr=at_m.output - 0.5 * at_x.output - 0.5 * at_y.output, sense=pyo.maximize
    )
    return MidpointProgram(model, at_x, at_y, at_m)


def _values(copy: NetworkCopy) -> FloatArray:
    return np.array([pyo.value(variable) for variable in copy.inputs])
