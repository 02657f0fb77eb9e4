"""One rule for numbers at every door: kept exactly, or refused."""

from __future__ import annotations

import json
import math
import random
import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from jensen.arithmetic.doubles import NotADoubleError, double_of_text, exact_doubles
from jensen.cli import ExitCode, main
from jensen.domains.domain import Box, Polyhedron, domain_from_json
from jensen.domains.domain_file import load_domain
from jensen.errors import JensenError
from jensen.loaders import load
from jensen.network.block import Activation, Block
from jensen.network.relu_network import ReluNetwork
from jensen.network.stack import NetworkStack

BIG = 2**53 + 1
LONG = np.longdouble(1) / 3
WIDE = np.finfo(np.longdouble).nmant > 52  # long doubles are doubles on some machines
ROUNDED = {
    "integer": BIG,
    "integers": [1, BIG],
    "integer among floats": [1.0, BIG],
    "int64": np.array([1, BIG]),
    "uint64": np.array([1, 2**64 - 1], dtype=np.uint64),
    "fraction": Fraction(1, 3),
    "fractions": [Fraction(1, 2), Fraction(1, 3)],
    "objects": np.array([1, Fraction(1, 3)], dtype=object),
    "decimal": Decimal("0.1"),
    "huge": 10**400,
    "tiny": Fraction(1, 10**400),
    "boolean": True,
    "booleans": [1.0, True],
    "boolean array": np.array([True, False]),
    "complex": [1 + 0j],
    "complex array": np.array([1 + 2j]),
    "text": "1.5",
    "texts": ["1", "2"],
    "text array": np.array(["1.5"]),
    "bytes": np.array([b"1"]),
    "date": np.array(["2020-01-01"], dtype="datetime64[D]"),
    "time span": np.array([3], dtype="timedelta64[s]"),
    "records": np.zeros(2, dtype=[("a", float)]),
    "nothing": None,
    "nothing in a list": [1.0, None],
    "ragged": [[1.0], [1.0, 2.0]],
    "set": {1.0},
}
if WIDE:
    ROUNDED |= {"long double": LONG, "long doubles": np.array([LONG]), "in a list": [1.0, LONG]}
KEPT = {
    "float": (0.1, [0.1]),
    "floats": ([0.1, -3], [0.1, -3.0]),
    "float32": (np.float32([0.1]), [float(np.float32(0.1))]),
    "float16": (np.float16(0.1), [float(np.float16(0.1))]),
    "integers": (np.array([3, -(2**53)]), [3.0, -(2.0**53)]),
    "large, and a double": ([2**60, 2**53 + 2], [2.0**60, 2.0**53 + 2]),
    "large array": (np.array([2**60, -(2**62)]), [2.0**60, -(2.0**62)]),
    "fraction": (Fraction(3, 8), [0.375]),
    "mixed": ([Fraction(1, 4), 2, 0.5, Decimal("0.125")], [0.25, 2, 0.5, 0.125]),
    "long double": (np.array([np.longdouble(0.5)]), [0.5]),
    "arrays in a list": ([np.array([1, 2]), [3.0, 4.0]], [1, 2, 3, 4]),
    "infinite": ([np.inf, -np.inf], [np.inf, -np.inf]),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_doubles_hold_is_kept(name):
    given_, expected = KEPT[name]
    found = exact_doubles(given_)
    assert found.dtype == np.float64
    assert found.reshape(-1).tolist() == expected


@pytest.mark.parametrize("name", ROUNDED)
def test_what_they_do_not_hold_is_refused_in_one_line(name):
    with pytest.raises(NotADoubleError) as caught:
        exact_doubles(ROUNDED[name])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@given(st.recursive(st.integers() | st.floats(allow_nan=False) | st.fractions(), st.lists))
def test_whatever_is_returned_is_equal_to_what_was_given(value):
    def flat(item):
        return [v for part in item for v in flat(part)] if isinstance(item, list) else [item]

    try:
        found = exact_doubles(value)
    except NotADoubleError:
        return
    assert found.reshape(-1).tolist() == flat(value)


def affine(weight, bias):
    return ReluNetwork(1, [Block("output", {"input": weight}, bias, Activation.IDENTITY)])


DOORS = {
    "weights of layers": lambda v: ReluNetwork.from_layers([[v]], [[0.0]]),
    "biases of layers": lambda v: ReluNetwork.from_layers([[[1.0]]], [v]),
    "weight of a block": lambda v: affine([v], [0.0]),
    "bias of a block": lambda v: affine([[1.0]], v),
    "stack": lambda v: NetworkStack([[[v]]], [[[0.0]]]),
    "bias of a stack": lambda v: NetworkStack([[[[1.0]]]], [[v]]),
    "lower side": lambda v: Box(v, 2.0**80),
    "upper side": lambda v: Box(-(2.0**80), v),
    "rows": lambda v: Polyhedron([v], [0.0]),
    "limits": lambda v: Polyhedron([[1.0]], v),
    "box of a file": lambda v: domain_from_json({"type": "box", "lower": -1, "upper": v}),
    "value of an input": lambda v: ReluNetwork.from_layers([[[1.0, 1.0]]], [[0.0]]).fix_inputs(
        {0: v}
    ),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", ROUNDED)
def test_every_door_refuses_what_it_would_round(door, name):
    with pytest.raises(JensenError) as caught:
        DOORS[door](ROUNDED[name])
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not WIDE, reason="long doubles are doubles here")
def test_sparse_matrices_are_held_to_the_same_rule():
    for data in (np.array([LONG]), np.array([BIG]), np.array([1j]), np.array([True])):
        matrix = sp.csr_array((data, [0], [0, 1]), shape=(1, 1))
        with pytest.raises(JensenError):
            affine(matrix, [0.0])
    assert affine(sp.csr_array(np.array([[3]])), [0.0]).exact([2]) == (6,)


def test_repeated_entries_are_added_where_their_sum_is_a_double():
    for other, fine in ((2.0, True), (2.0**-60, False)):
        repeated = sp.coo_array((np.array([1.0, other]), ([0, 0], [0, 0])), shape=(1, 1))
        unsorted = sp.csr_array((np.array([1.0, other]), [0, 0], [0, 2]), shape=(1, 1))
        for matrix in (repeated, unsorted):
            if fine:
                assert affine(matrix, [0.0]).exact([1]) == (3,)
            else:
                with pytest.raises(JensenError, match="repeated entries"):
                    affine(matrix, [0.0])


@pytest.mark.parametrize(
    "array",
    [
        np.array([[BIG]]),
        np.array([[1 + 1j]]),
        np.array([[True]]),
        np.array([["1.5"]]),
        np.array([["2020-01-01"]], dtype="datetime64[D]"),
        *([np.array([[LONG]])] if WIDE else []),
    ],
    ids=lambda a: str(a.dtype),
)
def test_files_with_such_weights_are_refused(array, tmp_path):
    good, bad = tmp_path / "good.npz", tmp_path / "bad.npz"
    affine([[1.0]], [0.0]).save(good)
    with np.load(good) as archive:
        arrays = dict(archive)
    np.savez(bad, **(arrays | {"w0_0": array}))
    with pytest.raises(JensenError, match=r"bad\.npz"):
        load(bad)
    np.savez(bad, W0=array[None], b0=np.zeros((1, 1)))
    with pytest.raises(JensenError, match=r"bad\.npz"):
        NetworkStack.load(bad)


def test_integers_in_domain_files_have_to_be_doubles(tmp_path):
    for name, text in (
        ("d.json", json.dumps({"type": "box", "lower": -1, "upper": BIG})),
        ("d.toml", f'type = "box"\nlower = -1\nupper = {BIG}\n'),
        ("d.json", '{"type": "box", "lower": -1, "upper": 1e999}'),
        ("d.json", '{"type": "box", "lower": 1e-999, "upper": 1}'),
        ("d.json", '{"type": "box", "lower": -1, "upper": "1"}'),
        ("d.json", '{"type": "box", "lower": -1, "upper": true}'),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(JensenError, match=name):
            load_domain(tmp_path / name)


def test_the_command_line_refuses_them_too(tmp_path, capsys):
    model = tmp_path / "m.npz"
    ReluNetwork.from_layers([[[1.0, 1.0]]], [[0.0]]).save(model)
    for arguments in (
        ["--box", "-1", str(BIG)],
        ["--box", "-1", "1e-999"],
        ["--box", "-1", "1_0"],
        ["--fix", f"0={BIG}"],
        ["--fix", "0=1e-999"],
    ):
        assert main(["verify", str(model), *arguments]) == ExitCode.ERROR
        assert capsys.readouterr().err.startswith("jensen: error")


@pytest.mark.parametrize(
    ("text", "number"),
    [("0.1", 0.1), (" -3 ", -3.0), ("1e3", 1e3), (str(2**60), 2.0**60), ("0e-999", 0.0)],
)
def test_text_is_read_as_the_next_double(text, number):
    assert double_of_text(text) == number


@pytest.mark.parametrize(
    "text", [str(BIG), f"-{BIG}", "1e999", "1e-999", "0.0001e-400", "1_0", "", "one", "0x1p0", "١"]
)
def test_other_text_is_refused(text):
    with pytest.raises(NotADoubleError):
        double_of_text(text)


# ------------------------------------------------------------------------- mutated numbers

DECIMAL = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")
SEEDS = ["0.1", "-3", "1e3", "9007199254740993", "-0", "1e-320", "1.5E+300", "123456789012345678"]
ALPHABET = "0123456789+-.eE_xX /,infaNINF\t\n\x00'\"l()[]{}#١２½\u2212\ufeff\x1b"


def mutated_number(rng: random.Random) -> str:
    text = rng.choice(SEEDS)
    for _ in range(rng.randrange(1, 5)):
        cut = rng.randrange(len(text) + 1)
        keep = cut + rng.randrange(2)
        text = text[:cut] + rng.choice([*ALPHABET, "", "0" * 20, "9" * 20]) + text[keep:]
    return text


def check_mutated_numbers(count: int, folder: Path) -> None:
    """Text is refused, or the next double; whole numbers exactly. In domain files as well."""
    rng = random.Random(count)
    accepted = 0
    for k in range(count):
        text = mutated_number(rng)
        try:
            number = double_of_text(text)
        except NotADoubleError:
            number = None
        if number is not None and math.isfinite(number):
            assert DECIMAL.fullmatch(text), repr(text)
            exact, found = Fraction(text.strip()), Fraction(number)
            if re.fullmatch(r"\s*[+-]?[0-9]+\s*", text):
                assert found == exact
            assert abs(found - exact) <= Fraction(math.ulp(number)) / 2
            assert (found == 0) == (exact == 0)
            accepted += 1
        if k % 10:
            continue
        file = folder / "d.json"
        file.write_text(f'{{"type": "box", "lower": {text}, "upper": 1e308}}', encoding="utf-8")
        message, lower = "", [number]
        try:
            lower = load_domain(file).bounds(1)[0].tolist()
        except JensenError as error:
            message = str(error)
        assert "\n" not in message
        assert lower == [number]
    assert accepted > count // 50


def test_mutated_numbers_are_refused_or_the_next_double(tmp_path):
    check_mutated_numbers(2000, tmp_path)


@pytest.mark.slow
def test_ten_thousand_mutated_numbers(tmp_path):
    check_mutated_numbers(10_000, tmp_path)
