"""Networks with an input-convex form get it, exactly; the others get a reason."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jensen
from jensen.icnn.analysis import analyse
from jensen.network.relu_network import Activation, Block, ReluNetwork


def assert_equal_exactly(network, other, seed=0, count=12):
    rng = np.random.default_rng(seed)
    for scale in (0.1, 1.0, 10.0):
        for point in scale * rng.normal(size=(count, network.input_size)):
            x = [Fraction(float(v)) for v in point]
            assert network.exact(x) == other.exact(x)


def convex_layer(rng, inputs=3, groups=4, grid=None):
    """Return a random convex network of one hidden layer, with twins of both signs.

    Factors and outgoing weights are short binary numbers, so that twins are exact ones and
    sums of jumps do not round below 0.
    """
    factors_of_two = [1.0, -1.0, 2.0, -0.5, 0.25, -4.0]
    rows, biases, outgoing = [], [], []
    for _ in range(groups):
        row, bias = rng.normal(size=inputs), rng.normal()
        others = factors_of_two
        if grid:
            row, bias = np.round(row * grid) / grid, np.round(bias * grid) / grid
            others = [*factors_of_two, 3.0, -5.0]
        factors = rng.choice(others, size=rng.integers(1, 4))
        factors[0] = rng.choice(factors_of_two)
        weights = np.round(rng.normal(size=len(factors)) * 2.0**20) / 2.0**20
        # the jump of the group, sum |c| w, is made non-negative by its first member
        short = -(np.abs(factors) @ weights)
        weights[0] += max(short, 0) / abs(factors[0]) * rng.choice([1.0, 1.5])
        for factor, weight in zip(factors, weights, strict=True):
            rows.append(factor * row)
            biases.append(factor * bias)
            outgoing.append(weight)
    order = rng.permutation(len(rows))
    weights = [np.array(rows)[order], np.array(outgoing)[order][None]]
    return ReluNetwork.from_layers(weights, [np.array(biases)[order], rng.normal(size=1)])


@pytest.mark.parametrize("seed", range(10))
def test_a_hundred_convex_networks_of_one_layer_are_equal_exactly(seed):
    rng = np.random.default_rng(seed)
    for number in range(100):
        network = convex_layer(rng, grid=None if number % 2 else 64)
        assert jensen.is_convex(network)
        form = jensen.to_icnn(network)
        assert jensen.is_icnn(form)
        assert form.relu_count <= network.relu_count
        assert_equal_exactly(network, form, seed=number, count=1)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([-2.0, -1.0, 0.0, 1.0, 3.0]),
            st.sampled_from([-1.0, 0.0, 1.0]),
            st.sampled_from([-3.0, -1.0, 0.0, 0.5, 1.0, 1e300, -1e-300]),
            st.sampled_from([-1.0, 0.0, 0.5, 2.0, 0.1]),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_degenerate_layers_are_equal_or_refused_rightly(neurons):
    rows = [[a, b] for a, b, _, _ in neurons]
    network = ReluNetwork.from_layers(
        [rows, [[w for *_, w in neurons]]], [[c for _, _, c, _ in neurons], [0.0]]
    )
    if not jensen.is_convex(network):
        with pytest.raises(jensen.IcnnFormError, match="it is not convex"):
            jensen.to_icnn(network)
        return
    form = jensen.to_icnn(network)
    assert jensen.is_icnn(form)
    assert_equal_exactly(network, form, count=4)


def icnn(rng, skips=True):
    first, second = rng.normal(size=(5, 2)), np.abs(rng.normal(size=(4, 5)))
    blocks = [
        Block("a", {"input": first}, rng.normal(size=5)),
        Block("b", {"a": second, "input": rng.normal(size=(4, 2))}, rng.normal(size=4)),
        Block(
            "output",
            {"b": np.abs(rng.normal(size=(1, 4)))} | ({"input": np.ones((1, 2))} if skips else {}),
            np.zeros(1),
            Activation.IDENTITY,
        ),
    ]
    return ReluNetwork(2, blocks)


def test_an_icnn_is_returned_as_it_is():
    network = icnn(np.random.default_rng(0))
    assert jensen.is_icnn(network)
    assert jensen.to_icnn(network) is network


@pytest.mark.parametrize("seed", range(5))
def test_hidden_signs_are_found(seed):
    """relu(z) = z + relu(-z): an ICNN whose neurons were turned around, z passed on by twins."""
    rng = np.random.default_rng(seed)
    whole = icnn(rng)
    a, b, out = whole["a"], whole["b"], whole["output"]
    # neuron 0 of the second layer as relu(-z) + z, z through relu(z) - relu(-z) of other rows
    weights = {s: np.vstack([-w[:1], w[:1], -w[:1], w[1:]]) for s, w in b.weights.items()}
    bias = np.concatenate([-b.bias[:1], b.bias[:1], -b.bias[:1], b.bias[1:]])
    last = out.weights["b"]
    outgoing = np.hstack([last[:, :1], last[:, :1], -last[:, :1], last[:, 1:]])
    hidden = ReluNetwork(
        2,
        [
            a,
            Block("b", weights, bias),
            Block("output", out.weights | {"b": outgoing}, out.bias, Activation.IDENTITY),
        ],
    )
    assert not jensen.is_icnn(hidden)
    form = jensen.to_icnn(hidden)
    assert jensen.is_icnn(form)
    assert form.relu_count == whole.relu_count
    assert_equal_exactly(hidden, form)
    assert_equal_exactly(whole, form)


def test_a_tournament_of_two_is_turned_into_its_form():
    # max(a, b) = b + relu(a - b), with b passed on as relu(b) - relu(-b)
    network = ReluNetwork.from_layers(
        [[[1.0, -1.0], [0.0, 1.0], [0.0, -1.0]], [[1.0, 1.0, -1.0]]], [[0, 0, 0], [0]]
    )
    form = jensen.to_icnn(network)
    assert form.relu_count == 1
    np.testing.assert_array_equal(form([[3.0, -2.0], [1.0, 4.0]]), [[3.0], [4.0]])


def test_twins_by_a_factor_of_three_stay_exact():
    # the first row is a third of the second one: 1/3 is no double
    network = ReluNetwork.from_layers(
        [[[3.0, 3.0], [1.0, 1.0], [-1.0, -1.0]], [[0.1, 0.7, -0.3]]], [[3.0, 1.0, -1.0], [0.1]]
    )
    form = jensen.to_icnn(network)
    assert form.relu_count == 1
    assert_equal_exactly(network, form)


def test_sums_that_no_double_holds_are_read_through_a_repeated_layer():
    tiny = 2.0**-70
    network = ReluNetwork.from_layers(
        [[[1.0], [1.0], [-1.0]], [[1.0, tiny, -0.5]]], [[1.0, 1.0, -1.0], [0.0]]
    )
    form = jensen.to_icnn(network)
    assert jensen.is_icnn(form)
    assert any(not block.is_relu for block in form.hidden)
    assert_equal_exactly(network, form)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            ReluNetwork.from_layers([[[1.0]], [[-1.0]]], [[0.0], [0.0]]),
            r"relu_1\[0\] bends the output down.*not convex",
        ),
        (
            ReluNetwork.from_layers(
                [[[1.0, 0], [0, 1]], [[1.0, -1.0]], [[1.0]]], [[0, 0], [0], [0]]
            ),
            r"relu_2\[0\] reads relu_1\[0\] with a positive weight and relu_1\[1\]",
        ),
        (
            ReluNetwork.from_layers([[[1.0]], [[-1.0]], [[1.0]]], [[0.0], [1.0], [0.0]]),
            r"relu_1\[0\] bends the output down.*no input-convex form of this kind",
        ),
    ],
)
def test_networks_without_such_a_form_get_a_reason(network, message):
    assert not jensen.is_icnn(network)
    with pytest.raises(jensen.IcnnFormError, match=message):
        jensen.to_icnn(network)


def test_several_outputs_have_to_be_picked():
    network = ReluNetwork.from_layers([[[1.0]], [[1.0], [1.0]]], [[0.0], [0.0, 0.0]])
    assert jensen.is_icnn(network)
    with pytest.raises(jensen.NetworkError, match="2 outputs"):
        jensen.to_icnn(network)


def test_affine_layers_in_front_may_have_any_sign():
    blocks = [
        Block("p", {"input": np.array([[-1.0]])}, np.zeros(1), Activation.IDENTITY),
        Block("a", {"p": np.array([[-1.0], [2.0]])}, np.zeros(2)),
        Block("q", {"a": np.ones((1, 2)), "p": -np.ones((1, 1))}, np.zeros(1), Activation.IDENTITY),
        Block("output", {"q": np.ones((1, 1))}, np.zeros(1), Activation.IDENTITY),
    ]
    assert jensen.is_icnn(ReluNetwork(1, blocks))
    blocks[3] = Block("output", {"q": -np.ones((1, 1))}, np.zeros(1), Activation.IDENTITY)
    assert not jensen.is_icnn(ReluNetwork(1, blocks))


def test_the_shipped_function_beyond_icnns_is_convex_and_has_no_form(models_folder):
    network = jensen.load(models_folder / "beyond_icnn.onnx")
    assert jensen.is_convex(network)
    assert not jensen.is_icnn(network)
    with pytest.raises(jensen.IcnnFormError, match=r"bends|reads"):
        jensen.to_icnn(network)

    def f(x, y):
        h = np.maximum(x, 0)
        return np.maximum(y - 1 - h, 0) + np.maximum(y + 2 * h, 0)

    X = np.random.default_rng(0).normal(size=(200, 2)) * 3
    np.testing.assert_allclose(network(X)[:, 0], f(*X.T))


@pytest.fixture
def models_folder():
    from pathlib import Path  # noqa: PLC0415

    return Path(__file__).resolve().parents[2] / "models"


def test_the_canonical_form_tells_functions_apart():
    rng = np.random.default_rng(1)
    first = convex_layer(rng, grid=64)
    moved = first.with_output(
        Block("output", first.output.weights, first.output.bias + 1, Activation.IDENTITY)
    )
    assert analyse(first).canonical() == analyse(jensen.to_icnn(first)).canonical()
    assert analyse(first).canonical() != analyse(moved).canonical()


def test_what_is_no_network_is_refused_with_what_to_pass():
    for ask in (jensen.to_icnn, jensen.is_icnn):
        with pytest.raises(
            jensen.errors.NetworkError,
            match=r"^3 where a network is needed: pass jensen.load\(file\)",
        ):
            ask(3)


def test_weights_whose_sum_is_beyond_the_doubles_are_sums_of_doubles():
    network = ReluNetwork.from_layers(
        [[[1.0], [1.0], [-1.0]], [[1.7e308, 1.7e308, -(2.0**1000)]]], [[0, 0, 0], [0]]
    )
    found = jensen.to_icnn(network)
    assert jensen.is_icnn(found)
    for x in (Fraction(-3), Fraction(1, 3), Fraction(2)):
        assert network.exact([x]) == found.exact([x])


def test_a_weight_of_more_digits_than_a_few_doubles_hold_is_refused_in_words():
    network = ReluNetwork.from_layers(
        [[[1.0], [1.0], [-1.0]], [[1.7e308, 1.7e308, -1.0]]], [[0, 0, 0], [0]]
    )
    with pytest.raises(jensen.errors.IcnnFormError, match=r"about 1.8e\+308 is no sum of few"):
        jensen.to_icnn(network)
