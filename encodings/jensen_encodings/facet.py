"""The facet program: the least gradient jump across one hyperplane group.

One big-M copy (:mod:`jensen_encodings.big_m`) restricted to ``z_g = 0``, and the jump
carried through the layers behind g. With the start values ``|c_i|`` of the twins i of g::

    u_k = sum_j W_jk q_j,    q_i = |c_i| for the twins,    q_i = a_i u_i behind g

the least u of the output is the minimum of J_g over all activation patterns compatible
with a point of the hyperplane. The products ``a u`` with ``ul <= u <= uu`` are McCormick's::

    ul a <= q <= uu a,    u - uu (1 - a) <= q <= u - ul (1 - a)

which is exact for a binary a. On a cone (``projective=True``) the last input is t >= 0 and
the origin is excluded by one binary per face of the cube: max(|x_i|, t) = 1.

If the minimum is >= 0 for every group, f is convex. If not, the pattern is only a
candidate: no region may have it. :meth:`FacetProgram.exclude` cuts it off.

References
----------
McCormick, "Computability of global solutions to factorable nonconvex programs", Math.
Prog. 10, 1976. docs/theory.md, sections 3 to 6.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.core.expr.numeric_expr import LinearExpression

from jensen_encodings.big_m import Group, NetworkCopy, Neuron, add_network_copy
from jensen_encodings.data import LayerData, NetworkData
from jensen_encodings.errors import EncodingError
from jensen_encodings.types import FloatArray

Range = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, eq=False)
class FacetProgram:
    """The program of one group.

    Attributes
    ----------
    model : pyomo ConcreteModel
    copy : NetworkCopy
        The network on the hyperplane.
    jump_range : (float, float)
        Interval bounds of the jump over all patterns; equal for a constant jump.
    """

    model: Any
    copy: NetworkCopy
    jump_range: tuple[float, float]

    def exclude(self, pattern: Mapping[Neuron, bool]) -> None:
        """Cut off all patterns that agree with the given activations (a no-good cut).

        Raises
        ------
        EncodingError
            If no activation is given: every pattern agrees with that.
        """
        differs = [
            1 - self.copy.switches[neuron].expression
            if on
            else self.copy.switches[neuron].expression
            for neuron, on in pattern.items()
        ]
        if not differs:
            raise EncodingError("an empty pattern would cut off everything")
        self.model.cuts.add(sum(differs) >= 1)

    def demand_below(self, value: float) -> None:
        """Look only for jumps <= value: the program is infeasible if there are none."""
        self.model.below.add(self.model.u[self.copy.data.output.name, 0] <= value)


def facet_program(
    data: NetworkData,
    group: Group,
    *,
    groups: Iterable[Group] = (),
    projective: bool = False,
) -> FacetProgram:
    """Build the facet program of one hyperplane group.

    Parameters
    ----------
    data : NetworkData
        With bounds that hold on the whole input box.
    group : sequence of (layer name, index, c)
        The twins, all of them unstable, with ``z_i = c_i z_lead``.
    groups : iterable of such groups
        All groups of the network: their members share binaries.
    projective : bool
        The last input is t of the perspective lift, the box is ``|x_i| <= 1, 0 <= t <= 1``.

    Raises
    ------
    EncodingError
        If the group is empty or one of its neurons cannot kink.

    Examples
    --------
    ``f(x) = relu(x) - 3 relu(relu(x) + x - 1)`` falls by 6 where its second neuron kinks
    (its slope there goes from 1 to -5, two per unit of z):

    >>> from jensen_encodings.pyomo_model import solve_model
    >>> one = np.ones(1)
    >>> a = LayerData("a", {"input": np.eye(1)}, 0 * one, True, -one, one)
    >>> b = LayerData("b", {"a": np.eye(1), "input": np.eye(1)}, -one, True, -2 * one, one)
    >>> out = LayerData("output", {"a": np.eye(1), "b": -3 * np.eye(1)}, 0 * one, False,
    ...                 -3 * one, one)
    >>> program = facet_program(NetworkData(-one, one, (a, b, out)), [("b", 0, 1)])
    >>> round(solve_model(program.model).objective, 6)
    -3.0
    """
    _check_group(data, group)
    model = pyo.ConcreteModel()
    sides = [(float(a), float(b)) for a, b in zip(data.input_lower, data.input_upper, strict=True)]
    model.point = pyo.Var(range(data.input_size), bounds=lambda _, i: sides[i])
    copy = add_network_copy(model, data, list(model.point.values()), groups=groups)
    model.on_hyperplane = pyo.ConstraintList()
    for name, index, _ in group:
        model.on_hyperplane.add(copy.pre(name, index) == 0)
    if projective:
        _exclude_origin(model, data.input_size)
    jump_range = _add_jump(model, copy, group)
    model.cuts = pyo.ConstraintList()
    model.below = pyo.ConstraintList()
    model.least_jump = pyo.Objective(expr=model.u[data.output.name, 0])
    return FacetProgram(model, copy, jump_range)


def _check_group(data: NetworkData, group: Group) -> None:
    layers = {layer.name: layer for layer in data.layers}
    if not group:
        raise EncodingError("a hyperplane group needs at least one neuron")
    for name, index, c in group:
        if name not in layers or index not in layers[name].unstable() or not c:
            raise EncodingError(f"{name}[{index}] with factor {c} is no neuron that can kink")


def _exclude_origin(model: Any, inputs: int) -> None:
    faces = [(i, side) for i in range(inputs) for side in (1, -1) if (i, side) != (inputs - 1, -1)]
    model.face = pyo.Var(faces, domain=pyo.Binary)
    model.some_face = pyo.Constraint(expr=sum(model.face.values()) == 1)
    # side * point >= 1 on the chosen face; elsewhere the box already says >= -1 (t: >= 0)
    model.on_face = pyo.Constraint(
        faces,
        rule=lambda m, i, side: (
            m.point[i] >= m.face[i, side]
            if i == inputs - 1
            else side * m.point[i] >= 2 * m.face[i, side] - 1
        ),
    )


def _add_jump(model: Any, copy: NetworkCopy, group: Group) -> tuple[float, float]:
    """Carry the jump through the layers behind the group; return bounds at the output."""
    data = copy.data
    start = {(name, index): abs(float(c)) for name, index, c in group}
    ranges = _jump_ranges(data, start)
    reached = [
        (layer.name, i)
        for layer in data.layers
        for i in range(layer.size)
        if (layer.name, i) not in start and any(side[i] for side in ranges[layer.name][0])
    ]
    if (data.output.name, 0) not in reached:
        reached.append((data.output.name, 0))
    bounds = {
        (name, i): (float(ranges[name][0][0][i]), float(ranges[name][0][1][i]))
        for name, i in reached
    }
    products = [neuron for neuron in reached if copy.switches[neuron].variable is not None]
    model.u = pyo.Var(reached, bounds=lambda _, name, i: bounds[name, i])
    model.q = pyo.Var(products)
    model.carry = pyo.ConstraintList()
    model.product = pyo.ConstraintList()
    layers = {layer.name: layer for layer in data.layers}
    for name, i in reached:
        model.carry.add(_carry_row(model, copy, start, layers[name], i))
    for neuron in products:
        _add_mccormick(model, neuron, bounds[neuron], copy.switches[neuron].expression)
    low, high = bounds[data.output.name, 0]
    return low, high


def _carry_row(
    model: Any, copy: NetworkCopy, start: Mapping[Neuron, float], layer: LayerData, index: int
) -> Any:
    coefficients, variables, constant = [1.0], [model.u[layer.name, index]], 0.0
    for source, weight in layer.csr.items():
        row = slice(weight.indptr[index], weight.indptr[index + 1])
        for column, w in zip(weight.indices[row], weight.data[row], strict=True):
            neuron = (source, int(column))
            if neuron in start:
                constant += float(w) * start[neuron]
            elif neuron in model.q:
                coefficients.append(-float(w))
                variables.append(model.q[neuron])
            elif neuron in model.u and copy.switches[neuron].constant:
                coefficients.append(-float(w))
                variables.append(model.u[neuron])
    body = LinearExpression(constant=0, linear_coefs=coefficients, linear_vars=variables)
    return body == constant


def _add_mccormick(model: Any, neuron: Neuron, bounds: tuple[float, float], on: Any) -> None:
    low, high = bounds
    q, u = model.q[neuron], model.u[neuron]
    model.product.add(q <= high * on)
    model.product.add(q >= low * on)
    model.product.add(q <= u - low * (1 - on))
    model.product.add(q >= u - high * (1 - on))


def _jump_ranges(
    data: NetworkData, start: Mapping[Neuron, float]
) -> dict[str, tuple[Range, Range]]:
    """Bound u and q of every layer by intervals that contain all rounding errors."""
    zero = np.zeros(data.input_size)
    passed: dict[str, Range] = {"input": (zero, zero)}
    result: dict[str, tuple[Range, Range]] = {}
    for layer in data.layers:
        low, high, size = (np.zeros(layer.size) for _ in range(3))
        terms = 2
        for source, weight in layer.csr.items():
            a, b = passed[source]
            plus, minus = weight.maximum(0), weight.minimum(0)
            low += plus @ a + minus @ b
            high += plus @ b + minus @ a
            size += abs(weight) @ np.maximum(np.abs(a), np.abs(b))
            terms += weight.shape[1]
        slack = 4 * terms * np.finfo(float).eps * size
        low, high = low - slack, high + slack
        q_low, q_high = low.copy(), high.copy()
        if layer.is_relu:
            off, free = layer.upper <= 0, np.array(layer.unstable(), dtype=int)
            q_low[free], q_high[free] = np.minimum(low[free], 0), np.maximum(high[free], 0)
            q_low[off], q_high[off] = 0.0, 0.0
        for (name, i), value in start.items():
            if name == layer.name:
                q_low[i] = q_high[i] = value
        passed[layer.name] = (q_low, q_high)
        result[layer.name] = ((low, high), (q_low, q_high))
    return result
