"""PyTorch modules and exported programs, through torch's own ONNX exporter."""

from __future__ import annotations

import contextlib
import copy
import importlib
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jensen.errors import (
    JensenError,
    MissingExtraError,
    ModelFileError,
    UnsupportedOperatorError,
)
from jensen.graphs.function_graph import FunctionGraph
from jensen.loaders.agreement import check_agreement
from jensen.loaders.onnx.reader import network_from_model
from jensen.loaders.pt2_archive import safe_archive
from jensen.loaders.quiet import quiet
from jensen.loaders.torch_scalars import HALVES, narrowed_numbers, with_exact_scalars
from jensen.network.relu_network import ReluNetwork
from jensen.text import shown
from jensen.types import FloatArray

_EXTRA = 'PyTorch models need the extra "torch": pip install "jensen[torch]"'
_FORCE_SAFE_LOADING = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_ENVIRONMENT = threading.Lock()  # of two threads one must not take the word from the other


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

    Notes
    -----
    A module of half precision is read as its copy in float32, in which PyTorch computes its
    operators; Python numbers that half precision does not hold are listed as roundings.

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
    shapes = shapes_of(input_shape)
    sample = torch.zeros(1, dtype=dtype, device=device)
    training = {child: child.training for child in module.modules()}
    module.eval()
    try:
        samples = tuple(sample.new_zeros((1, *shape)) for shape in shapes)
        wide, kind, roundings = _widened(module, tensors, samples)
        samples = tuple(part.to(kind) for part in samples)
        network = _read(wide, samples, Path(type(module).__name__))
        _compare(module, network, shapes, sample)
        return _with_roundings(network, roundings)
    finally:
        for child, mode in training.items():
            child.training = mode


def _widened(module: Any, tensors: Sequence[Any], samples: Any) -> tuple[Any, Any, list[str]]:
    """Return a copy of a half-precision module in float32, the type of its inputs, and roundings.

    Other modules are returned as they are.
    """
    torch = _import_torch()
    halves = {str(t.dtype).removeprefix("torch.") for t in tensors} & set(HALVES)
    if not halves:
        return module, samples[0].dtype, []
    kind = torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32
    try:
        wide = copy.deepcopy(module).to(kind)
    except Exception:  # modules may define what copying them does
        raise ModelFileError(
            f"{type(module).__name__}: a module of half precision that cannot be copied: "
            "pass one of float32, as module.float() makes it"
        ) from None
    try:
        with quiet("torch"):
            program = torch.export.export(module, samples, strict=False)
        numbers = ", ".join(f"{value:.9g}" for value in narrowed_numbers(program))
    except Exception:  # any operator of the module may raise anything
        numbers = "if there are any"
    if not numbers:
        return wide, kind, []
    name = " and ".join(sorted(halves))
    return wide, kind, [f"{name}: its Python numbers ({numbers}) are taken as {kind} holds them"]


def _with_roundings(
    network: ReluNetwork | FunctionGraph, roundings: Sequence[str]
) -> ReluNetwork | FunctionGraph:
    if not roundings:
        return network
    shapes = {"input_shape": network.input_shape, "output_shape": network.output_shape}
    listed = (*network.roundings, *roundings)
    if isinstance(network, FunctionGraph):
        return FunctionGraph(network.input_size, network.nodes, **shapes, roundings=listed)
    return ReluNetwork(network.input_size, network.blocks, **shapes, roundings=listed)


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
    if not hasattr(result, "double"):
        return []
    # numpy has all kinds of floats but bfloat16
    kept = str(result.dtype) in {"torch.float16", "torch.float32", "torch.float64"}
    return (result if kept else result.double()).cpu().numpy()


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
    with _blamed(path, "read it"), _only_weights(), quiet("torch"):
        program = torch.export.load(archive)
    with _blamed(path, "look through its numbers"):
        numbers = narrowed_numbers(program)
    if numbers:
        listed = ", ".join(f"{value:.9g}" for value in numbers[:4])
        raise ModelFileError(
            f"{path}: a program of half precision with numbers that it does not hold ({listed}); "
            "export module.float() instead"
        )
    with _blamed(path, "run it"):
        module = program.module()  # as it is: numbers are rewritten in the program itself
    with _blamed(path, "rewrite its numbers"), quiet("torch"):
        exact = with_exact_scalars(program)
    network = _exported(exact, None, path)
    with _blamed(path, "run it"):
        _compare_program(program, module, network, path)
    return network


@contextlib.contextmanager
def _blamed(path: Path, what: str) -> Iterator[None]:
    """Turn whatever PyTorch raises about a file into one clear error."""
    try:
        yield
    except JensenError:
        raise
    except Exception as error:  # torch raises what its readers happen to raise
        raise ModelFileError(f"{path}: torch cannot {what} ({_line(error)})") from None


def _compare_program(
    program: Any, module: Any, network: ReluNetwork | FunctionGraph, path: Path
) -> None:
    """Run what was read from a file, which computes and does nothing else, on random points."""
    torch = _import_torch()
    names = set(program.graph_signature.user_inputs)
    nodes = [node for node in program.graph.nodes if node.op == "placeholder"]
    samples = [node.meta["val"] for node in nodes if node.name in names]
    # of a batch of fixed size the network is a function of all samples at once
    whole = [_is_whole(sample) for sample in samples]
    shapes = [
        tuple(sample.shape if all_at_once else sample.shape[1:])
        for sample, all_at_once in zip(samples, whole, strict=True)
    ]

    def of(x: FloatArray, sample: Any, all_at_once: bool) -> Any:
        given = torch.from_numpy(x).to(sample.dtype)
        if all_at_once or not sample.ndim:
            return given[0]
        return given.expand(_batch(sample.shape[0]), *sample.shape[1:])

    def run(inputs: Sequence[FloatArray]) -> Any:
        with torch.no_grad(), quiet("torch"):
            result = _flat(_as_arrays(module(*map(of, inputs, samples, whole))))
        return result if any(whole) else [part[:1] for part in result]

    kinds = {part.dtype for part in (*samples, *program.state_dict.values())}
    precision = max(float(torch.finfo(k).eps) for k in kinds if k.is_floating_point)
    check_agreement(network, run, shapes, precision=precision, name=str(path))


def _is_whole(sample: Any) -> bool:
    """Whether the first dimension of a program's input is no batch that may vary, nor of one."""
    return bool(sample.ndim) and isinstance(sample.shape[0], int) and sample.shape[0] > 1


def _batch(size: Any) -> int:
    """Return how many samples to run; of a batch of any size two, which every program admits."""
    return size if isinstance(size, int) else max(2, int(getattr(size.node, "hint", None) or 2))


def _flat(parts: Any) -> list[FloatArray]:
    return [a for part in parts for a in _flat(part)] if isinstance(parts, list) else [parts]


def _read(module: Any, samples: Any, path: Path) -> ReluNetwork | FunctionGraph:
    """Export a module and read it; one that is not float64 as it is, if that can be read."""
    torch = _import_torch()
    if samples[0].dtype == torch.float64:
        return _exported(_program(module, samples), samples, path)
    try:
        return _exported(module, samples, path)
    except UnsupportedOperatorError:
        program = _program(module, samples)
        if program is module:
            raise
        return _exported(program, samples, path)


def _program(module: Any, samples: Any) -> Any:
    """Return a module as a program that keeps its numbers.

    Modules that cannot be exported so are left to the ONNX exporter, which has other ways.
    """
    torch = _import_torch()
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
        shapes = " and ".join(str(tuple(part.shape)) for part in samples)
        given = f"for a batch of one, {shapes}"
        raise ModelFileError(f"{path}: torch cannot export it {given} ({_line(error)})") from None
    return network_from_model(program.model_proto, path)


@contextlib.contextmanager
def _only_weights() -> Iterator[None]:
    """Make torch unpickle tensors only: its reader would fall back to running code."""
    with _ENVIRONMENT:
        before = os.environ.get(_FORCE_SAFE_LOADING)
        os.environ[_FORCE_SAFE_LOADING] = "1"
        try:
            yield
        finally:
            if before is None:
                del os.environ[_FORCE_SAFE_LOADING]
            else:
                os.environ[_FORCE_SAFE_LOADING] = before


def shapes_of(given: Any) -> list[tuple[int, ...]]:
    """Return the shape of one sample per input: of a number, a shape, or several shapes.

    Raises
    ------
    ModelFileError
        If that is something else.
    """
    try:
        listed = [given] if _is_size(given) else list(given)
        if all(map(_is_size, listed)):
            listed = [listed]
        shapes = [(shape,) if _is_size(shape) else tuple(shape) for shape in listed]
        fine = all(_is_size(size) and size > 0 for shape in shapes for size in shape)
    except TypeError:
        shapes, fine = [], False
    if not fine or not all(shapes) or not shapes:
        raise ModelFileError(
            f"input_shape {shown(given)}: sizes of one sample, such as (3, 32, 32)"
        )
    return shapes


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


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
