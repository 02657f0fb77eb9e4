"""Every argument of the public functions, given what makes no sense: one clear line, or an answer.

:mod:`test_arguments` compares messages; here nothing but this package's errors may come out.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Hashable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jensen
import jensen.batch
import jensen.plot
import jensen.surrogate
from jensen.errors import JensenError

EYE = np.eye(2)
BOX = jensen.Box(-1.0, 1.0)
NET = jensen.ReluNetwork.from_layers([EYE, [[1.0, 1.0]]], [[0, 0], [0]])
BENT = jensen.ReluNetwork.from_layers([EYE, [[1.0, -1.0]]], [[0, 0], [0]])
SQUARE = jensen.FunctionGraph(
    2,
    [
        jensen.GraphNode("bend", {"input": EYE}, np.zeros(2), jensen.Function.POWER, 2.0),
        jensen.GraphNode("output", {"bend": np.ones((1, 2))}, np.zeros(1)),
    ],
)
STACK = jensen.NetworkStack.from_networks([NET, BENT])
CASES = jensen.batch.cases_of([NET], BOX)
RESULTS = jensen.batch.run_batch(CASES)
FUNCTION, POTENTIAL = jensen.ConvexFunction(NET, BOX), jensen.ConvexFunction(SQUARE, BOX)
SUM = jensen.ScenarioSum(NET, [{1: 0.5}, {1: -0.5}], BOX)


class Odd:
    def __init__(self, *arguments: Any) -> None:
        """Take anything, as a callback may."""

    def __repr__(self):
        return "two\nlines"


JUNK = {
    "None": None,
    "0": 0,
    "3": 3,
    "-1": -1,
    "2.5": 2.5,
    "NaN": math.nan,
    "infinity": math.inf,
    "True": True,
    "huge": 10**400,
    "text": "text",
    "bytes": b"b",
    "empty list": [],
    "long list": [1.0, 2.0, 3.0],
    "NaN in a list": [math.nan, 1.0],
    "None in a list": [None],
    "ragged": [[1.0], [1.0, 2.0]],
    "mapping": {"a": 1},
    "numbers to text": {0: "x"},
    "no such input": {9: 1.0},
    "object": Odd(),
    "class": Odd,
    "complex": 1j,
    "cube": np.zeros((2, 2, 2)),
    "no rows": np.zeros((0, 2)),
    "objects": np.array([Odd(), Odd()]),
    "texts": np.array(["a"]),
    "masked": np.ma.array([0.0, 1.0], mask=[0, 1]),
    "Fraction": Fraction(1, 3),
    "set": {1},
    "path": Path("none"),
    "folder": Path("."),
    "tuple": (1, 2),
    "network": NET,
    "domain": BOX,
    "module": math,
}


def of_block(**block: Any) -> Any:
    return jensen.ReluNetwork(2, [jensen.Block(**block)])


def of_node(**node: Any) -> Any:
    return jensen.verify(jensen.FunctionGraph(2, [jensen.GraphNode(**node)]), BOX)


def in_a_model(**arguments: Any) -> Any:
    import pyomo.environ as pyo  # noqa: PLC0415  (takes long to import)

    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(2), bounds=(-1, 1))
    given = {"block": model, "network": NET, "inputs": [model.x[0], model.x[1]]}
    return jensen.surrogate.add_network(**given | arguments)


def of_a_model(**arguments: Any) -> Any:
    import pyomo.environ as pyo  # noqa: PLC0415  (takes long to import)

    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(2), bounds=(-1, 1))
    model.cost = pyo.Objective(expr=jensen.surrogate.add_network(model, NET, model.x).output)
    solve = jensen.surrogate.write_program if "path" in arguments else jensen.surrogate.solve
    return solve(**{"model": model} | arguments)


def of_scenario(index: Any, value: Any) -> Any:
    return jensen.ScenarioSum(NET, [{index: value}], BOX)


NETWORK = {"network": NET, "domain": BOX, "output": None}
SEARCH = NETWORK | {"time_limit": 5.0, "seed": 0, "progress": None}
OPTIONS = {
    "engine": "auto",
    "time_limit": None,
    "node_limit": None,
    "tolerance": 0.0,
    "concave": False,
    "inputs": None,
    "certificate": False,
    "threads": 1,
    "seed": 0,
}
LAYERS = {"weights": [EYE, [[1.0, 1.0]]], "biases": [[0, 0], [0]]}
SHAPES = {"input_shape": None, "output_shape": None, "roundings": ()}

CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "verify": (jensen.verify, NETWORK | {"options": None, "progress": None} | OPTIONS),
    "is_convex": (jensen.is_convex, {"network": NET, "domain": BOX}),
    "is_icnn": (jensen.is_icnn, {"network": NET}),
    "to_icnn": (jensen.to_icnn, {"network": NET}),
    "load": (jensen.load, {"path": "none.npz", "simplify": True}),
    "load_domain": (jensen.load_domain, {"path": "none.toml"}),
    "path_conditions": (
        jensen.path_conditions,
        {"network": BENT, "domain": BOX, "reasons": None, "pair": None, "time_limit": 5.0},
    ),
    "regions": (jensen.regions, NETWORK | {"fixed": None}),
    "repair": (
        jensen.repair,
        SEARCH | {"norm": "l2", "data": None, "concave": False, "certificate": False},
    ),
    "verify_many": (
        jensen.verify_many,
        {"networks": [NET], "domain": BOX, "output": None, "options": None, "threads": 1},
    ),
    "worst_jump": (jensen.worst_jump, SEARCH | {"gap": 1e-4}),
    "worst_violation": (
        jensen.worst_violation,
        SEARCH | {"network": BENT, "gap": 1e-4, "engine": "tree", "threads": None},
    ),
    "from_keras": (jensen.from_keras, {"model": None}),
    "from_sklearn": (jensen.from_sklearn, {"model": None}),
    "Block": (
        of_block,
        {"name": "output", "weights": {"input": EYE}, "bias": [0.0, 0.0], "activation": "identity"},
    ),
    "GraphNode": (
        of_node,
        {
            "name": "output",
            "weights": {"input": EYE[:1]},
            "bias": [0.0],
            "function": "identity",
            "parameter": 1.0,
            "group": 1,
        },
    ),
    "ReluNetwork": (jensen.ReluNetwork, {"input_size": 2, "blocks": NET.blocks} | SHAPES),
    "FunctionGraph": (jensen.FunctionGraph, {"input_size": 2, "nodes": SQUARE.nodes} | SHAPES),
    "from_layers": (jensen.ReluNetwork.from_layers, LAYERS),
    "NetworkStack": (
        jensen.NetworkStack,
        {"weights": STACK.weights, "biases": STACK.biases},
    ),
    "from_networks": (jensen.NetworkStack.from_networks, {"networks": [NET]}),
    "NetworkStack.load": (jensen.NetworkStack.load, {"path": "none.npz"}),
    "NetworkStack.take": (STACK.take, {"numbers": [0]}),
    "NetworkStack.scalar": (STACK.scalar, {"output": 0, "negated": False}),
    "Box": (jensen.Box, {"lower": 0.0, "upper": 1.0}),
    "Polyhedron": (jensen.Polyhedron, {"A": EYE, "b": [1.0, 1.0]}),
    "Options": (jensen.Options, OPTIONS),
    "ConvexFunction": (
        jensen.ConvexFunction,
        NETWORK | {"verdict": None, "certificate": None, "options": None, "time_limit": 5.0},
    ),
    "ScenarioSum": (
        jensen.ScenarioSum,
        NETWORK | {"scenarios": [{1: 0.5}], "weights": [1.0], "verdict": None, "options": None},
    ),
    "scenario": (of_scenario, {"index": 1, "value": 0.5}),
    "affine_form": (NET.affine_form, {"pattern": NET.activation_pattern([0, 0])}),
    "plot.pair": (jensen.plot.pair, {"network": NET, "x": [0, 0], "y": [1, 1], "output": None}),
    "plot.regions": (jensen.plot.regions, NETWORK | {"fixed": None, "labels": False, "axes": None}),
    "plot.surface": (jensen.plot.surface, {"network": NET, "box": BOX, "fixed": None}),
    "run_batch": (
        jensen.batch.run_batch,
        {
            "cases": CASES,
            "executor": None,
            "store": None,
            "limits": None,
            "retry": (),
            "force": False,
            "on_event": None,
            "stop": None,
        },
    ),
    "cases_of": (
        jensen.batch.cases_of,
        {"networks": [NET], "domain": BOX, "name": "n", "options": None, "output": None},
    ),
    "find_cases": (
        jensen.batch.find_cases,
        {"targets": [], "manifests": (), "domain": BOX, "options": None},
    ),
    "Limits": (jensen.batch.Limits, {"time_limit": 1.0, "total_time": 1.0, "quick": 0.5}),
    "exit_code": (jensen.batch.exit_code, {"results": RESULTS, "fail_on": None}),
    "outcome": (jensen.batch.outcome, {"case": RESULTS[0][0], "row": RESULTS[0][1]}),
    "add_network": (
        in_a_model,
        {
            "network": NET,
            "domain": None,
            "formulation": "auto",
            "output": None,
            "verdict": None,
            "certificate": None,
            "options": None,
        },
    ),
    "add_network to": (in_a_model, {"block": None}),
    "add_network of": (in_a_model, {"inputs": None}),
    "solve": (of_a_model, {"tolerance": 1e-7, "time_limit": 2.0, "max_rounds": 10}),
    "solve what": (of_a_model, {"model": None}),
    "write_program": (of_a_model, {"path": "some.lp"}),
}
for name, net in {"network": NET, "graph": SQUARE}.items():
    for method in (net, net.pre_activations):
        CALLS[f"{name}, {method!r:.40}"] = (method, {"X": [0.0, 0.0]})
    CALLS[f"{name}.exact"] = (net.exact, {"x": [0.0, 0.0]})
    CALLS[f"{name}.fix_inputs"] = (net.fix_inputs, {"values": {1: 0.5}})
    CALLS[f"{name}.fix_inputs at"] = (
        lambda index, value, net=net: net.fix_inputs({index: value}),
        {"index": 1, "value": 0.5},
    )
    CALLS[f"{name}.select_output"] = (net.select_output, {"index": 0})
for name, f in {"function": FUNCTION, "potential": POTENTIAL, "sum": SUM}.items():
    zero = [0.0] * f.inputs
    CALLS |= {
        f"{name}.minimise": (
            f.minimise,
            {
                "linear": zero,
                "A": None,
                "b": None,
                "equality": None,
                "integers": (),
                "fixed": None,
                "tolerance": 1e-6,
                "time_limit": 5.0,
            },
        ),
        f"{name}.minimise rows": (f.minimise, {"A": [[1.0] * f.inputs], "b": [1.0]}),
        f"{name}.prox": (f.prox, {"x": zero, "step": 1.0, "tolerance": 1e-6, "time_limit": 5.0}),
        f"{name}.conjugate": (f.conjugate, {"y": zero, "tolerance": 1e-6}),
        f"{name}.level_cut": (f.level_cut, {"x": zero, "level": 0.0}),
        f"{name}.support": (f.support, {"x": zero}),
        f"{name}.subgradient": (f.subgradient, {"X": zero}),
        f"{name}.value": (f.value, {"X": zero}),
    }


CALLBACKS = {"progress", "on_event", "stop"}


@pytest.mark.parametrize("name", CALLS)
def test_nothing_but_one_clear_line_comes_out(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, fine = CALLS[name]
    raw = []
    for argument in fine:
        for kind, junk in JUNK.items():
            if argument in CALLBACKS and callable(junk):
                continue  # what it raises is its own affair
            if argument == "index" and not isinstance(junk, Hashable):
                continue
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    call(**(fine | {argument: junk}))
            except JensenError as error:
                if "\n" in str(error) or len(str(error)) > 400:
                    raw.append(f"{argument} = {kind}: {str(error)[:60]!r} is no short line")
            except Exception as error:
                raw.append(f"{argument} = {kind}: {type(error).__name__}: {str(error)[:60]}")
    assert not raw


def test_the_table_leaves_out_no_public_function():
    tested = {name.partition(".")[0] for name in CALLS} | {"from_torch"}  # test_torch
    for name in jensen.__all__:
        value = getattr(jensen, name)
        record = inspect.isclass(value) and name not in {"NetworkStack", "ReluNetwork", "Box"}
        assert record or inspect.ismodule(value) or name in tested, name
