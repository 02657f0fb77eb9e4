"""The graph class: what it refuses, and what its parts mean."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp

import jensen
from jensen import Function, FunctionGraph, GraphNode, NetworkError
from jensen.batch import Store, find_cases, run_batch
from jensen.graphs.convolution import Convolution


def small(**changes):
    square = {"weights": {"input": [[1.0, 2.0]]}, "bias": [0.5], "function": Function.POWER}
    square |= {"parameter": 2.0} | changes
    return FunctionGraph(
        2,
        [
            GraphNode("a", **square),
            GraphNode("b", {"a": [[1.0]], "input": [[0.0, 1.0]]}, [0.0], Function.SOFTPLUS),
            GraphNode("output", {"b": [[1.0], [-3.0]]}, [0.0, 1.0]),
        ],
    )


def test_values_are_those_of_the_formula():
    x = np.array([[1.0, -2.0], [0.5, 0.25]])
    inner = (x[:, 0] + 2 * x[:, 1] + 0.5) ** 2 + x[:, 1]
    expected = np.log1p(np.exp(inner))
    assert np.allclose(small()(x), np.stack([expected, 1 - 3 * expected], axis=1))
    assert np.allclose(small()(x[0]), small()(x)[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"function": "gate"}, "supported are identity, relu"),
        ({"parameter": 1.5}, "exponent 1.5"),
        ({"parameter": np.nan}, "exponent nan"),
        ({"parameter": np.inf}, "exponent inf"),
        ({"function": "celu", "parameter": 0.0}, "alpha 0.0"),
        ({"function": "elu", "parameter": -1.0}, "alpha -1.0"),
        ({"bias": [np.nan]}, "NaN"),
        ({"weights": {"input": [[1.0]]}}, "needed is (1, 2)"),
        ({"weights": {"later": [[1.0]]}}, "which no earlier node is"),
        ({"group": 2}, "it takes one argument"),
        ({"function": "product"}, "a product takes two"),
    ],
)
def test_nodes_that_make_no_sense_are_refused_by_name(changes, message):
    with pytest.raises(NetworkError, match="node 'a'") as caught:
        small(**changes)
    assert message in str(caught.value)


def test_nothing_can_be_written_to():
    graph = small()
    with pytest.raises(ValueError, match="read-only"):
        graph.nodes[0].bias[0] = 1.0


def test_filters_that_are_read_in_two_ways_have_two_digests(tmp_path):
    """Two filters of two weights on one channel, or one filter of one weight on four."""
    weights = np.array([1.0, 1.0, 1.0, -1.0])
    first = Convolution(weights.reshape(2, 1, 2), np.array([[0, 1]]), 4)
    second = Convolution(weights.reshape(1, 4, 1), np.array([[0], [1]]), 1)
    files = []
    for name, convolution in (("nonconvex", first), ("convex", second)):
        kinks = GraphNode("r", {"input": convolution}, np.zeros(2), Function.RELU)
        graph = FunctionGraph(4, [kinks, GraphNode("output", {"r": [[1.0, -1.0]]}, [0.0])])
        files.append(tmp_path / f"{name}.npz")
        graph.save(files[-1])
    assert first.shape == second.shape
    assert jensen.load(files[0]).digest != jensen.load(files[1]).digest
    for _ in range(2):  # the second time the verdicts are taken from the store
        with Store(tmp_path / "s.db") as store:
            found = run_batch(find_cases(files), store=store)
        assert [str(row.status) for _, row in found] == ["nonconvex", "convex"]


def test_digests_see_every_change_and_no_storage():
    first = small().digest
    assert first == small(weights={"input": sp.csr_array([[1.0, 2.0]])}).digest
    for changes in ({"parameter": 4.0}, {"bias": [0.25]}, {"weights": {"input": [[1.0, 2.5]]}}):
        assert small(**changes).digest != first


def test_fixed_inputs_keep_the_functions():
    graph, x = small(), np.array([[0.3], [-1.5]])
    fixed = graph.fix_inputs({0: 0.1})
    assert np.allclose(fixed(x), graph(np.hstack([np.full((2, 1), 0.1), x])))
    assert fixed.function_counts == graph.function_counts


def test_one_output_and_its_negative():
    graph, x = small(), np.array([[0.2, 0.7]])
    assert graph.select_output(1)(x)[0, 0] == graph(x)[0, 1]
    assert graph.select_output(1).negated()(x)[0, 0] == -graph(x)[0, 1]
    with pytest.raises(NetworkError, match="output 2"):
        graph.select_output(2)


def test_rational_graphs_have_exact_values():
    graph = FunctionGraph(
        2,
        [
            GraphNode("p", {"input": np.eye(2)}, [0, 0], Function.PRODUCT, group=2),
            GraphNode("r", {"p": [[1.0]]}, [-1.0], Function.RELU),
            GraphNode("output", {"r": [[1.0]], "p": [[0.5]]}, [0.0]),
        ],
    )
    assert graph.is_rational
    assert graph.exact([Fraction(2, 3), 3]) == (Fraction(2),)
    with pytest.raises(NetworkError, match="no rational value"):
        small().exact([0, 0])


def test_what_takes_relu_networks_only_says_so():
    with pytest.raises(NetworkError, match="node 'b' is softplus; jensen"):
        jensen.repair(small(), jensen.Box(-1, 1), output=0)
