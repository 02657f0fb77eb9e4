"""The canonical network: evaluation two ways, structure, identity, and every refusal."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from strategies import networks

import jensen
from jensen.errors import JensenError, NetworkError
from jensen.network.order import path_count
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork

IDENTITY = Activation.IDENTITY

#   input --> a --> b --> output
#     |       |           ^  ^
#     |       +-----------+  |
#     +----------------------+


def diamond() -> ReluNetwork:
    return ReluNetwork(
        2,
        [
            Block("a", {INPUT: np.array([[1.0, -1.0], [0.5, 2.0]])}, np.array([0.25, -1.0])),
            Block("b", {"a": np.array([[1.0, -3.0]])}, np.array([0.5])),
            Block(
                OUTPUT,
                {
                    "a": np.array([[1.0, 0.0]]),
                    "b": np.array([[-2.0]]),
                    INPUT: np.array([[0.0, 4.0]]),
                },
                np.array([7.0]),
                IDENTITY,
            ),
        ],
    )


def by_hand(x0: Fraction, x1: Fraction) -> Fraction:
    a0 = max(x0 - x1 + Fraction(1, 4), Fraction(0))
    a1 = max(x0 / 2 + 2 * x1 - 1, Fraction(0))
    b = max(a0 - 3 * a1 + Fraction(1, 2), Fraction(0))
    return a0 - 2 * b + 4 * x1 + 7


# ---------------------------------------------------------------------------- evaluation


@given(st.fractions(-10, 10), st.fractions(-10, 10))
def test_exact_evaluation_is_the_formula(x0, x1):
    assert diamond().exact([x0, x1]) == (by_hand(x0, x1),)


@given(networks(outputs=2, affine=True), st.integers(0, 1000), st.integers(1, 4))
def test_exact_values_of_several_points_are_those_of_each(network, seed, count):
    numbers = np.random.default_rng(seed).integers(-9, 10, (2, count, network.input_size))
    points = [
        [Fraction(int(a), 1 + abs(int(b))) for a, b in zip(*pair, strict=True)]
        for pair in zip(*numbers, strict=True)
    ]
    one_by_one = [network.exact(point) for point in points]
    assert network.exact_at(points) == one_by_one
    sparse = ReluNetwork(
        network.input_size,
        [
            Block(b.name, {k: sp.csr_array(w) for k, w in b.weights.items()}, b.bias, b.activation)
            for b in network.blocks
        ],
    )
    assert sparse.exact_at(points) == one_by_one


def test_exact_values_of_several_points_where_layers_are_wide():
    rng = np.random.default_rng(0)
    network = ReluNetwork.from_layers(
        [rng.normal(size=(100, 2)), rng.normal(size=(1, 100))], [np.zeros(100), np.zeros(1)]
    )
    points = [[Fraction(1, 3), Fraction(-2)], [Fraction(5), Fraction(0)]]
    assert network.exact_at(points) == [network.exact(point) for point in points]


@given(networks(outputs=2, affine=True), st.integers(0, 1000))
def test_float_evaluation_agrees_with_exact_evaluation(network, seed):
    X = np.random.default_rng(seed).integers(-8, 9, (3, network.input_size)) / 4.0
    values = network(X)
    assert values.shape == (3, 2)
    for x, row in zip(X, values, strict=True):
        exact = np.array([float(v) for v in network.exact(x)])
        assert row == pytest.approx(exact, rel=1e-9, abs=1e-9 * (1 + np.abs(values).max()))


@given(networks(outputs=2, affine=True), st.integers(0, 1000))
def test_the_affine_form_under_the_pattern_of_a_point_gives_its_value(network, seed):
    x = np.random.default_rng(seed).integers(-8, 9, network.input_size) / 4.0
    A, c = network.affine_form(network.activation_pattern(x))
    exact = [float(v) for v in network.exact(x)]
    scale = 1 + np.abs(A).sum() * 2 + np.abs(c).max()
    assert A @ x + c == pytest.approx(exact, rel=1e-9, abs=1e-9 * scale)


def test_a_neuron_at_exactly_zero_is_off_in_the_pattern():
    network = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
    assert network.activation_pattern([0])["relu_1"].tolist() == [False, False]
    assert network.activation_pattern([Fraction(1, 10**400)])["relu_1"].tolist() == [True, False]


def test_points_of_any_tensor_shape_are_flattened():
    network = ReluNetwork.from_layers([np.ones((1, 6)), [[1.0]]], [[0.0], [0.0]])
    assert network(np.ones((4, 2, 3))).tolist() == [[6.0]] * 4


def test_sparse_weights_evaluate_like_dense_ones():
    dense = diamond()
    blocks = [
        Block(b.name, {s: sp.csr_array(w) for s, w in b.weights.items()}, b.bias, b.activation)
        for b in dense.blocks
    ]
    network = ReluNetwork(2, blocks)
    X = np.random.default_rng(0).normal(size=(20, 2))
    assert network(X) == pytest.approx(dense(X))
    assert network.exact([1, 2]) == dense.exact([1, 2])
    assert network.digest == dense.digest
    assert network.parameter_count < dense.parameter_count


def test_points_of_the_wrong_dimension_are_refused():
    with pytest.raises(NetworkError, match=r"need \(n, 2\)"):
        diamond()([[1.0, 2.0, 3.0]])
    with pytest.raises(NetworkError, match="need 2"):
        diamond().exact([1])


def test_a_pattern_without_a_block_is_refused():
    with pytest.raises(NetworkError, match="no entry for block 'b'"):
        diamond().affine_form({"a": np.array([True, True])})


# ----------------------------------------------------------------------------- structure


def test_blocks_come_in_topological_order_whatever_order_they_are_given_in():
    network = ReluNetwork(2, reversed(diamond().blocks))
    assert [block.name for block in network.blocks] == ["a", "b", OUTPUT]


def test_the_layer_graph_carries_the_matrices_and_is_frozen():
    network = diamond()
    assert set(network.graph.edges) == {
        (INPUT, "a"),
        ("a", "b"),
        ("a", OUTPUT),
        ("b", OUTPUT),
        (INPUT, OUTPUT),
    }
    assert network.graph.edges["a", "b"]["weight"] is network["b"].weights["a"]
    with pytest.raises(Exception, match="Frozen"):
        network.graph.add_edge("b", "a")


def test_paths_are_counted_without_walking_them():
    one = np.ones((1, 1))
    blocks, before = [], ["input"]
    for k in range(60):
        blocks.append(Block(f"b{k}", dict.fromkeys(before[-2:], one), np.zeros(1)))
        before.append(f"b{k}")
    blocks.append(Block(OUTPUT, {"b59": one}, np.zeros(1), "identity"))
    network = ReluNetwork(1, blocks)
    a, b = 1, 1
    for _ in range(59):
        a, b = b, a + b
    assert path_count(network.graph, INPUT) == b
    assert next(network.layer_paths(INPUT))[-1] == OUTPUT


def test_layer_paths_are_all_ways_to_the_output():
    network = diamond()
    assert set(network.layer_paths("a")) == {("a", OUTPUT), ("a", "b", OUTPUT)}
    assert len(list(network.layer_paths(INPUT))) == 3
    for name in network.graph:
        assert path_count(network.graph, name) == len(list(network.layer_paths(name)))
    with pytest.raises(NetworkError, match="no block 'c'"):
        network.layer_paths("c")


def test_counts_and_sizes():
    network = diamond()
    assert (network.relu_count, network.output_size, network.size_of(INPUT)) == (3, 1, 2)
    assert network.successors["a"] == ("b", OUTPUT)
    assert network.parameter_count == 4 + 2 + 2 + 1 + 2 + 1 + 2 + 1


def test_nothing_in_a_network_can_be_written_to():
    weight = np.array([[1.0]])
    network = ReluNetwork.from_layers([weight, [[1.0]]], [[0.0], [0.0]])
    weight[0, 0] = 5.0
    assert network["relu_1"].weights[INPUT][0, 0] == 1.0
    for array in (network["relu_1"].weights[INPUT], network.output.bias):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 2.0
    with pytest.raises(AttributeError):
        network.input_size = 3


def test_selecting_an_output_drops_the_blocks_it_does_not_read():
    network = ReluNetwork(
        1,
        [
            Block("left", {INPUT: np.array([[1.0]])}, np.zeros(1)),
            Block("right", {INPUT: np.array([[-1.0]])}, np.zeros(1)),
            Block(
                OUTPUT,
                {"left": np.array([[2.0], [0.0]]), "right": np.array([[0.0], [3.0]])},
                np.zeros(2),
                IDENTITY,
            ),
        ],
    )
    both = network.exact([Fraction(-2)])
    assert [network.select_output(k).exact([Fraction(-2)])[0] for k in (0, 1)] == list(both)
    with pytest.raises(NetworkError, match="output 2"):
        network.select_output(2)


def test_the_negative_network_is_minus_f():
    assert diamond().negated().exact([3, -1]) == (-diamond().exact([3, -1])[0],)


# ------------------------------------------------------------------------------ identity


def test_the_digest_sees_every_weight_and_not_the_sign_of_zero():
    base = diamond()
    changed = {INPUT: base["a"].weights[INPUT] + np.array([[0, 0], [0, 2**-50]])}
    other = ReluNetwork(2, [Block("a", changed, base["a"].bias), *base.blocks[1:]])
    assert other.digest != base.digest
    minus_zero = {INPUT: np.array([[1.0, 0.0]])}, {INPUT: np.array([[1.0, -0.0]])}
    nets = [ReluNetwork(2, [Block(OUTPUT, w, np.zeros(1), IDENTITY)]) for w in minus_zero]
    assert nets[0].digest == nets[1].digest


@given(networks(outputs=2, affine=True))
def test_saving_and_loading_keeps_every_bit(network):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.npz"
        network.save(path)
        again = jensen.load(path)
    assert again.digest == network.digest


# ------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("value", "where"), [(np.nan, "weight"), (np.inf, "weight"), (np.nan, "bias")]
)
def test_numbers_that_are_not_finite_are_refused_by_block(value, where):
    weight = [[value if where == "weight" else 1.0]]
    bias = [value if where == "bias" else 0.0]
    with pytest.raises(NetworkError, match=f"block 'relu_1'.*{where}.*NaN or infinity"):
        ReluNetwork.from_layers([weight, [[1.0]]], [bias, [0.0]])


def output_of(source: str, columns: int = 1) -> Block:
    return Block(OUTPUT, {source: np.ones((1, columns))}, np.zeros(1), IDENTITY)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([Block("a", {INPUT: np.ones((1, 1))}, np.zeros(1))], "must be called 'output'"),
        ([Block(OUTPUT, {INPUT: np.ones((1, 1))}, np.zeros(1))], "must be called 'output'"),
        (
            [Block("a", {INPUT: np.ones((1, 1))}, np.zeros(1)), output_of("a", 2)],
            r"shape \(1, 2\), needed is \(1, 1\)",
        ),
        ([output_of("ghost")], "reads 'ghost', which does not exist"),
        (
            [Block("a", {INPUT: np.ones((0, 1))}, np.zeros(0)), output_of(INPUT)],
            "zero neurons",
        ),
        ([Block(OUTPUT, {}, np.zeros(1), IDENTITY)], "no predecessor"),
        (
            [
                Block("a", {INPUT: np.ones((1, 1)), "b": np.ones((1, 1))}, np.zeros(1)),
                Block("b", {"a": np.ones((1, 1))}, np.zeros(1)),
                output_of("b"),
            ],
            "cycle",
        ),
        (
            [Block("a", {INPUT: np.ones((1, 1))}, np.zeros(1)), output_of(INPUT)],
            "'a' is unreachable: no path to the output",
        ),
        (
            [
                Block("a", {INPUT: np.ones((1, 1))}, np.zeros(1)),
                Block("a", {INPUT: np.ones((1, 1))}, np.zeros(1)),
                output_of("a"),
            ],
            "unique",
        ),
        (
            [
                output_of(INPUT),
                Block("a", {OUTPUT: np.ones((1, 1))}, np.zeros(1)),
            ],
            "unreachable|must not feed",
        ),
        (
            [Block("a", {INPUT: np.ones(1)}, np.zeros(1)), output_of("a")],
            "a matrix",
        ),
        (
            [Block("a", {INPUT: [["x"]]}, np.zeros(1)), output_of("a")],
            "not a matrix of numbers",
        ),
    ],
)
def test_networks_that_are_no_relu_dag_are_refused_with_the_reason(blocks, message):
    with pytest.raises(NetworkError, match=message) as caught:
        ReluNetwork(1, blocks)
    assert isinstance(caught.value, JensenError)
    assert "\n" not in str(caught.value)


def test_a_network_without_inputs_is_refused():
    with pytest.raises(NetworkError, match="0 inputs"):
        ReluNetwork(0, [output_of(INPUT)])


def test_weights_and_biases_of_different_number_are_refused():
    with pytest.raises(NetworkError, match="2 weight matrices, 1 biases"):
        ReluNetwork.from_layers([[[1.0]], [[1.0]]], [[0.0]])


def test_an_input_shape_of_another_size_is_refused():
    with pytest.raises(NetworkError, match="does not hold 1"):
        ReluNetwork(1, [output_of(INPUT)], input_shape=(2, 2))


def test_ten_thousand_blocks_are_checked_at_once():
    one = np.ones((1, 1))
    names = [INPUT, *(f"relu_{i}" for i in range(10_000))]
    blocks = [Block(b, {a: one}, np.zeros(1)) for a, b in pairwise(names)]
    last = Block(OUTPUT, {names[-1]: one}, np.zeros(1), Activation.IDENTITY)
    network = ReluNetwork(1, [last, *reversed(blocks)])
    assert [block.name for block in network.hidden] == names[1:]


@pytest.mark.parametrize("shape", [(-2, -1), (0,), (2, 1, 2)])
def test_a_shape_of_other_or_impossible_sizes_is_refused(shape):
    with pytest.raises(NetworkError, match="does not hold 2 numbers"):
        ReluNetwork(
            2,
            [Block(OUTPUT, {INPUT: np.ones((1, 2))}, np.zeros(1), Activation.IDENTITY)],
            input_shape=shape,
        )


@pytest.mark.parametrize("width", [1, 3, 400])
def test_many_points_have_the_values_of_each(width):
    rng = np.random.default_rng(width)
    blocks = [
        Block("first", {"input": rng.normal(size=(width, 2))}, rng.normal(size=width)),
        Block("second", {"first": sp.csr_array(rng.normal(size=(3, width)))}, np.zeros(3)),
        Block(
            "output",
            {"second": rng.normal(size=(2, 3)), "input": np.eye(2), "first": np.ones((2, width))},
            rng.normal(size=2),
            Activation.IDENTITY,
        ),
    ]
    network = ReluNetwork(2, blocks)
    points = rng.normal(size=(20_000 // width + 70, 2))
    values = network(points)
    assert values.shape == (len(points), 2)
    few = rng.choice(len(points), 5)
    np.testing.assert_allclose(values[few], [network(points[i]) for i in few], rtol=1e-12)
    np.testing.assert_allclose(values, network.pre_activations(points)["output"], rtol=1e-12)
    assert network(points[:0]).shape == (0, 2)
