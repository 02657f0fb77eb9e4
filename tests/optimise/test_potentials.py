"""Potentials, networks plus convex quadratic functions: closed forms, brute force, cvxpy."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle_convex import icnn, max_affine, random_form

import jensen
from jensen import Box, ConvexFunction, Everywhere, Polyhedron
from jensen.cli import main
from jensen.errors import (
    DomainError,
    InfeasibleError,
    NetworkError,
    NotConvexError,
    OptionError,
    OutOfTimeError,
    UndecidedError,
)
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import Function
from jensen.graphs.node import GraphNode
from jensen.network.relu_network import Activation, ReluNetwork
from jensen_encodings.deadline import Deadline

SLOPES = np.array([[1.0, 0.5], [-1.0, 0.25], [0.0, -1.0]])
HEIGHTS = np.array([0.0, 0.125, -0.25])


def potential(network: ReluNetwork, rows: np.ndarray, bias: np.ndarray, size: float = 0.5):
    """The network plus ``size |rows x + bias|^2``."""
    nodes = []
    for block in network.blocks[:-1]:
        function = Function.RELU if block.activation is Activation.RELU else Function.IDENTITY
        nodes.append(GraphNode(block.name, dict(block.weights), block.bias, function))
    last = network.blocks[-1]
    square = GraphNode("square", {"input": rows}, bias, Function.POWER, 2.0)
    weights = dict(last.weights) | {"square": np.full((1, len(rows)), size)}
    output = GraphNode("output", weights, last.bias, Function.IDENTITY)
    return FunctionGraph(network.input_size, [*nodes, square, output])


def plain(network: ReluNetwork, bend: float = 1.0):
    """The network plus ``bend |x|^2 / 2``."""
    inputs = network.input_size
    return potential(network, np.eye(inputs), np.zeros(inputs), bend / 2)


def lowest(graph, X: np.ndarray, linear: np.ndarray) -> Fraction:
    """The least exact value over some points: the minimum is not above it."""
    values = [
        graph.exact(x)[0] + sum(Fraction(c) * Fraction(v) for c, v in zip(linear, x, strict=True))
        for x in X.tolist()
    ]
    return min(values)


# ---------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("bend", [2.0**-20, 0.5, 1.0, 2.0**20])
@pytest.mark.parametrize("slope", [-3.0, -0.5, 0.25, 2.0])
@pytest.mark.parametrize("domain", [Box(-64, 64), Everywhere()])
def test_absolute_value_plus_a_square_in_closed_form(bend, slope, domain):
    network = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
    f = ConvexFunction(plain(network, bend), domain)
    x = -np.sign(slope) * max(abs(slope) - 1.0, 0.0) / bend
    if isinstance(domain, Box):
        x = float(np.clip(x, -64, 64))
    exact = abs(x) + bend * x * x / 2 + slope * x
    found = f.minimise([slope])
    assert found.lower <= exact <= found.value
    assert found.gap <= 1e-9 * (1 + abs(exact))
    assert found.x[0] == pytest.approx(x, abs=1e-5 / min(bend, 1.0))
    star = f.conjugate([-slope])
    assert star.value <= -exact <= star.upper


@pytest.mark.parametrize("linear", [*itertools.product((-2.0, 0.0, 0.375), repeat=2)])
def test_the_minimum_of_max_affine_plus_a_square_is_a_dual_in_closed_form(linear):
    # min over x of max_i (g_i x + c_i) + l x + |x|^2 / 2 = max over the simplex of
    # y c - |G' y + l|^2 / 2, on a grid; every y is below
    f = ConvexFunction(plain(max_affine(SLOPES, HEIGHTS)), Everywhere())
    found = f.minimise(linear)
    grid = np.linspace(0, 1, 401)
    y = np.array([(a, b, 1 - a - b) for a in grid for b in grid if a + b <= 1])
    below = y @ HEIGHTS - ((y @ SLOPES + linear) ** 2).sum(axis=1) / 2
    assert below.max() <= found.value + 1e-12
    assert found.lower <= below.max() + 1e-4
    assert found.gap < 1e-12


def test_proximal_points_of_the_square_are_those_of_the_network():
    network = max_affine(SLOPES, HEIGHTS)
    center, step, bend = np.array([1.5, -0.75]), 0.5, 2.0
    found = ConvexFunction(plain(network, bend), Box(-2, 2)).prox(center, step)
    # bend |u|^2 / 2 + |u - x|^2 / (2 step) = |u - x'|^2 / (2 step') + constant
    shrunk = 1 + bend * step
    other = ConvexFunction(network, Box(-2, 2)).prox(center / shrunk, step / shrunk)
    assert found.x == pytest.approx(other.x, abs=1e-6)
    assert found.gap < 1e-9
    assert np.abs(found.x - other.x).max() <= found.distance + other.distance


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("bend", [0.0, 1e-20, 1.0, 1e20])
@pytest.mark.parametrize("step", [1e-6, 1e6, 1e20])
def test_proximal_points_at_extreme_scales_keep_a_small_gap(scale, bend, step):
    network = max_affine(SLOPES * scale, HEIGHTS * scale)
    graph = plain(network, bend) if bend else network
    f = ConvexFunction(graph, Box(-1e-3, 1.0))
    for center in ([0.25, -0.0625], [4.0, 0.5]):
        found = f.prox(center, step)
        assert found.gap <= 1e-6 * abs(found.value) or not bend
        assert found.gap <= 2e-4 * (abs(found.value) + scale)
        for x in itertools.product((-1e-3, 0.25, 1.0), repeat=2):
            away = sum((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(x, center, strict=True))
            assert Fraction(found.lower) <= graph.exact(x)[0] + away / (2 * Fraction(step))


def test_many_inputs_with_squares_of_single_inputs():
    inputs = 300
    network = icnn(inputs, (8, 6), 0)
    f = ConvexFunction(plain(network, 2.0), Box(-2, 2))
    center, step = np.linspace(-3, 3, inputs), 0.5
    found = f.prox(center, step)
    other = ConvexFunction(network, Box(-2, 2)).prox(center / 2, step / 2)
    assert found.x == pytest.approx(other.x, abs=1e-3)
    assert found.gap < 1e-6
    assert np.abs(found.x - other.x).max() <= found.distance + other.distance
    assert f.minimise(np.ones(inputs)).gap < 1e-6
    rows = np.eye(inputs) + np.eye(inputs, k=1)
    with pytest.raises(NetworkError, match="more than 256 inputs"):
        ConvexFunction(potential(network, rows, np.zeros(inputs)), Box(-2, 2))


# ------------------------------------------------------------------------ brute force bounds


@given(st.integers(0, 10_000))
def test_bounds_hold_in_rational_arithmetic(seed):
    rng = np.random.default_rng(seed)
    inputs = int(rng.integers(1, 4))
    network = icnn(inputs, (4, 3), seed, grid=8)
    rows, bias = random_form(inputs, int(rng.integers(1, 4)), seed)
    graph = potential(network, rows, bias)
    f = ConvexFunction(graph, Box(-2, 2))
    linear = rng.integers(-8, 9, inputs) / 4.0
    found = f.minimise(linear)
    assert found.gap <= 1e-6 * (1 + abs(found.value))
    objective = lowest(graph, np.array([found.x]), linear)
    assert Fraction(found.lower) <= objective <= Fraction(found.value)
    near = found.x + rng.normal(size=(40, inputs)) * 10.0 ** rng.uniform(-9, 0, (40, 1))
    far = rng.uniform(-2, 2, (20, inputs))
    points = np.clip(np.concatenate([near, far]), -2, 2)
    assert Fraction(found.lower) <= lowest(graph, points, linear)

    center, step = rng.normal(size=inputs) * 2, float(2.0 ** rng.integers(-6, 7))
    close = f.prox(center, step)
    assert close.gap <= 1e-6 * (1 + abs(close.value))
    for x in [close.x, *points]:
        away = sum((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(x, center, strict=True))
        value = graph.exact(x)[0] + away / (2 * Fraction(step))
        assert Fraction(close.lower) <= value
        if x is close.x:
            assert value <= Fraction(close.value)


@given(st.integers(0, 10_000))
def test_supports_are_below_and_touch(seed):
    rng = np.random.default_rng(seed)
    inputs = int(rng.integers(1, 4))
    rows, bias = random_form(inputs, inputs, seed)
    graph = potential(icnn(inputs, (4, 3), seed, grid=8), rows, bias)
    f = ConvexFunction(graph, Box(-2, 2))
    x = rng.integers(-8, 9, inputs) / 4.0
    support = f.support(x)
    for y in [*rng.uniform(-2, 2, (20, inputs)), x]:
        affine = Fraction(support.offset) + sum(
            Fraction(float(g)) * Fraction(v) for g, v in zip(support.gradient, y, strict=True)
        )
        assert affine <= graph.exact(y)[0]
    assert float(affine) == pytest.approx(f.value(x), abs=1e-6)
    gradient = f.subgradient(x)
    others = f.subgradients(x)
    assert np.abs(others - gradient).max(axis=1).min() < 1e-12
    X = rng.uniform(-2, 2, (20, inputs))
    assert (f.value(X) >= f.value(x) + (X - x) @ gradient - 1e-9).all()


@pytest.mark.parametrize("rank", [1, 3])
def test_rows_equations_fixed_inputs_and_integers(rank):
    rows, bias = random_form(3, rank, 5)
    graph = potential(icnn(3, (5, 4), 1, grid=8), rows, bias)
    f = ConvexFunction(graph, Box(-2, 2))
    axis = np.linspace(-2, 2, 17)
    grid = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    zero = np.zeros(3)

    cut = f.minimise(A=[[1, 1, 0]], b=[-1])
    assert cut.point[0] + cut.point[1] <= -1
    assert Fraction(cut.lower) <= lowest(graph, grid[grid[:, 0] + grid[:, 1] <= -1], zero)
    flat = f.minimise(equality=([[1, 2, 1]], [1.5]))
    assert flat.point[0] + 2 * flat.point[1] + flat.point[2] == Fraction(3, 2)
    assert Fraction(flat.lower) <= lowest(graph, grid[grid @ [1, 2, 1] == 1.5], zero)
    pinned = f.minimise(fixed={1: 0.5})
    assert pinned.x[1] == 0.5
    assert Fraction(pinned.lower) <= lowest(graph, grid[grid[:, 1] == 0.5], zero)
    whole = f.minimise(integers=(0, 1))
    whole_grid = grid[(grid[:, :2] == np.round(grid[:, :2])).all(axis=1)]
    assert (whole.x[:2] == np.round(whole.x[:2])).all()
    assert Fraction(whole.lower) <= lowest(graph, whole_grid, zero)
    for found in (cut, flat, pinned, whole):
        assert found.gap < 1e-7
        assert graph.exact(found.point)[0] <= Fraction(found.value)
    with pytest.raises(InfeasibleError):
        f.minimise(A=[[1, 0, 0], [-1, 0, 0]], b=[-1, -1])


def test_domains_without_bounds_or_interior():
    rows, bias = random_form(2, 2, 3)
    graph = potential(icnn(2, (4, 3), 2, grid=8), rows, bias)
    boxed = ConvexFunction(graph, Box(-50, 50)).minimise([0.25, 0.5])
    free = ConvexFunction(graph, Everywhere()).minimise([0.25, 0.5])
    assert free.gap < 1e-12
    assert max(free.lower, boxed.lower) <= min(free.value, boxed.value)
    quarter = ConvexFunction(graph, Polyhedron([[-1, 0], [0, -1]], [0, 0]))
    assert min(quarter.minimise([1, 1]).x) >= 0
    assert quarter.minimise([1, 1]).gap < 1e-9
    line = ConvexFunction(graph, Polyhedron([[1, 1], [-1, -1], [1, 0], [-1, 0]], [1, -1, 2, 2]))
    found = line.minimise()
    assert found.point[0] + found.point[1] == 1
    assert found.gap < 1e-9


@pytest.mark.parametrize(("inputs", "rank"), [(6, 6), (12, 12), (6, 2), (16, 8), (40, 40)])
def test_many_inputs_against_cvxpy(inputs, rank):
    cvxpy = pytest.importorskip("cvxpy")
    rng = np.random.default_rng(inputs + rank)
    slopes, heights = rng.normal(size=(12, inputs)), rng.normal(size=12)
    rows, bias = rng.normal(size=(rank, inputs)), rng.normal(size=rank)
    f = ConvexFunction(potential(max_affine(slopes, heights), rows, bias), Box(-2, 2))
    linear = rng.normal(size=inputs)
    x = cvxpy.Variable(inputs)
    # the maximum in float64 is that of the network up to rounding
    curved = cvxpy.max(slopes @ x + heights) + 0.5 * cvxpy.sum_squares(rows @ x + bias)
    inside = [x >= -2, x <= 2]
    best = cvxpy.Problem(cvxpy.Minimize(curved + linear @ x), inside)
    best.solve(solver="CLARABEL")
    found = f.minimise(linear)
    assert found.value == pytest.approx(best.value, rel=1e-6, abs=1e-6)
    assert found.gap < 1e-7 * (1 + abs(found.value))
    center = rng.normal(size=inputs)
    near = cvxpy.Problem(cvxpy.Minimize(curved + cvxpy.sum_squares(x - center) / 0.5), inside)
    near.solve(solver="CLARABEL")
    close = f.prox(center, 0.25)
    assert close.value == pytest.approx(near.value, rel=1e-6, abs=1e-6)
    assert close.x == pytest.approx(x.value, abs=1e-3)
    assert close.gap < 1e-7 * (1 + abs(close.value))


# ------------------------------------------------------------------------------ quadratic forms


def test_a_form_that_bends_down_has_no_convex_function():
    graph = potential(max_affine(SLOPES, HEIGHTS), np.eye(2), np.zeros(2), size=-0.5)
    with pytest.raises(NotConvexError):
        ConvexFunction(graph, Box(-1, 1))
    rows = np.array([[1.0, -1.0], [1.0, 1.0]])
    saddle = potential(max_affine(SLOPES, HEIGHTS), rows, np.zeros(2))
    weights = dict(saddle.output.weights) | {"square": np.array([[-0.5, 0.5]])}
    output = GraphNode("output", weights, saddle.output.bias, Function.IDENTITY)
    line = Polyhedron([[1, -1], [-1, 1], [1, 0], [-1, 0]], [0, 0, 1, 1])
    with pytest.raises(NetworkError, match="only along the domain"):
        ConvexFunction(saddle.with_output(output), line)


def test_on_a_flat_domain_the_time_limit_holds_for_the_quadratic_part():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(30, 30))  # whose exact elimination takes some time
    graph = potential(icnn(30, (4,), 2), rows, np.zeros(30))
    equal = Polyhedron(np.eye(30)[[0, 1]] - np.eye(30)[[1, 0]], np.zeros(2))
    f = ConvexFunction(graph, equal)
    form = f._curved.form
    assert form.is_convex()
    with pytest.raises(OutOfTimeError):
        form.is_convex(Deadline.after(1e-9))
    with pytest.raises(UndecidedError):
        ConvexFunction(graph, equal, verdict=f.verdict, time_limit=1e-9)


def test_what_is_refused_says_what_to_do():
    rows, bias = random_form(2, 1, 4)
    graph = potential(icnn(2, (4, 3), 2, grid=8), rows, bias)
    f = ConvexFunction(graph, Everywhere())
    with pytest.raises(DomainError, match="give a box"):
        f.minimise()
    with pytest.raises(DomainError, match="give a box"):
        ConvexFunction(plain(max_affine(SLOPES, HEIGHTS)), Everywhere()).minimise(integers=(0,))
    with pytest.raises(DomainError, match="bounded domain"):
        f.support([0.0, 0.0])
    assert f.prox([0.0, 1.0]).gap < 1e-12
    inside = FunctionGraph(
        1,
        [
            GraphNode("square", {"input": [[1.0]]}, [0.0], Function.POWER, 2.0),
            GraphNode("relu", {"square": [[1.0]]}, [-1.0], Function.RELU),
            GraphNode("output", {"relu": [[1.0]]}, [0.0], Function.IDENTITY),
        ],
    )
    with pytest.raises(NetworkError, match="prox"):
        ConvexFunction(inside, Box(-1, 1))
    smooth = FunctionGraph(
        1,
        [
            GraphNode("exp", {"input": [[1.0]]}, [0.0], Function.EXP),
            GraphNode("output", {"exp": [[1.0]]}, [0.0], Function.IDENTITY),
        ],
    )
    with pytest.raises(NetworkError, match="'exp' is exp"):
        ConvexFunction(smooth, Box(-1, 1))


# -------------------------------------------------------------------------- proofs and files


def test_verdicts_and_certificates_of_potentials_are_taken(tmp_path):
    graph = plain(max_affine(SLOPES, HEIGHTS))
    verdict = jensen.verify(graph, Box(-1, 1), certificate=True)
    assert ConvexFunction(graph, Box(-1, 1), verdict=verdict).verdict is verdict
    assert verdict.certificate is not None
    f = ConvexFunction(graph, Box(-1, 1), certificate=verdict.certificate)
    assert f.minimise().gap < 1e-12
    other = plain(max_affine(SLOPES, HEIGHTS), 2.0)
    with pytest.raises(OptionError, match="digest"):
        ConvexFunction(other, Box(-1, 1), verdict=verdict)
    graph.save(tmp_path / "potential.npz")
    again = ConvexFunction(tmp_path / "potential.npz", Box(-1, 1))
    assert again.minimise().value == f.minimise().value


def test_cuts_of_the_network_are_kept():
    graph = plain(icnn(6, (12, 8), 0))
    f = ConvexFunction(graph, Box(-2, 2))
    first = f.minimise().evaluations
    assert f.minimise().evaluations <= first
    assert f.forget().minimise().evaluations == first


def test_a_module_of_pytorch_with_a_square():
    torch = pytest.importorskip("torch")

    class Potential(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = torch.nn.Linear(2, 6), torch.nn.Linear(6, 1)
            self.outer.weight.data.abs_()

        def forward(self, x):
            square = (x * x).sum(dim=-1, keepdim=True)
            return self.outer(torch.relu(self.inner(x))) + 0.25 * square

    torch.manual_seed(0)
    f = ConvexFunction(jensen.from_torch(Potential(), (2,)), Box(-4, 4))
    star = f.conjugate([0.5, 0.25])
    # the maximiser is the inverse map: the gradient of f leads back
    assert star.gap < 1e-9
    found = f.subgradient(star.x)
    assert found == pytest.approx([0.5, 0.25], abs=1e-6) or len(f.subgradients(star.x)) > 1


def test_the_command_minimises_a_potential(tmp_path, capsys):
    plain(max_affine(SLOPES, HEIGHTS)).save(tmp_path / "potential.npz")
    assert main(["minimise", str(tmp_path / "potential.npz"), "--box", "-1", "1"]) == 0
    assert "<= minimum <=" in capsys.readouterr().out
