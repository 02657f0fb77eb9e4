"""The ``.nnet`` text format of the ACAS Xu networks (Stanford, 2016).

Comment lines start with ``//``. Then, as numbers with commas: layer count, inputs,
outputs, largest layer; the layer sizes; an unused flag; minima, maxima, means and
ranges of the inputs (the last two also of the output); per layer the weight rows and
the biases. ReLU between the layers, none after the last.

The network read is the one between normalised inputs ``(x - mean) / range`` and
normalised outputs, as the exporters of the same networks to ONNX do it: its weights
are those of the file, or the doubles next to them. The minima and maxima are no part of the
function.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np

from jensen.arithmetic.doubles import double_of_text
from jensen.errors import ModelFileError, NetworkError
from jensen.network.relu_network import ReluNetwork
from jensen.types import FloatArray

_HEADER_LINES_AFTER_SIZES = 5
_ROUNDED = "decimal numbers of the file were rounded to doubles"


def load_nnet(path: Path) -> ReluNetwork:
    """Read a ``.nnet`` file.

    Raises
    ------
    ModelFileError
        If the file does not follow the format; the message names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ModelFileError(f"{path}: not a text file") from None
    try:
        weights, biases = _layers(text)
        network = ReluNetwork.from_layers(weights, biases)
        roundings = (_ROUNDED,) if _holds_other_numbers(text) else ()
        return ReluNetwork(network.input_size, network.blocks, roundings=roundings)
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from None
    except ValueError as error:
        raise ModelFileError(f"{path}: not a .nnet file ({error})") from None


def _holds_other_numbers(text: str) -> bool:
    """Whether a number of the file is no double."""
    lines = (line for _, line in _numbered_lines(text))
    return any(
        Decimal(part.strip()) != Decimal(float(part))
        for line in lines
        for part in line.split(",")
        if part.strip()
    )


def _layers(text: str) -> tuple[list[FloatArray], list[FloatArray]]:
    lines = _numbered_lines(text)
    counts = _integers(lines)
    sizes = _integers(lines)
    if len(counts) < 3 or len(sizes) != counts[0] + 1 or min(sizes) < 1:
        raise ValueError(f"{counts} layers, inputs, outputs; layer sizes {sizes}")
    if (sizes[0], sizes[-1]) != (counts[1], counts[2]):
        raise ValueError(f"layer sizes {sizes} for {counts[1]} inputs and {counts[2]} outputs")
    for _ in range(_HEADER_LINES_AFTER_SIZES):
        _numbers(lines)
    weights, biases = [], []
    for width, size in pairwise(sizes):
        rows = [_numbers(lines, width) for _ in range(size)]
        weights.append(np.array(rows))
        biases.append(np.array([_numbers(lines, 1)[0] for _ in range(size)]))
    for number, line in lines:
        if line:
            raise ValueError(f"line {number}: more numbers than the layers need")
    return weights, biases


def _numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("//"):
            yield number, line.strip().rstrip(",")


def _numbers(lines: Iterator[tuple[int, str]], count: int | None = None) -> list[float]:
    number, line = next(lines, (0, ""))
    if not number:
        raise ValueError("it ends too early")
    try:
        values = [double_of_text(part) for part in line.split(",")]
    except ValueError:
        raise ValueError(f"line {number}: numbers with commas are needed") from None
    if count is not None and len(values) != count:
        raise ValueError(f"line {number}: {len(values)} numbers, needed are {count}")
    return values


def _integers(lines: Iterator[tuple[int, str]]) -> list[int]:
    values = _numbers(lines)
    if any(not value.is_integer() for value in values):
        raise ValueError(f"{values} where whole numbers are needed")
    return [int(value) for value in values]
