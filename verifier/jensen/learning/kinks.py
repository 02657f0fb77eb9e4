"""Watch the kinks of a PyTorch module while it runs: where they are, and what they do.

Every piecewise linear operation is a ReLU in disguise: ``max(a, b) = b + relu(a - b)``,
``|z| = relu(z) + relu(-z)``, a leaky ReLU is ``s z + (1 - s) relu(z)``. While a
:class:`KinkRecorder` is active, torch's own operations are carried out in that form, and
each ``relu(z)`` is written down with its ``z`` and a *probe*, zeros added to its output.
The derivative of the module's output with respect to the probe is the change of slope
per unit of z, J in docs/theory.md, section 2; autograd can differentiate it once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from jensen.errors import UnsupportedOperatorError
from jensen.learning.operations import HANDLERS


class Purpose(Enum):
    """What a run of the module is for."""

    VALUES = auto()  # pre-activations only
    JUMPS = auto()  # pre-activations and probes
    FROZEN = auto()  # every ReLU replaced by the linear map of given patterns


@dataclass(frozen=True, eq=False)
class Kink:
    """One ``factor * relu(z)`` of a run: z, the probe behind it and the factor (1, -1 or a tensor).

    A run for jumps may leave z out: a tensor of its shape is there instead.
    """

    z: torch.Tensor
    probe: torch.Tensor | None
    factor: float | torch.Tensor


class KinkRecorder(TorchFunctionMode):
    """Record every ``relu(z)`` of a run of a module.

    Parameters
    ----------
    purpose : Purpose
    depends : sequence of bool or None
        Per operation that could kink, in the order of the run, whether its operand
        depends on the module's input. ReLUs of weights are left alone. None: find out by
        ``requires_grad``; the answers are then in ``found``.
    masks : sequence of tensors or None
        For a frozen run, the pattern of each kink.
    """

    def __init__(
        self,
        purpose: Purpose,
        depends: Sequence[bool] | None = None,
        masks: Sequence[torch.Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.purpose = purpose
        self.kinks: list[Kink] = []
        self.found: list[bool] = []
        self._depends = depends
        self._masks = masks

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Carry out an operation, as a sum of recorded ReLUs if it can kink."""
        keywords = kwargs or {}
        handler = _handler(func)
        if handler is None:
            return func(*args, **keywords)
        tensors = [a for a in (*args, *keywords.values()) if isinstance(a, torch.Tensor)]
        depends = any(tensor.requires_grad for tensor in tensors)
        if self._depends is not None:
            if len(self.found) >= len(self._depends):
                raise UnsupportedOperatorError(
                    "the module runs other operations than when the guard was made"
                )
            depends = self._depends[len(self.found)]
        self.found.append(depends)
        if not depends:
            return func(*args, **keywords)
        if _in_place(func, keywords):
            # z must outlive the operand that is overwritten
            return args[0].copy_(handler(self, args[0].clone(), *args[1:], **keywords))
        return handler(self, *args, **keywords)

    def relu(self, z: torch.Tensor, factor: float | torch.Tensor = 1.0) -> torch.Tensor:
        """Return ``factor * relu(z)`` and write it down."""
        if self.purpose is Purpose.FROZEN:
            assert self._masks is not None
            mask = self._masks[len(self.kinks)]
            self.kinks.append(Kink(z, None, factor))
            return factor * (z * mask)
        out = torch.relu(z)
        if not isinstance(factor, float) or factor != 1.0:  # small modules: every call counts
            out = factor * out
        probe = None
        if self.purpose is Purpose.JUMPS:
            probe = torch.zeros_like(out, requires_grad=True)
            out = out + probe
        self.kinks.append(Kink(z, probe, factor))
        return out

    def bent(
        self, z: torch.Tensor, slope: float | torch.Tensor, factor: float | torch.Tensor
    ) -> torch.Tensor:
        """Return ``slope z + factor relu(z)`` and write the ReLU down."""
        if self.purpose is not Purpose.JUMPS:
            return slope * z + self.relu(z, factor)
        return self._probed(z * (slope + factor * (z > 0).to(z.dtype)), factor)

    def maximum(self, a: torch.Tensor, b: torch.Tensor | float) -> torch.Tensor:
        """Return ``max(a, b) = b + relu(a - b)``."""
        if self.purpose is Purpose.JUMPS:
            return self._probed(torch.where(a > b, a, b), 1.0)
        return b + self.relu(a - b)

    def minimum(self, a: torch.Tensor, b: torch.Tensor | float) -> torch.Tensor:
        """Return ``min(a, b) = a - relu(a - b)``."""
        if self.purpose is Purpose.JUMPS:
            return self._probed(torch.where(a > b, b, a), -1.0)
        return a + self.relu(a - b, -1.0)

    def _probed(self, out: torch.Tensor, factor: float | torch.Tensor) -> torch.Tensor:
        """Write down the ReLU of an operation that was carried out in one go.

        Jumps need no z, and small modules cost what their calls cost.
        """
        probe = torch.zeros_like(out, requires_grad=True)
        self.kinks.append(Kink(probe, probe, factor))
        return out + probe


def _handler(func: Any) -> Callable[..., Any] | None:
    try:
        return HANDLERS.get(func)
    except TypeError:  # not hashable: none of ours
        return None


def _in_place(func: Any, keywords: Any) -> bool:
    name = getattr(func, "__name__", "")
    return bool(keywords.get("inplace")) or (name.endswith("_") and not name.endswith("__"))


class Evaluation:
    """Put modules into evaluation mode for the length of a ``with``.

    Parameters
    ----------
    modules : sequence of torch.nn.Module
        A module and all its children, ``list(module.modules())``.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._modules = modules
        self._training: list[nn.Module] = []

    def __enter__(self) -> None:
        self._training = [child for child in self._modules if child.training]
        for child in self._training:
            # past Module.__setattr__, which looks at every value: this runs in every step
            child.__dict__["training"] = False

    def __exit__(self, *_: object) -> None:
        for child in self._training:
            child.__dict__["training"] = True
