"""Keras models, through Keras' own ONNX exporter."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from jensen.errors import ModelFileError, NetworkError
from jensen.loaders.onnx import load_onnx
from jensen.network import ReluNetwork


def from_keras(model: Any) -> ReluNetwork:
    """Read a network from a Keras 3 model (3.9 or newer).

    Parameters
    ----------
    model : keras.Model
        Built, with fixed input sizes.

    Raises
    ------
    ModelFileError
        If Keras cannot export it.
    UnsupportedOperatorError
        If it holds an operation outside piecewise-linear networks.
    """
    name = type(model).__name__
    if not callable(getattr(model, "export", None)):
        raise ModelFileError(f"{name} is no Keras model with an exporter; Keras 3.9 is needed")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                _call_once(model)
                model.export(str(file), format="onnx", verbose=False)
        except Exception as error:  # the backends' exporters raise their own classes
            reason = " ".join(str(error).split())[:200]
            raise ModelFileError(f"{name}: Keras cannot export it to ONNX ({reason})") from None
        try:
            return load_onnx(file)
        except (ModelFileError, NetworkError) as error:
            message = str(error).removeprefix(f"{file}: ")
            raise type(error)(f"{name}: {message}") from None


def _call_once(model: Any) -> None:
    """Run the model on zeros: the exporter wants a model that was called."""
    inputs = getattr(model, "inputs", None)
    if inputs:
        samples = [np.zeros([size or 1 for size in x.shape], dtype="float32") for x in inputs]
        model(samples[0] if len(samples) == 1 else samples)
