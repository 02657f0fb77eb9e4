"""Loops that may be long ask the clock; what was proved by then is returned, and true."""

import math
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from time_limit_sweep import COMMANDS, WITHOUT_LIMIT, readable, run

import jensen
from jensen.bounds.pre_activation import pre_activation_bounds
from jensen.domains.domain import Box, Everywhere
from jensen.errors import OutOfTimeError
from jensen.groups.prepared import prepare
from jensen.groups.twin_groups import twin_groups
from jensen.midpoint.milp import solve_midpoint_program
from jensen.midpoint.raised import raises
from jensen.midpoint.search import width_bound
from jensen.network.relu_network import ReluNetwork
from jensen.prover import joint_engine
from jensen.prover.descents.descent import Descent
from jensen.prover.descents.pieces import pieces_of
from jensen.prover.joint.search import bounded_pieces
from jensen.prover.joint_engine import joint_boxes
from jensen.prover.question import Question
from jensen.repairs.features import Features
from jensen.repairs.kink_searches import KinkSearches, Sweep
from jensen.repairs.nearest import repair
from jensen.repairs.program import Norm, Objective
from jensen.repairs.sampled_rows import RowSampler
from jensen.verdicts.crossing import cross_facet
from jensen.verdicts.options import Options
from jensen.violation.magnitude import value_range
from jensen.violation.worst_jump import worst_jump
from jensen.violation.worst_violation import worst_violation
from jensen_encodings import lp
from jensen_encodings.deadline import Deadline


def wide(inputs: int = 400, size: int = 12) -> ReluNetwork:
    rng = np.random.default_rng(0)
    return ReluNetwork.from_layers(
        [
            rng.normal(size=(size, inputs)),
            rng.normal(size=(size, size)),
            rng.normal(size=(1, size)),
        ],
        [rng.normal(size=size), rng.normal(size=size), [0.0]],
    )


@pytest.fixture
def no_working_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(self: Box, inputs: int) -> None:
        raise AssertionError("a million fractions for nothing")

    monkeypatch.setattr(Box, "working_set", build)


@pytest.mark.usefixtures("no_working_set")
def test_the_range_on_a_wide_box_needs_no_working_set():
    network = wide()
    found = value_range(network, Box(-1, 1))
    low, high = found.attained
    below, above = found.proved
    assert below <= low < high <= above
    values = network(np.random.default_rng(1).uniform(-1, 1, (50, 400)))
    assert below <= values.min() <= values.max() <= above


def test_a_search_that_is_out_of_time_sets_nothing_up(monkeypatch):
    def setup(*_: object) -> None:
        raise AssertionError("the tree is set up after time is up")

    monkeypatch.setattr("jensen.midpoint.search.programs_of", setup)
    found = worst_violation(wide(), Box(-1, 1), time_limit=1e-6)
    assert found.status == "time limit"
    assert 0 <= found.lower <= found.upper


def test_a_jump_search_that_is_out_of_time_claims_no_bound():
    found = worst_jump(wide(40), Box(-1, 1), time_limit=1e-6)
    assert found.status == "time limit"
    assert found.upper == math.inf
    assert found.lower == 0


def test_a_time_limit_that_is_over_leaves_the_verdict_open():
    convex = ReluNetwork.from_layers(
        [np.vstack([np.eye(3), np.ones((1, 3))]), [[1.0, 1.0, 1.0, -1e-3]]], [[0.0] * 4, [0.0]]
    )
    verdict = jensen.verify(convex, Box(-1, 1), time_limit=1e-9)
    assert verdict.status == "unknown"


@pytest.mark.parametrize("seed", range(5))
def test_a_box_of_a_program_is_the_same_as_its_rows(seed):
    rng = np.random.default_rng(seed)
    c, A, b = rng.normal(size=4), rng.normal(size=(3, 4)), rng.random(3)
    low, high = -rng.random(4), rng.random(4)
    inequalities = np.zeros(11, dtype=bool)
    rows = np.vstack([A, np.eye(4), -np.eye(4)])
    plain = lp.LpSolver().maximise(c, rows, np.concatenate([b, high, -low]), inequalities)
    boxed = lp.LpSolver().maximise(c, A, b, inequalities[:3], (low, high))
    assert plain.status == boxed.status == lp.LpStatus.OPTIMAL
    assert plain.objective == pytest.approx(boxed.objective)


def test_outputs_that_are_left_when_time_is_up_are_not_prepared(monkeypatch):
    def build(*_: object) -> None:
        raise AssertionError("groups are formed after time is up")

    monkeypatch.setattr("jensen.groups.prepared.group_network", build)
    monkeypatch.setattr("jensen.prover.lines.line_search.LineSearch.look", lambda *_: None)
    rng = np.random.default_rng(0)
    network = ReluNetwork.from_layers(
        [rng.normal(size=(6, 3)), rng.normal(size=(4, 6))], [rng.normal(size=6), np.zeros(4)]
    )
    verdict = jensen.verify(network, Box(-1, 1), time_limit=1e-9)
    assert [part.status for part in verdict.outputs] == ["unknown"] * 4
    assert "time was up" in verdict.outputs[3].summary


def test_outputs_that_are_left_when_time_is_up_are_not_even_asked_for_signs(monkeypatch):
    asked = []
    monkeypatch.setattr("jensen.decide.SCREENS", (asked.append,))
    network = ReluNetwork.from_layers([np.eye(3), np.ones((4, 3))], [np.zeros(3), np.zeros(4)])
    verdict = jensen.verify(network, Box(-1, 1), time_limit=1e-9)
    assert not asked
    assert [part.status for part in verdict.outputs] == ["unknown"] * 4


def test_of_a_single_output_the_signs_are_looked_at_in_any_case():
    convex = ReluNetwork.from_layers([np.eye(3), np.ones((1, 3))], [np.zeros(3), np.zeros(1)])
    assert jensen.verify(convex, Box(-1, 1), time_limit=1e-9).status == "convex"


def test_an_output_without_time_tells_its_conditions_all_the_same():
    network = ReluNetwork.from_layers([np.eye(3), -np.ones((4, 3))], [np.zeros(3), np.zeros(4)])
    late = jensen.verify(network, Box(-1, 1), time_limit=1e-9).outputs[2]
    assert late.output == 2
    assert "time was up" in late.summary
    assert [condition.value for condition in late.conditions] == [-1, -1, -1]


def test_bounds_for_which_there_is_no_time_are_those_of_intervals():
    network = wide(5)
    late = pre_activation_bounds(network, -1.0, 1.0, deadline=Deadline(0.0))
    plain = pre_activation_bounds(network, -1.0, 1.0, crown=False)
    for name, (low, high) in plain.items():
        assert (late[name][0] == low).all()
        assert (late[name][1] == high).all()


def test_bounds_that_look_at_the_clock_hold_as_well():
    network = wide(5)
    timed = pre_activation_bounds(network, -1.0, 1.0, deadline=Deadline.after(60.0))
    for name, (low, high) in pre_activation_bounds(network, -1.0, 1.0).items():
        assert timed[name][0] == pytest.approx(low, abs=1e-9)
        assert timed[name][1] == pytest.approx(high, abs=1e-9)


@pytest.fixture
def large() -> ReluNetwork:
    """A network that takes seconds to group, and longer to look at."""
    rng = np.random.default_rng(3)
    sizes = [40, 1200, 1200, 1200, 1]
    weights = [rng.normal(size=(m, n)) / n**0.5 for n, m in pairwise(sizes)]
    return ReluNetwork.from_layers(weights, [rng.normal(size=m) / 4 for m in sizes[1:]])


def test_a_large_network_is_not_grouped_after_time_is_up_and_a_small_one_is(large):
    late = Deadline(0.0)
    assert prepare(wide(5), Box(-1, 1), deadline=late).grouped.groups()
    with pytest.raises(OutOfTimeError, match="groups"):
        _ = prepare(large, Box(-1, 1), deadline=late).grouped
    assert twin_groups(prepare(large, Box(-1, 1), deadline=late)) == ()
    assert raises(prepare(large, Box(-1, 1), deadline=late), late) is None


MEASURES = {
    "verify": lambda network, limit: jensen.verify(network, Box(-1, 1), time_limit=limit),
    "violation": lambda network, limit: worst_violation(network, Box(-1, 1), time_limit=limit),
    "jump": lambda network, limit: worst_jump(network, Box(-1, 1), time_limit=limit),
    "repair l2": lambda network, limit: repair(network, Box(-1, 1), time_limit=limit),
    "repair l1": lambda network, limit: repair(network, Box(-1, 1), norm="l1", time_limit=limit),
}


@pytest.mark.parametrize("measure", MEASURES)
def test_functions_keep_their_time_limit_on_a_large_network(large, measure):
    limit, began, cpu = 1.0, time.monotonic(), time.process_time()
    found = MEASURES[measure](large, limit)
    # processor time counts each thread of the BLAS, and a clock what other processes take
    spent = min(time.monotonic() - began, time.process_time() - cpu)
    assert spent < 2 * limit + 1.0
    if measure in {"violation", "jump"}:
        assert 0 <= found.lower <= found.upper


def test_a_facet_whose_forms_take_too_long_is_not_crossed(monkeypatch):
    def form(*_: object) -> None:
        raise AssertionError("exact forms after time is up")

    net = prepare(wide(5), Box(-1, 1)).grouped
    pattern = tuple(np.ones(level.size, dtype=np.int8) for level in net.levels)
    monkeypatch.setattr("jensen.verdicts.crossing.form_in_pattern", form)
    group = net.groups()[0]
    assert (
        cross_facet(
            net, group, pattern, np.zeros(5), wide(5), inputs=None, out_of_time=lambda: True
        )
        is None
    )


def test_a_least_change_for_which_there_is_no_time_is_not_called_impossible():
    objective = Objective(np.array([1.0, -1.0]), None, Norm.L1)
    rows = np.array([[0.0, 1.0]])
    weights, multipliers = objective.nearest(rows, 0.0)
    assert weights == pytest.approx([1.0, 0.0])
    assert multipliers == pytest.approx([1.0])
    with pytest.raises(OutOfTimeError, match="least change"):
        objective.nearest(rows, 0.0, Deadline(0.0))


def test_a_box_of_many_inputs_is_one_piece_without_rows():
    working = prepare(wide(), Box(-1, 1)).working
    (piece,) = pieces_of(working)
    assert working.sides
    assert (piece.lower == -1).all()
    assert (piece.upper == 1).all()
    assert piece.rows.shape == (0, 400)
    assert working.float_rows.tolist() == np.vstack([np.eye(400), -np.eye(400)]).tolist()


def test_a_repair_that_is_out_of_time_claims_nothing():
    found = repair(wide(40), Box(-1, 1), time_limit=1e-9)
    assert found.verdict.status != "convex"
    assert found.upper == math.inf
    assert found.lower == 0


def test_a_repair_of_many_inputs_looks_at_fewer_kinks_at_a_time(monkeypatch):
    asked = []
    monkeypatch.setattr(RowSampler, "everywhere", lambda _, count: asked.append(count) or 1 / 0)
    for inputs in (10, 400, 4000):
        with pytest.raises(ZeroDivisionError):
            repair(wide(inputs), Box(-1, 1))
    assert asked == [4096, 1677, 64]


def test_descents_that_are_out_of_time_find_nothing():
    prepared = prepare(wide(5), Box(-1, 1))
    boxes = joint_boxes(prepared.grouped)
    late = Descent(prepared.grouped, prepared.grouped.groups(), boxes, 0, Deadline(0.0))
    assert list(late.candidates(8, 40)) == []


def shared_files() -> list[Path]:
    shared = Path(__file__).resolve().parents[2] / "shared"
    found = [f for kind in ("onnx", "npz", "nnet") for f in shared.rglob(f"*.{kind}")]
    return sorted(f for f in found if not f.name.startswith("cell_"))


@pytest.mark.slow
@pytest.mark.parametrize("command", [*COMMANDS, *WITHOUT_LIMIT])
def test_every_command_keeps_its_time_limit_on_every_file(command, tmp_path, subtests):
    for file in shared_files():
        with subtests.test(file.name):
            measured = run(command, readable(file, tmp_path), 2.0)
            assert not measured.over, measured


def test_the_faces_of_a_cone_are_not_bounded_without_end(monkeypatch):
    network, over = wide(30, 8), Deadline.after(-1.0)
    net = prepare(network, Everywhere()).grouped
    boxes = joint_boxes(net)
    assert len(boxes) == 61  # of 31 coordinates, t is not negative
    with pytest.raises(OutOfTimeError, match="faces"):
        bounded_pieces(net, boxes, over.over)
    searches = KinkSearches(Features(network), Everywhere(), over)
    weights = np.ones(len(Features(network).weights))
    assert searches.sweep(weights, 4, Deadline()) == Sweep([], 0)

    def late(*_: object) -> None:
        raise OutOfTimeError("time was up before all faces of the cone were bounded")

    monkeypatch.setattr(joint_engine, "bounded_pieces", late)
    outcome = joint_engine.prove_jointly(Question(prepare(network, Everywhere()), Options()))
    assert outcome.status == "unknown"
    assert any(item.reason == "open" for item in outcome.evidence)


def test_a_midpoint_program_that_takes_longer_to_build_than_there_is_time_is_not_built(monkeypatch):
    def build(*_: object, **__: object) -> None:
        raise AssertionError("a model of a million entries for nothing")

    monkeypatch.setattr("jensen.midpoint.milp.midpoint_program", build)
    network = wide(200, 100)
    network = ReluNetwork.from_layers(
        [np.abs(next(iter(block.weights.values()))) for block in network.blocks],
        [block.bias for block in network.blocks],
    )
    found = worst_violation(network, Box(-1, 1), engine="milp", time_limit=0.2)
    assert found.status == "time limit"
    assert found.lower <= found.upper < math.inf
    assert found.tolerance is None or found.upper > 0


def test_a_midpoint_program_is_not_handed_over_after_time_is_up(monkeypatch):
    def compiled(*_: object) -> None:
        raise AssertionError("the model is compiled after time is up")

    monkeypatch.setattr("jensen.midpoint.milp.compile_model", compiled)
    monkeypatch.setattr("jensen.midpoint.milp.ENTRIES_PER_SECOND", math.inf)
    prepared = prepare(wide(4), Box(-1, 1))
    found = solve_midpoint_program(
        prepared.data,
        lambda x, y: Fraction(0),
        gap=1e-4,
        deadline=Deadline.after(-1.0),
        threads=1,
        seed=0,
        progress=None,
    )
    assert (found.status, found.nodes) == ("time limit", 0)
    assert found.upper >= width_bound(prepared.data)
