"""The projection onto input-convex networks, after every step: the baseline."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import nn

from jensen.errors import IcnnFormError
from jensen.learning.kinks import Evaluation
from jensen.learning.watched import check_module, input_shapes

LINES = 24  # along which signals are looked at: a ReLU seems affine on one of them half the time
REACH = (1.0, 30.0, 1000.0)  # lengths of these lines
AFFINE = 1e-4  # relative second difference that rounding in float32 could have made up

_LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def clip_to_icnn_(module: nn.Module, *, input_shape: Any = None) -> nn.Module:
    """Set the negative weights behind the first ReLUs to 0, in place.

    Signals that are affine in the input may be read with any weights; what linear and
    convolutional layers read of others, they read with non-negative ones afterwards. So they do in
    layers that read ``Concat(h, x)``. Slopes of a PReLU are moved into [0, 1]. Call it after
    every step of the optimizer, as Amos et al. do.

    Parameters
    ----------
    module : torch.nn.Module
        Its weights must belong to such layers; those that are passed to functions by hand
        are not seen.
    input_shape : int, tuple of int, or list of such tuples, optional
        Shape of one sample; by default that of the first linear layer.

    Returns
    -------
    torch.nn.Module
        The module itself.

    Raises
    ------
    IcnnFormError
        If another kind of layer has weights behind a ReLU.
    OptionError
        If it is no module, or has no linear layer and no shape was given.

    References
    ----------
    B. Amos, L. Xu, J. Z. Kolter, "Input convex neural networks", ICML 2017.

    Examples
    --------
    >>> import torch
    >>> module = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    >>> bool((clip_to_icnn_(module)[2].weight >= 0).all())
    True
    """
    check_module(module)
    if next(module.parameters(), None) is None:
        return module
    bent = _bent_features(module, input_shapes(module, None, input_shape))
    with torch.no_grad():
        for layer, features in bent.items():
            if isinstance(layer, nn.PReLU):
                layer.weight.clamp_(0.0, 1.0)
            elif isinstance(layer, _LINEAR):
                _clip(layer, features)
            elif features.any():
                raise IcnnFormError(
                    f"{type(layer).__name__} has weights behind a ReLU: only linear and "
                    "convolutional layers and PReLU are clipped"
                )
    return module


def _clip(layer: Any, features: torch.Tensor) -> None:
    """Clip the weights of the features that bend; grouped convolutions whole."""
    if getattr(layer, "groups", 1) > 1:
        if features.any():
            layer.weight.clamp_(min=0.0)
        return
    weight = layer.weight[:, features]
    layer.weight[:, features] = weight.clamp(min=0.0)


def _bent_features(module: nn.Module, shapes: Any) -> dict[nn.Module, torch.Tensor]:
    """Return, for every layer with weights, which features that it reads are not affine."""
    found: dict[nn.Module, torch.Tensor] = {}

    def look(layer: nn.Module, inputs: Any) -> None:
        axis = -1 if isinstance(layer, nn.Linear) else 1
        signal = inputs[0].detach().movedim(axis, 0).flatten(1).double()
        if not len(signal):
            return
        # before - 2 * middle + after, on every line
        before, middle, after = signal.reshape(len(signal), 3, -1).unbind(1)
        bend = (before + after - 2 * middle).abs()
        size = before.abs() + after.abs() + 2 * middle.abs()
        bent = (bend > AFFINE * size).any(dim=1)
        found[layer] = bent | found.get(layer, torch.zeros_like(bent))

    layers = [m for m in module.modules() if next(m.parameters(recurse=False), None) is not None]
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        with torch.no_grad(), Evaluation(list(module.modules())):
            module(*_lines(module, shapes))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _lines(module: nn.Module, shapes: Any) -> list[torch.Tensor]:
    """Return the starts, middles and ends of lines, for every input of a module."""
    first = next(module.parameters())
    generator = torch.Generator().manual_seed(0)
    size = sum(prod(shape) for shape in shapes)
    middle = torch.randn(LINES, size, generator=generator)
    reach = torch.tensor(REACH).repeat(LINES // len(REACH))[:, None]
    step = reach * torch.randn(LINES, size, generator=generator)
    points = torch.cat([middle - step, middle, middle + step]).to(first)
    parts = points.split([prod(shape) for shape in shapes], dim=1)
    return [part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]
