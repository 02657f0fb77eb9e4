"""What is printed for people is short, in one place, and says what is proved."""

import dataclasses

import numpy as np
import pytest
from rich.console import Console

import jensen
from jensen.batch import find_cases, run_batch
from jensen.cli.table import show_table
from jensen.decide import Progress
from jensen.domains.domain import Box, Everywhere
from jensen.errors import NetworkError
from jensen.network.relu_network import ReluNetwork
from jensen.report import to_html, to_markdown
from jensen.violation.worst_jump import worst_jump


def absolute(sign: float = 1.0, outputs: int = 1, inputs: int = 2) -> ReluNetwork:
    hidden = np.vstack([np.eye(inputs), -np.eye(inputs)])
    last = np.full((outputs, 2 * inputs), sign)
    return ReluNetwork.from_layers([hidden, last], [np.zeros(2 * inputs), np.zeros(outputs)])


@pytest.mark.parametrize(
    ("box", "says"),
    [
        (Box(-1, 1), "box [-1, 1]"),
        (Box([-1, -1], 1), "box [-1, 1]^2"),
        (Box([0, -1], [1, 0.5]), "box [0, 1] × [-1, 0.5]"),
        (Box([0.0], [1.0]), "box [0, 1]"),
        (Box([0, 1, 2], 3), "box [0, 3] × [1, 3] × [2, 3]"),
        (Box([0, 1, 2, 2], 3), "box [0, 3] × [1, 3] × [2, 3] × … (4 sides)"),
        (Box([0] * 500, 3), "box [0, 3]^500"),
    ],
)
def test_a_box_is_named_by_its_sides_in_one_line(box, says):
    assert str(box) == says


@pytest.mark.parametrize("outputs", [1, 3, 400])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_verdict_is_one_screen_at_most(outputs, sign):
    verdict = jensen.verify(absolute(sign, outputs, inputs=9), Box(-1, 1))
    lines = str(verdict).splitlines()
    assert lines[0] == str(verdict.status)
    assert len(lines) <= 20
    assert max(map(len, lines)) <= 120
    assert (
        verdict.outputs[0].summary in str(verdict) if outputs > 1 else verdict.summary in lines[1]
    )
    if outputs == 400:
        assert "and 396 more outputs" in str(verdict)
    assert len(repr(verdict)) < 300
    assert "\n" not in repr(verdict)


def test_the_decisive_output_is_among_those_that_are_shown():
    last = np.ones((30, 4))
    last[27] = -1.0
    hidden = np.vstack([np.eye(2), -np.eye(2)])
    network = ReluNetwork.from_layers([hidden, last], [np.zeros(4), np.zeros(30)])
    text = str(jensen.verify(network, Box(-1, 1)))
    assert "output 27: not convex" in text
    assert "x = (" in text


def test_a_violation_sums_itself_up():
    found = jensen.worst_violation(absolute(-1.0), Box(-1, 1))
    assert found.summary == "2 <= worst midpoint violation <= 2 (optimal)"
    assert str(found).splitlines()[0] == found.summary
    assert [line.strip()[:4] for line in str(found).splitlines()[1:]] == ["x = ", "y = "]
    milp = dataclasses.replace(found, tolerance=1e-6)
    assert milp.summary.endswith("(optimal, the upper one up to 1e-06)")
    assert str(jensen.worst_violation(absolute(), Box(-1, 1))).count("\n") == 0
    unbounded = jensen.worst_violation(absolute(-1.0), Everywhere())
    assert unbounded.summary.startswith("the midpoint violation is unbounded, and ")


def test_a_jump_sums_itself_up():
    found = worst_jump(absolute(-1.0), Box(-1, 1))
    assert found.summary.startswith("2 <= worst gradient jump <= 2")
    assert "kink of " in str(found)
    assert str(worst_jump(absolute(), Box(-1, 1))) == worst_jump(absolute(), Box(-1, 1)).summary


@pytest.mark.parametrize(
    "result",
    [
        lambda: jensen.worst_violation(absolute(-1.0), Box(-1, 1)),
        lambda: worst_jump(absolute(-1.0), Box(-1, 1)),
        lambda: jensen.repair(absolute(-1.0), Box(-1, 1)),
        lambda: jensen.verify(absolute(-1.0, inputs=9), Box(-1, 1)).counterexample,
        lambda: jensen.ConvexFunction(absolute(inputs=9), Box(-1, 1)).minimise(),
        lambda: jensen.verify(absolute(inputs=9), Box(-1, 1), certificate=True).certificate,
    ],
)
def test_a_result_is_one_line_in_a_list(result):
    text = repr(result())
    assert "\n" not in text
    assert len(text) < 400
    assert "Fraction" not in text


def test_a_minimum_sums_itself_up():
    found = jensen.ConvexFunction(absolute(), Box(1, 2)).minimise()
    assert found.summary == "2 <= minimum <= 2"
    assert str(found) == "2 <= minimum <= 2\n  x = (1, 1)"


def test_a_repair_prints_its_summary():
    fixed = jensen.repair(absolute(-1.0), Box(-1, 1))
    assert str(fixed) == fixed.summary
    assert isinstance(fixed.relative_change, float)
    far = dataclasses.replace(fixed, lower=fixed.upper / 5.24)
    assert "at most 424 % above the least" in far.summary


def test_a_verdict_is_neither_true_nor_false():
    verdict = jensen.verify(absolute(-1.0), Box(-1, 1))
    with pytest.raises(TypeError, match=r"compare verdict\.status"):
        bool(verdict)
    with pytest.raises(TypeError, match=r"jensen\.is_convex"):
        all([verdict])


# ------------------------------------------------------------------------------ points


def test_a_single_point_has_a_single_value():
    network = absolute(outputs=3)
    assert network([1.0, -2.0]).tolist() == [3.0, 3.0, 3.0]
    assert network([[1.0, -2.0]]).shape == (1, 3)
    assert network(np.zeros((0, 2))).shape == (0, 3)
    shaped = ReluNetwork(4, absolute(inputs=4).blocks, input_shape=(2, 2))
    assert shaped(np.ones((2, 2))).tolist() == [4.0]
    assert shaped(np.ones((3, 2, 2))).tolist() == [[4.0]] * 3


def test_numbers_in_a_row_are_points_of_a_network_with_one_input():
    network = absolute(inputs=1)
    assert network([1.0, -2.0]).tolist() == [[1.0], [2.0]]
    assert network([1.0]).tolist() == [[1.0]]
    assert network(-3.0).tolist() == [3.0]


@pytest.mark.parametrize(
    "points", [1.0, [1.0], [1.0, 2.0, 3.0], [[1.0, 2.0, 3.0]], np.ones((2, 2, 2))]
)
def test_points_of_another_size_are_refused(points):
    with pytest.raises(NetworkError, match=r"need \(n, 2\), or \(2,\) for a single point"):
        absolute()(points)


# ---------------------------------------------------------------------------- progress


def test_a_verification_tells_how_many_groups_are_closed():
    rng = np.random.default_rng(0)
    network = ReluNetwork.from_layers(
        [rng.normal(size=(8, 4)), np.abs(rng.normal(size=(6, 8))), rng.normal(size=(2, 6))],
        [rng.normal(size=8), rng.normal(size=6), np.zeros(2)],
    )
    seen: list[Progress] = []
    jensen.verify(network, Box(-1, 1), progress=seen.append, engine="milp", tolerance=100.0)
    assert {state.output for state in seen} <= {0, 1}
    assert all(0 <= state.closed <= state.groups for state in seen)
    assert seen


# ----------------------------------------------------------------------------- reports


def test_tables_and_pages_show_the_sides_in_one_line(tmp_path):
    absolute().save(tmp_path / "a.npz")
    results = run_batch(find_cases([tmp_path], domain=Box([0, -1], 1)))
    console = Console(width=200, record=True, force_terminal=True, color_system=None)
    show_table(results, console)
    says = "box [0, 1] × [-1, 1]"
    assert says in console.export_text()
    assert says.replace("[", r"\[").replace("]", r"\]") in to_markdown(results)
    page = to_html(results, pictures=0)
    assert f'<td class="wide domain">{says}</td>' in page
