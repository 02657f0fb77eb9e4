"""Slopes behind neurons, as tensors that can be differentiated in the weights."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import torch
from torch import nn

from jensen.errors import NetworkError
from jensen.learning.watched import WatchedModule, check_module, input_shapes, tensor_of


def path_values(
    module: nn.Module, points: Any, *, output: int = 0, input_shape: Any = None
) -> torch.Tensor:
    """Return J of every neuron at every point: the sums over paths to the output.

    J of a neuron is the derivative of the output with respect to the neuron's ReLU, under the
    activations at the point: the sum over all paths from the neuron to the output of
    the products of weights and activations behind it. On the neuron's kink it is
    the change of the output's slope per unit of the neuron's pre-activation, so a network is
    convex on a domain if all are ``>= 0`` on their kinks there.

    Parameters
    ----------
    module : torch.nn.Module
        Piecewise linear. ``max``, ``abs`` and others count as the ReLUs they stand for.
    points : tensor (n, ...)
        Samples of the module's input; several inputs are joined in their order.
    output : int
    input_shape : int, tuple of int, or list of such tuples, optional
        Shape of one sample; by default that of ``points``.

    Returns
    -------
    tensor (n, neurons)
        In the order in which the module runs them; differentiable in the weights.

    Raises
    ------
    UnsupportedOperatorError
        If the module bends in an operation that is not known.
    NetworkError
        If there is no such output, or the points do not fit.
    OptionError
        If it is no module.

    References
    ----------
    docs/theory.md, section 2; Gagneux et al., arXiv 2501.03017.

    Examples
    --------
    >>> module = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))  # doctest: +SKIP
    >>> path_values(module, torch.zeros(5, 1)).shape  # doctest: +SKIP
    torch.Size([5, 2])
    """
    check_module(module)
    given = tensor_of(points)
    if given.dim() < 2 or not len(given):
        raise NetworkError(f"points of shape {tuple(given.shape)}: need (n, inputs)")
    shape = tuple(given.shape[1:]) if input_shape is None else input_shape
    watched = WatchedModule(module, input_shapes(module, None, shape))
    flat = given.detach().to(watched.device, watched.dtype).flatten(1)
    if flat.shape[1] != watched.inputs:
        raise NetworkError(f"points of {flat.shape[1]} numbers: need {watched.inputs}")
    if not isinstance(output, Integral) or not 0 <= output < watched.outputs:
        raise NetworkError(f"output {output} asked for, the module has {watched.outputs}")
    outputs = torch.full((len(flat),), output, dtype=torch.int64, device=watched.device)
    return watched.jumps(torch.cat([flat, torch.ones_like(flat[:, :1])], dim=1), outputs)
