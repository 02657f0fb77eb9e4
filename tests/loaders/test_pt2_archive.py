"""What an exported program may say of sizes and operators: the check that reads no code."""

from __future__ import annotations

import pytest

from jensen.loaders.pt2_archive import ForbiddenError, checked_expression
from jensen.loaders.pt2_operators import only_computes


@pytest.mark.parametrize(
    "text",
    [
        "Symbol('s77', positive=True, integer=True)",
        "2*s77 + 1",
        "Mod(s0, 4)",
        "Max(1, FloorDiv(s77 - 1, 2))",
        "Eq(s1, 3)",
        "s77 >= 2",
        "7",
        "True",
    ],
)
def test_sizes_are_read(text):
    sympy = pytest.importorskip("sympy", reason="comes with the extra 'torch'")

    places_of = {"FloorDiv": sympy.Function("FloorDiv")}
    assert sympy.sympify(checked_expression(text), locals=places_of) == sympy.sympify(
        text, locals=places_of
    )


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "open('x')",
        "Symbol('s77').func",
        "Symbol('__import__')",
        "Symbol('s77', commutative=open('x'))",
        "Symbol(open('x'))",
        "[c for c in ()]",
        "(lambda: 1)()",
        "s77 if s77 else 2",
        "f's{1}'",
        "9**9**9",
        "Pow(9, 9)",
        "'s77'",
        "s77; s78",
        "s77\nimport os",
        "eval('1')",
        "Add",
        "s1[0]",
        "1e400",
        "(" * 300,
        "1" * 399,
        "s77 + " * 99 + "1",
        "",
        "\ud800",
        "s７7.x",
    ],
)
def test_anything_else_is_no_size(text):
    with pytest.raises(ForbiddenError):
        checked_expression(text)


def test_operators_are_those_of_a_list():
    for name in ("aten.linear.default", "aten.relu_.default", "aten.mul.Tensor", "aten.sum.dim"):
        assert only_computes(f"torch.ops.{name}")
    for name in ("aten.save.default", "aten.set_.source_Tensor", "aten.relu", "prim.x.default"):
        assert not only_computes(f"torch.ops.{name}")
    assert only_computes("_operator.getitem")
    for name in ("_operator.attrgetter", "torch.load", "math.exp", "open", "", "torch.ops.aten"):
        assert not only_computes(name)
