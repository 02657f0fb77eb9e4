"""Readers and writers of model files: one module per format, imported when needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jensen.errors import ModelFileError, NetworkError
from jensen.graphs.function_graph import FunctionGraph
from jensen.network.relu_network import ReluNetwork
from jensen.network.simplify.simplify import simplify as simplified
from jensen.outputs import check_output, path_of
from jensen.text import shown

__all__ = [
    "ELSEWHERE",
    "SUPPORTED",
    "WRITABLE",
    "from_keras",
    "from_sklearn",
    "from_torch",
    "load",
    "load_piecewise_linear",
    "opened",
    "piecewise_linear",
    "save",
]

SUPPORTED = (".npz", ".onnx", ".nnet", ".pt2")
WRITABLE = (".npz", ".onnx")
_TORCH = (
    "may run code when it is unpickled; load its weights into the module by "
    "torch.load(..., weights_only=True) and use jensen.from_torch, or export it to ONNX"
)
_SKLEARN = "may run code when it is unpickled; use jensen.from_sklearn on the object"
_KERAS = "is read by Keras only; load it there and use jensen.from_keras on the model"
_WEIGHTS = (
    "holds weights without the network they belong to; load them into the module "
    "(safetensors.torch.load_model) and use jensen.from_torch"
)
_LITE = (
    "is read by TensorFlow Lite only; convert the model it was made from, before quantisation, "
    "to ONNX (tf2onnx), or load it in Keras and use jensen.from_keras"
)
ELSEWHERE = {  # endings of files that hold models, and what to do about each kind
    ".safetensors": _WEIGHTS,
    ".tflite": _LITE,
    ".pt": _TORCH,
    ".pth": _TORCH,
    ".pkl": _SKLEARN,
    ".pickle": _SKLEARN,
    ".joblib": _SKLEARN,
    ".h5": _KERAS,
    ".keras": _KERAS,
}


def load(path: str | Path, *, simplify: bool = True) -> ReluNetwork | FunctionGraph:
    """Read a network from a model file; the ending decides the format.

    Parameters
    ----------
    path : str or Path
        ``.onnx``, ``.npz`` (docs/npz-format.md), ``.nnet``, or ``.pt2`` (torch.export).
    simplify : bool
        Drop dead, constant and duplicate neurons and fold affine blocks, where that is
        exact (:mod:`jensen.network.simplify`). A ``.npz`` file is taken as it is.

    Returns
    -------
    ReluNetwork or FunctionGraph
        The latter where the model has smooth functions, or convolutions too large for matrices.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged or of an unknown format.
    UnsupportedOperatorError
        If it holds an operation that is neither piecewise linear nor among the smooth ones.
    NetworkError
        If the network in it is no finite ReLU DAG.

    Examples
    --------
    >>> import jensen, tempfile, pathlib
    >>> net = jensen.ReluNetwork.from_layers([[[1.0, -1.0]], [[2.0]]], [[0], [0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(pathlib.Path(folder, "model.npz"))
    ...     jensen.load(pathlib.Path(folder, "model.npz"))
    ReluNetwork(2-1-1, 1 ReLU)
    """
    if not isinstance(path, str | os.PathLike):
        raise ModelFileError(
            f"load takes the name of a model file, found {type(path).__name__}; objects are read "
            "by from_torch, from_keras and from_sklearn"
        )
    file = path_of(path)
    suffix = file.suffix.lower()
    if suffix in ELSEWHERE:
        raise ModelFileError(f"{file}: a {suffix} file {ELSEWHERE[suffix]}")
    if suffix not in SUPPORTED and file.is_dir():
        raise ModelFileError(f"{file}: a folder; jensen batch verifies all the models in it")
    if suffix not in SUPPORTED:
        if suffix in {".toml", ".csv"}:
            raise ModelFileError(f"{file}: no model; jensen batch --manifest FILE reads manifests")
        raise ModelFileError(
            f"{file}: unknown model format {suffix or '(no ending)'!r}; "
            f"supported are {', '.join(SUPPORTED)}"
        )
    if not file.exists():
        raise ModelFileError(f"{file}: no such file")
    if not file.is_file():
        raise ModelFileError(f"{file}: not a file")
    if suffix == ".npz":
        from jensen.loaders.npz import load_npz  # noqa: PLC0415  (imported on demand)

        return load_npz(file)
    network = _read(file, suffix)
    return _simplified(network) if simplify else network


def load_piecewise_linear(path: str | Path, what: str) -> ReluNetwork:
    """Read a network as :func:`load` does, for what takes no other functions than ReLUs.

    Parameters
    ----------
    path : str or Path
    what : str
        Who asks, such as "jensen conditions": the subject of the refusal.

    Raises
    ------
    NetworkError
        If a node applies another function; the message names it.
    """
    network = load(path)
    if isinstance(network, FunctionGraph):
        network.refuse(f"{path}: {what}")
    return network


def opened(given: Any) -> ReluNetwork | FunctionGraph:
    """Return what was given, or the network in the file that it names (:func:`load`).

    Parameters
    ----------
    given : ReluNetwork, FunctionGraph, path, or what a caller refuses

    Raises
    ------
    ModelFileError, UnsupportedOperatorError, NetworkError
        As :func:`load`.
    """
    if isinstance(given, str | os.PathLike):
        return load(Path(given))
    if isinstance(given, ReluNetwork | FunctionGraph):
        return given
    raise not_a_network(given)


def not_a_network(given: Any) -> NetworkError:
    """Return the error for something that is no network: it says what to pass."""
    hint = "jensen.load(file)"
    if not isinstance(given, str | os.PathLike):
        hint += ", jensen.from_torch(module, shape) or ReluNetwork.from_layers(weights, biases)"
    return NetworkError(f"{shown(given)} where a network is needed: pass {hint}")


def piecewise_linear(given: Any, what: str) -> ReluNetwork:
    """Return a network that was given as itself or as the name of its file.

    Raises
    ------
    NetworkError
        If a node applies another function than a ReLU; the message names it.
    """
    if isinstance(given, FunctionGraph):
        given.refuse(what)
    return given if isinstance(given, ReluNetwork) else load_piecewise_linear(given, what)


def _simplified(network: ReluNetwork | FunctionGraph) -> ReluNetwork | FunctionGraph:
    return simplified(network) if isinstance(network, ReluNetwork) else network


def _read(file: Path, suffix: str) -> ReluNetwork | FunctionGraph:
    if suffix == ".onnx":
        from jensen.loaders.onnx.reader import load_onnx  # noqa: PLC0415  (onnx takes long to import)

        return load_onnx(file)
    if suffix == ".nnet":
        from jensen.loaders.nnet import load_nnet  # noqa: PLC0415

        return load_nnet(file)
    from jensen.loaders.torch import load_pt2  # noqa: PLC0415  (an optional extra)

    return load_pt2(file)


def save(network: ReluNetwork | FunctionGraph, path: str | Path) -> None:
    """Write a network; the ending decides the format.

    Parameters
    ----------
    network : ReluNetwork or FunctionGraph
    path : str or Path
        ``.npz`` (docs/npz-format.md) or, for ReLU networks, ``.onnx`` (float64, docs/models.md).

    Raises
    ------
    OutputError
        For another ending, or where the file cannot be written.
    ModelFileError
        If the matrices do not fit in an ONNX file.
    NetworkError
        For a graph with other functions and an ONNX file.
    """
    file = check_output(path, endings=WRITABLE)
    check_format(network, file)
    if isinstance(network, FunctionGraph) or file.suffix.lower() == ".npz":
        network.save(file)
        return
    from jensen.loaders.onnx.export import save_onnx  # noqa: PLC0415

    save_onnx(network, file)


def check_format(network: ReluNetwork | FunctionGraph, path: str | Path) -> None:
    """Raise unless a file of this ending can hold a network.

    Raises
    ------
    NetworkError
        For a graph with other functions and an ONNX file.
    """
    if isinstance(network, FunctionGraph) and Path(path).suffix.lower() == ".onnx":
        network.refuse(f"{path}: writing .onnx", "a .npz file holds this one")


def from_torch(module: Any, input_shape: Any) -> ReluNetwork | FunctionGraph:
    """Read a network from a PyTorch module, in evaluation mode, and simplify it.

    Parameters
    ----------
    module : torch.nn.Module
        The module's mode is restored afterwards.
    input_shape : int, tuple of int, or list of such tuples
        Shape of one sample without the batch; one shape per input of ``forward``.

    Returns
    -------
    ReluNetwork, or FunctionGraph where the module has smooth functions

    Raises
    ------
    MissingExtraError
        If torch or its exporter is not installed: ``pip install 'jensen[torch]'``.
    ModelFileError
        If torch cannot export the module, or exports another function: the network is
        compared with the module on random points.
    UnsupportedOperatorError
        If it holds an operation that is neither piecewise linear nor among the smooth ones.

    Examples
    --------
    >>> import jensen, torch  # doctest: +SKIP
    >>> jensen.from_torch(torch.nn.Linear(3, 1), (3,))  # doctest: +SKIP
    ReluNetwork(3-1, 0 ReLUs)
    """
    from jensen.loaders.torch import from_torch as read  # noqa: PLC0415

    return _simplified(read(module, input_shape))


def from_sklearn(model: Any) -> ReluNetwork | FunctionGraph:
    """Read a fitted scikit-learn ``MLPRegressor`` or linear model, and affine steps around it.

    Parameters
    ----------
    model : scikit-learn estimator
        An ``MLPRegressor`` with the activation ``relu``, ``identity``, ``tanh`` or ``logistic``, or
        a linear model; alone, behind scalers, ``PCA`` and ``ColumnTransformer`` in a pipeline, in
        a search, a bag or a vote, or with a transformed target (docs/models.md).

    Returns
    -------
    ReluNetwork or FunctionGraph
        The latter where the model has smooth functions.

    Raises
    ------
    UnsupportedOperatorError
        For other steps or activations.
    ModelFileError
        If the model is not fitted.

    Examples
    --------
    >>> from sklearn.neural_network import MLPRegressor  # doctest: +SKIP
    >>> jensen.from_sklearn(MLPRegressor([8]).fit(X, y))  # doctest: +SKIP
    ReluNetwork(3-8-1, 8 ReLUs)
    """
    from jensen.loaders.sklearn import from_sklearn as read  # noqa: PLC0415

    return _simplified(read(model))


def from_keras(model: Any) -> ReluNetwork | FunctionGraph:
    """Read a network from a Keras 3 model (3.9 or newer), and simplify it.

    Parameters
    ----------
    model : keras.Model
        Built, with fixed input sizes.

    Returns
    -------
    ReluNetwork or FunctionGraph
        The latter where the model has smooth functions.

    Raises
    ------
    ModelFileError
        If Keras cannot export it, or exports another function: the network is compared
        with the model on random points.
    MissingExtraError
        If the exporter needs a package that is not installed: ``pip install 'jensen[keras]'``.
    UnsupportedOperatorError
        If it holds an operation that is neither piecewise linear nor among the smooth ones.

    Examples
    --------
    >>> jensen.from_keras(model)  # doctest: +SKIP
    ReluNetwork(3-8-1, 8 ReLUs)
    """
    from jensen.loaders.keras import from_keras as read  # noqa: PLC0415

    return _simplified(read(model))
