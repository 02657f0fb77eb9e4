"""No wrong optimum in silence: what is refused, in models and in files for other solvers."""

from __future__ import annotations

import highspy
import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.common.errors import PyomoException
from pyomo.contrib.solver.solvers.highs import Highs
from surrogate_networks import ABSOLUTE, ALL, icnn, model_with

from jensen import Box, ConvexFunction, Everywhere, ReluNetwork, surrogate
from jensen.errors import (
    DomainError,
    InfeasibleError,
    NotConvexError,
    OptionError,
    OutputError,
    SolverError,
    UnboundedError,
    UndecidedError,
)
from jensen_encodings.solver import QuietHighs

# --------------------------------------------------------------------- no wrong optimum


@pytest.mark.parametrize("formulation", ["epigraph", "cuts"])
@pytest.mark.parametrize("kind", ["maximise", "equation", "at least", "square", "elsewhere"])
def test_an_output_pushed_the_wrong_way_is_refused_by_name(formulation, kind):
    model = model_with(1)
    handle = surrogate.add_network(model, ABSOLUTE, model.x, formulation=formulation)
    t = handle.output
    model.y = pyo.Var(bounds=(0, 1))
    rules = {
        "maximise": (t, pyo.maximize, None),
        "equation": (model.x[0], pyo.minimize, t + model.y == 1),
        "at least": (t, pyo.minimize, t - model.y >= 0.5),
        "square": (t, pyo.minimize, t**2 + model.y >= 0.5),
        "elsewhere": (model.x[0], pyo.minimize, model.y <= 2 * t),
    }
    expression, sense, row = rules[kind]
    model.goal = pyo.Objective(expr=expression, sense=sense)
    if row is not None:
        model.wrong = pyo.Constraint(expr=row)
    name = "goal" if row is None else "wrong"
    with pytest.raises(OptionError, match=f"would be wrong: .*{name} pushes it up"):
        surrogate.solve(model)


LATE = ReluNetwork.from_layers([[[-1.0]], [[1.0]]], [[1.5], [0.0]])  # relu(1.5 - t)


@pytest.mark.parametrize("formulation", ["epigraph", "cuts", "auto"])
@pytest.mark.parametrize("kind", ["lower bound", "fixed", "domain", "which reads it"])
def test_an_output_pushed_by_itself_or_by_another_network_is_seen(formulation, kind):
    # |x| on [-1, 2], and the largest use that each of these makes of it: with relaxed rows the
    # output would leave f, and x would be the -1 that costs least
    model = model_with(1)
    model.x.setlb(-1)
    model.x.setub(2)
    t = surrogate.add_network(model, ABSOLUTE, model.x, formulation=formulation).output
    cost = model.x[0]
    if kind == "lower bound":
        t.setlb(1.5)
    elif kind == "fixed":
        t.fix(1.5)
    elif kind == "domain":
        t.domain = pyo.Integers
        model.row = pyo.Constraint(expr=model.x[0] >= 0.5)
    else:
        late = surrogate.add_network(model, LATE, [t], domain=Box(-9, 9), formulation="big_m")
        cost = cost + 9.0 * late.output
    model.goal = pyo.Objective(expr=cost)
    if formulation != "auto":
        with pytest.raises(OptionError, match=f"would be wrong: .*{kind}.* pushes it up"):
            surrogate.solve(model)
        return
    found = surrogate.solve(model)
    best = 1.0 if kind == "domain" else 1.5
    assert (found.value, pyo.value(t)) == (pytest.approx(best), pytest.approx(best))


def test_a_bound_that_only_pushes_down_keeps_the_relaxed_rows():
    model = model_with(1)
    handle = surrogate.add_network(model, ABSOLUTE, model.x)
    handle.output.setub(0.5)
    model.goal = pyo.Objective(expr=model.x[0])
    assert surrogate.solve(model).value == pytest.approx(-0.5)
    assert handle.formulation == "epigraph"


@pytest.mark.parametrize("formulation", ["epigraph", "cuts"])
def test_a_model_that_was_not_checked_is_not_solved_in_silence(formulation, tmp_path):
    model = model_with(1)
    handle = surrogate.add_network(model, ABSOLUTE, model.x, formulation=formulation)
    model.goal = pyo.Objective(expr=handle.output, sense=pyo.maximize)
    for solve in (Highs().solve, pyo.SolverFactory("appsi_highs").solve):
        with pytest.raises((PyomoException, ValueError, RuntimeError)):
            solve(model)
    with pytest.raises((PyomoException, ValueError), match="solve_with_jensen_surrogate_solve"):
        model.write(str(tmp_path / "model.lp"))


def test_bounds_that_are_loosened_later_change_nothing():
    # big-M constants and convexity were computed for [-1, 1]
    for formulation in ALL:
        model = model_with(1, side=1.0)
        handle = surrogate.add_network(model, ABSOLUTE, model.x, formulation=formulation)
        model.x.setlb(-10)
        model.x.setub(10)
        model.goal = pyo.Objective(expr=handle.output - 2 * model.x[0])
        assert surrogate.solve(model).value == pytest.approx(-1.0)


@pytest.mark.parametrize("formulation", ["epigraph", "cuts"])
def test_networks_that_are_not_convex_are_refused(formulation):
    network = ReluNetwork.from_layers([np.eye(2), [[1.0, -1.0]]], [[0, 0], [0]])
    model = model_with(2)
    with pytest.raises((NotConvexError, OptionError)) as caught:
        surrogate.add_network(model, network, model.x, formulation=formulation)
    assert (formulation == "cuts") == isinstance(caught.value, NotConvexError)
    if formulation == "cuts":
        assert caught.value.counterexample.violation > 0
    # nothing half-done is left behind
    assert not list(model.component_objects(pyo.Block))
    handle = surrogate.add_network(model, network, model.x, domain=Box([-2, -2], [2, 0]))
    assert handle.formulation == "cuts"


def test_infeasible_and_unbounded_models_are_named():
    model = model_with(1)
    handle = surrogate.add_network(model, ABSOLUTE, model.x, formulation="cuts")
    model.goal = pyo.Objective(expr=handle.output)
    model.row = pyo.Constraint(expr=model.x[0] >= 3)
    with pytest.raises(InfeasibleError, match="no point satisfies"):
        surrogate.solve(model)
    model.row.deactivate()
    assert surrogate.solve(model).value == pytest.approx(0.0, abs=1e-9)
    free = pyo.ConcreteModel()
    free.x = pyo.Var([0])
    handle = surrogate.add_network(
        free, ABSOLUTE, free.x, domain=Everywhere(), formulation="epigraph"
    )
    free.goal = pyo.Objective(expr=handle.output - 2 * free.x[0])
    with pytest.raises(UnboundedError, match="bound the inputs"):
        surrogate.solve(free)
    free.goal.expr = handle.output - 0.5 * free.x[0]
    assert surrogate.solve(free).value == pytest.approx(0.0, abs=1e-9)


def test_infeasible_models_with_an_objective_without_bounds_are_infeasible():
    bump = ReluNetwork.from_layers(
        [[[1.0], [1.0], [1.0]], [[1.0, -2.0, 1.0]]], [[0.0, -0.5, -1.0], [0.0]]
    )
    model = pyo.ConcreteModel()
    model.x = pyo.Var([0], bounds=(-1, 2))
    model.y = pyo.Var()
    handle = surrogate.add_network(model, bump, model.x, formulation="big_m")
    model.goal = pyo.Objective(expr=handle.output - model.y)
    for least, error in ((0.4, UnboundedError), (0.6, InfeasibleError)):
        model.row = pyo.Constraint(expr=handle.output >= least)
        with pytest.raises(error):
            surrogate.solve(model)
        assert str(model.goal.expr) == "network.output[0] - y"
        model.del_component(model.row)


def test_pieces_that_are_not_known_yet_prove_no_model_unbounded():
    # relu(x - 50) + relu(-x - 50) - x / 2 is -25 at least, and 0 - x / 2 near the first cuts
    steep = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[-50, -50], [0]])
    for formulation in ("epigraph", "cuts"):
        free = pyo.ConcreteModel()
        free.x = pyo.Var([0])
        handle = surrogate.add_network(
            free, steep, free.x, domain=Everywhere(), formulation=formulation
        )
        free.goal = pyo.Objective(expr=handle.output - 0.5 * free.x[0])
        if formulation == "epigraph":
            assert surrogate.solve(free).value == pytest.approx(-25.0)
            continue
        with pytest.raises(UndecidedError, match=r"found so far .* unbounded: bound the inputs"):
            surrogate.solve(free)


def test_wrong_arguments_are_refused_in_one_line():
    model = model_with(2)
    model.free = pyo.Var()
    cases = [
        ({"inputs": [model.x[0]]}, OptionError, "1 inputs given: the network has 2"),
        ({"inputs": [model.x[0], model.free]}, OptionError, "free has the bounds"),
        ({"inputs": [model.x[0], "three"]}, OptionError, "a variable or a number"),
        ({"inputs": [1.0, 2.0]}, OptionError, "all inputs are numbers"),
        ({"inputs": model.x, "formulation": "bigm"}, OptionError, "supported are auto, big_m"),
        ({"inputs": model.x, "domain": Box([0] * 3, 1)}, DomainError, "3 dimensions"),
        ({"inputs": [model.x[0], 9.0], "domain": Box(-1, 1)}, DomainError, "outside the domain"),
        (
            {"inputs": model.x, "domain": Everywhere(), "formulation": "big_m"},
            OptionError,
            "big_m needs bounded inputs",
        ),
    ]
    for arguments, error, message in cases:
        with pytest.raises(error, match=message):
            surrogate.add_network(model, icnn(2, 4, 0), **arguments)
    with pytest.raises(OptionError, match="no network"):
        surrogate.solve(model)
    surrogate.add_network(model, icnn(2, 4, 0), model.x)
    with pytest.raises(OptionError, match="0 active objectives"):
        surrogate.solve(model)
    for solver in ("gurobi", pyo.SolverFactory("appsi_highs"), pyo.SolverFactory("highs")):
        with pytest.raises(OptionError, match=r"Highs\(\) is needed"):
            surrogate.solve(model, solver=solver)


def test_models_beyond_highs_are_refused_by_the_name_of_the_row_or_objective():
    for kind in ("input", "row", "cubic", "square"):
        model = model_with(2)
        first = model.x[0] * model.x[1] if kind == "input" else model.x[0]
        handle = surrogate.add_network(model, icnn(2, 4, 0), [first, model.x[1]], domain=Box(-9, 9))
        cost = {"cubic": model.x[0] ** 3, "square": (handle.output - 1) ** 2}.get(kind, 0.0)
        model.goal = pyo.Objective(expr=handle.output + cost)
        if kind == "row":
            model.disc = pyo.Constraint(expr=model.x[0] ** 2 <= 1)
        name = {"input": r"network\.equal\[1\]", "row": "row disc"}.get(kind, "objective goal")
        with pytest.raises(OptionError, match=f"{name}: HiGHS"):
            surrogate.solve(model)


def test_parameters_that_change_change_the_input_or_are_refused():
    model = model_with(1)
    model.p = pyo.Param(initialize=1.0, mutable=True)
    network = ReluNetwork.from_layers([[[1.0, -1.0], [-1.0, 1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
    for given in (model.p, 2 * model.p):
        with pytest.raises(OptionError, match="parameters that may change: give the network a dom"):
            surrogate.add_network(model, network, [given, model.x[0]])
    handle = surrogate.add_network(model, network, [model.p, model.x[0]], domain=Box(-2, 2))
    model.goal = pyo.Objective(expr=handle.output)
    for value in (1.0, -1.5):
        model.p = value
        surrogate.solve(model)
        assert model.x[0].value == pytest.approx(value)
        assert handle.error() < 1e-9
    model.p = 3.0
    with pytest.raises(InfeasibleError):
        surrogate.solve(model)


def test_a_domain_made_of_a_parameter_that_has_changed_is_refused():
    # |x - p|, asked at p = 0: on [-2, 2] only; -4 at p = 2 would be cut off
    model = model_with(1)
    model.p = pyo.Param(initialize=0.0, mutable=True)
    handle = surrogate.add_network(model, ABSOLUTE, [model.x[0] - model.p])
    model.goal = pyo.Objective(expr=handle.output + 2 * model.x[0])
    assert surrogate.solve(model).value == pytest.approx(-2.0)
    model.p = 2.0
    with pytest.raises(
        OptionError, match=r"parameter p was 0 when .* is 2 now: give add_network a"
    ):
        surrogate.solve(model)
    model.p = 0.0
    assert surrogate.solve(model).value == pytest.approx(-2.0)


def test_a_handle_is_one_line_that_says_what_was_picked():
    handle = surrogate.add_network(model_with(2), icnn(2, 4, 0), model_with(2).x, domain=Box(-1, 1))
    assert repr(handle).startswith("NetworkHandle('network', ReluNetwork(2-4")
    assert handle.why in repr(handle)


def test_a_limit_ends_with_the_best_bounds():
    network = icnn(4, 12, 0)
    model = model_with(4)
    handle = surrogate.add_network(model, network, model.x, formulation="cuts")
    model.goal = pyo.Objective(expr=handle.output)
    found = surrogate.solve(model, max_rounds=2)
    exact = ConvexFunction(network, Box(-2, 2)).minimise()
    assert not found.optimal
    assert found.bound <= exact.value + 1e-6 <= found.value + 2e-6


# --------------------------------------------------------------------------------- files


@pytest.mark.parametrize("suffix", [".lp", ".mps"])
@pytest.mark.parametrize("formulation", ["big_m", "epigraph"])
def test_programs_written_for_other_solvers_have_the_same_optimum(tmp_path, suffix, formulation):
    network = icnn(2, 4, 1)
    model = model_with(2)
    handle = surrogate.add_network(model, network, model.x, formulation=formulation)
    model.goal = pyo.Objective(expr=handle.output - 3 * model.x[0])
    path = tmp_path / f"model{suffix}"
    surrogate.write_program(model, path)
    highs = QuietHighs()
    assert highs.readModel(str(path)) == highspy.HighsStatus.kOk
    highs.run()
    exact = ConvexFunction(network, Box(-2, 2)).minimise([-3, 0])
    assert highs.getInfo().objective_function_value == pytest.approx(exact.value, rel=1e-6)


def test_files_are_refused_where_they_would_be_wrong(tmp_path):
    model = model_with(1)
    handle = surrogate.add_network(model, ABSOLUTE, model.x, formulation="cuts")
    model.goal = pyo.Objective(expr=handle.output)
    with pytest.raises(OptionError, match=r"ends in \.lp or \.mps"):
        surrogate.write_program(model, tmp_path / "model.nl")
    with pytest.raises(OptionError, match="known by cuts"):
        surrogate.write_program(model, tmp_path / "model.lp")
    other = model_with(1)
    handle = surrogate.add_network(other, ABSOLUTE, other.x, formulation="epigraph")
    other.goal = pyo.Objective(expr=-handle.output)
    with pytest.raises(OptionError, match="would be wrong"):
        surrogate.write_program(other, tmp_path / "model.lp")


def test_a_program_that_cannot_be_written_is_refused_before_it_is_built(tmp_path):
    model = model_with(1)
    handle = surrogate.add_network(model, ABSOLUTE, model.x, formulation="epigraph")
    model.goal = pyo.Objective(expr=handle.output)
    (tmp_path / "folder.lp").mkdir()
    for place in (tmp_path / "missing" / "model.lp", tmp_path / "folder.lp"):
        with pytest.raises(OutputError):
            surrogate.write_program(model, place)


def test_a_box_as_narrow_as_the_tolerances_is_named_where_the_solver_fails():
    # a kink in the middle of a box of 2e-9 around 1: HiGHS calls the rows infeasible
    rng = np.random.default_rng(0)
    W, width = rng.normal(size=(6, 2)), 1e-9
    kinks = -W.sum(axis=1) + rng.normal(size=6) * width / 2
    net = ReluNetwork.from_layers([W, rng.normal(size=(1, 6))], [kinks, [0]])
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(2), bounds=(1 - width, 1 + width))
    f = surrogate.add_network(model, net, model.x, formulation="big_m")
    model.cost = pyo.Objective(expr=f.output)
    with pytest.raises(SolverError, match="input 0 of a network varies by 2e-09 around 1"):
        surrogate.solve(model)
