"""The jumps of plain stacks of dense layers, without a pass of autograd to find them.

Small modules spend their time in calls of Python, not in arithmetic. For a
``torch.nn.Sequential`` of linear layers and ReLUs, leaky ones too, the sweep of docs/theory.md,
section 2, is written out: one product per layer, which autograd differentiates once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

IDENTITIES = (nn.Identity, nn.Dropout)  # in evaluation mode
HOOKS = ("_forward_hooks", "_forward_pre_hooks")  # such as spectral norms: they change weights


class DenseLayers:
    """Linear layers and ReLUs, leaky ones too, one after the other.

    Parameters
    ----------
    layers : list of torch.nn.Linear, torch.nn.ReLU and torch.nn.LeakyReLU
    """

    def __init__(self, layers: list[nn.Module]) -> None:
        self._layers = layers

    @classmethod
    def of(cls, module: nn.Module) -> DenseLayers | None:
        """Return the layers of a plain stack; None for every other module."""
        if type(module) is not nn.Sequential or not len(module) or _is_hooked(module):
            return None
        layers = [layer for layer in module if type(layer) not in IDENTITIES]
        plain = all(type(layer) in (nn.Linear, nn.ReLU, nn.LeakyReLU) for layer in layers)
        return cls(layers) if plain and not any(map(_is_hooked, layers)) else None

    @property
    def plain(self) -> list[nn.Linear] | None:
        """Linear layers with one ReLU between any two; None for other stacks."""
        linear = [layer for layer in self._layers[::2] if isinstance(layer, nn.Linear)]
        between = self._layers[1::2]
        fits = len(self._layers) == 2 * len(linear) - 1
        return linear if fits and all(type(layer) is nn.ReLU for layer in between) else None

    def jumps_at(self, x: torch.Tensor, kinks: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
        """Return J of one kink under the pattern at each point, to be differentiated.

        Parameters
        ----------
        x : tensor (n, inputs)
        kinks, outputs : integer tensors (n,)
            Which kink, and which output, each point asks about.

        Returns
        -------
        tensor (n,)
        """
        patterns: list[Any] = []
        with torch.no_grad():
            h = x
            for layer in self._layers:
                if isinstance(layer, nn.Linear):
                    h = nn.functional.linear(h, layer.weight, layer.bias)
                else:
                    leak = _leak(layer)
                    on = (h > 0).to(h.dtype)
                    patterns.append(on * (1.0 - leak) + leak if leak else on)
                    h = h * patterns[-1]
        slopes: torch.Tensor | None = None  # of the outputs; None for the outputs themselves
        found: list[torch.Tensor] = []
        for layer in reversed(self._layers):
            if isinstance(layer, nn.Linear):
                slopes = layer.weight[outputs] if slopes is None else slopes @ layer.weight
                continue
            if slopes is None:
                slopes = nn.functional.one_hot(outputs, h.shape[1]).to(h.dtype)
            leak = _leak(layer)
            found.append(slopes * (1.0 - leak) if leak else slopes)
            slopes = slopes * patterns.pop()
        return torch.cat(found[::-1], dim=1).gather(1, kinks[:, None])[:, 0]


def _leak(layer: nn.Module) -> float:
    """Return the slope that a layer has below 0."""
    return layer.negative_slope if isinstance(layer, nn.LeakyReLU) else 0.0


def _is_hooked(module: nn.Module) -> bool:
    return any(getattr(module, name) for name in HOOKS)
