"""ONNX activations that are piecewise linear."""

from __future__ import annotations

from jensen.loaders.onnx_node import Node, operator
from jensen.loaders.symbolic import SymbolicTensor


@operator("Relu")
def relu(node: Node) -> SymbolicTensor:
    """Return ``max(x, 0)``."""
    return node.lowering.relu(node.tensor(0))
