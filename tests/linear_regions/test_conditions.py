"""Path conditions: exact values, where they are asked for, and what the command prints."""

from __future__ import annotations

import csv
import io
import json
import pickle
from fractions import Fraction
from itertools import pairwise

import fuzz
import numpy as np
import oracle
import pytest
from path_oracle import neuron_path_sums

import jensen
from jensen import Box, Everywhere, Polyhedron, ReluNetwork
from jensen.bounds.paths import exact_path_sum
from jensen.cli import main
from jensen.cli.app import app
from jensen.linear_regions.conditions import (
    condition_between,
    path_conditions,
    path_formula,
    path_terms,
)
from jensen.network.relu_network import Activation, Block


def test_some_condition_fails_iff_the_network_is_not_convex():
    for seed in range(150):
        _, network = fuzz.tiny_network(seed, max_inputs=2)
        domain = Box(-1, 1) if seed % 2 else Everywhere()
        found = path_conditions(network, domain)
        fails = any(condition.is_violated for condition in found)
        assert fails != oracle.is_convex(network, domain), seed


def test_values_are_the_sums_over_paths_and_points_lie_on_the_kink():
    rng = np.random.default_rng(2)
    weights = [rng.integers(-8, 9, s) / 4 for s in ((6, 2), (5, 6), (4, 5), (1, 4))]
    biases = [rng.integers(-8, 9, len(w)) / 8 for w in weights]
    network = ReluNetwork.from_layers(weights, biases)
    found = [c for c in path_conditions(network, Box(-2, 2)) if c.reachable]
    assert len(found) > 20
    for condition in found:
        if len(condition.neurons) > 1:
            continue
        ((block, index),) = condition.neurons
        assert condition.pattern is not None
        assert condition.value == neuron_path_sums(network, block, condition.pattern)[0][index]
        assert condition.point is not None
        z = network.exact_pre_activations(condition.point)[block]
        assert z.integers[index] == 0


def test_the_verdict_hands_out_its_conditions_also_after_pickling():
    net = ReluNetwork.from_layers([[[1.0], [1.0]], [[1.0, -3.0]]], [[0, -1], [0]])
    verdict = jensen.verify(net, Box(-2, 2))
    for held in (verdict, pickle.loads(pickle.dumps(verdict))):
        assert [c.value for c in held.conditions] == [-3, 1]
        assert held.conditions[0].point == (Fraction(1),)
    two = ReluNetwork.from_layers([[[1.0], [1.0]], [[1.0, -3.0], [1.0, 1.0]]], [[0, -1], [0, 0]])
    assert len(jensen.verify(two, Box(-2, 2)).conditions) == 4


@pytest.mark.parametrize("seed", range(8))
def test_of_many_inputs_the_condition_that_fails_at_the_counterexample_comes_first(seed):
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=s) for s in ((6, 4), (5, 6), (1, 5))]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])
    verdict = jensen.verify(network, Box(-1, 1), concave=bool(seed % 2))
    sign = -1 if seed % 2 else 1
    broken, *others = verdict.conditions
    assert broken.is_violated
    # one bound per neuron, beside the conditions that were met
    assert sum(condition.pattern is None for condition in others) == network.relu_count
    ((block, index),) = broken.neurons
    pair = verdict.counterexample
    for low, v, high in zip(pair.x, broken.point, pair.y, strict=True):
        assert min(low, high) <= v <= max(low, high)
    assert network.exact_pre_activations(broken.point)[block].integers[index] == 0
    path_sum = neuron_path_sums(network, block, network.activation_pattern(broken.point))[0][index]
    assert broken.value == sign * path_sum


def test_where_several_kinks_meet_none_of_them_is_blamed():
    # -relu(x) twice: both bend at 0, and J of one alone is half of the truth
    network = ReluNetwork.from_layers([np.eye(3)[[0, 0]], [[-1.0, -1.0]]], [[0, 0], [0]])
    pair = jensen.verify(network, Box(-1, 1)).counterexample
    assert condition_between(network, pair) is None


def test_the_terms_of_a_condition_are_its_layer_paths():
    blocks = [
        Block("a", {"input": np.ones((1, 1))}, np.zeros(1)),
        Block("b", {"a": np.ones((1, 1))}, np.ones(1)),
        Block("output", {"a": np.ones((1, 1)), "b": -np.full((1, 1), 3.0)}, np.zeros(1),
              Activation.IDENTITY),
    ]  # fmt: skip
    network = ReluNetwork(1, blocks)
    (condition,) = [c for c in path_conditions(network, Box(-1, 1)) if c.is_violated]
    assert condition.value == -2
    terms = path_terms(network, condition)
    assert terms == "J[a[0]] = -3 (a, b, output) + 1 (a, output)"
    assert path_terms(network, condition, 1) == "J[a[0]] = -3 (a, b, output) + ..."


def test_of_many_inputs_the_least_sums_are_listed_with_what_the_proof_says():
    rng = np.random.default_rng(3)
    weights = [rng.normal(size=(5, 4)), np.abs(rng.normal(size=(1, 5)))]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=5), [0.0]])
    found = jensen.verify(network, Box(-1, 1)).conditions
    bounds = [c for c in found if c.pattern is None]
    assert len(bounds) == 5
    assert all(c.reachable is None and c.point is None and c.value >= 0 for c in bounds)
    assert {c.reason for c in found} == {"sign"}


def slice_of_a_cube(inputs: int) -> Polyhedron:
    """Return the points of the cube [-1, 1] whose sum is 0."""
    total = np.ones((1, inputs))
    rows = np.concatenate([np.eye(inputs), -np.eye(inputs), total, -total])
    return Polyhedron(rows, [*np.ones(2 * inputs), 0.0, 0.0])


@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere(), slice_of_a_cube(5)])
@pytest.mark.parametrize("convex", [True, False])
def test_of_many_inputs_the_least_that_is_met_is_exact(domain, convex):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        weights = [rng.normal(size=shape) for shape in ((6, 5), (6, 6), (1, 6))]
        if convex:
            weights[1:] = [np.abs(weight) for weight in weights[1:]]
        network = ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) / 2 for w in weights])
        verdict = jensen.verify(network, domain)
        found = verdict.conditions
        bound = {c.neurons[0]: c.value for c in found if c.pattern is None}
        met = [c for c in found if c.reachable]
        assert len(met) >= 6
        assert (verdict.status == "nonconvex") == any(c.is_violated for c in met)
        for condition in met:
            ((block, index),) = condition.neurons
            assert condition.value >= bound[block, index]
            assert domain.contains(condition.point)
            z = network.exact_pre_activations(condition.point)
            assert z[block].integers[index] == 0
            for name, on in condition.pattern.items():
                assert (z[name].positive() == on).all()
            path_sum = exact_path_sum(network, (block, index), condition.pattern)
            assert condition.value == path_sum


@pytest.mark.parametrize("inputs", [2, 3])
def test_on_flat_domains_kinks_are_met_without_a_counterexample_to_start_from(inputs):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        weights = [rng.normal(size=shape) for shape in ((6, inputs), (6, 6), (1, 6))]
        network = ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) / 2 for w in weights])
        domain = slice_of_a_cube(inputs)
        met = [c for c in path_conditions(network, domain) if c.reachable]
        assert met
        assert any(c.is_violated for c in met) == (not jensen.is_convex(network, domain))
        assert all(domain.contains(c.point) for c in met)


def test_twins_of_many_inputs_share_one_condition():
    # 3 relu(z) - relu(-2 z) bends by 3 - 2 per unit of z
    row = np.array([1.0, -2.0, 0.5, 3.0])
    weights = [[row, -2 * row], [[3.0, -1.0]]]
    network = ReluNetwork.from_layers(weights, [[0.25, -0.5], [0.0]])
    (condition,) = [c for c in path_conditions(network, Box(-1, 1)) if c.reachable]
    assert set(condition.neurons) == {("relu_1", 0), ("relu_1", 1)}
    assert condition.value == (1 if condition.neurons[0] == ("relu_1", 0) else Fraction(1, 2))
    assert not condition.is_violated


def test_kinks_that_only_touch_the_domain_are_asked_for_by_no_point():
    # x + y + z + w = 4 meets the box in a corner
    network = ReluNetwork.from_layers([[[1.0] * 4], [[-1.0]]], [[-4.0], [0.0]])
    found = path_conditions(network, Box(-1, 1))
    assert not any(c.reachable for c in found)
    assert jensen.verify(network, Box(-1, 1)).status == "convex"


def test_all_conditions_of_small_networks_of_three_inputs_are_listed():
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) for shape in ((4, 3), (4, 4), (1, 4))]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])
    found = path_conditions(network, Box(-1, 1))
    asked = {
        (facet.neurons, found_pattern(cells, facet))
        for cells in [jensen.regions(network, Box(-1, 1))]
        for facet in cells.facets
    }
    listed = [(c.neurons, c.pattern_text) for c in found if c.reachable]
    assert len(listed) == len(set(listed)) == len(asked)


def found_pattern(cells, facet) -> bytes:
    """The pattern behind the neuron that bends on a facet."""
    ((block, _),) = facet.neurons
    pattern = cells.cells[facet.cells[0]].pattern
    return b"" if block == "relu_2" else bytes(pattern["relu_2"])


def test_neurons_that_no_point_reaches_say_so():
    net = ReluNetwork.from_layers([[[1.0, 0.0], [0.0, 1.0]], [[-1.0, 1.0]]], [[5.0, 0.0], [0.0]])
    found = path_conditions(net, Box(-1, 1))
    assert [c.reachable for c in found] == [True, False]
    assert found[1].reason == "never changes sign inside"
    assert not any(c.is_violated for c in found)


def test_the_formula_follows_the_layer_graph(skip_network):
    assert path_formula(skip_network, "a") == ("J[a] = W[output, b] a[b] W[b, a] + W[output, a]")
    assert path_formula(skip_network, "a", most=1).endswith("+ ...")


@pytest.fixture
def skip_network() -> ReluNetwork:
    from jensen import Activation, Block  # noqa: PLC0415

    one = np.ones((1, 1))
    return ReluNetwork(
        1,
        [
            Block("a", {"input": one}, np.zeros(1)),
            Block("b", {"a": one, "input": one}, np.zeros(1)),
            Block("output", {"b": one, "a": one}, np.zeros(1), Activation.IDENTITY),
        ],
    )


def test_the_command_prints_a_table_csv_and_json(tmp_path, capsys):
    file = tmp_path / "net.npz"
    ReluNetwork.from_layers([[[1.0], [1.0]], [[1.0, -3.0]]], [[0, -1], [0]]).save(file)

    def printed(*options: str) -> str:
        assert (
            app(["conditions", str(file), "--box", "-2", "2", *options], standalone_mode=False) == 0
        )
        return capsys.readouterr().out

    table = printed()
    assert "J[relu_1] = W[output, relu_1]" in table
    assert "2 conditions, 1 fail" in table
    rows = list(csv.DictReader(io.StringIO(printed("--csv", "--violated"))))
    assert len(rows) == 1
    assert rows[0]["neurons"] == "relu_1[1]"
    assert (rows[0]["value"], rows[0]["point"], rows[0]["violated"]) == ("-3", "1", "True")
    record = json.loads(printed("--json"))
    assert [c["value"] for c in record["conditions"]] == ["-3", "1"]
    assert record["formulas"] == ["J[relu_1] = W[output, relu_1]"]


def deep(inputs):
    rng = np.random.default_rng(3)
    sizes = (inputs, 24, 24, 24, 1)
    weights = [rng.normal(size=(b, a)) for a, b in pairwise(sizes)]
    return ReluNetwork.from_layers(weights, [rng.normal(size=b) for b in sizes[1:]])


@pytest.mark.parametrize("inputs", [1, 2, 5])
@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere()], ids=str)
def test_what_is_found_in_time_is_listed_and_said_not_to_be_all(inputs, domain):
    network = deep(inputs)
    everything = path_conditions(network, domain)
    assert everything.complete
    cut = path_conditions(network, domain, time_limit=1e-9)
    assert not cut.complete
    assert len(cut) < len(everything)
    assert not pickle.loads(pickle.dumps(cut)).complete
    known = {(c.neurons, c.pattern_text): c.value for c in everything}
    for seconds in (0.05, 0.2):
        for condition in path_conditions(network, domain, time_limit=seconds):
            if condition.reachable and inputs < 3:
                found = known[condition.neurons, condition.pattern_text]
                assert condition.value == found


def test_a_polyhedron_that_is_not_known_in_time_has_no_conditions():
    rows = np.vstack([np.eye(4), -np.eye(4)])
    found = path_conditions(deep(4), jensen.Polyhedron(rows, np.ones(8)), time_limit=1e-9)
    assert not found.complete
    assert found == ()


def test_the_command_says_that_time_was_up(tmp_path, capsys):
    path = tmp_path / "deep.npz"
    deep(5).save(path)
    words = ["conditions", str(path), "--box", "-1", "1"]
    assert main([*words, "--time-limit", "1e-9", "--json"]) == 3
    shown = capsys.readouterr()
    assert json.loads(shown.out)["complete"] is False
    assert "time was up" in shown.err
    assert main([*words, "--time-limit", "0"]) == 2
    assert main([*words, "--time-limit", "600", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["complete"] is True


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "10"])
def test_a_time_limit_that_is_none_is_refused(seconds):
    with pytest.raises(jensen.OptionError, match="time limit"):
        path_conditions(deep(1), Box(-1, 1), time_limit=seconds)
