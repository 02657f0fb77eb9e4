"""Networks in Pyomo models: every formulation gives the same optimum, or says why it would not."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
from surrogate_networks import ABSOLUTE, ALL, freely_convex, icnn, model_with

import jensen
from jensen import Box, ConvexFunction, Polyhedron, ReluNetwork, surrogate
from jensen.errors import OptionError

# ------------------------------------------------------------------------- the same optimum


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("integer", [False, True])
def test_all_formulations_have_the_optimum_of_the_convex_function(seed, integer):
    network, rng = icnn(3, 6, seed), np.random.default_rng(seed)
    linear, row = rng.normal(size=3), rng.normal(size=3)
    f = ConvexFunction(network, Box(-2, 2))
    exact = f.minimise(linear, [row], [0.5], integers=(0, 2) if integer else ())
    for formulation in ALL:
        model = model_with(3)
        if integer:
            model.x[0].domain = model.x[2].domain = pyo.Integers
        handle = surrogate.add_network(model, network, model.x, formulation=formulation)
        model.row = pyo.Constraint(expr=sum(row[i] * model.x[i] for i in range(3)) <= 0.5)
        cost = sum(linear[i] * model.x[i] for i in range(3))
        model.goal = pyo.Objective(expr=handle.output + cost)
        found = surrogate.solve(model)
        assert found.optimal
        assert found.value == pytest.approx(exact.value, rel=1e-6, abs=1e-6)
        assert handle.error() < 1e-9
        if integer:
            assert model.x[0].domain is pyo.Integers
            assert pyo.value(model.x[0]) == pytest.approx(round(pyo.value(model.x[0])), abs=1e-6)


@pytest.mark.parametrize("formulation", ["big_m", "cuts"])
def test_networks_convex_by_proof_only_need_no_binaries(formulation):
    network = freely_convex()
    model = model_with(2)
    handle = surrogate.add_network(model, network, model.x, formulation=formulation)
    model.goal = pyo.Objective(expr=handle.output + 0.3 * model.x[0])
    exact = ConvexFunction(network, Box(-2, 2)).minimise([0.3, 0.0])
    assert surrogate.solve(model).value == pytest.approx(exact.value, abs=1e-6)
    binaries = [v for v in model.component_data_objects(pyo.Var) if v.is_binary()]
    assert bool(binaries) == (formulation == "big_m")


@pytest.mark.parametrize("formulation", ALL)
def test_an_output_may_stand_in_a_row_that_bounds_it_from_above(formulation):
    model = model_with(1)
    handle = surrogate.add_network(model, ABSOLUTE, model.x, formulation=formulation)
    model.limit = pyo.Constraint(expr=2 * handle.output <= 1.5)
    model.goal = pyo.Objective(expr=model.x[0], sense=pyo.maximize)
    surrogate.solve(model)
    assert pyo.value(model.x[0]) == pytest.approx(0.75, abs=1e-6)
    assert pyo.value(handle.output) == pytest.approx(0.75, abs=1e-6)


@pytest.mark.parametrize("formulation", ALL)
def test_concave_networks_may_be_pushed_up(formulation):
    network = icnn(2, 5, 3).negated()
    model = model_with(2)
    handle = surrogate.add_network(model, network, model.x, formulation=formulation)
    model.goal = pyo.Objective(expr=handle.output + model.x[0], sense=pyo.maximize)
    exact = ConvexFunction(network.negated(), Box(-2, 2)).minimise([-1.0, 0.0])
    assert surrogate.solve(model).value == pytest.approx(-exact.value, rel=1e-6)


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
def test_cuts_take_what_is_concave_by_signs_and_affine_on_the_domain(sense):
    network = ReluNetwork.from_layers([[[1.0]], [[-1.0]]], [[0.0], [0.0]])  # -relu(x)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(1, 2))
    handle = surrogate.add_network(model, network, [model.x], formulation="cuts")
    model.goal = pyo.Objective(expr=handle.output, sense=sense)
    assert surrogate.solve(model).value == pytest.approx(-2 if sense == pyo.minimize else -1)
    assert handle.formulation == "cuts"


@pytest.mark.parametrize("formulation", ALL)
def test_several_networks_share_inputs_and_have_several_outputs(formulation):
    one, two = icnn(2, 5, 0, outputs=2), icnn(2, 4, 1)
    model = model_with(2)
    first = surrogate.add_network(model, one, model.x, formulation=formulation)
    second = surrogate.add_network(model, two, [model.x[1], model.x[0]], formulation=formulation)
    model.goal = pyo.Objective(expr=first.outputs[0] + 2 * first.outputs[1] + second.output)
    found = surrogate.solve(model)
    x = np.array([pyo.value(model.x[i]) for i in range(2)])
    grid = np.stack(np.meshgrid(*[np.linspace(-2, 2, 161)] * 2), axis=-1).reshape(-1, 2)
    values = one(grid) @ [1.0, 2.0] + two(grid[:, ::-1])[:, 0]
    assert found.value <= values.min() + 1e-6
    here = one(x[None]) @ [1.0, 2.0] + two(x[None, ::-1])[:, 0]
    assert found.value == pytest.approx(here[0], rel=1e-9)
    with pytest.raises(OptionError, match="2 outputs"):
        _ = first.output


def binaries(model: pyo.ConcreteModel) -> int:
    return sum(v.is_binary() for v in model.component_data_objects(pyo.Var))


def test_outputs_in_big_m_share_their_hidden_units():
    network = icnn(2, 5, 0, outputs=3)
    model = pyo.ConcreteModel()
    model.x = pyo.Var([0, 1], bounds=(-1, 1))
    net = surrogate.add_network(model, network, model.x, formulation="big_m")
    one = pyo.ConcreteModel()
    one.x = pyo.Var([0, 1], bounds=(-1, 1))
    surrogate.add_network(one, network, one.x, formulation="big_m", output=0)
    assert binaries(model) == binaries(one) > 0
    rng = np.random.default_rng(0)
    model.goal = pyo.Objective(expr=0 * model.x[0])
    for x in rng.uniform(-1, 1, (4, 2)):
        for i in range(2):
            model.x[i].fix(x[i])
        surrogate.solve(model)
        assert net.error() < 1e-9


def test_outputs_that_change_to_big_m_share_them_too():
    network = icnn(2, 5, 3, outputs=3)
    model = pyo.ConcreteModel()
    model.x = pyo.Var([0, 1], bounds=(-1, 1))
    net = surrogate.add_network(model, network, model.x)
    assert net.formulation == "epigraph"
    model.goal = pyo.Objective(expr=net.outputs[0] - net.outputs[1] - net.outputs[2])
    found = surrogate.solve(model)
    assert [str(part.formulation) for part in net.parts] == ["epigraph", "big_m", "big_m"]
    X = np.stack(np.meshgrid(*[np.linspace(-1, 1, 41)] * 2), axis=-1).reshape(-1, 2)
    values = network(X) @ [1.0, -1.0, -1.0]
    assert found.value <= values.min() + 1e-6
    x = np.array([[pyo.value(model.x[0]), pyo.value(model.x[1])]])
    assert found.value == pytest.approx((network(x) @ [1.0, -1.0, -1.0])[0], abs=1e-6)
    assert binaries(model) <= network.relu_count


def test_one_output_of_several_can_be_taken():
    network = icnn(2, 5, 0, outputs=2)
    model = model_with(2)
    handle = surrogate.add_network(model, network, model.x, output=1)
    model.goal = pyo.Objective(expr=handle.output)
    exact = ConvexFunction(network, Box(-2, 2), output=1).minimise()
    assert surrogate.solve(model).value == pytest.approx(exact.value, rel=1e-6)


@pytest.mark.parametrize("formulation", ALL)
def test_numbers_and_expressions_are_inputs_too(formulation):
    network = icnn(3, 6, 2)
    model = model_with(2)
    inputs = [model.x[0] + 0.5 * model.x[1], 0.25, model.x[1]]
    handle = surrogate.add_network(
        model, network, inputs, domain=Box(-3, 3), formulation=formulation
    )
    model.goal = pyo.Objective(expr=handle.output)
    found = surrogate.solve(model)
    x = [pyo.value(model.x[0]) + 0.5 * pyo.value(model.x[1]), 0.25, pyo.value(model.x[1])]
    assert found.value == pytest.approx(network([x])[0, 0], rel=1e-6)
    fixed = ConvexFunction(network.fix_inputs({1: 0.25}), Box([-3, -2], [3, 2]))
    exact = fixed.minimise(A=[[1, -0.5], [-1, 0.5]], b=[2, 2])
    assert found.value == pytest.approx(exact.value, rel=1e-6)


def test_slices_of_an_indexed_variable_are_inputs():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(["a", "b"], range(2), bounds=(-2, 2))
    network = icnn(2, 4, 0)
    handles = [surrogate.add_network(model, network, model.x[k, :]) for k in ("a", "b")]
    model.goal = pyo.Objective(expr=handles[0].output + handles[1].output + model.x["b", 0])
    f = ConvexFunction(network, Box(-2, 2))
    exact = f.minimise().value + f.minimise([1.0, 0.0]).value
    assert surrogate.solve(model).value == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("formulation", ["auto", "big_m"])
def test_outputs_of_networks_are_inputs_of_others_without_bounds_of_their_own(formulation):
    first, second = icnn(2, 4, 0), icnn(3, 4, 1)
    model = model_with(2)
    inner = surrogate.add_network(model, first, model.x, formulation=formulation)
    given = [model.x[0], model.x[1], inner.output]
    outer = surrogate.add_network(model, second, given, formulation=formulation)
    model.goal = pyo.Objective(expr=outer.output)
    found = surrogate.solve(model)
    steps = np.linspace(-2, 2, 101)
    grid = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    values = second(np.column_stack([grid, first(grid)]))
    assert values.min() - 0.2 < found.value <= values.min() + 1e-7
    assert max(inner.error(), outer.error()) < 1e-9
    free = pyo.ConcreteModel()
    free.x = pyo.Var(range(2))
    inner = surrogate.add_network(free, first, free.x, domain=jensen.Everywhere())
    with pytest.raises(OptionError, match=r"network.output\[0\] has the bounds \[None, None\]"):
        surrogate.add_network(free, second, [0.0, 0.0, inner.output])


def test_onnx_files_go_into_a_block_in_one_call():
    model = model_with(2)
    model.part = pyo.Block()
    handle = surrogate.add_network(
        model.part, "models/icnn_mpc_value.onnx", model.x, formulation="big_m"
    )
    assert handle.block.parent_block() is model.part
    model.goal = pyo.Objective(expr=handle.output)
    exact = ConvexFunction("models/icnn_mpc_value.onnx", Box(-2, 2)).minimise()
    assert surrogate.solve(model).value == pytest.approx(exact.value, abs=1e-6)


def test_polyhedra_are_kept_as_rows():
    domain = Polyhedron([[1, 1], [-1, 0], [0, -1]], [1, 1, 1])
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(2))
    handle = surrogate.add_network(model, icnn(2, 5, 1), model.x, domain=domain, formulation="cuts")
    model.goal = pyo.Objective(expr=handle.output - 5 * model.x[0] - 4 * model.x[1])
    exact = ConvexFunction(icnn(2, 5, 1), domain).minimise([-5, -4])
    assert surrogate.solve(model).value == pytest.approx(exact.value, rel=1e-6)


# -------------------------------------------------------------------------- auto, and why


def test_auto_says_what_it_picked_and_why():
    model = model_with(2)
    picked = {
        "epigraph": icnn(2, 4, 0),
        "cuts": freely_convex(),
        "big_m": ReluNetwork.from_layers([[[1.0, 0.0]], [[-1.0]]], [[0], [0]]).select_output(0),
    }
    kinked = ReluNetwork.from_layers([np.eye(2), [[1.0, -1.0]]], [[0, 0], [0]])
    for formulation, network in {**picked, "big_m": kinked}.items():
        handle = surrogate.add_network(model, network, model.x)
        assert handle.formulation == formulation, handle.why
        assert handle.why.startswith(formulation)
    assert "not convex" in handle.why


def test_auto_changes_to_big_m_where_the_output_is_pushed_the_wrong_way():
    network = icnn(2, 4, 0)
    model = model_with(2, side=1.0)
    handle = surrogate.add_network(model, network, model.x)
    model.goal = pyo.Objective(expr=handle.output, sense=pyo.maximize)
    found = surrogate.solve(model)
    corners = [[a, b] for a in (-1, 1) for b in (-1, 1)]
    assert handle.formulation == "big_m"
    assert "goal pushes it up" in handle.why
    assert found.value == pytest.approx(network(corners).max(), rel=1e-6)


def test_affine_networks_need_neither_cuts_nor_binaries():
    network = ReluNetwork.from_layers([[[2.0, -1.0]]], [[0.5]])
    model = model_with(2)
    handle = surrogate.add_network(model, network, model.x)
    model.goal = pyo.Objective(expr=handle.output, sense=pyo.maximize)
    assert surrogate.solve(model).value == pytest.approx(6.5)


def test_a_verdict_spares_the_proof():
    model = model_with(2)
    verdict = jensen.verify(freely_convex(), Box(-2, 2))
    handle = surrogate.add_network(
        model, freely_convex(), model.x, formulation="cuts", verdict=verdict
    )
    assert handle.formulation == "cuts"


def test_a_verdict_about_another_network_is_refused():
    model = model_with(2)
    verdict = jensen.verify(freely_convex(), Box(-2, 2))
    other = freely_convex().negated().negated().fix_inputs({0: 0.5})
    with pytest.raises(OptionError, match="digest"):
        surrogate.add_network(model, other, [model.x[0]], formulation="cuts", verdict=verdict)
