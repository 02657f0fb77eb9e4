"""PyTorch modules and exported programs, through torch's own ONNX exporter."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jensen.errors import MissingExtraError, ModelFileError
from jensen.graphs.function_graph import FunctionGraph
from jensen.loaders.agreement import check_agreement
from jensen.loaders.onnx.reader import network_from_model
from jensen.loaders.pt2_archive import safe_archive
from jensen.loaders.quiet import quiet
from jensen.loaders.torch_scalars import with_exact_scalars
from jensen.network.relu_network import ReluNetwork
from jensen.types import FloatArray

_EXTRA = 'PyTorch models need the extra "torch": pip install "jensen[torch]"'
_FORCE_SAFE_LOADING = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def from_torch(
    module: Any, input_shape: int | Sequence[int] | Sequence[Sequence[int]]
) -> ReluNetwork | FunctionGraph:
    """Read a network from a PyTorch module, in evaluation mode.

    Parameters
    ----------
    module : torch.nn.Module
        The module's mode is restored afterwards.
    input_shape : int, tuple of int, or list of such tuples
        Shape of one sample without the batch; one shape per input of ``forward``.

    Raises
    ------
    MissingExtraError
        If torch or its exporter is not installed.
    ModelFileError
        If torch cannot export the module, or exports another function: the network is
        compared with the module on random points.
    UnsupportedOperatorError
        If it holds an operation that is neither piecewise linear nor among the smooth ones.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> jensen.from_torch(torch.nn.Linear(3, 1), (3,))  # doctest: +SKIP
    ReluNetwork(3-1, 0 ReLUs)
    """
    torch = _import_torch()
    if not isinstance(module, torch.nn.Module):
        raise ModelFileError(f"{type(module).__name__} is no torch.nn.Module")
    tensors = [*module.parameters(), *module.buffers()]
    dtype = next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)
    device = tensors[0].device if tensors else "cpu"
    shapes = _shapes(input_shape)
    samples = tuple(torch.zeros((1, *shape), dtype=dtype, device=device) for shape in shapes)
    training = {child: child.training for child in module.modules()}
    module.eval()
    try:
        network = _exported(_program(module, samples), samples, Path(type(module).__name__))
        _compare(module, network, shapes, samples[0])
        return network
    finally:
        for child, mode in training.items():
            child.training = mode


def _compare(module: Any, network: ReluNetwork | FunctionGraph, shapes: Any, sample: Any) -> None:
    torch = _import_torch()

    def run(inputs: Sequence[FloatArray]) -> Any:
        with torch.no_grad():
            result = module(*(torch.from_numpy(x).to(sample) for x in inputs))
        return _as_arrays(result)

    precision = float(torch.finfo(sample.dtype).eps)
    check_agreement(network, run, shapes, precision=precision, name=type(module).__name__)


def _as_arrays(result: Any) -> Any:
    """Turn the tensors in nested outputs of a module into arrays."""
    if isinstance(result, Mapping):
        return [_as_arrays(part) for part in result.values()]
    if isinstance(result, list | tuple):
        return [_as_arrays(part) for part in result]
    return result.double().cpu().numpy() if hasattr(result, "double") else []


def load_pt2(path: Path) -> ReluNetwork | FunctionGraph:
    """Read a program saved with ``torch.export.save``.

    PyTorch does not see the file, but what :func:`safe_archive` takes over from it.

    Raises
    ------
    ModelFileError
        If it is no such program, or holds anything that could be run.
    """
    torch = _import_torch()
    archive = safe_archive(path)
    try:
        with _only_weights(), quiet("torch"):
            program = torch.export.load(archive)
    except Exception as error:  # torch raises what its readers happen to raise
        raise ModelFileError(f"{path}: torch cannot read it ({_line(error)})") from None
    return _exported(with_exact_scalars(program), None, path)


def _program(module: Any, samples: Any) -> Any:
    """Return a float64 module as a program that keeps its numbers; others as they are.

    Modules that cannot be exported so are left to the ONNX exporter, which has other ways.
    """
    torch = _import_torch()
    if samples[0].dtype != torch.float64:
        return module
    try:
        with quiet("torch"):
            return with_exact_scalars(torch.export.export(module, samples, strict=False))
    except Exception:  # any operator of the module may raise anything
        return module


def _exported(model: Any, samples: Any, path: Path) -> ReluNetwork | FunctionGraph:
    torch = _import_torch()
    try:
        with quiet("torch"):
            program = torch.onnx.export(model, samples, dynamo=True, verbose=False)
    except ImportError as error:
        raise MissingExtraError(f"{_EXTRA} ({error.name} is missing)") from None
    except Exception as error:  # any operator of the module may raise anything
        raise ModelFileError(f"{path}: torch cannot export it ({_line(error)})") from None
    return network_from_model(program.model_proto, path)


@contextlib.contextmanager
def _only_weights() -> Iterator[None]:
    """Make torch unpickle tensors only: its reader would fall back to running code."""
    before = os.environ.get(_FORCE_SAFE_LOADING)
    os.environ[_FORCE_SAFE_LOADING] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FORCE_SAFE_LOADING]
        else:
            os.environ[_FORCE_SAFE_LOADING] = before


def _shapes(given: Any) -> list[tuple[int, ...]]:
    try:
        listed = [given] if isinstance(given, int) else list(given)
        if all(isinstance(size, int) for size in listed):
            listed = [listed]
        shapes = [(shape,) if isinstance(shape, int) else tuple(shape) for shape in listed]
        fine = all(isinstance(size, int) and size > 0 for shape in shapes for size in shape)
    except TypeError:
        shapes, fine = [], False
    if not fine or not all(shapes) or not shapes:
        raise ModelFileError(f"input_shape {given!r}: sizes of one sample, such as (3, 32, 32)")
    return shapes


def _import_torch() -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise MissingExtraError(_EXTRA) from None


def _line(error: BaseException) -> str:
    """Return the reason in one line, without the exporter's advice and colours."""
    cause = error.__cause__ or error
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(cause))
    return " ".join(text.split())[:200] or type(cause).__name__
