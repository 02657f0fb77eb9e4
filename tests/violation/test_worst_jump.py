"""The worst gradient jump, equal to brute force over the cells of tiny networks."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from fuzz import default_init, tiny_network, varied_network
from jump_oracle import worst_squared_jump

import jensen
from jensen.arithmetic.exact import root_to_double
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.errors import DomainError, NetworkError, OptionError
from jensen.network.relu_network import ReluNetwork
from jensen.violation.joint_jump import JointTurns, JumpOfGroup
from jensen.violation.jump_facets import root_above, root_below
from jensen.violation.jump_of_cells import CellJumpSearch, JumpWalk
from jensen.violation.jump_search import JumpSearch
from jensen.violation.jump_violation import JumpViolation
from jensen.violation.worst_jump import worst_jump

TIGHT = 1e-9
LIMIT = 30.0


def domains(d: int) -> list[Domain]:
    square = Polyhedron(np.vstack([np.ones(d), -np.eye(d)]), [1.0, *[0.5] * d])
    half = Polyhedron(np.ones((1, d)), [1.0])
    return [Box(-1, 1), Everywhere(), square, half]


def check(found: JumpViolation, network: ReluNetwork, domain: Domain) -> None:
    """Re-check in rationals all that a result claims about its facet."""
    assert found.tolerance is None
    assert Fraction(found.lower) ** 2 <= found.exact_squared
    if found.point is None:
        assert found.lower == 0
        assert found.exact_squared == 0
        return
    x, y, middle = found.x, found.y, found.point
    assert all(domain.contains(p) for p in (x, y, middle))
    assert middle == tuple((a + b) / 2 for a, b in zip(x, y, strict=True))
    (fx,), (fy,), (fm,) = (network.exact(p) for p in (x, y, middle))
    length = sum((a - b) ** 2 for a, b in zip(x, y, strict=True))
    assert found.exact_violation == fm - (fx + fy) / 2 > 0
    assert found.exact_squared == 16 * found.exact_violation**2 / length
    # the facet is the only kink on the segment: a quarter of it shows the same slopes
    near = [tuple((3 * b + a) / 4 for a, b in zip(end, middle, strict=True)) for end in (x, y)]
    (nx,), (ny,) = (network.exact(p) for p in near)
    assert fm - (nx + ny) / 2 == found.exact_violation / 4
    assert math.hypot(*found.normal) == pytest.approx(1)
    before, after = found.slopes
    assert before - after == pytest.approx(found.lower, rel=1e-9, abs=1e-12 * abs(before))


@pytest.mark.parametrize("make", [tiny_network, varied_network])
def test_the_optimum_equals_brute_force(make):
    bad = 0
    for seed in range(160):
        network = make(seed)[1]
        domain = domains(network.input_size)[seed % 4]
        truth = worst_squared_jump(network, domain)
        found = worst_jump(network, domain, gap=TIGHT, time_limit=LIMIT)
        assert found.status == "optimal", seed
        check(found, network, domain)
        assert found.exact_squared <= truth <= Fraction(found.upper) ** 2, seed
        assert found.upper <= found.lower * (1 + TIGHT), seed
        bad += truth > 0
    assert bad > 30


def test_a_facet_thinner_than_rounding_is_found():
    network = tiny_network(533)[1]
    domain = domains(network.input_size)[2]
    found = worst_jump(network, domain)
    check(found, network, domain)
    assert found.exact_squared == worst_squared_jump(network, domain)


def sum_of_layers(first: float, second: float) -> ReluNetwork:
    """``first * relu(x) + second * relu(2 relu(x) - 2 relu(x - 3))``: both kink at 0."""
    return ReluNetwork(
        1,
        [
            jensen.Block("a", {"input": np.array([[1.0], [1.0]])}, np.array([0.0, -3.0])),
            jensen.Block("b", {"a": np.array([[2.0, -2.0]])}, np.zeros(1)),
            jensen.Block(
                "output",
                {"a": np.array([[first, 0.0]]), "b": np.array([[second]])},
                np.zeros(1),
                jensen.Activation.IDENTITY,
            ),
        ],
    )


@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere(), Polyhedron([[1.0]], [2.0])])
def test_groups_on_one_hyperplane_are_added_up(domain):
    # at 0 the slope changes by first + 2 second, whatever each of the two does
    for first, second, worst in ((-1.0, -1.0, 3.0), (3.0, -1.0, 0.0), (-3.0, 1.0, 1.0)):
        found = worst_jump(sum_of_layers(first, second), domain, gap=TIGHT)
        here = max(worst, 2 * second if isinstance(domain, Everywhere) else 0.0)
        assert found.lower == here, (first, second)
        assert found.upper == pytest.approx(here, rel=1e-8, abs=0)


def test_on_everything_facets_far_out_count():
    network = ReluNetwork.from_layers([[[1.0]], [[-2.0]]], [[-1e6], [0.0]])
    assert worst_jump(network, Box(-1, 1)).upper == 0
    found = worst_jump(network)
    assert found.lower == 2.0
    assert found.point == (Fraction(10**6),)


def test_on_a_domain_without_interior_the_gradient_is_that_along_it():
    # -relu(x - y) along the diagonal of the plane x + y = 0: |(1, -1)| is its full length
    network = ReluNetwork.from_layers([[[1.0, -1.0]], [[-1.0]]], [[0.0], [0.0]])
    line = Polyhedron([[1.0, 1.0], [-1.0, -1.0], [1.0, 0.0], [-1.0, 0.0]], [0.0, 0.0, 1.0, 1.0])
    root_two = pytest.approx(math.sqrt(2))
    assert worst_jump(network, line).lower == root_two
    # along x alone, y fixed, the slope falls by 1
    found = worst_jump(network, Box([-1.0, 0.25], [1.0, 0.25]))
    assert (found.lower, found.upper) == (1.0, pytest.approx(1.0))
    assert worst_jump(network, Box(0.5, 0.5)).upper == 0


def test_a_convex_network_has_none_and_knows_it():
    for seed in range(3):
        rng = np.random.default_rng(seed)
        network = ReluNetwork.from_layers(
            [
                rng.normal(size=(6, 4)),
                np.abs(rng.normal(size=(5, 6))),
                np.abs(rng.normal(size=(1, 5))),
            ],
            [rng.normal(size=6), rng.normal(size=5), [0.0]],
        )
        found = worst_jump(network)
        assert (found.lower, found.upper, found.nodes) == (0.0, 0.0, 0)


def wide(seed: int = 0) -> ReluNetwork:
    rng = np.random.default_rng(seed)
    layers = [default_init(rng, rows, columns) for rows, columns in ((24, 5), (24, 24), (1, 24))]
    return ReluNetwork.from_layers(*zip(*layers, strict=True))


@pytest.fixture
def no_cells(monkeypatch):
    """Leave all to the search, whose turns and limits are looked at here."""
    monkeypatch.setattr(CellJumpSearch, "walk", lambda _search, _report=None: False)


@pytest.mark.usefixtures("no_cells")
def test_a_time_limit_returns_bounds_that_hold():
    network = wide()
    early = worst_jump(network, Box(-1, 1), time_limit=1.0)
    assert early.status == "time limit"
    assert 0 < early.lower < early.upper
    check(early, network, Box(-1, 1))
    late = worst_jump(network, Box(-1, 1), time_limit=3.0)
    assert late.lower >= early.lower
    assert late.upper <= early.upper


@pytest.mark.usefixtures("no_cells")
def test_ctrl_c_returns_the_bounds_so_far(monkeypatch):
    network = wide()
    process = JumpSearch._process

    def interrupted(self, entry):
        if self.nodes >= 20:
            raise KeyboardInterrupt
        return process(self, entry)

    monkeypatch.setattr(JumpSearch, "_process", interrupted)
    monkeypatch.setattr(JointTurns, "run", lambda self, seed: iter(()))
    found = worst_jump(network, Box(-1, 1))
    assert found.status == "interrupted"
    assert found.lower < found.upper
    check(found, network, Box(-1, 1))


def test_ctrl_c_among_cells_returns_bounds_that_hold(monkeypatch):
    network, calls, open_ones = wide(), itertools.count(), JumpWalk._open

    def interrupted(self, values):
        if next(calls) == 10:
            raise KeyboardInterrupt
        return open_ones(self, values)

    monkeypatch.setattr(JumpWalk, "_open", interrupted)
    found = worst_jump(network, Box(-1, 1))
    assert found.status == "interrupted"
    assert 0 < found.lower < found.upper
    check(found, network, Box(-1, 1))


def test_progress_of_cells_is_monotone():
    states = []
    found = worst_jump(wide(), Box(-1, 1), progress=states.append)
    assert found.status == "optimal"
    assert len(states) > 1
    for one, two in itertools.pairwise(states):
        assert two.objective >= one.objective
        assert two.bound <= one.bound
    assert states[-1].objective <= found.lower


def leaning(seed: int, first: int, second: int) -> ReluNetwork:
    """Nearly convex, as trained networks are: no kink of the second level bends down."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=shape) for shape in ((first, 5), (second, first), (1, second))]
    weights[1] = np.where(rng.random(weights[1].shape) < 0.15, weights[1], np.abs(weights[1]))
    biases = [rng.normal(size=first), rng.normal(size=second), [0.0]]
    return ReluNetwork.from_layers([*weights[:2], np.abs(weights[2])], biases)


@pytest.mark.usefixtures("no_cells")
def test_ctrl_c_among_joint_programs_returns_the_bounds_so_far(monkeypatch):
    network, calls = leaning(2, 16, 16), itertools.count()
    settles = JumpOfGroup.settles

    def interrupted(self, *arguments):
        if next(calls) == 20:
            raise KeyboardInterrupt
        return settles(self, *arguments)

    monkeypatch.setattr(JumpOfGroup, "settles", interrupted)
    found = worst_jump(network)
    assert found.status == "interrupted"
    assert found.lower < found.upper


@pytest.mark.usefixtures("no_cells")
@pytest.mark.parametrize("part", range(4))
def test_joint_programs_measure_like_brute_force(part, monkeypatch):
    """Few inputs are walked; here they are left to the search."""
    monkeypatch.setattr("jensen.violation.worst_jump.worst_facet", lambda *_arguments: None)
    monkeypatch.setattr("jensen.violation.jump_search.FIRST_NODES", 0)
    turns, programs = JointTurns.run, [0]

    def counted(self, seed):
        for result in turns(self, seed):
            programs[0] += self.lps
            yield result

    monkeypatch.setattr(JointTurns, "run", counted)
    for seed in range(200 + part, 260, 4):
        network = tiny_network(seed)[1]
        domain = domains(network.input_size)[(seed // 4) % 4]
        truth = worst_squared_jump(network, domain)
        found = worst_jump(network, domain, gap=TIGHT, time_limit=LIMIT)
        check(found, network, domain)
        assert found.exact_squared <= truth <= Fraction(found.upper) ** 2, seed
        assert found.upper <= found.lower * (1 + TIGHT), seed
    assert programs[0] > 0


@pytest.mark.usefixtures("no_cells")
def test_the_group_of_which_least_is_proved_has_the_next_turn(monkeypatch):
    turn, seen, later = JointTurns._turn, set(), []

    def noted(self, searches, group):
        if group in seen:
            later.append(self._waiting(group) == max(self._waiting(one) for one in searches))
        seen.add(group)
        return turn(self, searches, group)

    monkeypatch.setattr(JointTurns, "_turn", noted)
    monkeypatch.setattr("jensen.violation.joint_jump.TURN", 2)
    found = worst_jump(leaning(2, 16, 16), time_limit=LIMIT)
    assert found.status == "optimal"
    assert len(later) > 0
    assert all(later)


@pytest.mark.usefixtures("no_cells")
def test_nearly_convex_networks_are_measured_to_the_gap_in_several_inputs():
    for seed, domain in enumerate((Box(-1, 1), Everywhere())):
        network = leaning(seed, 8, 6)
        found = worst_jump(network, domain, time_limit=LIMIT)
        assert found.status == "optimal"
        assert found.lower > 0
        assert found.upper <= found.lower * (1 + 1e-4)
        check(found, network, domain)


@pytest.mark.usefixtures("no_cells")
def test_progress_is_monotone():
    states = []
    worst_jump(wide(), Box(-1, 1), time_limit=3.0, progress=states.append)
    assert len(states) > 1
    for one, two in itertools.pairwise(states):
        assert two.objective >= one.objective
        assert two.bound <= one.bound
        assert two.nodes >= one.nodes


def test_scales_to_the_ends_of_the_doubles():
    for size in (1e-200, 1e-12, 1e12, 1e150):
        network = ReluNetwork.from_layers([[[1.0], [1.0]], [[size, -3 * size]]], [[0, -0.5], [0]])
        found = worst_jump(network, Box(-1, 1))
        assert found.lower == root_to_double(Fraction(3 * size) ** 2)
        assert found.upper == pytest.approx(3 * size, rel=1e-4)


def test_roots_are_rounded_to_their_side():
    rng = np.random.default_rng(0)
    for _ in range(200):
        value = Fraction(float(rng.random())) ** int(rng.integers(1, 40))
        below, above = root_below(value), root_above(value)
        assert Fraction(below) ** 2 <= value <= Fraction(above) ** 2
        assert above <= np.nextafter(below, 1)


def test_what_does_not_fit_is_refused():
    network = wide()
    with pytest.raises(DomainError):
        worst_jump(network, Box([-1, -1], [1, 1]))
    with pytest.raises(NetworkError):
        worst_jump(network, output=1)
    for wrong in ({"gap": 0}, {"gap": math.nan}, {"time_limit": -1}, {"seed": -1}):
        with pytest.raises(OptionError):
            worst_jump(network, **wrong)


@pytest.mark.parametrize("seed", [11, 28, 34])
def test_with_a_wide_gap_the_upper_bound_still_holds(seed):
    # groups that joint programs close bend down by at most the jump that is looked for more than
    rng = np.random.default_rng(seed)
    weights = [
        rng.normal(size=(8, 5)),
        np.abs(rng.normal(size=(8, 8))) * np.where(rng.random((8, 8)) < 0.12, -1, 1),
        np.abs(rng.normal(size=(1, 8))),
    ]
    network = ReluNetwork.from_layers(
        weights, [rng.normal(size=8), rng.normal(size=8) - 2, np.zeros(1)]
    )
    wide = worst_jump(network, Box(-1, 1), gap=100.0, time_limit=LIMIT)
    assert worst_jump(network, Box(-1, 1), gap=1e-6, time_limit=LIMIT).lower <= wide.upper


def test_a_bend_in_the_last_digits_of_the_slopes_is_no_zero():
    network = ReluNetwork.from_layers([[[1.0], [1.0]], [[1.0, -1e-20]]], [[5, 0], [0]])
    found = worst_jump(network, Box(-1, 1))
    check(found, network, Box(-1, 1))
    assert found.lower == pytest.approx(1e-20)
