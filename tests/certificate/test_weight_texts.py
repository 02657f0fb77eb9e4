"""Numbers that are written all at once are those that are written one by one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from jensen.certificate import weight_texts
from jensen.certificate.weight_texts import rows_text


def plainly(weight: Any) -> str:
    """Return the rows with the interpreter's own digits."""
    rows = [[v for j, w in enumerate(row) if w for v in (j, w.hex())] for row in weight.tolist()]
    return json.dumps(rows, separators=(",", ":"))


def both_ways(weight: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for few, many in ((0, 7), (0, 1 << 17), (1 << 30, 7)):
        monkeypatch.setattr(weight_texts, "FEW", few)
        monkeypatch.setattr(weight_texts, "MANY", many)
        for stored in (weight, sp.csr_array(weight), sp.coo_array(weight)):
            assert rows_text(stored) == plainly(weight)


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [0.0, -0.0, 1.0, -2.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308]
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=1, max_size=5))
def test_every_double_is_written_as_python_writes_it(rows: list[list[float]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        both_ways(np.array(rows), patch)


def test_wide_sparse_and_empty_matrices_are_written_as_python_writes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    for shape, density in (((3, 1203), 0.1), ((40, 12), 0.5), ((5, 4), 0.0), ((1, 1), 1.0)):
        weight = rng.normal(size=shape) * (rng.random(shape) < density)
        both_ways(weight, monkeypatch)


def test_large_matrices_are_written_as_python_writes_them() -> None:
    weight = np.random.default_rng(1).normal(size=(300, 200))
    assert rows_text(weight) == plainly(weight)
