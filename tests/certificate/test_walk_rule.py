"""The checker's walk is exact: it accepts a network where, and only where, it is convex."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import oracle
import pytest
from certificate_tools import LONELY, check, claim_of, to_bytes
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from strategies import boxes, networks

from jensen.certificate.claims import interior_rule
from jensen.certificate.model_export import export_bytes
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.network.relu_network import ReluNetwork
from jensen_encodings.deadline import NEVER

checker = LONELY

EDGES = [-1.0, 0.0, 0.5, 1.0]


def network_of(network: ReluNetwork, domain: Domain, inputs: list[int] | None = None):
    """Return what the checker makes of the claim that a network is convex, without bounds."""
    model = checker.read_model(export_bytes(network))
    record = claim_of(network, domain) | ({} if inputs is None else {"inputs": inputs})
    claim = checker.Claim(record, model)
    if claim.rows:
        _, point, equations = interior_rule(domain, network.input_size, NEVER)
        checker.rule_interior(claim, checker.rationals(point, network.input_size), equations)
    return checker.Network(model, claim, {})


def is_walked(network: ReluNetwork, domain: Domain, inputs: list[int] | None = None) -> bool:
    """Whether the checker accepts a walk of all groups that path signs leave open, or of all."""
    answers = []
    net = network_of(network, domain, inputs)
    for closed in (set(), checker.rule_path_signs(net)):
        checker.WORK[0] = 0
        try:
            checker.rule_walk(net, net.kinks - closed)
            answers.append(True)
        except checker.Rejected:
            answers.append(False)
    assert answers[0] == answers[1]
    return answers[0]


@st.composite
def polyhedra(draw: st.DrawFn, inputs: int) -> Polyhedron:
    """Draw a polyhedron around 0, bounded or not, whose sides often are kinks."""
    row = st.lists(st.sampled_from([-1.0, 0.0, 1.0, 2.0]), min_size=inputs, max_size=inputs)
    rows = [some for some in draw(st.lists(row, min_size=1, max_size=5)) if any(some)]
    assume(rows)
    return Polyhedron(rows, [draw(st.sampled_from([0.5, 1.0, 3.0])) for _ in rows])


@st.composite
def questions(draw: st.DrawFn) -> tuple[ReluNetwork, Domain]:
    """Draw a network and a domain of any kind, boxes of some sides that are equal among them."""
    network = draw(networks(affine=draw(st.booleans())))
    n = network.input_size
    sides = [sorted(draw(st.tuples(*[st.sampled_from(EDGES)] * 2))) for _ in range(n)]
    flat = Box([low for low, _ in sides], [high for _, high in sides])
    return network, draw(st.one_of(st.just(Everywhere()), boxes(n), st.just(flat), polyhedra(n)))


@settings(max_examples=200, deadline=None)
@given(questions())
@example((ReluNetwork.from_layers([[[0.0]], [[1.0]]], [[0.0], [0.0]]), Box(-1, 1)))
def test_the_walk_accepts_what_is_convex_and_nothing_else(
    question: tuple[ReluNetwork, Domain],
) -> None:
    network, domain = question
    assert is_walked(network, domain) == oracle.is_convex(network, domain)


@pytest.mark.parametrize("inputs", [1, 2, 3, 4])
def test_small_integers_make_kinks_meet_and_coincide(inputs: int) -> None:
    seen = {True: 0, False: 0}
    for seed in range(100):
        rng = np.random.default_rng(seed)
        sizes = [inputs, *rng.integers(1, 4, rng.integers(1, 4)), 1]
        weights = [rng.integers(-2, 3, shape) for shape in zip(sizes[1:], sizes, strict=False)]
        if seed % 2:
            weights[1:] = [np.where(rng.random(w.shape) < 0.2, w, abs(w)) for w in weights[1:]]
        biases = [rng.integers(-1, 2, rows) * (seed % 3 > 0) for rows in sizes[1:]]
        network = ReluNetwork.from_layers(weights, biases)
        domain = (Box(-1, 1), Everywhere(), Box([-1] * inputs, [2, *[0.5] * (inputs - 1)]))[
            seed % 3
        ]
        truth = oracle.is_convex(network, domain)
        assert is_walked(network, domain) == truth, seed
        seen[truth] += 1
    assert min(seen.values()) > 10


def needle(centre: list[float], size: float, width: float) -> ReluNetwork:
    """relu(size - |x - centre|), in the norm of sums, taken from a convex function.

    It bends down on a sphere of this size alone, and the two neurons of an input kink together.
    """
    n = len(centre)
    first = np.vstack([np.eye(n), -np.eye(n)])
    second = np.vstack([-np.ones(2 * n), np.ones(2 * n)])
    biases = [-first @ np.array(centre), [size, -width], [0.0]]
    return ReluNetwork.from_layers([first, second, [[-1.0, 1.0]]], biases)


@pytest.mark.parametrize("inputs", [1, 2, 3])
@pytest.mark.parametrize("size", [0.25, 2.0**-40])
def test_one_tiny_cell_where_it_bends_down_is_found(
    inputs: int, size: float, tmp_path: Path
) -> None:
    network = needle([0.5, 0.25, -0.75][:inputs], size, width=1.0)
    lines = [["bounds", []], ["path_signs"], ["walk"]]
    away = Box([0.5 + size, *[-1] * (inputs - 1)], [1] * inputs)
    for domain, convex in ((Box(-1, 1), False), (Everywhere(), False), (away, True)):
        certificate = to_bytes([claim_of(network, domain), *lines])
        assert (check(network, certificate, tmp_path) == 0) == convex
        if convex:  # the certificate of another network, or of another domain, proves nothing
            other = needle([0.5, 0.25, -0.75][:inputs], size, width=2.0)
            assert check(other, certificate, tmp_path) == 1


@pytest.mark.parametrize("seed", range(40))
def test_partial_claims_are_walked_in_their_inputs_alone(seed: int) -> None:
    """Slices of a network whose partial walk is accepted are convex; else one of them is not."""
    rng = np.random.default_rng(seed)
    sizes = [2, *rng.integers(1, 4, rng.integers(1, 3)), 1]
    weights = [
        rng.integers(-2, 3, shape).astype(float) for shape in zip(sizes[1:], sizes, strict=False)
    ]
    biases = [rng.integers(-1, 2, rows).astype(float) for rows in sizes[1:]]
    network = ReluNetwork.from_layers(weights, biases)
    convex = []
    for y in itertools.chain(np.arange(-128, 129) / 128):
        first = biases[0] + weights[0][:, 1] * y
        line = ReluNetwork.from_layers([weights[0][:, :1], *weights[1:]], [first, *biases[1:]])
        convex.append(oracle.is_convex(line, Box(-1, 1)))
    assert is_walked(network, Box(-1, 1), [0]) == all(convex)


def test_pieces_are_cut_where_only_the_sum_of_jumps_is_not_negative() -> None:
    """relu(2 z) - relu(z), with z made in two ways that the checker does not know to be equal."""
    first = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    second = np.array([[2.0, -2.0, 0.0], [1.0, -1.0, 0.0], [-1.0, 1.0, 1.0]])
    network = ReluNetwork.from_layers(
        [first, second, [[1.0, -1.0, 0.0]]], [np.zeros(3)] * 2 + [[0]]
    )
    assert oracle.is_convex(network, Box(-1, 1)) == is_walked(network, Box(-1, 1))


def test_a_walk_that_costs_too_much_is_malformed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(30, 3)), rng.normal(size=(30, 30)), np.ones((1, 30))]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=30), np.ones(30) * 99, [0.0]])
    lines = [claim_of(network, Box(-1, 1)), ["bounds", []], ["walk"]]
    monkeypatch.setattr(checker, "MAX_WORK", 1 << 24)
    assert check(network, to_bytes(lines), tmp_path) == 2
    wide = ReluNetwork.from_layers([np.eye(24), -np.ones((1, 24))], [np.zeros(24), [0.0]])
    assert check(wide, to_bytes([claim_of(wide, Box(-1, 1)), *lines[1:]]), tmp_path) == 2


@given(st.integers(0, 10**6))
def test_cones_are_cut_into_their_extreme_rays(seed: int) -> None:
    """No ray is a sum of others, and every one that was on a side stays on it."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 4))
    network = ReluNetwork.from_layers([np.eye(n), np.ones((1, n))], [np.zeros(n), [0.0]])
    net = network_of(network, Box(-1, 1))
    place = checker.lru_cache(checker.partial(checker.corner, net))
    cone = checker.domain_of(net, place)
    assert not cone.lines
    assert len(cone.rays) == 2**n
    for _ in range(4):
        form = {key: int(v) for key, v in enumerate(rng.integers(-2, 3, n + 1))}
        ahead, behind, zero = checker.cut(place, cone, form)
        for part, sign in ((ahead, 1), (behind, -1), (zero, 0)):
            heights = [sum(v * ray.values[k] for k, v in form.items()) for ray, _ in part.rays]
            assert all(h * sign >= 0 if sign else h == 0 for h in heights)
            vectors = [
                tuple(Fraction(v, ray.vector[0]) for v in ray.vector) for ray, _ in part.rays
            ]
            assert len({*vectors}) == len(vectors)
            marks = [at for _, at in part.rays]
            assert not any(a & b == a for a, b in itertools.permutations(marks, 2))
        cone = ahead if ahead.rays and any(rng.random(1) < 0.5) else cone
