"""Wrong arguments: one of this package's errors, which says what to pass."""

from __future__ import annotations

import math
import os
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import jensen
import jensen.batch
from jensen.errors import JensenError, ModelFileError
from jensen.loaders import load

BOX = jensen.Box(-1.0, 1.0)
NET = jensen.ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
MASKED = np.ma.array([2.0], mask=[1])
EYE = np.eye(2)
TWO = jensen.ReluNetwork.from_layers([EYE, [[1, 1], [1, -1]]], [[0, 0], [0, 0]])
CURVED = jensen.FunctionGraph(
    2,
    [
        jensen.GraphNode("bend", {"input": EYE[:1]}, np.zeros(1), jensen.Function.EXP),
        jensen.GraphNode("output", {"bend": np.ones((1, 1))}, np.zeros(1)),
    ],
)


def convex_function() -> jensen.ConvexFunction:
    return jensen.ConvexFunction(NET, BOX)


CALLS = {
    "name of a file": (lambda: jensen.verify("m.onnx"), r"m\.onnx: no such file"),
    "path": (lambda: jensen.verify(Path("m.txt")), "unknown model format '.txt'"),
    "no network": (lambda: jensen.verify(None), "None where a network is needed"),
    "array": (lambda: jensen.verify(EYE), "from_layers"),
    "class": (lambda: jensen.verify(jensen.ReluNetwork), "where a network is needed"),
    "is_convex of a name": (lambda: jensen.is_convex("m.onnx", BOX), "no such file"),
    "tuple as a box": (lambda: jensen.verify(NET, (-1, 1)), r"jensen\.Box"),
    "number as a box": (lambda: jensen.verify(NET, 1.0), r"jensen\.Box"),
    "file as a domain": (lambda: jensen.verify(NET, "d.toml"), "load_domain"),
    "class as a domain": (
        lambda: jensen.verify(NET, jensen.Everywhere),
        r"the class Everywhere where a domain is needed: jensen\.Box",
    ),
    "regions of a name": (lambda: jensen.regions("m.onnx"), "no such file"),
    "conditions of a name": (lambda: jensen.path_conditions("m.onnx"), "no such file"),
    "domain first": (lambda: jensen.verify(BOX, NET), "where a network is needed"),
    "options": (lambda: jensen.verify(NET, options={"seed": 1}), r"jensen\.Options"),
    "output": (lambda: jensen.verify(NET, output="0"), "output '0': a whole number"),
    "output that is not there": (lambda: jensen.verify(TWO, output=-1), "outputs 0 to 1"),
    "output of one": (lambda: jensen.verify(NET, output=1), "one output, number 0"),
    "conditions of two": (lambda: jensen.path_conditions(TWO, BOX), "2 outputs: choose one"),
    "regions of smooth": (lambda: jensen.regions(CURVED, BOX), "piecewise-linear"),
    "conditions of smooth": (lambda: jensen.path_conditions(CURVED, BOX), "piecewise-linear"),
    "repair of smooth": (lambda: jensen.repair(CURVED, BOX), "plus quadratic functions"),
    "form of smooth": (lambda: jensen.to_icnn(CURVED), "piecewise-linear"),
    "many: smooth": (lambda: jensen.verify_many([CURVED], BOX), "piecewise-linear"),
    "inputs": (lambda: jensen.verify(NET, inputs=3), "inputs"),
    "time limit": (lambda: jensen.verify(NET, time_limit="10"), "time limit"),
    "tolerance": (lambda: jensen.verify(NET, tolerance="1"), "tolerance"),
    "seed": (lambda: jensen.verify(NET, seed=None), "seed"),
    "violation of a name": (lambda: jensen.worst_violation("m.onnx", BOX), "no such file"),
    "violation on a tuple": (lambda: jensen.worst_violation(NET, (-1, 1)), r"jensen\.Box"),
    "jump of a name": (lambda: jensen.worst_jump("m.onnx", BOX), "no such file"),
    "jump on a tuple": (lambda: jensen.worst_jump(NET, (-1, 1)), r"jensen\.Box"),
    "many: numbers": (lambda: jensen.verify_many([1], BOX), "where a network is needed"),
    "many: a name": (lambda: jensen.verify_many(["m.onnx"], BOX), "no such file"),
    "repair of a name": (lambda: jensen.repair("m.onnx"), "no such file"),
    "form of a name": (lambda: jensen.to_icnn("m.onnx"), "no such file"),
    "masked box": (lambda: jensen.Box(np.ma.array([0.0, -1.0], mask=[0, 1]), 1), "masked"),
    "masked weights": (
        lambda: jensen.ReluNetwork.from_layers([np.ma.array([[1.0, 2.0]], mask=[[0, 1]])], [[0]]),
        "not numbers but masked values",
    ),
    "masked points": (lambda: NET(MASKED), "points: not numbers but masked values"),
    "list of masked points": (lambda: NET([MASKED]), "points: not numbers but masked values"),
    "masked point": (lambda: NET.exact(MASKED), "a point: not numbers but masked values"),
    "masked point of a graph": (lambda: CURVED(MASKED), "not numbers but masked values"),
    "masked data": (
        lambda: jensen.repair(NET, BOX, data=(MASKED[None], [1.0])),
        "not numbers but masked values",
    ),
    "masked point of a convex function": (
        lambda: jensen.ConvexFunction(NET, BOX)(MASKED),
        "points: not numbers",
    ),
    "masked point of a picture": (
        lambda: jensen.plot.pair(NET, MASKED, np.zeros(MASKED.shape)),
        "finite number",
    ),
    "text as a point": (lambda: NET("a"), "real numbers"),
    "numbers as text": (lambda: NET([["0.5"]]), "real numbers"),
    "complex point": (lambda: NET([1j]), "real numbers"),
    "cost in text": (lambda: jensen.ConvexFunction(NET, BOX).minimise(linear="1"), "linear"),
    "cost of no double": (
        lambda: jensen.ConvexFunction(NET, BOX).minimise(linear=[Fraction(1, 3)]),
        "linear: no double holds 1/3",
    ),
    "row of no double": (
        lambda: jensen.ConvexFunction(NET, BOX).minimise(A=[[Fraction(1, 3)]], b=[1]),
        "A: no double holds 1/3",
    ),
    "fixed at text": (
        lambda: jensen.ConvexFunction(NET, BOX).minimise(fixed={0: "0.5"}),
        "fixed input 0: not numbers but text",
    ),
    "many: one": (lambda: jensen.verify_many(NET, BOX), r"jensen\.verify"),
    "many: name": (lambda: jensen.verify_many("m.onnx", BOX), "list of networks"),
    "many: number": (lambda: jensen.verify_many(3, BOX), "list of networks"),
    "many: domain": (lambda: jensen.verify_many([NET], (-1, 1)), r"jensen\.Box"),
    "load nothing": (lambda: load(None), "name of a model file"),
    "load a network": (lambda: load(NET), "name of a model file"),
    "sklearn: nothing": (lambda: jensen.from_sklearn(None), "fitted MLPRegressor"),
    "sklearn: text": (lambda: jensen.from_sklearn("m.pkl"), "fitted MLPRegressor"),
    "keras: nothing": (lambda: jensen.from_keras(None), "no Keras model"),
    "block in another order": (
        lambda: jensen.ReluNetwork(2, [jensen.Block("output", np.zeros(1), {"input": EYE[:1]})]),
        r"Block\(name, weights, bias, activation\)",
    ),
    "block without a name": (
        lambda: jensen.ReluNetwork(2, [jensen.Block({"input": EYE}, "output", np.zeros(2))]),
        r"Block\(name, weights, bias, activation\)",
    ),
    "activation": (
        lambda: jensen.ReluNetwork(2, [jensen.Block("output", {"input": EYE}, [0, 0], "tanh")]),
        "activation 'tanh'",
    ),
    "no blocks": (lambda: jensen.ReluNetwork(2, [EYE]), "where a block is needed"),
    "blocks first": (lambda: jensen.ReluNetwork([], 2), "whole number"),
    "one block": (lambda: jensen.ReluNetwork(2, 3), "ReluNetwork"),
    "size": (lambda: jensen.ReluNetwork(2.5, []), "whole number"),
    "layers": (lambda: jensen.ReluNetwork.from_layers(3, 3), "from_layers"),
    "layers on their sides": (
        lambda: jensen.ReluNetwork.from_layers([EYE[:1].T, EYE[:1]], [[0], [0, 0]]),
        r"weights are \(in, out\), and \(out, in\) is needed",
    ),
    "layers of nothing": (lambda: jensen.ReluNetwork.from_layers([None], [None]), "doubles"),
    "stack": (lambda: jensen.NetworkStack(3, 3), "list of weight arrays"),
    "box": (lambda: jensen.Box("a", 1), "not numbers"),
    "box of nothing": (lambda: jensen.Box(None, None), "number"),
    "manifest as a model": (lambda: load("manifest.toml"), "jensen batch --manifest"),
    "integer input": (
        lambda: jensen.ConvexFunction(NET, BOX).minimise(integers=0),
        r"integers 0: numbers of inputs such as \(0, 2\)",
    ),
    "polyhedron": (lambda: jensen.Polyhedron(None, [1.0]), "number"),
    "tolerance of a minimum": (lambda: convex_function().minimise(tolerance="1"), "tolerance '1'"),
    "no tolerance": (lambda: convex_function().minimise(tolerance=None), "tolerance None"),
    "equations": (lambda: convex_function().minimise(equality=3), r"a pair \(E, e\)"),
    "values at text": (lambda: convex_function().value("a"), "points: not numbers"),
    "values at rags": (lambda: convex_function().value([[1.0], [1.0, 2.0]]), "points: not numbers"),
    "level": (lambda: convex_function().level_cut([0.5], math.nan), "the level holds a number"),
    "step": (lambda: convex_function().prox([0.5], step="1"), "step '1': a finite number > 0"),
    "verdict": (lambda: jensen.ConvexFunction(NET, BOX, verdict="convex"), r"jensen\.verify"),
    "certificate": (lambda: jensen.ConvexFunction(NET, BOX, certificate=3), "or its file"),
    "scenario of a name": (lambda: jensen.ScenarioSum(TWO, [{"a": 1}], BOX, output=0), "fix 'a'"),
    "fix nothing": (lambda: TWO.fix_inputs(3), "a mapping such as"),
    "fix a name": (lambda: TWO.fix_inputs({"a": 1.0}), "input 'a' to fix"),
    "regions fixed": (lambda: jensen.regions(TWO, BOX, output=0, fixed={"a": 1.0}), "input 'a'"),
    "gap of a violation": (lambda: jensen.worst_violation(NET, BOX, gap="1"), "gap '1'"),
    "gap of a jump": (lambda: jensen.worst_jump(NET, BOX, gap="1"), "gap '1'"),
    "data": (lambda: jensen.repair(NET, BOX, data=3), r"data: a pair \(X, y\)"),
    "data in text": (lambda: jensen.repair(NET, BOX, data=("a", "b")), "data: not numbers"),
    "seed of a repair": (lambda: jensen.repair(NET, BOX, seed="1"), "seed '1'"),
    "batch of nothing": (lambda: jensen.batch.cases_of(3), "list of networks"),
    "batch of names": (lambda: jensen.batch.cases_of(["m.onnx"]), "find_cases"),
    "limits in text": (lambda: jensen.batch.Limits(time_limit="1"), "time limit '1'"),
    "limits below 0": (lambda: jensen.batch.Limits(total_time=-1), "time limit -1"),
    "quick": (lambda: jensen.batch.Limits(quick=math.inf), "quick inf"),
    "batch of a number": (lambda: jensen.batch.run_batch(3), "a list of cases is needed"),
    "batch of a network": (lambda: jensen.batch.run_batch([NET]), "cases_of"),
    "store of a batch": (lambda: jensen.batch.run_batch([], store="r.db"), r"Store\(file\)"),
    "limits of a batch": (lambda: jensen.batch.run_batch([], limits=3), r"Limits\(\.\.\.\)"),
    "retry": (lambda: jensen.batch.run_batch([], retry="error"), "a list of convex, nonconvex"),
    "certificates": (lambda: jensen.batch.run_batch([], certificates=3), "name of a file"),
    "store": (lambda: jensen.batch.Store(3), "3 where the name of a file is needed"),
    "cases of a number": (lambda: jensen.batch.find_cases(3), "a list of files and folders"),
    "cases of a name": (lambda: jensen.batch.find_cases("m.npz"), r"needed: \['m\.npz'\]"),
    "cases of numbers": (lambda: jensen.batch.find_cases([3]), "name of a file is needed"),
    "file of a domain": (lambda: jensen.load_domain(3), "name of a file is needed"),
    "file to save": (lambda: NET.save(3), "name of a file is needed"),
    "network in a model": (lambda: jensen.surrogate.add_network(3, NET, [0]), "Pyomo model or"),
    "solve nothing": (lambda: jensen.surrogate.solve(3), "a Pyomo model is needed"),
}


TIMED = {
    "verify": lambda limit: jensen.verify(NET, BOX, time_limit=limit),
    "violation": lambda limit: jensen.worst_violation(NET, BOX, time_limit=limit),
    "jump": lambda limit: jensen.worst_jump(NET, BOX, time_limit=limit),
    "repair": lambda limit: jensen.repair(NET, BOX, time_limit=limit),
    "conditions": lambda limit: jensen.path_conditions(NET, BOX, time_limit=limit),
    "minimise": lambda limit: jensen.ConvexFunction(NET, BOX).minimise(time_limit=limit),
    "prox": lambda limit: jensen.ConvexFunction(NET, BOX).prox([0.0], time_limit=limit),
    "solve": lambda limit: jensen.surrogate.solve(None, time_limit=limit),
}


@pytest.mark.parametrize("limit", [0, -1.0, math.nan, "1", True], ids=str)
@pytest.mark.parametrize("name", TIMED)
def test_a_time_limit_is_a_number_above_0_everywhere(name, limit):
    with pytest.raises(JensenError, match=r"time limit .*: seconds (> 0 )?are needed"):
        TIMED[name](limit)


@pytest.mark.parametrize("limit", [math.inf, np.float32(5), np.int64(5), Fraction(5)], ids=str)
@pytest.mark.parametrize("name", [name for name in TIMED if name != "solve"])
def test_time_limits_are_numbers_of_any_kind(name, limit):
    TIMED[name](limit)


@pytest.mark.parametrize("kind", [str, Path])
def test_the_name_of_a_file_is_as_good_as_its_network(kind, tmp_path):
    NET.save(tmp_path / "m.npz")
    name = kind(tmp_path / "m.npz")
    assert jensen.is_convex(name)
    assert jensen.verify(name, BOX).summary == jensen.verify(NET, BOX).summary
    assert [v.status for v in jensen.verify_many([name, NET], BOX)] == ["convex", "convex"]
    assert jensen.worst_violation(name, BOX).upper == 0
    assert jensen.worst_jump(name, BOX).upper == 0
    assert jensen.repair(name, BOX).change == 0
    assert len(jensen.regions(name, BOX).cells) == 2
    assert len(jensen.path_conditions(name, BOX)) == 1
    assert jensen.is_icnn(jensen.to_icnn(name))
    assert jensen.ConvexFunction(name, BOX).minimise().value == 0
    assert repr(jensen.ScenarioSum(TWO.select_output(0), [{1: 0.5}], BOX)) == (
        "ScenarioSum(ReluNetwork(2-2-1, 2 ReLUs), 1 scenario, box [-1, 1])"
    )


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_argument_is_an_error_that_says_what_to_pass(name):
    call, message = CALLS[name]
    with pytest.raises(JensenError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_paths_of_all_kinds_are_read(tmp_path):
    path = tmp_path / "m.npz"
    NET.save(path)

    class Named(os.PathLike):
        def __fspath__(self):
            return str(path)

    for given in (path, str(path), Named()):
        assert load(given).input_size == 1


# ------------------------------------------------------------------- order of ONNX nodes


def shuffled_model(order, *, circle=False):
    """Return ``relu(2 x + 1) - 3 x`` with its nodes in some order."""
    nodes = [
        helper.make_node("Constant", [], ["two"], value_float=2.0),
        helper.make_node("Mul", ["x", "two"], ["scaled"]),
        helper.make_node("Add", ["scaled", "r" if circle else "one"], ["z"]),
        helper.make_node("Relu", ["z"], ["r"]),
        helper.make_node("Constant", [], ["three"], value_float=3.0),
        helper.make_node("Mul", ["x", "three"], ["line"]),
        helper.make_node("Sub", ["r", "line"], ["y"]),
        helper.make_node("Constant", [], ["one"], value_float=1.0),
        helper.make_node("Sigmoid", ["x"], ["unused"]),
    ]
    graph = helper.make_graph(
        [nodes[k] for k in order],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_nodes_may_come_in_any_order(tmp_path):
    rng = np.random.default_rng(0)
    for order in [range(9), range(8, -1, -1), *(rng.permutation(9) for _ in range(20))]:
        path = tmp_path / "m.onnx"
        onnx.save(shuffled_model(list(order)), path)
        network = load(path)
        assert network([[-2.0], [0.0], [1.5]]).ravel().tolist() == [6.0, 1.0, -0.5]


def test_nodes_in_a_circle_are_refused(tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(shuffled_model(list(range(9)), circle=True), path)
    with pytest.raises(ModelFileError, match=r"m\.onnx: .*circle"):
        load(path)


def test_a_constant_behind_its_reader_is_found(shared_cases):
    network = load(shared_cases / "faults" / "unsorted.onnx")
    zeros = np.zeros((1, network.input_size))
    assert network(zeros).ravel().tolist() == [1.0, 2.0, 3.0]


MEASURES = {
    "worst_violation": lambda **choice: jensen.worst_violation(TWO, BOX, **choice).upper,
    "worst_jump": lambda **choice: jensen.worst_jump(TWO, BOX, **choice).upper,
    "regions": lambda **choice: len(jensen.regions(TWO, BOX, **choice).facets),
}


@pytest.mark.parametrize("name", MEASURES)
def test_the_first_of_several_outputs_is_taken_with_a_warning(name):
    with pytest.warns(UserWarning, match="2 outputs, and the first is taken") as caught:
        found = MEASURES[name]()
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert MEASURES[name](output=0) == found
    assert MEASURES[name](output=1) != found or name == "regions"


def test_numbers_that_no_double_holds_are_no_inputs_of_a_model():
    import pyomo.environ as pyo  # noqa: PLC0415  (takes long to import)

    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(-1, 1))
    with pytest.raises(JensenError, match=f"input 1: .*no double holds {2**53 + 1}"):
        jensen.surrogate.add_network(model, TWO, [model.x, 2**53 + 1])
