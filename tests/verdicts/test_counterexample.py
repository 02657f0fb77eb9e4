"""The one check that every pair passes before it refutes, whatever found it."""

from __future__ import annotations

import ast
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import jensen
from jensen import decide
from jensen.domains.domain import Box, Everywhere, Polyhedron
from jensen.many import verify_many
from jensen.network.relu_network import ReluNetwork
from jensen.prover.joint.search import JointSearch
from jensen.prover.trees.tree import Tree
from jensen.verdicts.counterexample import admits, confirmed, counterexample
from jensen.verdicts.crossing import Crossing
from jensen.verdicts.options import Engine
from jensen.verdicts.verdict import Status

SOURCES = Path(jensen.__file__).parent
LIMIT = 20.0


def hinge(inputs: int) -> ReluNetwork:
    """``-relu(x0)``: it bends down in x0, and is constant in all other inputs."""
    first = np.zeros((1, inputs))
    first[0, 0] = 1.0
    return ReluNetwork.from_layers([first, [[-1.0]]], [[0.0], [0.0]])


def plane(*normal: float) -> Polyhedron:
    """The points of [-1, 1]^n that are orthogonal to a vector."""
    n = len(normal)
    rows = np.vstack([normal, np.negative(normal), np.eye(n), -np.eye(n)])
    return Polyhedron(rows, [0.0, 0.0, *[1.0] * (2 * n)])


def fractions(*values: float) -> tuple[Fraction, ...]:
    return tuple(map(Fraction, values))


NORMALS = [
    normal
    for normal in product(range(-3, 4), repeat=3)
    if normal > (0, 0, 0) and np.gcd.reduce(normal) == 1
]


def test_what_stands_still_is_convex_on_every_plane():
    """Rounding noise took a step that should be 0 for one that moves the fixed input."""
    network = hinge(3)
    for normal in NORMALS:
        verdict = jensen.verify(network, plane(*normal), inputs=(1, 2), time_limit=LIMIT)
        assert verdict.status is Status.CONVEX, normal


def test_what_moves_bends_down_on_every_plane_that_lets_it():
    network = hinge(3)
    for normal in NORMALS[::4]:
        for inputs in ((0, 1), (0, 2), (0, 1, 2)):
            verdict = jensen.verify(network, plane(*normal), inputs=inputs, time_limit=LIMIT)
            # x0 can move at fixed others only within the plane
            others = [normal[i] for i in inputs if i != 0]
            moves = normal[0] == 0 or any(others)
            assert (verdict.status is Status.NONCONVEX) == moves, (normal, inputs)
            if moves:
                pair = verdict.counterexample
                assert pair is not None
                assert admits(plane(*normal), pair.x, pair.y, inputs)


@pytest.mark.parametrize(
    ("x", "y", "inputs", "fine"),
    [
        ((-1.0, 0.5), (1.0, 0.5), None, True),
        ((-1.0, 0.5), (1.0, 0.5), (0,), True),
        ((-1.0, 0.5), (1.0, 0.5), (1,), False),
        ((-1.0, 0.5), (1.0, 0.5 + 2**-50), (0,), False),
        ((-1.0 - 2**-50, 0.5), (1.0, 0.5), None, False),
        ((-1.0, 0.5), (1.0 + 2**-50, 0.5), None, False),
        ((-1.0, 0.5), (-0.5, 0.5), None, False),
        ((-1.0, 0.5), (-1.0, 0.5), None, False),
    ],
)
def test_a_pair_is_in_the_domain_keeps_what_is_fixed_and_violates_exactly(x, y, inputs, fine):
    found = counterexample(hinge(2), Box(-1, 1), fractions(*x), fractions(*y), inputs=inputs)
    assert (found is not None) == fine
    if found is not None:
        assert found.violation == Fraction(1, 2)


def test_no_violation_is_no_counterexample():
    zero, tiny = Fraction(0), Fraction(1, 10**400)
    assert confirmed(fractions(0), fractions(1), zero) is None
    assert confirmed(fractions(0), fractions(1), -tiny) is None
    found = confirmed(fractions(0), fractions(1), tiny)
    assert found is not None
    assert found.slope_change is not None
    assert found.slope_change < 0


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((-1.0, 0.0, 0.0), (1.0, 0.0, 2**-40)),  # x2 is fixed and moves
        ((-1.5, 0.0, 0.0), (1.0, 0.0, 0.0)),  # outside
        ((-1.0, 0.0, 0.0), (-0.5, 0.0, 0.0)),  # no violation
    ],
)
@pytest.mark.parametrize("engine", [Engine.TREE, Engine.JOINT])
def test_a_wrong_pair_of_the_prover_is_unknown_and_not_nonconvex(monkeypatch, engine, x, y):
    middle = tuple((a + b) / 2 for a, b in zip(fractions(*x), fractions(*y), strict=True))
    wrong = Crossing(fractions(*x), middle, fractions(*y), Fraction(1), -1.0)
    real = Tree.run
    monkeypatch.setattr(Tree, "run", lambda *budget: replace(real(*budget), crossing=wrong))
    monkeypatch.setattr(JointSearch, "look", lambda *_: wrong)
    monkeypatch.setattr(decide, "SCREENS", ())  # they look for pairs of their own
    verdict = jensen.verify(hinge(3), Box(-1, 1), inputs=(0, 1), engine=engine)
    assert verdict.status is Status.UNKNOWN


def test_common_lines_pass_the_same_check(monkeypatch):
    """A sampler that moves a fixed input, or leaves the domain, refutes nothing."""
    seen = []

    def refusing(domain, x, y, inputs=None):
        seen.append((x, y))
        return False

    monkeypatch.setattr("jensen.prover.lines.common_lines.admits", refusing)
    networks = [hinge(2) for _ in range(4)]
    settled = jensen.many.settle_many(networks, Box(-1, 1)).values()
    assert not [verdict for verdict in settled if verdict.counterexample is not None]
    assert seen
    monkeypatch.undo()
    assert all(v.status is Status.NONCONVEX for v in verify_many(networks, Everywhere()))


def test_counterexamples_are_made_in_one_place():
    texts = {file: file.read_text(encoding="utf-8") for file in SOURCES.rglob("*.py")}
    makers = [
        file.relative_to(SOURCES).as_posix()
        for file, text in texts.items()
        if "Counterexample" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Counterexample"
    ]
    assert [Path(file).name for file in makers] == ["counterexample.py"]
