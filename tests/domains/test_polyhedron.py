"""Hulls of polyhedra exactly, proved boxes around them."""

from __future__ import annotations

import pickle
from fractions import Fraction

import flint
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lp_oracle import holds, vertices

import jensen
from jensen.arithmetic.rational import ZERO, rationals
from jensen.domains import hull, working_set
from jensen.domains.domain import Polyhedron
from jensen.domains.hull import (
    BOX_INPUTS,
    bounding_box,
    inner_ball,
    linear_hull,
    relative_interior,
    strict_point,
)
from jensen.errors import DomainError, OutOfTimeError, UndecidedError
from jensen.network.relu_network import ReluNetwork
from jensen.optimise.ground import ground_of
from jensen_encodings.deadline import Deadline

ENTRIES = st.sampled_from([0.0, 1.0, -1.0, 2.0, 0.1])


def cone_of(A, b) -> np.ndarray:
    rows = np.column_stack([np.asarray(A, dtype=float), -np.asarray(b, dtype=float)])
    bottom = np.zeros((1, rows.shape[1]))
    bottom[0, -1] = -1.0
    return rationals(np.vstack([rows, bottom]))


@st.composite
def polytopes(draw):
    d = draw(st.integers(1, 3))
    count = draw(st.integers(0, 4))
    A = [[draw(ENTRIES) for _ in range(d)] for _ in range(count)]
    b = [draw(st.sampled_from([0.0, 0.5, 1.0, -0.5])) for _ in A]
    if A and draw(st.booleans()):
        A.append([-v for v in A[0]])
        b.append(-b[0])
    sides = np.vstack([np.eye(d), -np.eye(d)]).tolist()
    return np.array(A + sides), np.array(b + [1.0] * (2 * d))


def corners(A, b):
    rows = [[Fraction(v) for v in row] for row in A.tolist()]
    limits = [Fraction(v) for v in b.tolist()]
    free = [False] * len(rows)
    return [v for v in vertices(rows, limits, A.shape[1]) if holds(rows, limits, free, v)]


def affine_dimension(points) -> int:
    if len(points) == 1:
        return 0
    rows = [
        [
            flint.fmpq((a - b).numerator, (a - b).denominator)
            for a, b in zip(p, points[0], strict=True)
        ]
        for p in points[1:]
    ]
    return flint.fmpq_mat(rows).rref()[1]


@given(polytopes())
def test_hull_box_and_emptiness_are_those_of_the_vertices(polytope):
    A, b = polytope
    points = corners(A, b)
    hull = linear_hull(cone_of(A, b))
    if not points:
        assert hull is None
        return
    assert hull is not None
    assert hull.shape[1] == affine_dimension(points) + 1
    box = bounding_box(A, b)
    assert box is not None
    for i in range(A.shape[1]):
        least, most = min(p[i] for p in points), max(p[i] for p in points)
        assert Fraction(box[0][i]) <= least
        assert Fraction(box[1][i]) >= most
        assert box[0][i] == pytest.approx(float(least), abs=1e-6)
        assert box[1][i] == pytest.approx(float(most), abs=1e-6)


@given(polytopes())
def test_the_multipliers_of_a_box_are_sums_of_rows(polytope):
    A, b = polytope
    if not corners(A, b):
        return
    box = bounding_box(A, b)
    assert (box.multipliers >= 0).all()
    for i, (below, above) in enumerate(box.multipliers):
        unit = np.eye(A.shape[1])[i]
        assert -below @ A == pytest.approx(unit, abs=1e-9)
        assert above @ A == pytest.approx(unit, abs=1e-9)
        assert -below @ b == pytest.approx(box.lower[i], abs=1e-9)
        assert above @ b == pytest.approx(box.upper[i], abs=1e-9)


@given(polytopes())
def test_a_ball_is_inside(polytope):
    A, b = polytope
    centre, radius = inner_ball(A, b)
    points = corners(A, b)
    if not points:
        assert radius == 0
    elif affine_dimension(points) == A.shape[1]:
        assert radius > 0
    if radius > 1e-6:
        assert (A @ centre + 0.999 * radius * np.linalg.norm(A, axis=1) <= b + 1e-7).all()


@given(st.integers(1, 3), st.data())
def test_either_a_strict_point_or_multipliers(n, data):
    row = st.lists(ENTRIES, min_size=n, max_size=n).filter(any)
    rows = rationals(np.array(data.draw(st.lists(row, min_size=1, max_size=5))))
    if data.draw(st.booleans()):
        rows = np.concatenate([rows, -rows[:1]])
    found = strict_point(rows)
    if found.point is not None:
        assert all(value < 0 for value in rows @ found.point)
        assert found.multipliers == []
    else:
        assert all(y >= 0 for y in found.multipliers)
        assert any(found.multipliers)
        assert not any(np.array(found.multipliers, dtype=object) @ rows)


@pytest.mark.parametrize("width", [1e-6, 1e-12, 1e-30, 5e-324])
def test_a_slab_however_thin_is_no_hyperplane(width):
    A = [[1.0, 1.0], [-1.0, -1.0]]
    hull = linear_hull(cone_of(A, [width, 0.0]))
    assert hull is not None
    assert hull.shape == (3, 3)
    flat = linear_hull(cone_of(A, [0.0, 0.0]))
    assert flat is not None
    assert flat.shape == (3, 2)
    assert linear_hull(cone_of(A, [-width, 0.0])) is None


def test_rows_that_bind_only_together_are_found_step_by_step():
    # x <= 0, y <= x, z <= y and x + y + z >= 0: a point, which no two rows show alone
    A = [[1, 0, 0], [-1, 1, 0], [0, -1, 1], [-1, -1, -1]]
    hull = linear_hull(cone_of(A, [0.0] * 4))
    assert hull is not None
    assert hull.shape[1] == 1
    assert [v / hull[-1, 0] for v in hull[:-1, 0]] == [ZERO] * 3


def test_hulls_have_coprime_integer_columns():
    hull = linear_hull(cone_of([[0.1, 0.3], [-0.1, -0.3]], [0.2, -0.2]))
    assert hull is not None
    for column in hull.T:
        assert all(v.q == 1 for v in column)
        divisor = 0
        for v in column:
            divisor = int(flint.fmpz(divisor).gcd(v.p))
        assert divisor == 1


@pytest.mark.parametrize(
    ("A", "b"),
    [
        ([[1.0, 0.0]], [1.0]),
        ([[1.0, 1.0], [-1.0, -1.0]], [1.0, 1.0]),
        ([[0.0, 0.0]], [1.0]),
        ([[-1.0, 0.0], [0.0, -1.0]], [0.0, 0.0]),
        # bounded, but too far out to be proved in doubles
        ([[1e-300, 0.0], [-1e-300, 0.0], [0.0, 1e-300], [0.0, -1e-300]], [1e300] * 4),
    ],
)
def test_unbounded_polyhedra_have_no_box(A, b):
    assert bounding_box(np.array(A), np.array(b)) is None


def test_small_entries_in_rows_with_large_ones_count():
    """x <= 1 + 1e600 y: scaled in doubles, the row would say x <= 1."""
    A = np.array([[1e300, -1e-300], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    b = np.array([1e300, 0.0, 1.7e308, 0.0])
    box = bounding_box(A, b)
    far = Fraction(1) + Fraction(1e-300) / Fraction(1e300) * Fraction(1.7e308)
    assert Polyhedron(A, b).contains([far, Fraction(1.7e308)])
    assert box is None or Fraction(box[1][0]) >= far


def test_many_inputs_get_no_box():
    d = BOX_INPUTS + 1
    assert bounding_box(np.vstack([np.eye(d), -np.eye(d)]), np.ones(2 * d)) is None


def test_rows_of_any_size_give_the_same_box():
    A = np.array([[1e-200, 0.0], [-1e-200, 0.0], [0.0, 1e150], [0.0, -1e150], [0.0, 0.0]])
    b = np.array([1e-200, 1e-200, 2e150, 2e150, 7.0])
    assert Polyhedron(A, b).contains([Fraction(1), Fraction(2)])
    box = bounding_box(A, b)
    assert box is not None
    assert box[0] == pytest.approx([-1.0, -2.0])
    assert box[1] == pytest.approx([1.0, 2.0])


@given(polytopes())
def test_a_point_is_inside_and_multipliers_show_what_is_an_equation(polytope):
    A, b = polytope
    cone = cone_of(A, b)
    found = relative_interior(cone)
    if found is None:
        assert not corners(A, b)
        return
    multipliers = np.array(found.multipliers, dtype=object)
    assert not any(multipliers @ cone)
    for row, y in zip(cone, found.multipliers, strict=True):
        assert y >= 0
        value = row @ found.point
        assert value == 0 if y > 0 or not any(row) else value < 0


def with_equations(inputs: int, equations: int, seed: int) -> Polyhedron:
    """A cube cut by equations whose numbers have no short form, each given as two rows."""
    rng = np.random.default_rng(seed)
    rows, eye = rng.normal(size=(equations, inputs)), np.eye(inputs)
    A = np.concatenate([rows, -2 * rows, eye, -eye])
    return Polyhedron(A, np.concatenate([np.zeros(2 * equations), np.ones(2 * inputs)]))


@pytest.mark.parametrize("seed", range(3))
def test_equations_given_as_opposite_rows_need_no_linear_program(seed, monkeypatch):
    def solve(*_: object) -> None:
        raise AssertionError("an exact program for what the rows say themselves")

    monkeypatch.setattr(hull, "maximise", solve)
    domain = with_equations(14, 5, seed)
    cone = cone_of(*domain.inequalities(14))
    found = relative_interior(cone)
    assert found is not None
    assert found.basis.shape == (15, 10)
    assert all(y >= 0 for y in found.multipliers)
    assert not any(np.array(found.multipliers, dtype=object) @ cone)
    vanish = [not any(row @ found.basis) for row in cone]
    assert vanish == [y > 0 for y in found.multipliers]
    assert sum(vanish) == 10
    values = cone @ found.point
    assert all(
        value == 0 if equal else value < 0 for value, equal in zip(values, vanish, strict=True)
    )


def test_opposite_rows_of_an_empty_polyhedron_are_no_equation():
    with pytest.raises(DomainError, match="empty"):
        Polyhedron([[1.0, 0.3], [-1.0, -0.3], [0.0, 1.0]], [-1.0, 0.5, 1.0]).working_set(2)


def test_a_polyhedron_that_is_not_known_in_time_leaves_the_question_open():
    domain, over = with_equations(6, 2, 0), Deadline.after(-1.0)
    with pytest.raises(OutOfTimeError, match="time was up"):
        domain.working_set(6, over)
    for rows in (np.vstack([np.eye(6), -np.ones(6)]), -np.eye(6)):
        assert hull.bounding_box(rows, np.ones(len(rows)), over) is None
        assert hull.inner_ball(rows, np.ones(len(rows)), 1.0, over)[1] == 0
    with pytest.raises(OutOfTimeError, match="time was up"):
        ground_of(domain, 6, over)
    rng = np.random.default_rng(0)
    network = ReluNetwork.from_layers(
        [rng.normal(size=(8, 6)), rng.normal(size=(1, 8))], [rng.normal(size=8), [0.0]]
    )
    verdict = jensen.verify(network, domain, time_limit=1e-9)
    assert verdict.status == "unknown"
    assert "time was up" in verdict.note
    worst = jensen.worst_jump(network, domain, time_limit=1e-9)
    assert (worst.status, worst.lower, worst.upper) == ("time limit", 0.0, np.inf)
    for measure in (jensen.worst_violation, jensen.repair, jensen.ConvexFunction):
        with pytest.raises(UndecidedError, match="time was up"):
            measure(network, domain, time_limit=1e-9)
    # nothing of this is taken for an answer afterwards
    assert not domain.working_set(6).lifted


def test_the_set_of_a_polyhedron_is_found_once_and_stays_out_of_copies():
    domain = with_equations(5, 2, 3)
    working = domain.working_set(5)
    assert domain.working_set(5) is working
    assert Polyhedron(domain.A, domain.b).working_set(5) is working
    again = pickle.loads(pickle.dumps(domain))
    assert again == domain
    assert Polyhedron(domain.A, domain.b + 1).working_set(5) is not working
    with pytest.raises(DomainError):
        domain.working_set(4)


def test_bounds_that_were_not_found_in_time_do_not_make_a_polyhedron_unbounded(monkeypatch):
    monkeypatch.setattr(working_set, "bounding_box", lambda *_: None)
    monkeypatch.setattr(working_set, "LAST_SECONDS", 1e9)
    with pytest.raises(OutOfTimeError, match="bounds"):
        with_equations(4, 1, 5).working_set(4, Deadline.after(1e6))


@pytest.mark.parametrize("bounded", [True, False])
def test_hulls_of_equations_without_a_short_form_have_handy_numbers(bounded):
    domain = with_equations(9, 4, 1)
    rows, limits = domain.inequalities(9)
    if not bounded:
        rows, limits = rows[:9], limits[:9]
    working = Polyhedron(rows, limits).working_set(9)
    assert working.lifted is not bounded
    assert working.dim == 5 + working.lifted
    sizes = [float(max(abs(v) for v in column)) for column in working.matrix.T]
    assert 0.4 < min(sizes) <= max(sizes) < 2**10
    # all points of the set satisfy the equations
    assert not any((rationals(rows[:4]) @ working.matrix[:9]).reshape(-1))
