"""Why an ONNX operator is refused, and what its user can do (docs/models.md)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from jensen.loaders.onnx.node import plain

# fmt: off
_SMOOTH = frozenset(
    {
        "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Attention", "Cos",
        "GRU", "GlobalLpPool", "GroupNormalization",
        "InstanceNormalization", "LRN", "LSTM", "LayerNormalization",
        "LpNormalization", "LpPool", "MeanVarianceNormalization",
        "RMSNormalization", "RNN", "ReduceProd", "Sin", "Softsign", "Tan",
    }
)
# read where a Where chooses by them without a jump
COMPARISONS = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
_JUMPING = frozenset(
    {
        "And", "ArgMax", "ArgMin", "Ceil", "Equal", "Floor", "Greater", "GreaterOrEqual",
        "Hardmax", "IsInf", "IsNaN", "Less", "LessOrEqual",
        "Mod", "NonZero", "Not", "OneHot", "Or", "Round", "Sign",
        "TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor", "Xor",
    }
)
_QUANTISED = frozenset(
    {
        "ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger",
        "MatMulNBits", "QAttention", "QGemm", "QLinearAdd", "QLinearAveragePool",
        "QLinearConcat", "QLinearConv", "QLinearGlobalAveragePool", "QLinearLeakyRelu",
        "QLinearMatMul", "QLinearMul", "QLinearReduceMean", "QLinearSigmoid", "QuantizeLinear",
    }
)
# fmt: on


def refusal(proto: Any, computed: Collection[str], inputs: Collection[str]) -> str:
    """Say why a node is refused, and what to do.

    Parameters
    ----------
    proto : onnx.NodeProto
    computed : collection of str
        The tensors that depend on the network's input.
    inputs : collection of str
        The inputs of the network.
    """
    if proto.op_type in _QUANTISED:
        return (
            "the model is quantised: its values jump from step to step; "
            "verify the floating-point model that it was made from"
        )
    if proto.op_type in _SMOOTH:
        why = "it is neither piecewise linear nor among the smooth functions of docs/smooth.md"
    elif proto.op_type in _JUMPING:
        why = "its values jump (write what is continuous with Relu, Max, Min or Clip)"
    else:
        why = "it is not among the supported operators (docs/models.md)"
    return f"{why}; {advice(proto, computed, inputs)}"


def advice(proto: Any, computed: Collection[str], inputs: Collection[str]) -> str:
    """Say which network can be verified instead."""
    end = next((name for name in proto.input if name in computed), "")
    if end in inputs:
        return "there is no network before it that could be verified"
    return f"verify the network before it, which ends in {plain(end)!r} (how: docs/models.md)"
