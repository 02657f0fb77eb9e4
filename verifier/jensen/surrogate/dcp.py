"""Input-convex networks as disciplined convex expressions of CVXPY."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from jensen.errors import MissingExtraError, NotConvexError, OptionError
from jensen.graphs.function_graph import FunctionGraph
from jensen.loaders import piecewise_linear
from jensen.network.relu_network import INPUT, ReluNetwork


def dcp_expression(
    network: ReluNetwork | FunctionGraph | str | Path, x: Any, *, output: int | None = None
) -> Any:
    """Return f(x) as a CVXPY expression that its rules know to be convex (or concave).

    Parameters
    ----------
    network : ReluNetwork or path
        Every ReLU that reads another one does so with weights of one sign, and the output, too:
        an input-convex network, or minus one.
    x : cvxpy Variable or affine expression of shape (inputs,)
    output : int, optional
        Needed where the network has several.

    Returns
    -------
    cvxpy Expression
        A scalar; for any objective or constraint that CVXPY's rules allow.

    Raises
    ------
    NotConvexError
        If CVXPY's rules do not see convexity or concavity; it may be there, see
        :func:`jensen.verify` and the formulation ``cuts``.
    OptionError
        If x has another shape, or none.
    MissingExtraError
        Without CVXPY.

    References
    ----------
    M. Grant, S. Boyd, Y. Ye. Disciplined convex programming. In: Global Optimization, 2006.

    Examples
    --------
    >>> import cvxpy, jensen
    >>> net = jensen.ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])  # |x|
    >>> dcp_expression(net, cvxpy.Variable(1)).is_convex()
    True
    """
    try:
        cp: Any = importlib.import_module("cvxpy")
    except ImportError:
        raise MissingExtraError(
            "expressions of CVXPY need the extra 'cvxpy': pip install 'jensen[cvxpy]'"
        ) from None
    net = piecewise_linear(network, "jensen.surrogate").select_output(output)
    shape = getattr(x, "shape", None)
    if shape is None:
        raise OptionError(
            f"x is a {type(x).__name__}: a cvxpy Variable or expression of shape "
            f"({net.input_size},) is needed; cvxpy.hstack joins several"
        )
    if shape != (net.input_size,):
        raise OptionError(f"x has shape {shape}: needed is ({net.input_size},)")
    values = {INPUT: x}
    for block in net.blocks:
        z: Any = np.asarray(block.bias)
        for source, weight in block.weights.items():
            if sp.issparse(weight) or weight.any():
                z = z + weight @ values[source]
        values[block.name] = cp.maximum(z, 0) if block.is_relu else z
    result = values[net.output.name][0]
    if not result.is_dcp():
        raise NotConvexError(
            "the rules of disciplined convex programming do not prove this network convex or "
            "concave: it is not input-convex; use jensen.surrogate.add_network"
        )
    return result
