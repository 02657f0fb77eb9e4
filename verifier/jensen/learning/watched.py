"""A PyTorch module as a function of points of a cone, with all its kinks."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn

from jensen.arithmetic.doubles import refuse_masked
from jensen.errors import NetworkError, OptionError, UnsupportedOperatorError
from jensen.learning.dense import DenseLayers
from jensen.learning.kinks import Evaluation, KinkRecorder, Purpose
from jensen.loaders.torch import shapes_of
from jensen.types import FloatArray

FROZEN_REACH = 8.0  # how far from its point a frozen module must still be affine
FROZEN_ERROR = 1e-3  # relative; rounding in float32 stays below


class WatchedModule:
    """A module in evaluation mode, and where it kinks.

    Parameters
    ----------
    module : torch.nn.Module
    shapes : sequence of tuple of int
        Shape of one sample per input of ``forward``.

    Attributes
    ----------
    inputs, outputs : int
        How many numbers it takes and returns per sample.

    Raises
    ------
    UnsupportedOperatorError
        If it bends in an operation that is not known, or mixes the samples of a batch.
    OptionError
        If its numbers have half precision.
    """

    def __init__(self, module: nn.Module, shapes: Sequence[tuple[int, ...]]) -> None:
        self.module = module
        self._modules = list(module.modules())
        self._dense = DenseLayers.of(module)
        self._shapes = [tuple(shape) for shape in shapes]
        self.inputs = sum(prod(shape) for shape in self._shapes)
        tensors = [*module.parameters(), *module.buffers()]
        self._first = next(iter(tensors), None)
        floating = [t for t in tensors if t.is_floating_point()]
        self.dtype = floating[0].dtype if floating else torch.float32
        _check_precision(module, floating)
        self._depends: list[bool] = []
        self._batch: list[int] = []
        self.outputs = 0
        self._calibrate()

    @property
    def plain(self) -> list[nn.Linear] | None:
        """Linear layers with one ReLU between any two; None for every other module."""
        return None if self._dense is None else self._dense.plain

    @property
    def device(self) -> torch.device:
        """Where the module's weights are."""
        return torch.device("cpu") if self._first is None else self._first.device

    def pre_activations(self, points: torch.Tensor) -> torch.Tensor:
        """Return ``t z(x / t)`` of every kink at points ``(x, t)`` of the cone.

        Parameters
        ----------
        points : tensor (n, inputs + 1)

        Returns
        -------
        tensor (n, kinks)
        """
        with torch.no_grad():
            run = KinkRecorder(Purpose.VALUES, self._depends)
            self._run(run, points)
            return self._rows([kink.z for kink in run.kinks], len(points)) * points[:, -1:]

    def jumps(
        self, points: torch.Tensor, outputs: torch.Tensor, *, differentiable: bool = True
    ) -> torch.Tensor:
        """Return J of every kink under the pattern at each point ``(x, t)``.

        Parameters
        ----------
        points : tensor (n, inputs + 1)
        outputs : integer tensor (n,)
            Which output each point asks about.
        differentiable : bool
            Whether the weights' gradients will be wanted.

        Returns
        -------
        tensor (n, kinks)
            The change of the output's slope per unit of the kink's pre-activation.
        """
        run = KinkRecorder(Purpose.JUMPS, self._depends)
        with torch.enable_grad():
            values = self._run(run, points)
            if not run.kinks:
                return values.new_zeros(len(points), 0)
            asked = torch.zeros_like(values).scatter_(1, outputs[:, None], 1.0)
            slopes = torch.autograd.grad(
                values,
                [kink.probe for kink in run.kinks],
                grad_outputs=asked,
                create_graph=differentiable,
                allow_unused=True,
            )
            jumps = [
                torch.zeros_like(kink.z) if slope is None else _times(slope, kink.factor)
                for kink, slope in zip(run.kinks, slopes, strict=True)
            ]
            return self._rows(jumps, len(points))

    def jumps_at(
        self, points: torch.Tensor, kinks: torch.Tensor, outputs: torch.Tensor
    ) -> torch.Tensor:
        """Return J of one kink at each point ``(x, t)``: (n,), differentiable in the weights.

        Parameters
        ----------
        points : tensor (n, inputs + 1)
        kinks, outputs : integer tensors (n,)
            Which kink of the module, and which output, each point asks about.
        """
        if self._dense is not None:
            return self._dense.jumps_at(points[:, :-1] / points[:, -1:], kinks, outputs)
        jumps = self.jumps(points, outputs, differentiable=torch.is_grad_enabled())
        return jumps.gather(1, kinks[:, None])[:, 0]

    # -------------------------------------------------------------------------- running

    def _run(self, run: KinkRecorder, points: torch.Tensor) -> torch.Tensor:
        """Run the module at ``x / t``; return (n, outputs)."""
        x = points[:, :-1] / points[:, -1:]
        parts = x.split([prod(shape) for shape in self._shapes], dim=1)
        given = [part.reshape(-1, *shape) for part, shape in zip(parts, self._shapes, strict=True)]
        with Evaluation(self._modules), run:
            result = self.module(*given)
        return _flat(result, len(points))

    def _rows(self, tensors: Sequence[torch.Tensor], count: int) -> torch.Tensor:
        """Put tensors of all kinks side by side: (n, kinks)."""
        first = [t.movedim(b, 0) if b else t for t, b in zip(tensors, self._batch, strict=True)]
        rows = [t.reshape(count, -1) if t.dim() != 2 else t for t in first]
        if not rows:
            return torch.zeros(count, 0, dtype=self.dtype, device=self.device)
        return torch.cat(rows, dim=1)

    # ---------------------------------------------------------------------- calibration

    def _calibrate(self) -> None:
        """Find out which operations see the input, and which dimension is the batch."""
        frozen = [p for p in self.module.parameters() if p.requires_grad]
        try:
            for parameter in frozen:
                parameter.requires_grad_(False)
            runs = [self._first_run(count) for count in (3, 5)]
            self._depends = runs[0].found
            self._batch = [
                _batch_dimension(a.z, b.z)
                for a, b in zip(runs[0].kinks, runs[1].kinks, strict=True)
            ]
            self._check_frozen()
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)

    def _points(self, count: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(count)
        x = torch.randn(count, self.inputs, generator=generator, dtype=torch.float64)
        points = torch.cat([x, torch.ones(count, 1, dtype=torch.float64)], dim=1)
        return points.to(self.device, self.dtype)

    def _first_run(self, count: int) -> KinkRecorder:
        run = KinkRecorder(Purpose.VALUES)
        with torch.enable_grad():
            values = self._run(run, self._points(count).requires_grad_(True))
        self.outputs = values.shape[1]
        return run

    def _check_frozen(self) -> None:
        """Under a fixed pattern the module must be affine, or it bends where nobody looks."""
        points = self._points(5)
        run = KinkRecorder(Purpose.VALUES, self._depends)
        with torch.no_grad():
            self._run(run, points)
            masks = [(kink.z > 0).to(kink.z) for kink in run.kinks]
            step = FROZEN_REACH * self._points(5).flip(0)
            step[:, -1] = 0
            values = [
                self._run(KinkRecorder(Purpose.FROZEN, self._depends, masks), points + k * step)
                for k in (-1, 0, 1)
            ]
        bend = (values[0] + values[2] - 2 * values[1]).abs()
        size = sum(v.abs() for v in values)
        if not bool((bend <= FROZEN_ERROR * size + 1e-6).all()):
            raise UnsupportedOperatorError(
                f"{type(self.module).__name__} bends in an operation whose kinks are not known "
                "here: write it with relu, abs, max, min, clamp or their modules"
            )


def _check_precision(module: nn.Module, tensors: Sequence[torch.Tensor]) -> None:
    """Refuse half precision: rounding moves values by more than many kinks bend them."""
    coarse = [t.dtype for t in tensors if t.dtype in (torch.float16, torch.bfloat16)]
    if coarse:
        raise OptionError(
            f"{type(module).__name__} has numbers of {coarse[0]}, too coarse to follow its kinks: "
            "float32 and float64 are supported, so pass module.float(); jensen.from_torch and "
            "jensen.verify take it as it is"
        )


def _batch_dimension(few: torch.Tensor, more: torch.Tensor) -> int:
    """Return the dimension that grew from 3 to 5 with the number of samples."""
    grew = [d for d, (a, b) in enumerate(zip(few.shape, more.shape, strict=False)) if a != b]
    if few.dim() == more.dim() and len(grew) == 1 and few.shape[grew[0]] == 3:
        return grew[0]
    raise UnsupportedOperatorError(
        f"a kink of shape {tuple(few.shape)} for 3 samples: every operation must keep the "
        "batch as a dimension of its own"
    )


def _times(tensor: torch.Tensor, factor: float | torch.Tensor) -> torch.Tensor:
    """Return the product, without a call where there is nothing to do."""
    return tensor if isinstance(factor, float) and factor == 1.0 else factor * tensor


def _flat(result: Any, count: int) -> torch.Tensor:
    """Join the outputs of a module, as from_torch does: (n, outputs)."""
    if isinstance(result, torch.Tensor):
        if not result.dim() or result.shape[0] != count:
            raise UnsupportedOperatorError(
                f"an output of shape {tuple(result.shape)} for {count} samples: the batch must "
                "be the first dimension"
            )
        return result.reshape(count, -1)
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, list | tuple):
        return torch.cat([_flat(part, count) for part in result], dim=1)
    raise UnsupportedOperatorError(f"the module returns a {type(result).__name__}, not tensors")


def check_module(module: Any) -> None:
    """Raise unless a PyTorch module was given, and say what to pass.

    Raises
    ------
    OptionError
    """
    if not isinstance(module, nn.Module):
        raise OptionError(
            f"an object of type {type(module).__name__} where a torch.nn.Module is needed; "
            "networks of files are repaired by jensen.repair(jensen.load(file))"
        )


def tensor_of(points: Any) -> torch.Tensor:
    """Return points as a tensor.

    Raises
    ------
    OptionError
        If they are no numbers.
    """
    try:
        refuse_masked(points)
        return torch.as_tensor(points)
    except (TypeError, ValueError, RuntimeError) as error:
        raise OptionError(f"points: numbers are needed ({error})") from None


def rows_of(points: Any, inputs: int) -> FloatArray:
    """Return samples of a module's input as rows of so many numbers.

    Raises
    ------
    OptionError, NetworkError
        If they are no finite numbers, or have another shape.
    """
    tensor = tensor_of(points).detach().cpu().double()
    if tensor.dim() < 2:
        raise NetworkError(f"points of shape {tuple(tensor.shape)}: need (n, {inputs})")
    rows: FloatArray = tensor.flatten(1).numpy()
    if not np.isfinite(rows).all():
        raise OptionError("points: finite numbers are needed, some are NaN or infinite")
    if rows.shape[1] != inputs or not len(rows):
        raise NetworkError(f"points of shape {rows.shape}: need (n, {inputs})")
    return rows


def input_shapes(module: nn.Module, dimension: int | None, given: Any) -> list[tuple[int, ...]]:
    """Return the shape of one sample per input: as given, or guessed from domain and layers."""
    if given is not None:
        return shapes_of(given)
    if dimension is not None:
        return [(dimension,)]
    first = next((m for m in module.modules() if isinstance(m, nn.Linear)), None)
    if first is None:
        raise OptionError("input_shape: the sizes of one sample are needed, such as (3, 32, 32)")
    return [(first.in_features,)]
