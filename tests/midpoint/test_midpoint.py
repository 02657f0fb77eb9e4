"""``worst_pair``: proved from both sides, equal to brute force on tiny networks."""

from fractions import Fraction

import numpy as np
import pytest
from midpoint_oracle import tiny_network, worst_in_one_dimension, worst_over_regions

import jensen
from jensen.domains.domain import Box
from jensen.errors import NetworkError, OptionError, SolverError
from jensen.groups.prepared import prepare
from jensen.groups.twin_groups import twin_groups
from jensen.midpoint.worst_pair import ENGINES, exact_violation, round_down, worst_pair
from jensen.network.relu_network import Block, ReluNetwork


def check(network, box, found):
    """Whatever was found must hold exactly, and the bounds must be in order."""
    assert box.contains(found.x)
    assert box.contains(found.y)
    assert found.exact_lower == exact_violation(network, found.x, found.y)
    assert Fraction(found.lower) <= found.exact_lower
    assert found.upper >= found.lower


@pytest.mark.parametrize("block", range(10))
def test_the_optimum_equals_brute_force_in_one_dimension(block):
    for seed in range(30 * block, 30 * block + 30):
        network = tiny_network(seed)
        box = Box(-1, 2)
        expected = worst_in_one_dimension(network, -1, 2)
        found = worst_pair(network, box, gap=1e-6)
        check(network, box, found)
        slack = 1e-5 * max(1.0, float(expected))
        assert found.upper >= float(expected) - slack, seed
        assert found.upper <= float(expected) + slack, seed
        assert found.lower <= float(expected) <= found.lower + slack, seed


@pytest.mark.parametrize("seed", range(0, 64, 7))
def test_the_tree_and_the_program_agree(seed):
    network = tiny_network(seed, 2)
    tree, milp = (worst_pair(network, Box(-1, 2), engine=e, gap=1e-5) for e in ENGINES)
    slack = 2e-5 * (1 + milp.upper)
    assert tree.tolerance is None
    assert milp.tolerance is not None
    assert tree.lower <= milp.upper + slack
    assert milp.lower <= tree.upper
    assert tree.upper - milp.lower <= slack


def test_twins_share_their_branches():
    # |u| twice, passed through a signed signal: eight neurons, one hyperplane
    rows = np.array([[1.0, 2.0], [-1.0, -2.0], [2.0, 4.0], [-0.5, -1.0]])
    network = ReluNetwork.from_layers(
        [rows, [[1.0, 1.0, 0.0, 1.0], [0.0, 1.0, -1.0, 0.0]], [[-1.0, 1.0]]],
        [np.zeros(4), [0.1, 0.2], [0.0]],
    )
    groups = twin_groups(prepare(network, Box(-1, 1)))
    assert [len(group) for group in groups] == [4]
    found = worst_pair(network, Box(-1, 1), gap=1e-6)
    program = worst_pair(network, Box(-1, 1), gap=1e-6, engine="milp")
    assert found.lower == pytest.approx(program.lower, abs=1e-5)
    assert found.upper == pytest.approx(program.upper, abs=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_the_optimum_equals_brute_force_over_triples_of_regions(seed):
    network = tiny_network(seed, 2, [2, 2])
    box = Box([-1, -1], [1, 2])
    expected = worst_over_regions(network, *box.bounds(2))
    found = worst_pair(network, box, gap=1e-6)
    check(network, box, found)
    assert found.lower == pytest.approx(expected, abs=1e-5)
    assert found.upper == pytest.approx(expected, abs=1e-5)


def test_a_side_of_zero_width_is_fine():
    network = ReluNetwork.from_layers([[[1.0, 1.0], [1.0, -1.0]], [[-1.0, -1.0]]], [[0, 0], [0]])
    found = worst_pair(network, Box([-1, 0.5], [1, 0.5]))
    assert found.x[1] == found.y[1] == Fraction(1, 2)
    assert found.upper == pytest.approx(found.lower, abs=1e-5)
    assert worst_pair(network, Box(0.5, 0.5)).lower == 0


def test_each_output_has_its_own_violation():
    network = ReluNetwork.from_layers([[[1.0]], [[1.0], [-2.0]]], [[0], [0, 0]])
    assert worst_pair(network, Box(-1, 1), output=0).upper == pytest.approx(0, abs=1e-6)
    assert worst_pair(network, Box(-1, 1), output=1).lower == pytest.approx(1)
    with pytest.raises(NetworkError, match="output 2"):
        worst_pair(network, Box(-1, 1), output=2)


def test_an_affine_network_has_no_violation():
    network = ReluNetwork(1, [Block("output", {"input": np.ones((1, 1))}, np.ones(1), "identity")])
    found = worst_pair(network, Box(-1, 1))
    assert found.lower == 0
    assert found.upper == pytest.approx(0, abs=1e-9)


def test_a_time_limit_returns_true_bounds():
    network = tiny_network(8, 6, [12, 12])
    box = Box(-1, 1)
    found = worst_pair(network, box, time_limit=0.3)
    check(network, box, found)
    assert np.isfinite(found.upper)


def test_a_gap_of_zero_is_refused():
    with pytest.raises(OptionError, match="gap"):
        worst_pair(tiny_network(0), Box(-1, 1), gap=0)


def test_threads_change_nothing_but_the_time():
    network = tiny_network(8, 4, [8, 8])
    box = Box(-1.0, 1.0)
    first, again = (worst_pair(network, box, gap=0.01, threads=2) for _ in range(2))
    assert (first.lower, first.upper, first.nodes) == (again.lower, again.upper, again.nodes)
    alone = worst_pair(network, box, gap=0.01, threads=1)
    assert max(first.lower, alone.lower) <= min(first.upper, alone.upper)
    assert first.lower == pytest.approx(alone.lower, rel=0.01)
    with pytest.raises(OptionError, match="threads 0"):
        worst_pair(network, box, threads=0)


def test_rounding_down_never_rounds_up():
    for value in (Fraction(1, 3), Fraction(2, 3), Fraction(1, 10), Fraction(0), Fraction(1, 2)):
        assert Fraction(round_down(value)) <= value


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e-120, 1e120])
def test_bounds_hold_at_the_ends_of_the_range_of_doubles(scale):
    weights = [[[scale, 0.0], [scale, scale]], [[scale, -scale]]]
    network = ReluNetwork.from_layers(weights, [[0.0, -scale], [0.0]])
    box = Box(-1, 2)
    pair = jensen.verify(network, box).counterexample
    assert pair is not None
    found = jensen.worst_violation(network, box)
    check(network, box, found)
    assert found.exact_lower > 0
    assert Fraction(found.upper) >= max(found.exact_lower, exact_violation(network, pair.x, pair.y))


def test_values_beyond_doubles_are_told():
    huge = [[[1e200, 1e200]], [[1e200]]]
    network = ReluNetwork.from_layers(huge, [[0.0], [0.0]])
    with pytest.raises(SolverError, match="range of doubles"):
        worst_pair(network, Box(-1, 1))
