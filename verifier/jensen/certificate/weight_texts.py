"""Rows of weights as text for the checker: columns, and doubles as ``float.hex`` writes them.

Large matrices have millions of numbers, and Python would take a third of a second for each million.
So all characters of all numbers are laid out side by side in an array of bytes, as wide as the
longest needs, and what is left empty is squeezed out in the end.
"""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jensen.arithmetic.exact import Matrix
from jensen.types import FloatArray, IndexArray, IntArray

Bytes = NDArray[np.uint8]

FEW = 2048  # numbers of a matrix that are written one by one
MANY = 1 << 17  # numbers that are laid out at once
BIAS = 1023  # of an exponent
#: both digits of a byte
HEX = np.array([list(f"{byte:02x}".encode()) for byte in range(256)], dtype=np.uint8)
NONE = b"\0"  # what is squeezed out

json_text = json.JSONEncoder(separators=(",", ":")).encode


def rows_text(weight: Matrix) -> str:
    """Return the rows as JSON: a list of ``[column, weight, column, weight, ...]`` without zeros.

    Parameters
    ----------
    weight : array or sparse matrix (rows, columns)
        Finite.
    """
    if weight.shape[0] * weight.shape[1] <= FEW:
        dense = weight.toarray() if sp.issparse(weight) else np.asarray(weight, dtype=float)
        rows = [[v for j, w in enumerate(row) if w for v in (j, w.hex())] for row in dense.tolist()]
        return json_text(rows)
    starts, columns, values = _entries(weight)
    texts = []
    for first in range(0, len(values), MANY):
        texts.append(_text(columns[first : first + MANY], values[first : first + MANY]))
    return _split("".join(texts), starts)


def _entries(weight: Matrix) -> tuple[IntArray, IndexArray, FloatArray]:
    """Return where rows start, and the columns and values of all that is not 0, row by row."""
    if sp.issparse(weight):
        csr = sp.csr_array(weight, copy=True)  # sorting needs writable arrays
        csr.sum_duplicates()
        csr.eliminate_zeros()
        return csr.indptr.astype(np.int64), csr.indices, np.asarray(csr.data, dtype=float)
    dense = np.asarray(weight, dtype=float)
    rows, columns = np.nonzero(dense)
    starts = np.searchsorted(rows, np.arange(len(dense) + 1))
    return starts, columns, dense[rows, columns]


def _split(text: str, starts: IntArray) -> str:
    """Put brackets around the rows of a text of numbers, each of which begins with a comma."""
    # the commas in front of columns, and those in front of weights, which have a quote behind
    commas = np.flatnonzero(np.frombuffer(text.encode(), dtype=np.uint8) == ord(","))[::2]
    ends = [*commas.tolist(), len(text)]
    cuts = [ends[start] for start in starts.tolist()]
    return "[" + ",".join(f"[{text[a + 1 : b]}]" for a, b in pairwise(cuts)) + "]"


def _text(columns: IndexArray, values: FloatArray) -> str:
    """Return ``,column,"weight"`` of some numbers that are not 0, one after the other."""
    bits = values.view(np.int64)
    exponent = (bits >> 52) & 0x7FF
    power = np.where(exponent == 0, 1 - BIAS, exponent - BIAS)  # 0: without a leading 1
    octets = bits.astype(">i8").view(np.uint8).reshape(-1, 8)[:, 1:]
    mantissa = HEX[octets].reshape(len(values), -1)[:, 1:]  # its first digit is the exponent's
    parts: list[str | Bytes] = [
        ",",
        _decimal(columns),
        ',"',
        np.where(bits < 0, ord("-"), 0)[:, None],
        "0x",
        np.where(exponent == 0, ord("0"), ord("1"))[:, None],
        ".",
        mantissa,
        "p",
        np.where(power < 0, ord("-"), ord("+"))[:, None],
        _decimal(np.abs(power)),
        '"',
    ]
    widths = [len(part) if isinstance(part, str) else part.shape[1] for part in parts]
    table, at = np.empty((len(values), sum(widths)), dtype=np.uint8), 0
    for part, width in zip(parts, widths, strict=True):
        text = np.frombuffer(part.encode(), dtype=np.uint8) if isinstance(part, str) else part
        table[:, at : at + width] = text
        at += width
    return table.tobytes().translate(None, NONE).decode()


def _decimal(numbers: IntArray | IndexArray) -> Bytes:
    """Return the digits of numbers that are not negative, without leading zeros."""
    largest = int(numbers.max(initial=0))
    tens = 10 ** np.arange(len(str(largest)) - 1, -1, -1, dtype=np.int64)
    known = np.arange(largest + 1)[:, None]
    digits = (known // tens % 10 + ord("0")).astype(np.uint8)
    digits[(known < tens) & (tens > 1)] = 0
    found: Bytes = digits[numbers]
    return found
