"""The one module that talks to HiGHS."""

import numpy as np
import pyomo.environ as pyo
import pytest

from jensen_encodings import EncodingError, SolveOptions, SolveStatus, solve_model
from jensen_encodings.highs import solve
from jensen_encodings.pyomo_model import compile_model


def knapsack(size=12, seed=0):
    rng = np.random.default_rng(seed)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(size), domain=pyo.Binary)
    weight, value = rng.integers(5, 40, size), rng.integers(5, 40, size)
    model.row = pyo.Constraint(expr=sum(int(weight[i]) * model.x[i] for i in range(size)) <= 99)
    model.goal = pyo.Objective(
        expr=sum(int(value[i]) * model.x[i] for i in range(size)), sense=pyo.maximize
    )
    return model, weight, value


def brute_force(weight, value):
    size = len(weight)
    masks = (np.arange(2**size)[:, None] >> np.arange(size)) & 1
    return (masks @ value)[masks @ weight <= 99].max()


def test_a_knapsack_is_solved_to_its_brute_force_optimum():
    model, weight, value = knapsack()
    result = solve_model(model)
    assert result.status is SolveStatus.OPTIMAL
    assert result.objective == pytest.approx(brute_force(weight, value))
    assert result.bound == pytest.approx(result.objective)
    assert pyo.value(model.goal) == pytest.approx(result.objective)


def test_rows_of_every_kind_reach_the_arrays():
    model = pyo.ConcreteModel()
    model.x = pyo.Var([0, 1], bounds=(None, 5))
    model.ranged = pyo.Constraint(expr=(-1, model.x[0] + 2 * model.x[1], 3))
    model.equal = pyo.Constraint(expr=model.x[0] - model.x[1] == 0.5)
    model.least = pyo.Constraint(expr=model.x[0] >= -7)
    model.goal = pyo.Objective(expr=model.x[0] + 10)
    program = compile_model(model)
    assert program.shape == (4, 2)
    assert not program.maximise
    assert program.offset == 10
    result = solve(program)
    assert result.objective == pytest.approx(10 + 0.0)
    assert result.duals is not None


def test_infeasible_and_unbounded_models_have_their_own_status():
    model = pyo.ConcreteModel()
    model.x = pyo.Var()
    model.row = pyo.Constraint(expr=model.x >= 1)
    model.goal = pyo.Objective(expr=model.x, sense=pyo.maximize)
    assert solve_model(model).status in {
        SolveStatus.UNBOUNDED,
        SolveStatus.INFEASIBLE_OR_UNBOUNDED,
    }
    model.other = pyo.Constraint(expr=model.x <= 0)
    result = solve_model(model)
    assert result.status is SolveStatus.INFEASIBLE
    assert result.values is None
    assert result.objective is None


def test_a_start_is_taken():
    model, _, _ = knapsack()
    program = compile_model(model)
    best = solve(program)
    again = solve(program, SolveOptions(node_limit=0), start=best.values)
    assert again.objective == pytest.approx(best.objective)


def test_a_time_limit_returns_a_bound():
    model, _, _ = knapsack(40)
    result = solve_model(model, SolveOptions(time_limit=0.0))
    assert result.status in {SolveStatus.TIME_LIMIT, SolveStatus.OPTIMAL}
    assert result.bound >= (result.objective or 0) - 1e-6


def test_progress_reports_a_bound_that_is_never_below_the_best_value():
    reports = []
    model, _, _ = knapsack(30)
    result = solve_model(model, progress=reports.append)
    assert reports
    for report in reports:
        if report.objective is not None:
            assert report.bound >= report.objective - 1e-6
            assert report.objective <= result.objective + 1e-6


def test_progress_that_raises_ends_the_search_with_its_error():
    model, _, _ = knapsack(40)

    def progress(_):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        solve_model(model, progress=progress)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("time_limit", -1, "time limit"),
        ("threads", 0, "threads"),
        ("relative_gap", -1, "gaps"),
        ("feasibility_tolerance", 1e-12, "feasibility tolerance"),
    ],
)
def test_options_out_of_range_are_refused(option, value, message):
    with pytest.raises(EncodingError, match=message):
        SolveOptions(**{option: value})


def test_a_model_without_an_objective_is_refused():
    with pytest.raises(EncodingError, match="objective"):
        compile_model(pyo.ConcreteModel())


def test_nothing_is_printed(capfd):
    model, _, _ = knapsack()
    solve_model(model)
    out, err = capfd.readouterr()
    assert out == err == ""
