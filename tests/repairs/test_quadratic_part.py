"""Networks plus a quadratic form: the network is repaired, the form stays as it was."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from smooth_graphs import random_graph

import jensen
from jensen import Box, Function, FunctionGraph, GraphNode, Polyhedron, Status
from jensen.cli import main
from jensen.composition.piecewise_quadratic import split
from jensen.network.simplify.simplify import simplify

BOX = Box(-1.0, 1.0)
PLANE = Polyhedron([[1, 1], [-1, -1], [1, 0], [-1, 0]], [1, -1, 2, 2])
FORMS = {
    "definite": [[2.0, 0.5], [0.5, 1.0]],
    "semidefinite": [[1.0, 1.0], [1.0, 1.0]],
    "zero": [[0.0, 0.0], [0.0, 0.0]],
}


def network(seed, outputs=1):
    rng = np.random.default_rng(seed)
    shapes = [(6, 2), (5, 6), (outputs, 5)]
    weights = [rng.normal(size=s).astype(np.float32) / 2 for s in shapes]
    return jensen.ReluNetwork.from_layers(weights, [rng.normal(size=s[0]) / 4 for s in shapes])


def potential(relus, form, sign=1.0):
    """Return ``sign * (p(x) + x'Qx/2)``: a sum of both, behind the layer that p ends with."""
    picks = np.array([[1.0, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]])
    (xx, xy), (_, yy) = form
    blocks = [
        GraphNode(b.name, b.weights, b.bias, Function(str(b.activation))) for b in relus.hidden
    ]
    last = relus.output
    every = [[xx / 2, xy, yy / 2]] * last.size
    nodes = [
        *blocks,
        GraphNode("copy", {"input": np.eye(2)}, [0.0, 0.0]),
        GraphNode("products", {"copy": picks}, np.zeros(6), Function.PRODUCT, group=2),
        GraphNode("sum", {**last.weights, "products": every, "copy": [[0.5, -1]] * last.size},
                  last.bias),
        GraphNode("output", {"sum": sign * np.eye(last.size)}, np.ones(last.size)),
    ]  # fmt: skip
    return FunctionGraph(2, nodes)


@settings(max_examples=60)
@given(st.integers(0, 10**6))
def test_both_parts_together_are_the_graph(seed):
    rng = np.random.default_rng(seed)
    kinds = (Function.IDENTITY, Function.RELU, Function.POWER, Function.PRODUCT)
    graph = random_graph(rng, functions=kinds)
    parts = split(graph)
    assume(parts is not None)
    x = [Fraction(v) for v in rng.normal(size=graph.input_size).tolist()]
    for piecewise in (parts.piecewise, simplify(parts.piecewise)):
        assert parts.with_piecewise(piecewise).exact(x) == graph.exact(x)
    again = split(parts.with_piecewise(parts.piecewise))
    assert again.polynomial(0).keys() == parts.polynomial(0).keys()
    assert again.piecewise.exact(x) == parts.piecewise.exact(x)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("concave", [False, True])
@pytest.mark.parametrize(("seed", "norm"), [(0, "l2"), (1, "l1"), (2, "l2")])
def test_the_change_is_that_of_the_network_alone(form, concave, seed, norm):
    sign = -1.0 if concave else 1.0
    graph = potential(network(seed), form, sign)
    piecewise = simplify(split(graph).piecewise)
    options = {"norm": norm, "concave": concave}
    fixed, alone = (jensen.repair(f, BOX, **options) for f in (graph, piecewise))
    assert fixed.verdict.status is Status.CONVEX
    assert jensen.is_convex(fixed.network, BOX, concave=concave)
    assert 0 < fixed.lower <= fixed.change <= 1.01 * fixed.lower
    assert fixed.change == pytest.approx(alone.change, rel=0.01)
    assert fixed.sup_change == pytest.approx(alone.sup_change, rel=0.2)
    # the form has not moved, and f no more than is said
    assert split(fixed.network).polynomial(0) == split(graph).polynomial(0)
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-1, 1, (2, 500, 2))
    at_x, at_y, at_middle = (fixed.network(p)[:, 0] for p in (x, y, (x + y) / 2))
    assert (sign * (at_middle - (at_x + at_y) / 2) <= 1e-12).all()
    assert np.abs(fixed.network(x) - graph(x)).max() <= fixed.sup_change


def test_what_is_convex_is_left_alone():
    ramps = jensen.ReluNetwork.from_layers([np.eye(2), [[1.0, 1.0]]], [[0, 0], [0]])
    graph = potential(ramps, FORMS["definite"])
    fixed = jensen.repair(graph)
    assert (fixed.change, fixed.sup_change) == (0, 0)
    assert "nothing to do" in fixed.summary
    x = [Fraction(2, 3), Fraction(-1, 7)]
    assert fixed.network.exact(x) == graph.exact(x)


def test_on_a_flat_domain_the_form_counts_along_it():
    graph = potential(network(3), [[2.0, 0.0], [0.0, -1.0]])
    fixed = jensen.repair(graph, PLANE)
    assert fixed.verdict.status is Status.CONVEX
    assert fixed.change > 0
    point = Box([0.5, 0.5], [0.5, 0.5])
    assert jensen.repair(graph, point).change == 0
    with pytest.raises(jensen.NetworkError, match=r"convex on the domain.*down along \(0, 1\)"):
        jensen.repair(graph, BOX)
    with pytest.raises(jensen.NetworkError, match=r"concave on the domain.*bends up along"):
        jensen.repair(graph, PLANE, concave=True)


def test_one_output_of_several_is_chosen_and_only_it_has_to_be_a_sum():
    graph = potential(network(4, outputs=2), FORMS["definite"])
    with pytest.raises(jensen.OptionError, match="2 outputs"):
        jensen.repair(graph, BOX)
    fixed = jensen.repair(graph, BOX, output=1, certificate=True)
    assert fixed.network.output_size == 1
    assert fixed.verdict.status is Status.CONVEX
    assert fixed.verdict.certificate is not None


def test_a_refit_fits_what_the_form_leaves_of_the_data():
    rng = np.random.default_rng(5)
    graph = potential(network(5), FORMS["definite"])
    X = rng.uniform(-1, 1, (300, 2))
    y = 2 * (X**2).sum(axis=1)
    for sign in (1.0, -1.0):
        signed = graph if sign > 0 else graph.negated()
        fit = jensen.repair(signed, BOX, data=(X, sign * y), concave=sign < 0)
        error = np.sqrt(np.mean((fit.network(X)[:, 0] - sign * y) ** 2))
        assert fit.verdict.status is Status.CONVEX
        assert fit.change == pytest.approx(error, rel=1e-9)
        assert fit.lower <= fit.change <= 1.01 * fit.lower
    assert error < np.sqrt(np.mean((jensen.repair(graph, BOX).network(X)[:, 0] - y) ** 2))


def test_a_form_inside_the_network_is_refused():
    inside = FunctionGraph(
        1,
        [
            GraphNode("s", {"input": [[1.0]]}, [0.0], Function.POWER, 2),
            GraphNode("r", {"s": [[1.0]]}, [-1.0], Function.RELU),
            GraphNode("output", {"r": [[1.0]]}, [0.0]),
        ],
    )
    with pytest.raises(jensen.NetworkError, match="beside a dense ReLU network, not inside it"):
        jensen.repair(inside, BOX)


def test_the_command_writes_a_graph_and_says_before_the_work_what_cannot_hold_it(tmp_path, capsys):
    graph = potential(network(6), FORMS["semidefinite"])
    model, target = tmp_path / "potential.npz", tmp_path / "fixed.npz"
    graph.save(model)
    assert main(["verify", str(model), "--box", "-1", "1"]) == 1
    assert main(["repair", str(model), "--box", "-1", "1", "-o", str(target)]) == 0
    assert main(["verify", str(target), "--box", "-1", "1"]) == 0
    capsys.readouterr()
    onnx = tmp_path / "fixed.onnx"
    assert main(["repair", str(model), "--box", "-1", "1", "-o", str(onnx)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "'products' is product; a .npz file holds this one" in line
    assert not onnx.exists()


def test_a_quadratic_form_alone_is_left_as_it_is_within_any_time():
    graph = FunctionGraph(
        2,
        [
            GraphNode("s", {"input": np.eye(2)}, np.zeros(2), Function.POWER, 2.0),
            GraphNode("output", {"s": [[1.0, 2.0]]}, [0.0]),
        ],
    )
    found = jensen.repair(graph, BOX, time_limit=10)
    assert found.verdict.status is Status.CONVEX
    assert found.change == 0.0


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_changes_whose_squares_are_no_doubles_have_a_size(scale):
    network = jensen.ReluNetwork.from_layers(
        [[[1.0], [1.0], [1.0]], [[3.0 * scale, -2.0 * scale, -scale]]], [[0.5, 0.0, -0.5], [0.0]]
    )
    found = jensen.repair(network, BOX)
    assert found.change == pytest.approx(np.sqrt(5.0) * scale, rel=1e-3)
    assert found.relative_change == pytest.approx(np.sqrt(5.0 / 14.0), rel=1e-3)
