"""Keras models, through Keras' own ONNX exporter."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from jensen.errors import MissingExtraError, ModelFileError, NetworkError
from jensen.graphs.function_graph import FunctionGraph
from jensen.loaders.agreement import check_agreement
from jensen.loaders.onnx.reader import load_onnx
from jensen.loaders.quiet import quiet
from jensen.network.relu_network import ReluNetwork
from jensen.types import FloatArray

_EXTRA = 'Keras models need the extra "keras": pip install "jensen[keras]"'


def from_keras(model: Any) -> ReluNetwork | FunctionGraph:
    """Read a network from a Keras 3 model (3.9 or newer).

    Parameters
    ----------
    model : keras.Model
        Built, with fixed input sizes.

    Raises
    ------
    ModelFileError
        If Keras cannot export it, or exports another function: the network is compared
        with the model on random points.
    MissingExtraError
        If the exporter needs a package that is not installed.
    UnsupportedOperatorError
        If it holds an operation outside piecewise-linear networks.
    """
    name = type(model).__name__
    if not callable(getattr(model, "export", None)):
        raise ModelFileError(f"{name} is no Keras model with an exporter; Keras 3.9 is needed")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        try:
            with quiet("torch"):
                _call_once(model)
                model.export(str(file), format="onnx", verbose=False)
        except ImportError as error:
            raise MissingExtraError(f"{_EXTRA} ({error.name} is missing)") from None
        except Exception as error:  # the backends' exporters raise their own classes
            reason = " ".join(str(error).split())[:200]
            raise ModelFileError(f"{name}: Keras cannot export it to ONNX ({reason})") from None
        try:
            network = load_onnx(file)
        except (ModelFileError, NetworkError) as error:
            message = str(error).removeprefix(f"{file}: ")
            raise type(error)(f"{name}: {message}") from None
    _compare(model, network, name)
    return network


def _compare(model: Any, network: ReluNetwork | FunctionGraph, name: str) -> None:
    inputs = getattr(model, "inputs", None) or []
    shapes = [[int(size or 0) for size in x.shape[1:]] for x in inputs]
    if sum(prod(shape) for shape in shapes) != network.input_size:
        return  # a subclassed model does not tell its inputs

    def run(samples: Sequence[FloatArray]) -> Any:
        given = [sample.astype("float32") for sample in samples]
        with quiet("torch"):
            return model.predict(given[0] if len(given) == 1 else given, verbose=0)

    check_agreement(network, run, shapes, precision=2.0**-23, name=name)


def _call_once(model: Any) -> None:
    """Run the model on zeros: the exporter wants a model that was called."""
    inputs = getattr(model, "inputs", None)
    if inputs:
        samples = [np.zeros([size or 1 for size in x.shape], dtype="float32") for x in inputs]
        model(samples[0] if len(samples) == 1 else samples)
