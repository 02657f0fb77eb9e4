"""Operators of the domain ai.onnx.ml that are affine: what scikit-learn's converters write."""

from __future__ import annotations

import numpy as np

from jensen.loaders.onnx.node import OnnxNode, Operator
from jensen.loaders.symbolic import LoweringError, SymbolicTensor, constant
from jensen.types import FloatArray

ML_DOMAIN = "ai.onnx.ml"


def scaler(node: OnnxNode) -> SymbolicTensor:
    """Return ``(x - offset) * scale``, with one number for all features or one each."""
    x = node.tensor(0)
    features = x.shape[-1] if x.shape else 1
    offset, scale = (_per_feature(node, name, features) for name in ("offset", "scale"))
    shape = np.broadcast_shapes(x.shape, (features,))
    shifted = node.lowering.add(x, constant(-offset))
    return node.lowering.scale(shifted, np.broadcast_to(scale, shape).ravel())


def _per_feature(node: OnnxNode, name: str, features: int) -> FloatArray:
    values = np.array(node.floats(name))
    if values.size not in (1, features):
        raise LoweringError(f"attribute {name!r} holds {values.size} numbers for {features}")
    return np.broadcast_to(values, (features,))


def linear_regressor(node: OnnxNode) -> SymbolicTensor:
    """Return ``x coefficients' + intercepts``, of every target."""
    x, targets = node.tensor(0), node.integer("targets", 1)
    coefficients, intercepts = (np.array(node.floats(n)) for n in ("coefficients", "intercepts"))
    if (post := node.text("post_transform", "NONE")) != "NONE":
        raise LoweringError(f"attribute 'post_transform' is {post!r}; supported is 'NONE'")
    if len(x.shape) != 2 or x.shape[0] != 1 or targets < 1:
        raise LoweringError(f"an input of shape {x.shape} for {targets} targets")
    if coefficients.size != targets * x.shape[1] or intercepts.size not in (0, targets):
        raise LoweringError(
            f"{coefficients.size} coefficients and {intercepts.size} intercepts for {targets} "
            f"targets of {x.shape[1]} features"
        )
    product = node.lowering.linear(coefficients.reshape(targets, -1), x, (1, targets))
    return node.lowering.add(product, constant(intercepts)) if intercepts.size else product


ML_OPERATORS: dict[str, Operator] = {"Scaler": scaler, "LinearRegressor": linear_regressor}
