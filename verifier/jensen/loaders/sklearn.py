"""scikit-learn regressors and the affine steps around them, read from their coefficients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from jensen.arithmetic.doubles import NotADoubleError, exact_doubles
from jensen.errors import ModelFileError, UnsupportedOperatorError
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import Function
from jensen.loaders.agreement import check_agreement
from jensen.loaders.lowering import Lowering
from jensen.loaders.quiet import quiet
from jensen.loaders.symbolic import (
    LoweringError,
    SymbolicTensor,
    constant,
    powers_of_two,
    stack,
)
from jensen.network.relu_network import ReluNetwork
from jensen.types import FloatArray

_ACTIVATIONS = {
    "relu": Function.RELU,
    "identity": Function.IDENTITY,
    "tanh": Function.TANH,
    "logistic": Function.SIGMOID,
}
_NEEDED = "a fitted MLPRegressor or linear model is needed, alone or behind steps"

Reader = Callable[[Lowering, Any, SymbolicTensor], SymbolicTensor]


def from_sklearn(model: Any) -> ReluNetwork | FunctionGraph:
    """Read a fitted ``MLPRegressor`` or linear model, and the affine steps around it.

    Parameters
    ----------
    model : scikit-learn estimator
        See docs/models.md.

    Raises
    ------
    UnsupportedOperatorError
        For other steps, regressors or activations.
    ModelFileError
        If the model is not fitted, or predicts otherwise than its coefficients say: the network
        is compared with it on random points.
    """
    inputs = _inputs_of(model)
    lowering = Lowering(inputs)
    try:
        x = _read(lowering, model, lowering.input())
    except (LoweringError, NotADoubleError) as error:
        raise ModelFileError(f"{type(model).__name__}: {error}") from None
    network = lowering.finish(x, (inputs,), x.shape)
    _compare(model, network, inputs)
    return network


def _compare(model: Any, network: ReluNetwork | FunctionGraph, inputs: int) -> None:
    """Raise unless the model predicts (a step: returns) what its coefficients say."""
    compute = getattr(model, "predict", None) or getattr(model, "transform", None)
    if compute is None:
        raise ModelFileError(f"{type(model).__name__}: {_NEEDED}")
    names = getattr(model, "feature_names_in_", None)
    frames = None if names is None or find_spec("pandas") is None else import_module("pandas")

    def run(samples: Sequence[FloatArray]) -> Any:
        (x,) = samples
        with quiet("sklearn"):  # columns may be known by their names only
            return compute(x if frames is None else frames.DataFrame(x, columns=names))

    # models fitted on float32 keep coefficients of that type, and are computed in it
    check_agreement(
        network,
        run,
        [(inputs,)],
        precision=2.0**-23,
        name=type(model).__name__,
        cause="its class computes another function (pass an estimator of scikit-learn itself)",
    )


def _inputs_of(model: Any) -> int:
    """Return how many features a fitted model takes."""
    inner = model
    while not hasattr(inner, "coefs_"):
        inputs = getattr(inner, "n_features_in_", None)
        if inputs is not None:
            return int(inputs)
        steps = [step for _, step in getattr(inner, "steps", ()) if not isinstance(step, str)]
        inner = steps[0] if steps else None
        if inner is None:
            raise ModelFileError(f"{type(model).__name__}: {_NEEDED}")
    return int(inner.coefs_[0].shape[0])


def _read(lowering: Lowering, model: Any, x: SymbolicTensor) -> SymbolicTensor:
    """Return what an estimator predicts, or what a step makes of its features."""
    if model is None or isinstance(model, str):  # "passthrough"
        return x
    name = type(model).__name__
    if name not in _READERS:
        raise UnsupportedOperatorError(f"{name}: supported are {', '.join(sorted(_READERS))}")
    if name not in {"Pipeline", "FunctionTransformer"} and not _fitted(model):
        raise ModelFileError(f"{name}: a fitted {name} is needed")
    return _READERS[name](lowering, model, x)


def _fitted(model: Any) -> bool:
    """Whether an estimator has what only fitting gives it."""
    return any(name.endswith("_") and not name.startswith("_") for name in vars(model))


# ------------------------------------------------------------------------- regressors


def _perceptron(lowering: Lowering, model: Any, x: SymbolicTensor) -> SymbolicTensor:
    output = getattr(model, "out_activation_", "identity")
    if model.activation not in _ACTIVATIONS or output != "identity":
        raise UnsupportedOperatorError(
            f"{type(model).__name__} with activation {model.activation!r} and output "
            f"{output!r}: supported are {', '.join(map(repr, _ACTIVATIONS))}, and 'identity'"
        )
    last = len(model.coefs_) - 1
    for i, (weight, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        x = _affine(lowering, exact_doubles(weight).T, bias, x)
        if i < last and model.activation == "relu":
            x = lowering.relu(x)
        elif i < last and model.activation != "identity":
            x = lowering.apply(x, _ACTIVATIONS[model.activation])
    return x


def _affine(lowering: Lowering, matrix: FloatArray, bias: Any, x: SymbolicTensor) -> SymbolicTensor:
    product = lowering.linear(matrix, x, (len(matrix),))
    return lowering.add(product, constant(exact_doubles(bias)))


def _linear(lowering: Lowering, model: Any, x: SymbolicTensor) -> SymbolicTensor:
    matrix = np.atleast_2d(exact_doubles(model.coef_))
    return _affine(lowering, matrix, np.broadcast_to(model.intercept_, len(matrix)), x)


def _averaged(lowering: Lowering, model: Any, x: SymbolicTensor) -> SymbolicTensor:
    """Return the mean of several regressors, each of which may read some features only."""
    columns = getattr(model, "estimators_features_", None)
    weights = getattr(model, "_weights_not_none", None)
    parts: list[float] = [1.0] * len(model.estimators_) if weights is None else [*weights]
    whole = sum(map(Fraction, parts))
    shares = [float(part) / float(whole) for part in parts]
    if any(Fraction(s) * whole != Fraction(p) for s, p in zip(shares, parts, strict=True)):
        lowering.roundings.append(f"{type(model).__name__}: its shares were rounded to doubles")
    total = constant(0.0)
    for i, estimator in enumerate(model.estimators_):
        part = _read(lowering, estimator, x if columns is None else x.take(np.asarray(columns[i])))
        total = lowering.add(total, lowering.scale(part, np.full(part.size, shares[i])))
    return total


# ------------------------------------------------------------------- around regressors


def _pipeline(lowering: Lowering, model: Any, x: SymbolicTensor) -> SymbolicTensor:
    for _, step in model.steps:
        x = _read(lowering, step, x)
    return x


def _searched(lowering: Lowering, model: Any, x: SymbolicTensor) -> SymbolicTensor:
    return _read(lowering, model.best_estimator_, x)


def _transformed_target(lowering: Lowering, model: Any, x: SymbolicTensor) -> SymbolicTensor:
    """Undo the transformation of the targets behind a regressor."""
    y = _read(lowering, model.regressor_, x)
    transformer = model.transformer_
    name = type(transformer).__name__
    if name == "FunctionTransformer":
        if transformer.inverse_func is None:
            return y
        function = {np.exp: Function.EXP, np.expm1: Function.EXP}.get(transformer.inverse_func)
        if function is None:
            raise UnsupportedOperatorError(
                f"{type(model).__name__} with inverse_func {transformer.inverse_func!r}: supported "
                "are numpy.exp, numpy.expm1 and none"
            )
        less = -1.0 if transformer.inverse_func is np.expm1 else 0.0
        return lowering.add(lowering.apply(y, function), constant(less))
    factor, divisor, shift, after = _scaling(transformer, y.size)
    y = lowering.scale(
        lowering.add(y, constant(-after)), _reciprocals(lowering, name, factor) * divisor
    )
    return lowering.add(y, constant(shift))


# ------------------------------------------------------------------------------- steps


def _scaled(lowering: Lowering, scaler: Any, x: SymbolicTensor) -> SymbolicTensor:
    factor, divisor, shift, after = _scaling(scaler, x.size)
    factor = factor * _reciprocals(lowering, type(scaler).__name__, divisor)
    return lowering.add(lowering.scale(lowering.add(x, constant(-shift)), factor), constant(after))


def _reciprocals(lowering: Lowering, name: str, scales: FloatArray) -> FloatArray:
    """Return 1 / scales, and tell where doubles do not hold them."""
    if not powers_of_two(scales):
        lowering.roundings.append(f"{name}: reciprocals of its scales were rounded to doubles")
    reciprocals: FloatArray = 1.0 / exact_doubles(scales)
    return reciprocals


def _scaling(scaler: Any, size: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return (factor, divisor, shift, after): ``after + factor / divisor * (x - shift)``.

    One of factor and divisor is 1.
    """
    zero, one = np.zeros(size), np.ones(size)
    name = type(scaler).__name__
    if name == "StandardScaler":
        divisor = scaler.scale_ if scaler.with_std else one
        return one, divisor, scaler.mean_ if scaler.with_mean else zero, zero
    if name == "RobustScaler":
        divisor = scaler.scale_ if scaler.with_scaling else one
        return one, divisor, scaler.center_ if scaler.with_centering else zero, zero
    if name == "MinMaxScaler" and not scaler.clip:
        return scaler.scale_, one, zero, scaler.min_
    if name == "MaxAbsScaler" and not getattr(scaler, "clip", False):  # since scikit-learn 1.9
        return one, scaler.scale_, zero, zero
    raise UnsupportedOperatorError(
        f"{name}: supported are StandardScaler, RobustScaler, and MinMaxScaler and MaxAbsScaler "
        "without clipping"
    )


def _components(lowering: Lowering, model: Any, x: SymbolicTensor) -> SymbolicTensor:
    """Return the coordinates of principal components."""
    x = lowering.add(x, constant(-model.mean_))
    x = lowering.linear(exact_doubles(model.components_), x, (len(model.components_),))
    if not model.whiten:
        return x
    deviations = np.sqrt(model.explained_variance_)
    # as scikit-learn does, so that components without variance do not become infinite
    deviations = np.maximum(deviations, np.finfo(deviations.dtype).eps)
    lowering.roundings.append("PCA: reciprocals of the square roots of variances were rounded")
    return lowering.scale(x, 1.0 / exact_doubles(deviations))


def _columns(lowering: Lowering, model: Any, x: SymbolicTensor) -> SymbolicTensor:
    """Return what transformers make of some columns each, side by side."""
    parts = []
    for name, transformer, _ in model.transformers_:
        chosen = np.arange(x.size)[model._transformer_to_input_indices[name]]
        if len(chosen) and not (isinstance(transformer, str) and transformer == "drop"):
            parts.append(_read(lowering, transformer, x.take(np.asarray(chosen))))
    if not parts:
        raise ModelFileError("ColumnTransformer: it keeps no column")
    return stack(parts)


def _unchanged(_: Lowering, model: Any, x: SymbolicTensor) -> SymbolicTensor:
    if model.func is not None:
        raise UnsupportedOperatorError("pipeline step FunctionTransformer: it has a function")
    return x


_READERS: dict[str, Reader] = {
    "MLPRegressor": _perceptron,
    **dict.fromkeys(
        ("LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet", "ElasticNetCV"),
        _linear,
    ),
    **dict.fromkeys(("BaggingRegressor", "VotingRegressor"), _averaged),
    "Pipeline": _pipeline,
    **dict.fromkeys(("GridSearchCV", "RandomizedSearchCV"), _searched),
    "TransformedTargetRegressor": _transformed_target,
    **dict.fromkeys(("StandardScaler", "RobustScaler", "MinMaxScaler", "MaxAbsScaler"), _scaled),
    "PCA": _components,
    "ColumnTransformer": _columns,
    "FunctionTransformer": _unchanged,
}
