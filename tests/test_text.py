"""Text that leaves the program: what is escaped, and what stays as it is."""

import json
from pathlib import Path

import pytest
from hostile import PIECES, hostile_names, is_harmless
from hypothesis import given
from hypothesis import strategies as st

from jensen.text import csv_text, json_ready, printable


@pytest.mark.parametrize("name", ["m.onnx", "ä/Ω 模型.npz", "a b", "x^2 = [1]", "C:\\new"])
def test_what_is_printable_stays_as_it_is(name):
    assert printable(name) == name
    assert printable(Path(name)) == str(Path(name))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\ud800", r"\ud800"),
        ("caf\udce9", r"caf\xe9"),
        ("\ufffe", r"\ufffe"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\u2028", r"\u2028"),
        ("\x85\x00", r"\x85\x00"),
    ],
)
def test_what_is_not_printable_is_escaped(name, shown):
    assert printable(name) == shown


def test_lines_are_kept_where_there_may_be_some():
    assert printable("a\n\x1bb", lines=True) == "a\n\\x1bb"


@given(st.text(st.characters() | st.characters(categories=["Cs", "Cc", "Cf", "Cn"])))
def test_any_text_is_one_line_that_can_be_encoded_and_escapes_once(text):
    shown = printable(text)
    assert is_harmless(shown)
    assert printable(shown) == shown


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r=1"])
def test_a_formula_is_text_in_a_spreadsheet(name):
    assert csv_text(name)[0] not in "=+-@\t\r"


def test_records_hold_printable_text_and_finite_numbers():
    record = {"\ud800": ["\x1b", float("nan"), (1, "ok")], "n": 1.5}
    assert json_ready(record) == {r"\ud800": [r"\x1b", None, [1, "ok"]], "n": 1.5}
    json.dumps(json_ready(record), ensure_ascii=False).encode()


def test_hostile_names_hold_every_piece():
    names = "".join(hostile_names(400, seed=1))
    assert all(piece in names for piece in PIECES)
