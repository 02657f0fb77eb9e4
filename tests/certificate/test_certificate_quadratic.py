"""Certificates of ReLU networks plus quadratic functions: the rule for the form."""

from __future__ import annotations

import json
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from certificate_tools import LONELY, check, to_bytes
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import jensen
from jensen import Box, Everywhere, Function, FunctionGraph, GraphNode, Polyhedron, Status
from jensen.arithmetic.rational import rationals
from jensen.arithmetic.semidefinite import negative_direction
from jensen.certificate.certificate import Certificate
from jensen.certificate.model_export import export_bytes
from jensen.cli.check import command as check_command
from jensen.composition.piecewise_quadratic import split
from jensen.errors import CertificateError

FLAT_BOX = Box([0, 1], [1, 1])  # y does not move
FLAT = Polyhedron([[1, 1], [-1, -1], [1, 0]], [1, -1, 5])


def bowl(form, outer, outputs=1):
    """Return ``sum_ij form_ij (x_i + 1) x_j + outer . (relu(x), relu(x - 1), |x - y|)``."""
    rows, columns = np.nonzero(form)
    picks = np.zeros((2 * len(rows), 2))
    picks[2 * np.arange(len(rows)), rows] = 1
    picks[2 * np.arange(len(rows)) + 1, columns] = 1
    bias = np.tile([1.0, 0.0], len(rows))
    hidden = [[1, 0], [1, 0], [1, -1], [-1, 1]]
    weights = {
        "q": np.tile(np.asarray(form, float)[rows, columns], (outputs, 1)),
        "r": np.tile(np.asarray(outer, float), (outputs, 1)) * np.arange(1, outputs + 1)[:, None],
    }
    nodes = [
        GraphNode("q", {"input": picks}, bias, Function.PRODUCT, 1, 2),
        GraphNode("r", {"input": hidden}, [0, -1, 0, 0], Function.RELU),
        GraphNode("output", weights, np.zeros(outputs)),
    ]
    return FunctionGraph(2, nodes)


UPWARDS = (1.0, 0.5, 2.0, 2.0)


@pytest.mark.parametrize("domain", [Box(-1, 2), Everywhere(), FLAT, FLAT_BOX])
@pytest.mark.parametrize("concave", [False, True])
def test_sums_are_certified(domain, concave, tmp_path):
    sign = -1 if concave else 1
    graph = bowl(sign * np.array([[2.0, 1], [1, 0.5]]), sign * np.array(UPWARDS))
    verdict = jensen.verify(graph, domain, certificate=True, concave=concave)
    assert verdict.status is Status.CONVEX
    assert verdict.certificate.lines[-1] == ["quadratic"]
    assert check(graph, verdict.certificate, tmp_path) == 0
    assert check(graph, Certificate(verdict.certificate.lines[:-1]), tmp_path) == 1
    other = bowl(sign * np.array([[2.0, 1], [1, -3.5]]), sign * np.array(UPWARDS))
    lines = list(verdict.certificate.lines)
    lines[0] = lines[0] | {"model": LONELY.read_model(export_bytes(other)).digest}
    assert check(other, to_bytes(lines), tmp_path) == (0 if domain is FLAT_BOX else 1)


@pytest.mark.parametrize(
    ("form", "outer"), [([[2, 0], [0, -1]], UPWARDS), ([[2, 0], [0, 1]], (1, -3, 2, 2))]
)
def test_pairs_are_certified(form, outer, tmp_path):
    graph = bowl(form, outer)
    verdict = jensen.verify(graph, Box(-1, 2), certificate=True)
    assert verdict.status is Status.NONCONVEX
    assert check(graph, verdict.certificate, tmp_path) == 0
    assert check(bowl([[2, 0], [0, 1]], UPWARDS), verdict.certificate, tmp_path) == 1


def test_partial_convexity_asks_about_the_inputs_of_the_claim(tmp_path):
    graph = bowl([[2, 3], [3, -1]], (1, 1, 2, 2))
    verdict = jensen.verify(graph, Box(-1, 2), inputs=[0], certificate=True)
    assert verdict.status is Status.CONVEX
    assert check(graph, verdict.certificate, tmp_path) == 0
    lines = [verdict.certificate.lines[0] | {"inputs": [0, 1]}, *verdict.certificate.lines[1:]]
    assert check(graph, to_bytes(lines), tmp_path) == 1


def test_a_certificate_speaks_of_the_whole_model(tmp_path):
    graph = bowl([[2, 0], [0, 1]], UPWARDS, outputs=3)
    verdict = jensen.verify(graph, Box(-1, 2), output=2, certificate=True)
    assert verdict.certificate.lines[0]["output"] == 2
    assert check(graph, verdict.certificate, tmp_path) == 0


def test_the_exported_terms_are_the_function():
    graph = bowl([[2, 3], [0.1, -1]], (1, -1, 2, 0.25))
    model = LONELY.read_model(export_bytes(graph))
    for x in ([0, 0], [Fraction(1, 3), -7], [5, Fraction(-2, 9)]):
        assert (LONELY.evaluate(model, 0, [Fraction(v) for v in x]),) == graph.exact(x)
    assert json.loads(export_bytes(graph))["format"] == "jensen-export/3"


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.pop("quadratic"),
        lambda model: model.update(quadratic=[]),
        lambda model: model.update(quadratic=[[[0, 9, "1"]]]),
        lambda model: model.update(quadratic=[[[0, 1, 1.0]]]),
        lambda model: model.update(quadratic=[[[-1, 1, "1"]]]),
        lambda model: model.update(format="jensen-export/2"),
    ],
)
def test_models_that_are_not_of_the_format_are_malformed(change):
    model = json.loads(export_bytes(bowl([[2, 0], [0, 1]], UPWARDS)))
    change(model)
    with pytest.raises((LONELY.Malformed, ValueError, TypeError)):
        LONELY.read_model(json.dumps(model).encode())


def claim_on(n, domain="everywhere"):
    """Return a claim of convexity about output 0 of any model of one output."""
    head = {"format": LONELY.FORMAT, "model": "", "claim": "convex", "output": 0}
    return LONELY.Claim(head | {"domain": {"type": domain}}, LONELY.Model("", n, [], [[]]))


@given(st.integers(0, 10**6))
def test_the_rule_and_the_decision_of_the_prover_agree(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    factor = rng.integers(-2, 3, (n, int(rng.integers(0, n + 1)))).astype(float)
    form = factor @ factor.T
    if rng.random() < 0.5:
        form[rng.integers(n), rng.integers(n)] += rng.choice([-1, 1, 2.0**-30])
    form = form + form.T
    terms = [(i + 1, j + 1, Fraction(form[i, j])) for i in range(n) for j in range(n)]
    model = LONELY.Model("", n, [], [[term for term in terms if term[2]]])
    try:
        LONELY.rule_quadratic(model, claim_on(n))
        accepted = True
    except LONELY.Rejected:
        accepted = False
    assert accepted == (negative_direction(rationals(form)) is None)


def test_terms_of_an_input_that_moves_with_many_do_not_fill_the_memory():
    n, count = 200, 1_000
    claim = claim_on(n)
    claim.values[1] = dict.fromkeys(range(2, n + 1), 1), Fraction(1)
    model = LONELY.Model("", n, [], [[(1, 1, 1)] * count])
    tracemalloc.start()
    LONELY.rule_quadratic(model, claim)  # a square of a sum
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6


def test_functions_without_rules_are_refused_by_name(tmp_path):
    soft = FunctionGraph(
        1,
        [
            GraphNode("soft", {"input": [[1.0]]}, [0.0], Function.SOFTPLUS),
            GraphNode("output", {"soft": [[1.0]]}, [0.0]),
        ],
    )
    with pytest.raises(CertificateError, match="node 'soft' is softplus"):
        export_bytes(soft)
    refuted = jensen.verify(soft, Box(-1, 1), concave=True, certificate=True)
    assert refuted.status is Status.NONCONVEX
    assert refuted.certificate is None
    assert "node 'soft' is softplus" in refuted.note


def test_the_hessian_is_that_of_the_terms():
    parts = split(bowl([[2, 3], [0.1, -1]], UPWARDS))
    hessian = np.zeros((2, 2), dtype=object)
    for (i, j), factor in parts.polynomial(0).items():
        if min(i, j) >= 0:
            hessian[i, j] += factor
            hessian[j, i] += factor
    assert (hessian == parts.hessian(0)).all()


def test_the_command_checks_an_exported_sum(tmp_path):
    graph = bowl([[2, 0], [0, 1]], UPWARDS)
    model, proof = tmp_path / "model.json", tmp_path / "proof.jsonl.gz"
    model.write_bytes(export_bytes(graph))
    jensen.verify(graph, Box(-1, 2), certificate=True).certificate.write(proof)
    result = CliRunner().invoke(
        check_command, [str(model), str(proof), "--box", "-1", "2"], standalone_mode=False
    )
    assert result.return_value == 0, result.output
    assert result.output.startswith("accepted")
