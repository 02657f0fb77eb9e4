"""Random lines: what they find is exact and inside, and they keep to their limits."""

from __future__ import annotations

import dataclasses
import time
from fractions import Fraction

import numpy as np
import oracle
import pytest
import scipy.sparse as sp
from fuzz import tiny_network
from question_domains import domains_of

from jensen.bounds.paths import exact_path_sum
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.groups.prepared import prepare
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork
from jensen.prover.lines.glimpse import Glimpse
from jensen.prover.lines.line_search import NARROW, LineSearch, middle_distance
from jensen.prover.question import Question
from jensen.prover.refute import (
    first_lines,
    lines_before_bounds,
    lines_before_walks,
    lines_for_sinking,
    may_sink,
    random_lines,
)
from jensen.verdicts.options import Options
from jensen.verdicts.verdict import Status
from jensen_encodings.deadline import Deadline

ROUNDS = (8, 96, 96, 96)


def search_lines(network, domain, **options):
    """Return what all rounds find."""
    search = LineSearch(network, domain, **options)
    return next((pair for count in ROUNDS if (pair := search.look(count)) is not None), None)


TENT = ReluNetwork.from_layers([[[1.0, 0.0]], [[-1.0]]], [[-0.25], [0.0]])  # -relu(x - 1/4)


@pytest.mark.parametrize("count", range(1, 8))
def test_the_middle_distance_is_the_median_of_those_that_are_numbers(count):
    rng = np.random.default_rng(count)
    offsets, norms = rng.exponential(size=(2, count))
    assert middle_distance(offsets, norms) == np.median(offsets / norms)
    unusable = np.array([np.nan, np.inf, 0.0, 1.0]), np.array([1.0, 1.0, 1.0, 0.0])
    both = [np.append(*parts) for parts in zip((offsets, norms), unusable, strict=True)]
    assert middle_distance(*both) == np.median(offsets / norms)
    assert middle_distance(*unusable) == 1.0


def test_what_is_found_is_a_violation_inside_the_domain():
    found = missed = 0
    for seed in range(150):
        network = tiny_network(seed)[1]
        for domain in domains_of(seed, network):
            pair = search_lines(network, domain, seed=seed)
            try:
                convex = oracle.is_convex(network, domain)
            except ValueError:
                continue
            if pair is None:
                missed += not convex
                continue
            found += 1
            assert not convex, (seed, domain)
            assert domain.contains(pair.x)
            assert domain.contains(pair.y)
            ends = network.exact(pair.x)[0] + network.exact(pair.y)[0]
            assert network.exact(pair.midpoint)[0] - ends / 2 == pair.violation > 0
    # most random networks need no solver
    assert found > 20 * missed


@pytest.mark.parametrize(
    "domain",
    [
        Everywhere(),
        Box(-1, 1),
        Box([0.2, 3.0], [0.3, 3.0]),
        Box([-1e300, 0.0], [1e300, 1.0]),
        Box([0.25 - 2.0**-40, 0.0], [0.25 + 2.0**-40, 0.0]),
        Polyhedron([[1.0, 0.0], [-1.0, 0.0]], [0.3, -0.2]),
        Polyhedron([[-1.0, 0.0]], [-0.2]),
        Polyhedron(np.empty((0, 2)), []),
    ],
)
def test_a_kink_that_splits_the_domain_is_met(domain):
    assert search_lines(TENT, domain) is not None


@pytest.mark.parametrize("domain", [Box(0.25, 1), Box(0.25, 0.25), Box([1.0, 0.0], [1.0, 9.0])])
def test_nothing_is_found_where_nothing_is(domain):
    assert search_lines(TENT, domain) is None
    assert search_lines(TENT.negated(), Box(-1, 1)) is None


def test_lines_vary_the_chosen_inputs_only():
    assert search_lines(TENT, Box(-1, 1), inputs=(1,)) is None
    bowl = ReluNetwork.from_layers([np.eye(2), [[1.0, -1.0]]], [[0.0, 0.0], [0.0]])
    pair = search_lines(bowl, Box(-1, 1), inputs=(1,))
    assert pair is not None
    assert pair.x[0] == pair.y[0]
    assert search_lines(bowl, Box(-1, 1), inputs=(0,)) is None
    assert search_lines(bowl, Everywhere(), inputs=(0,)) is None


def test_the_same_seed_finds_the_same_pair():
    first, second = (search_lines(TENT, Everywhere(), seed=3) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.x == second.x
    assert first.y == second.y


def test_in_parts_the_same_lines_are_met():
    found = 0
    for seed in range(120):
        network = cut_corner(3, 2)
        whole, parts = (LineSearch(network, Box(-1, 1), seed=seed) for _ in range(2))
        pair = whole.look(8)
        assert pair == parts.look(8)
        if pair is None:
            pair = whole.look(96)
            assert (pair is None) is (parts.look(24) is None and parts.look(72) is None)
            found += pair is not None
            assert whole.drawn == 104
            # a round further both draw the same
            if pair is None:
                assert whole.look(96) == parts.look(96)
    assert found > 10


def test_a_deadline_in_the_past_ends_it():
    assert search_lines(TENT, Box(-1, 1), deadline=Deadline(time.monotonic() - 1)) is None
    assert search_lines(TENT, Box(-1, 1), deadline=Deadline.after(60)) is not None


def test_no_rounding_error_is_taken_for_a_violation():
    """Linear functions of large slopes, and convex ones far from the origin."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        slope = rng.normal(size=(1, 3)) * 1e9
        network = ReluNetwork.from_layers(
            [np.vstack([slope, -slope]), [[1.0, -1.0]]], [[1e9, -1e9], [0.0]]
        )
        for domain in (Box(-1, 1), Box(1e6, 1e6 + 1), Everywhere()):
            assert search_lines(network, domain, seed=seed) is None


def test_values_beyond_the_doubles_on_some_lines_do_not_hide_the_others():
    """f is infinite in doubles on most of the box, and bends down near the origin."""
    steep = ReluNetwork(
        1,
        [
            Block("a", {INPUT: [[1.0], [1e200]]}, [-0.25, -1e250]),
            Block("b", {"a": [[0.0, 1e200]]}, [0.0]),
            Block(OUTPUT, {"a": [[-1.0, 0.0]], "b": [[1.0]]}, [0.0], Activation.IDENTITY),
        ],
    )
    with np.errstate(over="ignore", invalid="ignore"):
        assert search_lines(steep, Box(-1, 1)) is not None


def test_sparse_first_layers_stay_sparse(monkeypatch):
    dense = np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    blocks = [
        Block("a", {INPUT: sp.csr_array(dense)}, np.array([0.5, 0.5, -0.5])),
        Block(OUTPUT, {"a": np.array([[1.0, 1.0, -1.0]])}, np.zeros(1), Activation.IDENTITY),
    ]
    network = ReluNetwork(3, blocks)
    monkeypatch.setattr(sp.csr_array, "toarray", lambda self: pytest.fail("made dense"))
    assert search_lines(network, Everywhere()) is not None


def cut_corner(inputs, levels, scale=1.0, *, sinks=False):
    """All levels but the first pass two numbers on; f bends down across one corner of the box.

    The output weight of what bends down is negative, or one more neuron that is always on hides it.
    """
    weights = [np.stack([np.ones(inputs), -np.ones(inputs)])]
    biases = [np.array([-0.6 * inputs, 1.0])]
    for _ in range(levels - 1):
        weights.append(np.eye(2))
        biases.append(np.zeros(2))
    weights, biases = [*weights, [[-scale, scale]]], [*biases, [0.0 if sinks else 2.0 * inputs]]
    if not sinks:
        weights, biases = [*weights, [[1.0]]], [*biases, [0.0]]
    return ReluNetwork.from_layers(weights, biases)


@pytest.mark.parametrize(("inputs", "levels"), [(3, 1), (3, 2), (2, 1), (2, 3)])
def test_before_costly_walks_more_lines_are_drawn(inputs, levels):
    missed = found = 0
    network = cut_corner(inputs, levels)
    for seed in range(40):
        question = Question(prepare(network, Box(-1, 1)), Options(seed=seed))
        if first_lines(question) is None:
            missed += 1
            outcome = lines_before_walks(question)
            found += outcome is not None and outcome.status is Status.NONCONVEX
    assert found > missed / 2 > 0


@pytest.mark.parametrize(
    ("network", "options"),
    [
        (cut_corner(1, 2), Options()),
        (cut_corner(4, 3), Options()),
        (cut_corner(3, 3), Options(engine="milp")),
        (cut_corner(3, 3), Options(tolerance=1e-3)),
        (cut_corner(3, 3, scale=0.0), Options()),
    ],
)
def test_where_no_walk_is_next_or_it_costs_as_little_no_more_are_drawn(network, options):
    assert lines_before_walks(Question(prepare(network, Box(-1, 1)), options)) is None


@pytest.mark.parametrize("inputs", [2, 3, 4])
def test_where_an_output_weight_is_negative_the_same_lines_are_drawn_at_once(inputs):
    missed = found = 0
    network = cut_corner(inputs, 1, sinks=True)
    for seed in range(40):
        question = Question(prepare(network, Box(-1, 1)), Options(seed=seed))
        if first_lines(question) is None:
            missed += 1
            outcome = lines_for_sinking(question)
            found += outcome is not None and outcome.status is Status.NONCONVEX
            if outcome is None:  # and then not once more
                assert lines_before_walks(question) is lines_before_bounds(question) is None
    assert found > missed / 2 > 0


@pytest.mark.parametrize("options", [{"engine": "milp"}, {"inputs": (0,)}, {"tolerance": 1e-3}])
def test_so_they_are_by_default_alone(options):
    network = cut_corner(3, 1, sinks=True)
    question = Question(prepare(network, Box(-1, 1)), Options(**options))
    question.lines.look(8)
    assert lines_for_sinking(question) is None


def asked(network: ReluNetwork, domain: Domain) -> Question:
    """Return a question after a look at eight lines, whatever they find."""
    question = Question(prepare(network, domain), Options())
    question.lines.look(8)
    return question


def shifted(by: float, inputs: int = 2, weight: float = -1.0) -> ReluNetwork:
    """Return |x_1| + weight relu(|x_1| + by), which bends down at most in its second level."""
    first = np.zeros((2, inputs))
    first[:, 0] = 1.0, -1.0
    ones = np.ones((1, 2))
    output = {"relu_1": ones, "relu_2": np.array([[weight]])}
    blocks = [
        Block("relu_1", {INPUT: first}, np.zeros(2)),
        Block("relu_2", {"relu_1": ones}, np.array([by])),
        Block(OUTPUT, output, np.zeros(1), Activation.IDENTITY),
    ]
    return ReluNetwork(inputs, blocks)


@pytest.mark.parametrize("inputs", [2, 3, 4])
@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere()])
def test_negative_output_weights_sink_where_their_neuron_may_change_its_sign(domain, inputs):
    question = asked(shifted(-0.5, inputs), domain)
    assert may_sink(question)
    sinking = question.lines.glimpse.sinking
    assert {name: units.tolist() for name, units in sinking.items()} == {"relu_2": [True]}
    # it reads what is not negative
    assert not may_sink(asked(shifted(0.5, inputs), domain))
    assert not may_sink(asked(shifted(-0.5, inputs, weight=1.0), domain))
    assert may_sink(asked(shifted(-3.0, inputs), domain)) is isinstance(domain, Everywhere)


@pytest.mark.parametrize("inputs", [2, 3, 4])
def test_neurons_in_front_sink_where_a_negative_weight_is_met(inputs):
    """The second level reads relu(x_1) with weight -1, and is on where x_1 < 1/2."""
    first, off = np.eye(1, inputs), Box([-1.0] + [0.0] * (inputs - 1), [0.0] + [1.0] * (inputs - 1))
    network = ReluNetwork.from_layers([first, [[-1.0]], [[1.0]]], [[0], [0.5], [0]])
    assert may_sink(asked(network, Box(-1, 1)))
    assert not may_sink(asked(network, off))
    # where it is on, the other one never is
    network = ReluNetwork.from_layers([first, [[-1.0]], [[1.0]]], [[-1.0], [0.0], [0]])
    assert not may_sink(asked(network, Box(-3, 3)))


def test_wide_networks_are_not_looked_at_so():
    weights = np.ones((NARROW + 1, 2)), -np.ones((1, NARROW + 1))
    network = ReluNetwork.from_layers(weights, [np.zeros(NARROW + 1), [0.0]])
    question = asked(network, Box(-1, 1))
    assert question.lines.glimpse is None
    assert not may_sink(question)


def test_neurons_that_others_read_too_are_summed_up():
    """J of the first one is 1 from the output itself, -1 through the second while that is on."""
    blocks = [
        Block("relu_1", {"input": np.array([[1.0]])}, np.zeros(1)),
        Block("relu_2", {"relu_1": sp.csr_array([[-1.0]])}, np.ones(1)),
        Block("output", {"relu_1": np.array([[0.5]]), "relu_2": np.array([[1.0]])}, np.zeros(1),
              Activation.IDENTITY),
    ]  # fmt: skip
    network = ReluNetwork(1, blocks)
    seen = Glimpse(network, network.pre_activations(np.linspace(-2, 2, 9)[:, None]))
    assert {name: units.tolist() for name, units in seen.sinking.items()} == {"relu_1": [True]}
    assert seen.bends_down
    assert not Glimpse(network, network.pre_activations([[2.0], [3.0]])).sinking
    alone = Glimpse(network, network.pre_activations([[0.5]]))
    assert alone.sinking
    assert not alone.bends_down


def test_what_points_show_agrees_with_exact_jumps():
    for seed in range(60):
        network = tiny_network(seed)[1]
        if network.output_size > 1:
            network = network.select_output(0)
        points = np.random.default_rng(seed).integers(-8, 9, (12, network.input_size)) / 4
        seen = Glimpse(network, network.pre_activations(points))
        patterns = [network.activation_pattern(map(Fraction, x.tolist())) for x in points]
        for block in network.hidden:
            if not block.is_relu:
                continue
            down = seen.sinking.get(block.name, np.zeros(block.size, dtype=bool)).tolist()
            for unit in range(block.size):
                jumps = [exact_path_sum(network, (block.name, unit), at) for at in patterns]
                if all(abs(jump) > 1e-9 for jump in jumps):
                    assert down[unit] is (min(jumps) < 0)


def test_small_networks_of_many_inputs_draw_random_lines_before_bounds_and_not_twice():
    missed = found = 0
    for seed in range(40):
        question = Question(prepare(cut_corner(4, 2), Box(-1, 1)), Options(seed=seed))
        if first_lines(question) is None:
            missed += 1
            outcome = lines_before_bounds(question)
            found += outcome is not None and outcome.status is Status.NONCONVEX
            assert random_lines(question) is None
            assert "bounds" not in question.prepared.watch.times
    assert found > missed / 2 > 0


@pytest.mark.parametrize(
    ("inputs", "options"),
    [(4, Options(engine="milp")), (4, Options(inputs=(0, 1))), (3, Options())],
)
def test_other_questions_draw_them_later(inputs, options):
    missed = found = 0
    for seed in range(40):
        options = dataclasses.replace(options, seed=seed)
        question = Question(prepare(cut_corner(inputs, 2), Box(-1, 1)), options)
        if first_lines(question) is None:
            missed += 1
            assert lines_before_bounds(question) is None
            found += random_lines(question) is not None
    assert found > missed / 3 > 0
