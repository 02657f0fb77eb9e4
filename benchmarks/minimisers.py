"""One problem, minimised in several ways: by cuts, and with one binary per ReLU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyomo.environ as pyo

from jensen import Box, ConvexFunction, ReluNetwork, surrogate
from jensen_encodings import SolveOptions, solve_model

LIMIT = 60.0  # seconds of wall clock for each mixed-integer program


@dataclass(frozen=True)
class Problem:
    """Minimise ``f(x) + linear x`` on a box and ``A x <= b``."""

    network: ReluNetwork
    box: Box
    linear: np.ndarray
    A: np.ndarray
    b: np.ndarray


def by_cuts(f: ConvexFunction, problem: Problem) -> float:
    return f.forget().minimise(problem.linear, problem.A, problem.b).value


def by_big_m(problem: Problem) -> float:
    model = pyo.ConcreteModel()
    lower, upper = problem.box.bounds(problem.network.input_size)
    model.x = pyo.Var(range(len(lower)), bounds=lambda _, i: (lower[i], upper[i]))
    net = surrogate.add_network(model, problem.network, model.x, formulation="big_m")
    _add_problem(model, [model.x[i] for i in model.x], net.output, problem)
    found = solve_model(model, SolveOptions(time_limit=LIMIT, relative_gap=1e-9))
    return np.nan if found.objective is None or found.status != "optimal" else found.objective


def by_omlt(problem: Problem) -> float:
    from omlt import OmltBlock  # noqa: PLC0415  (optional)
    from omlt.neuralnet import FullSpaceNNFormulation, NetworkDefinition  # noqa: PLC0415  (optional)
    from omlt.neuralnet.layer import DenseLayer, InputLayer  # noqa: PLC0415  (optional)

    lower, upper = problem.box.bounds(problem.network.input_size)
    both = zip(lower, upper, strict=True)
    sides = {i: (float(low), float(high)) for i, (low, high) in enumerate(both)}
    definition = NetworkDefinition(scaled_input_bounds=sides)
    layer = InputLayer([len(lower)])
    definition.add_layer(layer)
    for block in problem.network.blocks:
        (weight,) = block.weights.values()
        dense = DenseLayer(
            layer.output_size,
            [block.size],
            activation="relu" if block.is_relu else "linear",
            weights=np.asarray(weight).T,
            biases=block.bias,
        )
        definition.add_layer(dense)
        definition.add_edge(layer, dense)
        layer = dense
    model = pyo.ConcreteModel()
    model.net = OmltBlock()
    model.net.build_formulation(FullSpaceNNFormulation(definition))
    x = [model.net.inputs[i] for i in range(len(lower))]
    _add_problem(model, x, model.net.outputs[0], problem)
    solver = pyo.SolverFactory("appsi_highs")
    solver.options["time_limit"] = LIMIT
    solver.options["mip_rel_gap"] = 1e-9
    solver.options["threads"] = 1
    ended = solver.solve(model, load_solutions=False)
    if str(ended.solver.termination_condition) != "optimal":
        return np.nan
    return float(ended.problem.upper_bound)


def by_gurobi(problem: Problem) -> float:
    import gurobipy as gp  # noqa: PLC0415  (optional)
    import torch  # noqa: PLC0415  (optional)
    from gurobi_ml import add_predictor_constr  # noqa: PLC0415  (optional)

    layers: list[torch.nn.Module] = []
    for block in problem.network.blocks:
        (weight,) = block.weights.values()
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
        linear.weight.data = torch.tensor(np.array(weight))
        linear.bias.data = torch.tensor(np.array(block.bias))
        layers += [linear, torch.nn.ReLU()] if block.is_relu else [linear]
    lower, upper = problem.box.bounds(problem.network.input_size)
    model = gp.Model(env=gp.Env(params={"OutputFlag": 0, "Threads": 1}))
    x = model.addMVar((1, len(lower)), lb=lower[None], ub=upper[None])
    y = model.addMVar((1, 1), lb=-gp.GRB.INFINITY)
    add_predictor_constr(model, torch.nn.Sequential(*layers), x, y)
    model.addConstr(problem.A @ x[0] <= problem.b)
    model.setObjective(y[0, 0] + x[0] @ problem.linear)
    model.setParam("MIPGap", 1e-9)
    model.setParam("TimeLimit", LIMIT)
    model.optimize()
    return float(model.ObjVal) if model.Status == gp.GRB.OPTIMAL else np.nan


def _add_problem(model: pyo.ConcreteModel, x: list, output: object, problem: Problem) -> None:
    model.rows = pyo.ConstraintList()
    for row, limit in zip(problem.A.tolist(), problem.b.tolist(), strict=True):
        model.rows.add(sum(a * v for a, v in zip(row, x, strict=True)) <= limit)
    cost = sum(c * v for c, v in zip(problem.linear, x, strict=True))
    model.goal = pyo.Objective(expr=output + cost)
