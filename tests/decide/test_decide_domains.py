"""Domains of every shape: flat, thin, unbounded, redundant, far away."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import oracle
import pytest
from agreement import check_evidence
from fuzz import tiny_network
from questions import composed

import jensen
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.errors import DomainError
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork
from jensen.verdicts.verdict import Status

LIMIT = 20.0


def expected(convex: bool) -> Status:
    return Status.CONVEX if convex else Status.NONCONVEX


def networks(count: int, inputs: int | None = None, budget: int = 8):
    for seed in range(10**6):
        network = tiny_network(seed, budget=budget)[1]
        if inputs is None or network.input_size == inputs:
            yield seed, network
            count -= 1
        if not count:
            return


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        ([0.0, -1.0], [0.0, 1.0]),
        ([0.5, -1.0], [0.5, np.nextafter(-1.0, 0)]),  # one side flat, the other one ulp wide
        ([-1.0, 0.25], [1.0, 0.25]),
        ([0.25, 0.25], [0.25 + 2.0**-50, 1.0]),
        ([-1e6, -1e-6], [1e6, 1e-6]),
        ([1e6, 1e6], [1e6 + 1, 1e6 + 1]),
        ([-1e-300, -1e-300], [1e-300, 1e-300]),
        ([-1e15, -1.0], [1e15, 1.0]),
        ([0.0, 0.0], [5e-324, 1.0]),
    ],
)
def test_boxes(lower, upper):
    box = Box(lower, upper)
    for seed, network in networks(40, inputs=2):
        verdict = jensen.verify(network, box, time_limit=LIMIT)
        assert verdict.status is expected(oracle.is_convex(network, box)), seed
        check_evidence(network, box, verdict)


CORNERS = {
    "half space": Polyhedron([[1.0, 1.0]], [0.5]),
    "slab": Polyhedron([[1.0, -1.0], [-1.0, 1.0]], [0.5, 0.25]),
    "thin slab": Polyhedron([[1.0, -1.0], [-1.0, 1.0]], [2.0**-40, 0.0]),
    "quadrant": Polyhedron([[-1.0, 0.0], [0.0, -1.0]], [0.0, 0.5]),
    "sharp cone": Polyhedron([[-1.0, 0.0], [1e-6, -1.0], [-1.001e-6, 1.0]], [0.0, 0.0, 0.0]),
    "triangle": Polyhedron([[-1.0, 0.0], [0.0, -1.0], [1.0, 1.0]], [0.0, 0.0, 1.0]),
    "redundant": Polyhedron(
        [[1.0, 0.0], [2.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [-1.0, -1.0], [-1.0, -1.0]],
        [1.0, 2.0, 7.0, 3.0, 1.0, 1.0, 1.0],
    ),
    "tiny": Polyhedron([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], [1e-12, 0, 1e-12, 0]),
    "far": Polyhedron([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], [1e9 + 1, -1e9, 1, 1]),
    "no rows": Polyhedron(np.empty((0, 2)), []),
    "zero rows": Polyhedron([[0.0, 0.0], [0.0, 0.0]], [0.0, 1.0]),
    "odd scales": Polyhedron([[1e-200, 0.0], [0.0, 1e200], [-1e-9, -1e-9]], [1e-200, 1e200, 1e-9]),
}


@pytest.mark.parametrize("name", CORNERS)
def test_polyhedra(name):
    domain = CORNERS[name]
    for seed, network in networks(40, inputs=2):
        verdict = jensen.verify(network, domain, time_limit=LIMIT)
        assert verdict.status is expected(oracle.is_convex(network, domain)), seed
        check_evidence(network, domain, verdict)


def flats() -> dict[str, tuple[Polyhedron, np.ndarray, np.ndarray, Domain]]:
    """Flat polyhedra in three inputs, with the same set in coordinates of its own."""
    one = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])  # x + y + z = 1/2
    plane = [[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]]
    shift = np.array([0.0, 0.0, 0.5])
    line = np.array([[1.0], [-2.0], [0.5]])
    base = np.array([0.25, 0.0, -0.125])
    # normals of the line
    across = np.array([[2.0, 1.0, 0.0], [1.0, 0.0, -2.0]])
    on_line = (np.vstack([across, -across]), np.hstack([across @ base, -across @ base]))
    ends = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    return {
        "plane": (Polyhedron(plane, [0.5, -0.5]), one, shift, Everywhere()),
        "triangle": (
            Polyhedron([*plane, *(-np.eye(3)).tolist()], [0.5, -0.5, 1.0, 1.0, 1.0]),
            one,
            shift,
            Polyhedron([[-1.0, 0.0], [0.0, -1.0], [1.0, 1.0]], [1.0, 1.0, 1.5]),
        ),
        "line": (Polyhedron(*on_line), line, base, Everywhere()),
        "segment": (
            Polyhedron(np.vstack([on_line[0], ends]), np.hstack([on_line[1], [1.25, 0.75]])),
            line,
            base,
            Box(-1, 1),
        ),
        # x <= y <= z <= x: a line that no pair of opposite rows shows
        "cycle": (
            Polyhedron([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0], [-1.0, 0.0, 1.0]], [0.0, 0.0, 0.0]),
            np.ones((3, 1)),
            np.zeros(3),
            Everywhere(),
        ),
    }


@pytest.mark.parametrize("name", flats())
def test_flat_polyhedra_are_decided_in_their_hull(name):
    domain, matrix, shift, inner = flats()[name]
    rng = np.random.default_rng(0)
    for _ in range(5):  # the two descriptions agree
        y = [Fraction(int(v), 16) for v in rng.integers(-12, 13, matrix.shape[1])]
        x = [
            sum((Fraction(a) * v for a, v in zip(row, y, strict=True)), Fraction(s))
            for row, s in zip(matrix.tolist(), shift.tolist(), strict=True)
        ]
        assert domain.contains(x) == inner.contains(y)
    for seed, network in networks(40, inputs=3):
        verdict = jensen.verify(network, domain, time_limit=LIMIT)
        assert verdict.status is expected(
            oracle.is_convex(composed(network, matrix, shift), inner)
        ), seed
        check_evidence(network, domain, verdict)


def test_a_polyhedron_of_one_point_is_convex_and_says_so():
    point = Polyhedron([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], [0.5, -0.5, 0.25, -0.25])
    for _, network in networks(5, inputs=2):
        for function in (network, network.negated()):
            assert jensen.verify(function, point).status is Status.CONVEX
    assert jensen.verify(network, Box([0.5, 0.25], [0.5, 0.25])).status is Status.CONVEX


@pytest.mark.parametrize(
    ("A", "b"),
    [
        ([[1.0, 0.0], [-1.0, 0.0]], [0.0, -1.0]),
        ([[0.0, 0.0]], [-1e-300]),
        ([[1.0, 1.0], [-1.0, 0.0], [0.0, -1.0]], [-5e-324, 0.0, 0.0]),
        ([[1.0, -1.0], [-1.0, 1.0]], [0.5, -0.5 - 2.0**-53]),
    ],
)
def test_empty_polyhedra_are_an_error_even_for_convex_networks(A, b):
    icnn = ReluNetwork.from_layers([np.eye(2), [[1.0, 1.0]]], [[0.0, 0.0], [0.0]])
    for function in (icnn, icnn.negated()):
        with pytest.raises(DomainError, match="empty"):
            jensen.verify(function, Polyhedron(A, b))


def test_a_box_and_the_same_box_as_a_polyhedron_get_the_same_verdict():
    for seed, network in networks(60):
        d = network.input_size
        lower, upper = np.full(d, -0.75), np.full(d, 1.5)
        rows = np.vstack([np.eye(d), -np.eye(d)])
        verdicts = {
            jensen.verify(network, domain, time_limit=LIMIT).status
            for domain in (Box(lower, upper), Polyhedron(rows, np.hstack([upper, -lower])))
        }
        assert len(verdicts) == 1, seed


def test_convexity_is_inherited_by_smaller_domains():
    order = [Everywhere(), CORNERS["half space"], CORNERS["redundant"], Box([-1, -1], [0.25, 0.25])]
    for seed, network in networks(80, inputs=2):
        statuses = [jensen.verify(network, domain, time_limit=LIMIT).status for domain in order]
        first = statuses.index(Status.CONVEX) if Status.CONVEX in statuses else len(statuses)
        assert all(status is Status.CONVEX for status in statuses[first:]), seed


def test_kinks_on_the_border_of_the_domain_do_not_count():
    roof = ReluNetwork(
        1,
        [
            Block("a", {INPUT: [[1.0]]}, [0.0]),
            Block(OUTPUT, {"a": [[-1.0]]}, [0.0], Activation.IDENTITY),
        ],
    )
    for domain in (Box(0, 1), Box(-1, 0), Polyhedron([[1.0]], [0.0]), Polyhedron([[-1.0]], [0.0])):
        assert jensen.verify(roof, domain).status is Status.CONVEX
    for domain in (Box(-5e-324, 1), Box(-1, 5e-324), Polyhedron([[1.0]], [5e-324])):
        assert jensen.verify(roof, domain).status is Status.NONCONVEX
