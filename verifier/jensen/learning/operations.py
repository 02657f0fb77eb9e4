"""Torch's piecewise linear operations as sums of ReLUs: one handler each, in a table."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple, Protocol

import torch
from torch.nn import functional

from jensen.errors import UnsupportedOperatorError

FARTHEST = -1e30  # stands for minus infinity in the padding of a pool


class Recorder(Protocol):
    """Who carries out the ReLUs, and writes them down."""

    def relu(self, z: torch.Tensor, factor: float | torch.Tensor = 1.0) -> torch.Tensor:
        """Return ``factor * relu(z)``."""

    def maximum(self, a: torch.Tensor, b: torch.Tensor | float) -> torch.Tensor:
        """Return ``max(a, b)``."""

    def minimum(self, a: torch.Tensor, b: torch.Tensor | float) -> torch.Tensor:
        """Return ``min(a, b)``."""

    def bent(
        self, z: torch.Tensor, slope: float | torch.Tensor, factor: float | torch.Tensor
    ) -> torch.Tensor:
        """Return ``slope z + factor relu(z)``."""


class _Values(NamedTuple):
    """What ``max(dim=...)``, ``topk`` and ``sort`` return; nobody may use the indices."""

    values: torch.Tensor
    indices: None = None


def _relu(run: Recorder, x: torch.Tensor, inplace: bool = False) -> torch.Tensor:
    return run.relu(x)


def _leaky(
    run: Recorder, x: torch.Tensor, negative_slope: float = 0.01, inplace: bool = False
) -> torch.Tensor:
    return run.bent(x, negative_slope, 1.0 - negative_slope)


def _prelu(run: Recorder, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    slope = weight.reshape(-1, *[1] * (x.dim() - 2)) if x.dim() > 1 else weight
    return run.bent(x, slope, 1.0 - slope)


def _rrelu(
    run: Recorder,
    x: torch.Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> torch.Tensor:
    return _leaky(run, x, (lower + upper) / 2)


def _abs(run: Recorder, x: torch.Tensor) -> torch.Tensor:
    return run.bent(x, -1.0, 2.0)


def _clamp(run: Recorder, x: torch.Tensor, min: Any = None, max: Any = None) -> torch.Tensor:
    out = x
    if min is not None:
        out = run.maximum(out, min)
    if max is not None:
        out = run.minimum(out, max)
    return out


def _hardtanh(
    run: Recorder,
    x: torch.Tensor,
    min_val: float = -1.0,
    max_val: float = 1.0,
    inplace: bool = False,
) -> torch.Tensor:
    return _clamp(run, x, min_val, max_val)


def _relu6(run: Recorder, x: torch.Tensor, inplace: bool = False) -> torch.Tensor:
    return _clamp(run, x, 0.0, 6.0)


def _hardsigmoid(run: Recorder, x: torch.Tensor, inplace: bool = False) -> torch.Tensor:
    return _clamp(run, x / 6 + 0.5, 0.0, 1.0)


def _softshrink(run: Recorder, x: torch.Tensor, lambd: float = 0.5) -> torch.Tensor:
    return run.relu(x - lambd) + run.relu(-x - lambd, -1.0)


def _extreme(sign: float) -> Callable[..., Any]:
    """Return a handler of ``torch.max`` (1) or ``torch.min`` (-1) in all their forms."""

    def handle(
        run: Recorder, x: torch.Tensor, dim: Any = None, keepdim: bool = False, **other: Any
    ) -> Any:
        second = other.get("other", dim)
        if isinstance(second, torch.Tensor):
            return run.maximum(x, second) if sign > 0 else run.minimum(x, second)
        best = sign * _largest(run, sign * x, dim, keepdim)
        return best if dim is None else _Values(best)

    return handle


def _reduced(sign: float) -> Callable[..., torch.Tensor]:
    """Return a handler of ``amax`` (1) or ``amin`` (-1)."""

    def handle(
        run: Recorder, x: torch.Tensor, dim: Any = None, keepdim: bool = False
    ) -> torch.Tensor:
        return sign * _largest(run, sign * x, dim or None if dim == () else dim, keepdim)

    return handle


def _largest(run: Recorder, x: torch.Tensor, dim: Any, keepdim: bool) -> torch.Tensor:
    """Return the maximum over dimensions, as a tournament."""
    if dim is None:
        raise UnsupportedOperatorError(
            "max or min over all dimensions mixes the samples of a batch: name the dimensions"
        )
    dims = sorted({d % x.dim() for d in ([dim] if isinstance(dim, int) else dim)})
    kept = [d for d in range(x.dim()) if d not in dims]
    moved = x.permute(*kept, *dims)
    moved = moved.reshape(*moved.shape[: len(kept)], -1)
    while (size := moved.shape[-1]) > 1:
        half = size // 2
        played = run.maximum(moved[..., :half], moved[..., half : 2 * half])
        moved = torch.cat([played, moved[..., 2 * half :]], dim=-1) if size % 2 else played
    best = moved.squeeze(-1)
    if keepdim:
        for d in dims:
            best = best.unsqueeze(d)
    return best


def _maximum(run: Recorder, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return run.maximum(x, other)


def _minimum(run: Recorder, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return run.minimum(x, other)


def _topk(
    run: Recorder,
    x: torch.Tensor,
    k: int,
    dim: int = -1,
    largest: bool = True,
    sorted: bool = True,
) -> _Values:
    sign = 1.0 if largest else -1.0
    left = list((sign * x).unbind(dim))
    found = []
    for _ in range(k):
        best, rest = left[0], []
        for value in left[1:]:
            difference = run.relu(value - best)
            rest.append(value - difference)  # the smaller one
            best = best + difference
        found.append(sign * best)
        left = rest
    return _Values(torch.stack(found, dim=dim))


def _sort(
    run: Recorder, x: torch.Tensor, dim: int = -1, descending: bool = False, **_: Any
) -> _Values:
    return _topk(run, x, x.shape[dim], dim, descending)


def _pool(dimensions: int) -> Callable[..., torch.Tensor]:
    """Return a handler of max pooling in one or two dimensions."""

    def handle(
        run: Recorder,
        x: torch.Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> torch.Tensor:
        if ceil_mode or return_indices:
            raise UnsupportedOperatorError("max pooling: ceil_mode and indices are not supported")
        window, step = _sizes(kernel_size, dimensions), _sizes(stride or kernel_size, dimensions)
        pad, spread = _sizes(padding, dimensions), _sizes(dilation, dimensions)
        padding_of = [amount for size in reversed(pad) for amount in (size, size)]
        x = functional.pad(x, padding_of, value=FARTHEST) if any(pad) else x
        shifted = []
        shape = x.shape[-dimensions:]
        counts = [
            (n - d * (w - 1) - 1) // s + 1
            for n, d, w, s in zip(shape, spread, window, step, strict=True)
        ]
        for index in range(prod(window)):
            view = x
            rest = index
            for axis in reversed(range(dimensions)):
                rest, offset = divmod(rest, window[axis])
                start = offset * spread[axis]
                stop = start + (counts[axis] - 1) * step[axis] + 1
                where = [slice(None)] * x.dim()
                where[axis - dimensions] = slice(start, stop, step[axis])
                view = view[tuple(where)]
            shifted.append(view)
        return _largest(run, torch.stack(shifted, dim=-1), -1, False)

    return handle


def _adaptive_pool(dimensions: int) -> Callable[..., torch.Tensor]:
    def handle(
        run: Recorder, x: torch.Tensor, output_size: Any, return_indices: bool = False
    ) -> torch.Tensor:
        if any(size != 1 for size in _sizes(output_size, dimensions)) or return_indices:
            raise UnsupportedOperatorError("adaptive max pooling: only to size 1 is supported")
        return _largest(run, x, tuple(range(-dimensions, 0)), True)

    return handle


def _sizes(given: Any, dimensions: int) -> list[int]:
    sizes = [int(given)] if isinstance(given, int) else [int(size) for size in given]
    return sizes * dimensions if len(sizes) == 1 else sizes


def _threshold(
    run: Recorder, x: torch.Tensor, threshold: float, value: float, inplace: bool = False
) -> torch.Tensor:
    if threshold != value:
        raise UnsupportedOperatorError(
            f"threshold({threshold}, {value}) is not continuous: both numbers must be equal"
        )
    return _clamp(run, x, threshold)


_T = torch.Tensor
HANDLERS: dict[Any, Callable[..., Any]] = {
    handled: handler
    for handler, functions in (
        (_relu, (functional.relu, torch.relu, torch.relu_, _T.relu, _T.relu_)),
        (_leaky, (functional.leaky_relu, torch._C._nn.leaky_relu, torch._C._nn.leaky_relu_)),
        (_prelu, (torch.prelu, _T.prelu)),
        (_rrelu, (functional.rrelu,)),
        (_abs, (torch.abs, torch.abs_, torch.absolute, _T.abs, _T.abs_, _T.absolute, _T.__abs__)),
        (_clamp, (torch.clamp, torch.clamp_, torch.clip, torch.clip_)),
        (_clamp, (_T.clamp, _T.clamp_, _T.clip, _T.clip_)),
        (_maximum, (torch.clamp_min, _T.clamp_min, _T.clamp_min_)),
        (_minimum, (torch.clamp_max, _T.clamp_max, _T.clamp_max_)),
        (_hardtanh, (functional.hardtanh, torch._C._nn.hardtanh, torch._C._nn.hardtanh_)),
        (_relu6, (functional.relu6,)),
        (_hardsigmoid, (functional.hardsigmoid,)),
        (_softshrink, (functional.softshrink,)),
        (_threshold, (functional.threshold, torch.threshold, torch.threshold_)),
        (_extreme(1.0), (torch.max, _T.max)),
        (_extreme(-1.0), (torch.min, _T.min)),
        (_reduced(1.0), (torch.amax, _T.amax)),
        (_reduced(-1.0), (torch.amin, _T.amin)),
        (_maximum, (torch.maximum, _T.maximum, torch.fmax, _T.fmax)),
        (_minimum, (torch.minimum, _T.minimum, torch.fmin, _T.fmin)),
        (_topk, (torch.topk, _T.topk)),
        (_sort, (torch.sort, _T.sort)),
        (_pool(1), (functional.max_pool1d, torch.max_pool1d)),
        (_pool(2), (functional.max_pool2d, torch.max_pool2d)),
        (_adaptive_pool(1), (functional.adaptive_max_pool1d,)),
        (_adaptive_pool(2), (functional.adaptive_max_pool2d,)),
    )
    for handled in functions
}
