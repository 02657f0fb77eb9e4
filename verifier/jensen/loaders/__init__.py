"""Readers of model files: one module per format, each imported when it is needed."""

from __future__ import annotations

from pathlib import Path

from jensen.errors import ModelFileError
from jensen.network import ReluNetwork

SUPPORTED = (".npz", ".onnx")


def load(path: str | Path) -> ReluNetwork:
    """Read a network from a model file; the ending decides the format.

    Parameters
    ----------
    path : str or Path
        ``.onnx`` or ``.npz`` (docs/npz-format.md).

    Raises
    ------
    ModelFileError
        If the file is missing, damaged or of an unknown format.
    UnsupportedOperatorError
        If it holds an operation outside piecewise-linear networks.
    NetworkError
        If the network in it is no finite ReLU DAG.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in SUPPORTED:
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
    from jensen.loaders.onnx import load_onnx  # noqa: PLC0415  (onnx takes long to import)

    return load_onnx(file)
