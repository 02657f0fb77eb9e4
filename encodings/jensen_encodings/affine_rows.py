"""The rows ``z - sum_j W_j h_j = bias`` of all neurons, the same in every encoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyomo.environ as pyo
from pyomo.core.expr.numeric_expr import LinearExpression

from jensen_encodings.data import LayerData, NetworkData
from jensen_encodings.errors import EncodingError

Post = Callable[[str, int], Any | None]


def check_inputs(data: NetworkData, inputs: Sequence[Any]) -> None:
    """Raise :class:`EncodingError` unless there is one variable per input."""
    if len(inputs) != data.input_size:
        raise EncodingError(f"{len(inputs)} input variables, the network has {data.input_size}")


def add_affine_rows(block: Any, data: NetworkData, post: Post) -> None:
    """Add the component ``affine``: the rows of all neurons, whose z are there already.

    Parameters
    ----------
    block : pyomo Block or ConcreteModel
    data : NetworkData
    post : callable
        Returns the variable of a neuron's value by (layer name, index), None for 0.
    """
    block.affine = pyo.ConstraintList()
    for layer in data.layers:
        for i in range(layer.size):
            block.affine.add(affine_row(layer, i, block.z[layer.name, i], post))


def affine_row(layer: LayerData, index: int, z: Any, post: Post, factor: float = 1.0) -> Any:
    """Return the row of a neuron; the constant stands alone, so that nothing is rounded.

    Parameters
    ----------
    layer : LayerData
    index : int
    z : pyomo variable
        Of the neuron's pre-activation.
    post : callable
        Returns the variable of a neuron's value by (layer name, index), None for 0.
    factor : float
        The pre-activation is this times ``z``.
    """
    coefficients, variables = [factor], [z]
    for source, weight in layer.csr.items():
        row = slice(weight.indptr[index], weight.indptr[index + 1])
        for column, w in zip(weight.indices[row], weight.data[row], strict=True):
            variable = post(source, int(column))
            if variable is not None and w:
                coefficients.append(-float(w))
                variables.append(variable)
    body = LinearExpression(constant=0, linear_coefs=coefficients, linear_vars=variables)
    return body == float(layer.bias[index])
