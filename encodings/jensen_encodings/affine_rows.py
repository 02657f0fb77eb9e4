"""The row ``z - sum_j W_j h_j = bias`` of one neuron."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyomo.core.expr.numeric_expr import LinearExpression

from jensen_encodings.data import LayerData


def affine_row(layer: LayerData, index: int, z: Any, post: Callable[[str, int], Any | None]) -> Any:
    """Return the row of a neuron; the constant stands alone, so that nothing is rounded.

    Parameters
    ----------
    layer : LayerData
    index : int
    z : pyomo variable
        Of the neuron's pre-activation.
    post : callable
        Returns the variable of a neuron's value by (layer name, index), None for 0.
    """
    coefficients, variables = [1.0], [z]
    for source, weight in layer.csr.items():
        row = slice(weight.indptr[index], weight.indptr[index + 1])
        for column, w in zip(weight.indices[row], weight.data[row], strict=True):
            variable = post(source, int(column))
            if variable is not None and w:
                coefficients.append(-float(w))
                variables.append(variable)
    body = LinearExpression(constant=0, linear_coefs=coefficients, linear_vars=variables)
    return body == float(layer.bias[index])
