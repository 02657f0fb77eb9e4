"""Working sets: the right set, of full dimension, with right angles in the inputs."""

from __future__ import annotations

from fractions import Fraction

import flint
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jensen.arithmetic.rational import ONE, ZERO, floats, null_space, rational
from jensen.arithmetic.simplex import maximise
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.domains.working_set import WorkingSet
from jensen.errors import DomainError

SIDES = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 1e6, -1e-9, 1e-200, 1e300, -1.7e308, 5e-324, 0.1])
ENTRIES = st.sampled_from([0.0, 0.0, 1.0, -1.0, 0.5, 3.0])


@st.composite
def boxes(draw):
    d = draw(st.integers(1, 3))
    ends = [sorted([draw(SIDES), draw(SIDES)]) for _ in range(d)]
    return Box([a for a, _ in ends], [b for _, b in ends])


@st.composite
def polyhedra(draw):
    """Through the point 1/4 in all inputs, so that none is empty; many of them are flat."""
    d = draw(st.integers(1, 3))
    rows, limits = [], []
    for _ in range(draw(st.integers(1, 4))):
        row = [draw(ENTRIES) for _ in range(d)]
        room = draw(st.sampled_from([0.0, 1.0, 0.5]))
        rows.append(row)
        limits.append(sum(row) / 4 + room)
        if draw(st.booleans()):  # the other side too: a slab, flat where there is no room
            rows.append([-v for v in row])
            limits.append(-sum(row) / 4)
    if draw(st.booleans()):
        rows += [list(r) for r in np.vstack([np.eye(d), -np.eye(d)])]
        limits += [2.0] * (2 * d)
    return Polyhedron(rows, limits)


def exact(values) -> np.ndarray:
    return np.array([flint.fmpq(v.numerator, v.denominator) for v in values], dtype=object)


def satisfies(working: WorkingSet, y: np.ndarray) -> bool:
    return all(row @ y <= limit for row, limit in zip(working.rows, working.limits, strict=True))


@st.composite
def working_points(draw, working: WorkingSet):
    value = st.builds(Fraction, st.integers(-12, 12), st.just(8))
    return exact([draw(value) for _ in range(working.dim)])


@given(st.one_of(boxes(), polyhedra()), st.data())
def test_a_working_point_satisfies_the_rows_iff_its_input_lies_in_the_domain(domain, data):
    inputs = len(domain.lower) if isinstance(domain, Box) else domain.A.shape[1]
    working = domain.working_set(inputs)
    y = data.draw(working_points(working))
    point = working.to_input(y.tolist())
    if point is None:
        return
    if not working.lifted:
        assert domain.contains(point) == satisfies(working, y)
    elif satisfies(working, y):
        assert domain.contains(point)
    assert working.contains(y) == satisfies(working, y)


@given(polyhedra(), st.data())
def test_points_of_a_flat_polyhedron_are_reached(domain, data):
    """The hull contains 1/4 and every other point of the polyhedron that is tried."""
    d = domain.A.shape[1]
    working = domain.working_set(d)
    point = [Fraction(data.draw(st.integers(-8, 8)), 4) for _ in range(d)]
    for x in ([Fraction(1, 4)] * d, point):
        if not domain.contains(x):
            continue
        target = exact([*x, Fraction(1)]) - working.offset
        if not working.dim:
            assert not any(target)
            continue
        matrix = flint.fmpq_mat([[*row, v] for row, v in zip(working.matrix, target, strict=True)])
        columns = flint.fmpq_mat([list(row) for row in working.matrix])
        assert matrix.rref()[1] == columns.rref()[1] == working.dim


@given(st.one_of(boxes(), polyhedra()))
def test_the_working_set_has_an_interior(domain):
    inputs = len(domain.lower) if isinstance(domain, Box) else domain.A.shape[1]
    working = domain.working_set(inputs)
    margins = [[*row, ONE] for row in working.rows]
    cap = [*[ZERO] * working.dim, ONE]
    found = maximise(cap, [*margins, cap], [*working.limits, ONE], [False] * (len(margins) + 1))
    assert found is not None
    assert found.v[-1] > 0


@given(st.one_of(boxes(), polyhedra()), st.data())
def test_the_steepest_direction_is_at_right_angles_to_the_hyperplane(domain, data):
    inputs = len(domain.lower) if isinstance(domain, Box) else domain.A.shape[1]
    working = domain.working_set(inputs)
    if not working.dim:
        return
    normal = data.draw(working_points(working))
    chosen = data.draw(st.one_of(st.none(), st.sets(st.integers(0, inputs - 1), min_size=1)))
    moving = None if chosen is None else sorted(chosen)
    step = working.steepest(normal, moving)
    moved = working.matrix @ step
    still = [i for i in range(inputs) if moving is not None and i not in moving]
    assert moved[-1] == 0
    assert not any(moved[still])
    # directions that keep tau, the form and the still inputs are at right angles to it
    fixed = [list(working.matrix[i]) for i in (*still, inputs)]
    columns = [[row[k] for row in fixed] + [normal[k]] for k in range(working.dim)]
    for vector in null_space(columns):
        across = working.matrix[:-1] @ np.array(vector, dtype=object)
        assert across @ moved[:-1] == 0
    allowed = null_space([[row[k] for row in fixed] for k in range(working.dim)])
    rises = any(normal @ np.array(v, dtype=object) != 0 for v in allowed)
    assert (normal @ step > 0) == rises
    assert any(step) == rises
    with np.errstate(over="ignore"):
        near = working.steepest(floats(normal), moving)
    for a, b in zip(near, floats(step), strict=True):
        if max(abs(a), abs(b)) < 1e300:
            assert a == pytest.approx(b, rel=1e-6, abs=1e-300)


def test_a_box_side_of_zero_width_leaves_a_variable_less():
    working = Box([0.0, 0.5, -1.0], [1.0, 0.5, 1.0]).working_set(3)
    assert working.dim == 2
    assert not working.lifted
    point = working.to_input([ZERO] * 2)
    assert point is not None
    assert point[1] == Fraction(1, 2)
    assert Box(0.1, 0.1).working_set(2).dim == 0
    assert Box(0.1, 0.1).working_set(2).to_input([]) == (Fraction(0.1),) * 2


@pytest.mark.parametrize(
    "domain",
    [
        Box(0.3, 0.3 + 1e-12),
        Box(-1e300, 1e300),
        Box(-1.7e308, 1.7e308),
        Box(0, 5e-324),
        Box(1e300, np.nextafter(1e300, np.inf)),
        Polyhedron(np.vstack([np.eye(2), -np.eye(2)]), [1e-12, 1e9, 0, 1e9]),
    ],
)
def test_thin_wide_and_far_sets_get_sides_of_about_1(domain):
    working = domain.working_set(2)
    assert not working.identity
    reach = 0.0
    for k in range(working.dim):
        for sign in (1, -1):
            y = np.array([ZERO] * working.dim, dtype=object)
            # far enough out no point satisfies the rows, close to the middle some do
            y[k] = sign * rational(2.0**21)
            assert not satisfies(working, y)
        reach = max(reach, float(np.abs(working.float_rows[:, k]).max()))
    assert reach > 0


def test_a_plain_box_keeps_the_networks_weights():
    assert Box(-1, 1).working_set(3).identity
    assert Box([-1, 0], [100, 7]).working_set(2).identity
    assert Everywhere().working_set(3).identity
    assert Everywhere().working_set(3).dim == 4


def test_points_at_infinity_have_no_input():
    working = Everywhere().working_set(2)
    assert working.to_input([ONE, ONE, ZERO]) is None
    assert working.to_input([ONE, ZERO, ONE / 2]) == (2, 0)


@pytest.mark.parametrize(
    ("domain", "says"),
    [
        (Polyhedron([[1.0], [-1.0]], [0.0, -1.0]), "empty"),
        (Polyhedron([[0.0]], [-1.0]), "empty"),
        (Polyhedron([[1.0], [-1.0]], [0.0, -5e-324]), "empty"),
        (Polyhedron([[1.0, 0.0]], [0.0]), "2 dimensions"),
        (Box([0, 0], [1, 1]), "2 dimensions"),
    ],
)
def test_empty_and_misfit_domains_are_refused(domain: Domain, says):
    with pytest.raises(DomainError, match=says):
        domain.working_set(1)


@given(st.integers(1, 3), st.data())
def test_a_fast_answer_about_a_point_is_the_exact_one(d, data):
    """Points on a side, or a hair from it."""
    working = Box(-1, 0.1).working_set(d)
    near = st.sampled_from([0.1, np.nextafter(0.1, 1), np.nextafter(0.1, 0), -1.0, 0.0, -1 - 2e-16])
    y = np.array([rational(float(data.draw(near))) for _ in range(d)], dtype=object)
    y[0] += flint.fmpq(data.draw(st.integers(-1, 1)), 10**40)
    assert working.contains(y) == satisfies(working, y)
