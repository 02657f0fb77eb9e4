"""Convexity by composition: what is proved, what is not, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest

import jensen
from jensen import Box, Everywhere, Function, FunctionGraph, GraphNode, Polyhedron, Status

CONVEX_INCREASING = [Function.RELU, Function.SOFTPLUS, Function.ELU, Function.CELU, Function.EXP]


def graph(*nodes, inputs=1, output=None, bias=0.0):
    last = GraphNode("output", output or {nodes[-1].name: [[1.0]]}, [bias])
    return FunctionGraph(inputs, [*nodes, last])


def icnn(function, rng, wrong=0.0):
    second = np.abs(rng.normal(size=(6, 6)))
    last = np.abs(rng.normal(size=(1, 6)))
    last[0, 2] -= wrong
    return FunctionGraph(
        3,
        [
            GraphNode("a", {"input": rng.normal(size=(6, 3))}, rng.normal(size=6), function),
            GraphNode("b", {"a": second, "input": rng.normal(size=(6, 3))}, np.zeros(6), function),
            GraphNode("output", {"b": last, "input": rng.normal(size=(1, 3))}, [0.0]),
        ],
    )


@pytest.mark.parametrize("function", CONVEX_INCREASING)
@pytest.mark.parametrize(
    "domain", [Everywhere(), Box(-2, 1), Polyhedron([[1, 1, 1]], [1])], ids=str
)
def test_input_convex_networks_are_proved_on_every_domain(function, domain):
    verdict = jensen.verify(icnn(function, np.random.default_rng(0)), domain)
    assert verdict.status is Status.CONVEX
    assert [item.neurons[0][0] for item in verdict.evidence] == ["a", "b"]
    assert verdict.reasons == {"composition": 2}
    assert verdict.certificate is None


@pytest.mark.parametrize("function", CONVEX_INCREASING)
def test_one_wrong_sign_is_refuted_with_a_proved_pair(function):
    verdict = jensen.verify(icnn(function, np.random.default_rng(1), wrong=60.0), Box(-1, 1))
    assert verdict.status is Status.NONCONVEX
    assert verdict.counterexample.violation > 0


@pytest.mark.parametrize(
    ("function", "parameter", "box", "convex"),
    [
        (Function.SQRT, 1, (0, 1), None),
        (Function.LOG, 1, (1, 2), None),
        (Function.RECIPROCAL, 1, (0.5, 2), True),
        (Function.RECIPROCAL, 1, (-2, -0.5), False),
        (Function.POWER, 3, (0, 2), True),
        (Function.POWER, 3, (-2, 0), False),
        (Function.POWER, 4, (-2, 2), True),
        (Function.ELU, 2, (-1, 1), False),
        (Function.ELU, 2, (-1, 0), True),
        (Function.CELU, 2, (-1, 1), True),
        (Function.SIGMOID, 1, (-3, 0), True),
        (Function.TANH, 1, (0, 3), False),
        (Function.TANH, 1, (-1, 1), False),
    ],
)
def test_curvature_depends_on_the_interval_of_the_argument(function, parameter, box, convex):
    net = graph(GraphNode("f", {"input": [[1.0]]}, [0.0], function, parameter))
    status = jensen.verify(net, Box(*box)).status
    assert status is (Status.CONVEX if convex else Status.NONCONVEX)
    if convex is not True and (box[0] >= 0 or box[1] <= 0):
        assert jensen.verify(net, Box(*box), concave=True).status is Status.CONVEX


def test_a_square_of_a_positive_convex_function_is_convex_and_of_another_one_is_not():
    relu = GraphNode("r", {"input": [[1.0], [-1.0]]}, [0.0, 0.0], Function.RELU)
    for bias, status in ((0.0, Status.CONVEX), (-1.0, Status.NONCONVEX)):
        square = GraphNode("s", {"r": [[1.0, 1.0]]}, [bias], Function.POWER, 2)
        assert jensen.verify(graph(relu, square), Box(-1, 1)).status is status


def test_log_sum_exp_and_norms_of_affine_and_convex_arguments():
    rng = np.random.default_rng(2)
    for function in (Function.LOG_SUM_EXP, Function.NORM):
        net = graph(
            GraphNode("g", {"input": rng.normal(size=(4, 2))}, [0] * 4, function, 1, 4), inputs=2
        )
        assert jensen.verify(net).status is Status.CONVEX
        squares = GraphNode("s", {"input": rng.normal(size=(3, 2))}, [0] * 3, Function.POWER, 2)
        deep = GraphNode("g", {"s": np.ones((2, 3))}, [0, 1], function, 1, 2)
        assert jensen.verify(graph(squares, deep, inputs=2), Box(-1, 1)).status is Status.CONVEX


def test_products_with_functions_of_other_inputs_are_weights():
    # f(x, c) = softplus(c) x^2 + sigmoid(c) |x| - c x: convex in x for every c, not in both
    net = FunctionGraph(
        2,
        [
            GraphNode("gate", {"input": [[0, 1.0]]}, [0.0], Function.SOFTPLUS),
            GraphNode("square", {"input": [[1.0, 0]]}, [0.0], Function.POWER, 2),
            GraphNode(
                "p", {"gate": [[1.0], [0]], "square": [[0.0], [1]]}, [0, 0], Function.PRODUCT, 1, 2
            ),
            GraphNode("q", {"input": [[1.0, 0], [0, -1]]}, [0, 0], Function.PRODUCT, 1, 2),
            GraphNode("output", {"p": [[1.0]], "q": [[1.0]]}, [0.0]),
        ],
    )
    assert jensen.verify(net, inputs=[0]).status is Status.CONVEX
    verdict = jensen.verify(net, Box(-3, 3))
    assert verdict.status is Status.NONCONVEX
    fixed = jensen.verify(net, Box(-3, 3), inputs=[1])
    assert (
        fixed.status is not Status.NONCONVEX
        or len({p[0] for p in (fixed.counterexample.x, fixed.counterexample.y)}) == 1
    )
    assert jensen.verify(net.fix_inputs({1: 0.75})).status is Status.CONVEX


def test_a_gate_of_both_signs_ends_the_rules_at_the_product():
    net = FunctionGraph(
        2,
        [
            GraphNode("square", {"input": [[1.0, 0]]}, [0.0], Function.POWER, 2),
            GraphNode(
                "p",
                {"input": [[0, 1.0], [0, 0]], "square": [[0.0], [1]]},
                [0, 0],
                Function.PRODUCT,
                1,
                2,
            ),
            GraphNode("output", {"p": [[1.0]]}, [0.0]),
        ],
    )
    assert jensen.verify(net, Box(0, 1), inputs=[0]).status is Status.CONVEX
    assert jensen.verify(net, Box(-1, 1), inputs=[0]).status is Status.NONCONVEX


@pytest.mark.parametrize(("cross", "convex"), [(2.0, True), (2.0 + 2.0**-50, False), (-1.9, True)])
def test_a_quadratic_form_is_decided_as_a_whole_and_exactly(cross, convex):
    net = FunctionGraph(
        2,
        [
            GraphNode("square", {"input": np.eye(2)}, [0, 0], Function.POWER, 2),
            GraphNode("p", {"input": np.eye(2)}, [0, 0], Function.PRODUCT, 1, 2),
            GraphNode("output", {"p": [[cross]], "square": [[1.0, 1.0]]}, [0.0]),
        ],
    )
    verdict = jensen.verify(net)
    assert (verdict.status is Status.CONVEX) == convex
    if convex:
        assert verdict.reasons["quadratic form"] == 1


def test_the_node_where_the_rules_end_is_named():
    # x + exp(-x) - 1 >= 0, and its square root times 2 is not known to be anything
    net = graph(
        GraphNode("e", {"input": [[-1.0]]}, [0.0], Function.EXP),
        GraphNode("root", {"e": [[1.0]], "input": [[1.0]]}, [0.0], Function.SQRT),
    )
    verdict = jensen.verify(net, Box(0.5, 0.6))
    if verdict.status is Status.UNKNOWN:
        assert "node root[0] (sqrt)" in verdict.note
    tanh = graph(
        GraphNode("t", {"input": [[1.0]]}, [0.0], Function.TANH),
        GraphNode("u", {"t": [[1.0]], "input": [[-1.0]]}, [0.0], Function.SOFTPLUS),
    )
    verdict = jensen.verify(tanh, Box(-0.5, 0.5))
    assert verdict.status is Status.UNKNOWN or verdict.counterexample.violation > 0
    if verdict.status is Status.UNKNOWN:
        assert "node t[0] (tanh)" in verdict.note


def test_a_function_without_a_value_is_never_called_convex():
    net = graph(GraphNode("f", {"input": [[1.0]]}, [0.0], Function.RECIPROCAL))
    assert jensen.verify(net, Box(0, 1)).status is not Status.CONVEX
    negative_log = graph(
        GraphNode("f", {"input": [[1.0]]}, [0.0], Function.LOG), output={"f": [[-1.0]]}
    )
    verdict = jensen.verify(negative_log, Box(-1, 1))
    assert verdict.status is Status.UNKNOWN
    assert "may have no value" in verdict.note
    assert jensen.verify(negative_log, Box(0.5, 1)).status is Status.CONVEX


def test_several_outputs_are_verified_one_by_one():
    node = GraphNode("s", {"input": [[1.0]]}, [0.0], Function.SOFTPLUS)
    net = FunctionGraph(1, [node, GraphNode("output", {"s": [[1.0], [-1.0]]}, [0, 0])])
    verdict = jensen.verify(net, Box(-1, 1))
    assert [v.status for v in verdict.outputs] == [Status.CONVEX, Status.NONCONVEX]
    assert verdict.status is Status.NONCONVEX
    assert jensen.is_convex(net, Box(-1, 1), output=0)


@pytest.mark.parametrize("option", [{"engine": "tree"}, {"tolerance": 1e-3}])
def test_options_about_kinks_are_refused(option):
    with pytest.raises(jensen.OptionError):
        jensen.verify(icnn(Function.EXP, np.random.default_rng(0)), **option)


def test_the_verdict_says_that_there_is_no_certificate():
    verdict = jensen.verify(icnn(Function.EXP, np.random.default_rng(0)), certificate=True)
    assert verdict.certificate is None
    assert "no certificate:" in verdict.note


def test_an_empty_domain_is_an_error():
    with pytest.raises(jensen.DomainError, match="empty"):
        jensen.verify(
            icnn(Function.EXP, np.random.default_rng(0)),
            Polyhedron([[1, 0, 0], [-1, 0, 0]], [-1, -1]),
        )


def squares(inputs):
    return GraphNode("s", {"input": np.eye(inputs)}, np.zeros(inputs), Function.POWER, 2)


@pytest.mark.parametrize(("offset", "convex"), [(0.0, True), (1e-3, True), (-1e-3, None)])
def test_a_root_of_a_sum_of_squares_is_a_norm(offset, convex):
    root = GraphNode("r", {"s": [[1.0, 3.0]]}, [offset], Function.SQRT)
    verdict = jensen.verify(graph(squares(2), root, inputs=2), Box(1, 2))
    assert (verdict.status is Status.CONVEX) == (convex is True)
    if convex:
        assert jensen.verify(graph(squares(2), root, inputs=2)).status is Status.CONVEX


def test_a_root_of_squares_of_both_signs_is_no_norm():
    root = GraphNode("r", {"s": [[1.0, -0.5]]}, [9.0], Function.SQRT)
    assert jensen.verify(graph(squares(2), root, inputs=2), Box(-1, 1)).status is Status.NONCONVEX
    # the square of a convex function of both signs
    soft = GraphNode("a", {"input": [[1.0]]}, [-1.0], Function.SOFTPLUS)
    shifted = GraphNode("s", {"a": [[1.0]]}, [-1.0], Function.POWER, 2)
    root = GraphNode("r", {"s": [[1.0]]}, [0.01], Function.SQRT)
    assert jensen.verify(graph(soft, shifted, root), Box(-3, 3)).status is Status.NONCONVEX


def test_a_logarithm_of_a_sum_of_exponentials_is_convex():
    exps = GraphNode("e", {"input": [[1.0, 2.0], [0.0, -1.0]]}, [0.0, 1.0], Function.EXP)
    for weights, offset, status in (
        ([[1.0, 0.25]], 0.0, Status.CONVEX),
        ([[1.0, 0.0]], 1.0, Status.CONVEX),
        ([[1.0, -0.1]], 9.0, Status.NONCONVEX),
        ([[1.0, 1.0]], -0.001, Status.NONCONVEX),
    ):
        log = GraphNode("l", {"e": weights}, [offset], Function.LOG)
        domain = Everywhere() if status is Status.CONVEX else Box(-1, 1)
        assert jensen.verify(graph(exps, log, inputs=2), domain).status is status
    nothing = GraphNode("l", {"e": [[0.0, 0.0]]}, [0.0], Function.LOG)
    assert jensen.verify(graph(exps, nothing, inputs=2)).status is Status.UNKNOWN


def test_a_logarithm_of_a_sigmoid_is_concave():
    sigmoid = GraphNode("g", {"input": [[2.0], [-1.0]]}, [0.0, 0.0], Function.SIGMOID)
    log = GraphNode("l", {"g": [[0.5, 0.0]]}, [0.0], Function.LOG)
    assert jensen.verify(graph(sigmoid, log), concave=True).status is Status.CONVEX
    assert jensen.verify(graph(sigmoid, log), Box(-1, 1)).status is Status.NONCONVEX
    mixed = GraphNode("l", {"g": [[0.5, 0.5]]}, [0.0], Function.LOG)
    # log((s(2 x) + s(-x)) / 2) is neither
    assert (
        jensen.verify(graph(sigmoid, mixed), Box(-9, 9), concave=True).status is not Status.CONVEX
    )
