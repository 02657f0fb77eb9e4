"""scikit-learn multi-layer perceptrons, read from their coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np

from jensen.arithmetic.doubles import NotADoubleError, exact_doubles
from jensen.errors import ModelFileError, UnsupportedOperatorError
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import Function
from jensen.loaders.lowering import Lowering
from jensen.loaders.symbolic import LoweringError, constant, powers_of_two
from jensen.network.relu_network import ReluNetwork

_DIVIDING = ("StandardScaler", "MaxAbsScaler")

_ACTIVATIONS = {
    "relu": Function.RELU,
    "identity": Function.IDENTITY,
    "tanh": Function.TANH,
    "logistic": Function.SIGMOID,
}


def from_sklearn(model: Any) -> ReluNetwork | FunctionGraph:
    """Read a fitted ``MLPRegressor``, or a pipeline of scalers that ends in one.

    Parameters
    ----------
    model : sklearn.neural_network.MLPRegressor or sklearn.pipeline.Pipeline
        With the activation ``relu``, ``identity``, ``tanh`` or ``logistic``. Of the pipeline's
        steps, ``StandardScaler``, ``MinMaxScaler`` (without clipping) and ``MaxAbsScaler`` are
        read. Reciprocals of scales are rounded to doubles where they are none.

    Raises
    ------
    UnsupportedOperatorError
        For other steps or activations.
    ModelFileError
        If the model is not fitted.
    """
    steps = [step for _, step in model.steps] if hasattr(model, "steps") else [model]
    known = [step for step in steps if step is not None and not isinstance(step, str)]
    if not known:
        raise ModelFileError(
            f"{type(model).__name__}: a fitted MLPRegressor is needed, alone or last in a pipeline"
        )
    *scalers, network = known
    if not hasattr(network, "coefs_") or not hasattr(network, "intercepts_"):
        raise ModelFileError(f"{type(network).__name__}: a fitted MLPRegressor is needed")
    output = getattr(network, "out_activation_", "identity")
    if network.activation not in _ACTIVATIONS or output != "identity":
        raise UnsupportedOperatorError(
            f"{type(network).__name__} with activation {network.activation!r} and output "
            f"{output!r}: supported are {', '.join(map(repr, _ACTIVATIONS))}, and 'identity'"
        )
    inputs = int(network.coefs_[0].shape[0])
    lowering = Lowering(inputs)
    x = lowering.input()
    try:
        for scaler in scalers:
            factor, shift, after = _scaling(scaler, inputs)
            if type(scaler).__name__ in _DIVIDING and not powers_of_two(factor):
                lowering.roundings.append(
                    f"{type(scaler).__name__}: reciprocals of its scales were rounded to doubles"
                )
            x = lowering.add(x, constant(-shift))
            x = lowering.add(lowering.scale(x, factor), constant(after))
        last = len(network.coefs_) - 1
        for i, (weight, bias) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
            matrix = exact_doubles(weight).T
            x = lowering.add(lowering.linear(matrix, x, (matrix.shape[0],)), constant(bias))
            if i < last and network.activation == "relu":
                x = lowering.relu(x)
            elif i < last and network.activation != "identity":
                x = lowering.apply(x, _ACTIVATIONS[network.activation])
    except (LoweringError, NotADoubleError) as error:
        raise ModelFileError(f"{type(network).__name__}: {error}") from None
    return lowering.finish(x, (inputs,), x.shape)


def _scaling(scaler: Any, inputs: int) -> tuple[Any, Any, Any]:
    """Return (factor, shift, after) with ``after + factor * (x - shift)``."""
    zero, one = np.zeros(inputs), np.ones(inputs)
    name = type(scaler).__name__
    if name == "StandardScaler":
        factor = 1.0 / scaler.scale_ if scaler.with_std else one
        return factor, scaler.mean_ if scaler.with_mean else zero, zero
    if name == "MinMaxScaler" and not scaler.clip:
        return scaler.scale_, zero, scaler.min_
    if name == "MaxAbsScaler":
        return 1.0 / scaler.scale_, zero, zero
    raise UnsupportedOperatorError(
        f"pipeline step {name}: supported are StandardScaler, MinMaxScaler without clipping "
        "and MaxAbsScaler"
    )
