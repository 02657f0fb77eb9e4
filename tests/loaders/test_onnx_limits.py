"""Files that ask for too much: refused before memory is taken, in one line."""

from __future__ import annotations

import os
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import assert_same_function, make_model, network_of

from jensen.errors import ModelFileError, UnsupportedOperatorError
from jensen.loaders import load, symbolic

node = helper.make_node
SECONDS = 20  # of processor time: other programs may be busy


def refused(model, folder, words, kind=ModelFileError):
    start = time.process_time()
    with pytest.raises(kind, match=words) as caught:
        network_of(model, folder)
    assert time.process_time() - start < SECONDS
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000 + len(str(folder))
    return str(caught.value)


LARGE = 2**11
HUGE = {
    "joined": ([node("Concat", ["x"] * 9000, ["y"], axis=1)], [1, LARGE]),
    "compared": (
        [node("Expand", ["x", "large"], ["e"]), node("Max", ["e"] * 9000, ["y"])],
        [1, LARGE],
    ),
    "pooled": (
        [node("MaxPool", ["x"], ["y"], kernel_shape=[1, 1000], pads=[0, 500, 0, 500])],
        [1, 1, LARGE, LARGE],
    ),
    "alive at once": (
        [
            *(node("Tile", ["x", "square"], [f"t{i}"]) for i in range(40)),
            node("Sum", [f"t{i}" for i in range(40)], ["y"]),
        ],
        [1, LARGE],
    ),
}


@pytest.mark.parametrize("case", HUGE)
def test_tensors_that_would_fill_the_memory_are_refused(case, tmp_path):
    nodes, shape = HUGE[case]
    constants = {"large": np.array([1, LARGE]), "square": np.array([1, LARGE])}
    model = make_model(nodes, {"x": shape}, ["y"], constants)
    refused(model, tmp_path, "at most|would be held at once")


def test_constants_that_would_fill_the_memory_are_refused(tmp_path):
    ones = [node("ConstantOfShape", ["size"], [f"c{i}"]) for i in range(200)]
    total = node("Sum", ["x", *(f"c{i}" for i in range(200))], ["y"])
    model = make_model([*ones, total], {"x": [1]}, ["y"], {"size": np.array([2**22])})
    refused(model, tmp_path, "would be held at once")


def chain(count, make):
    nodes, last = [], "x"
    for i in range(count):
        nodes += make(last, f"h{i}", i)
        last = f"h{i}"
    rng = np.random.default_rng(0)
    constants = {"w": rng.normal(size=(2, 2)).astype(np.float32), "b": np.float32([0.5, -1])}
    return make_model(nodes, {"x": ["n", 2]}, [last], constants)


def step(x, y, i):
    return [node("MatMul", [x, "w"], [f"z{i}"]), node("Relu", [f"z{i}"], [y])]


def residual(x, y, i):
    return [*step(x, f"r{i}", i), node("Add", [x, f"r{i}"], [y])]


def test_deep_networks_load_at_once_and_deeper_ones_are_refused(tmp_path):
    start = time.process_time()
    assert network_of(chain(1500, step), tmp_path).relu_count == 3000
    assert time.process_time() - start < SECONDS
    refused(chain(5_000, step), tmp_path, f"more than {symbolic.MAX_BLOCKS} layers")
    long = chain(50_000, lambda x, y, i: [node("Add", [x, "b"], [y])])
    assert len(network_of(long, tmp_path).blocks) == 1
    refused(chain(140_000, lambda x, y, i: [node("Identity", [x], [y])]), tmp_path, "140000 nodes")


def test_edges_of_a_long_residual_chain_grow_linearly(tmp_path):
    model = chain(200, residual)
    network = load_quickly(model, tmp_path)
    assert sum(len(block.weights) for block in network.blocks) < 200 * 40
    small = chain(70, residual)
    assert_same_function(small, network_of(small, tmp_path))


def load_quickly(model, folder):
    start = time.process_time()
    network = network_of(model, folder)
    assert time.process_time() - start < SECONDS
    return network


def functions(bodies):
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return [
        helper.make_function("local", name, ["a"], ["b"], nodes, imports)
        for name, nodes in bodies.items()
    ]


def with_functions(bodies):
    model = make_model([node("f0", ["x"], ["y"], domain="local")], {"x": ["n", 2]}, ["y"])
    model.opset_import.append(helper.make_opsetid("local", 1))
    model.functions.extend(functions(bodies))
    return model


def test_local_functions_are_inlined(tmp_path):
    model = with_functions({"f0": [node("Neg", ["a"], ["t"]), node("Relu", ["t"], ["b"])]})
    assert_same_function(model, network_of(model, tmp_path))


@pytest.mark.parametrize("given", [None, 0.25])
@pytest.mark.parametrize("depth", [1, 2])
def test_attributes_of_functions_have_their_default_values(given, depth, tmp_path):
    """onnx's inliner leaves them out, and LeakyRelu then takes its own."""
    slope = helper.make_attribute("slope", 0.5)

    def passed_on(name, operator, domain):
        body = helper.make_node(operator, ["a"], ["b"], domain=domain)
        attribute = body.attribute.add(name="alpha" if operator == "LeakyRelu" else "slope")
        attribute.ref_attr_name, attribute.type = "slope", onnx.AttributeProto.FLOAT
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
        return helper.make_function(
            "local", name, ["a"], ["b"], [body], imports, attribute_protos=[slope]
        )

    attributes = {} if given is None else {"slope": given}
    call = node("f0", ["x"], ["y"], domain="local", **attributes)
    model = make_model([call], {"x": ["n", 2]}, ["y"])
    model.ir_version = 9
    model.opset_import.append(helper.make_opsetid("local", 1))
    if depth == 2:
        model.functions.append(passed_on("f0", "f1", "local"))
    model.functions.append(passed_on(f"f{depth - 1}", "LeakyRelu", ""))
    network = network_of(model, tmp_path)
    assert_same_function(model, network)
    assert network([-1.0, 1.0]).tolist() == [-(given or 0.5), 1.0]
    if depth == 2:  # without a default of the outer function nobody says what the inner one gets
        del model.functions[0].attribute_proto[:]
        model.functions[0].attribute.append("slope")
        refused(model, tmp_path, "passes on the attribute 'slope', which may be missing")


@pytest.mark.parametrize("domain", ["", "ai.onnx", "ai.onnx.ml"])
def test_functions_in_place_of_standard_operators_are_refused(domain, tmp_path):
    """onnxruntime calls its own operator, and the inliner of onnx the function."""
    model = make_model([node("Relu", ["x"], ["y"])], {"x": ["n", 2]}, ["y"])
    imports = [helper.make_opsetid("", 17)]
    body = [node("Neg", ["a"], ["b"])]
    model.functions.append(helper.make_function(domain, "Relu", ["a"], ["b"], body, imports))
    refused(model, tmp_path, "has the domain of standard operators")


def with_imports(body, *imports, model_imports=()):
    """Return a model that calls one function, which asks for opsets of its own."""
    model = make_model([node("f0", ["x"], ["y"], domain="local")], {"x": ["n", 2]}, ["y"])
    model.opset_import.extend([helper.make_opsetid("local", 1), *model_imports])
    own = [helper.make_opsetid(domain, version) for domain, version in imports]
    model.functions.append(helper.make_function("local", "f0", ["a"], ["b"], body, own))
    return model


SCALER = helper.make_node(
    "Scaler", ["a"], ["b"], domain="ai.onnx.ml", offset=[1.0, 2.0], scale=[2.0, 3.0]
)


def test_functions_may_ask_for_domains_that_the_model_does_not(tmp_path):
    model = with_imports([SCALER], ("", 17), ("ai.onnx.ml", 3))
    assert_same_function(model, network_of(model, tmp_path))


def test_functions_that_ask_for_another_version_than_the_model_are_refused(tmp_path):
    for version in (7, 13, 18):
        model = with_imports([node("Relu", ["a"], ["b"])], ("", version))
        line = f"function local.f0 asks for opset {version} of ai.onnx, the model for 17"
        refused(model, tmp_path, line)
    model = with_imports(
        [SCALER], ("ai.onnx.ml", 2), model_imports=[helper.make_opsetid("ai.onnx.ml", 3)]
    )
    refused(model, tmp_path, "asks for opset 2 of ai.onnx.ml, the model for 3")


def test_functions_of_domains_that_are_not_known_are_refused(tmp_path):
    body = [helper.make_node("Gelu", ["a"], ["b"], domain="com.microsoft")]
    with pytest.raises(UnsupportedOperatorError, match=r"com\.microsoft\.Gelu.*not among"):
        network_of(with_imports(body, ("", 17), ("com.microsoft", 1)), tmp_path)


def test_a_file_that_asks_for_two_operator_sets_is_refused(tmp_path):
    model = make_model([node("Softmax", ["x"], ["y"])], {"x": ["n", 2, 3]}, ["y"])
    model.opset_import.append(helper.make_opsetid("ai.onnx", 11))
    refused(model, tmp_path, "it asks for the opsets 17 and 11; one of them is needed")
    model.opset_import[-1].version = model.opset_import[0].version
    assert_same_function(model, network_of(model, tmp_path))


def test_an_attribute_that_is_given_twice_is_refused(tmp_path):
    model = make_model([node("LeakyRelu", ["x"], ["y"], alpha=0.5)], {"x": ["n", 2]}, ["y"])
    model.graph.node[0].attribute.append(helper.make_attribute("alpha", 0.25))
    refused(model, tmp_path, "attribute 'alpha' is given twice")


def test_functions_that_call_each_other_without_end_are_refused(tmp_path):
    doubling = {
        f"f{i}": [
            node(f"f{i + 1}", ["a"], ["t"], domain="local"),
            node(f"f{i + 1}", ["t"], ["b"], domain="local"),
        ]
        for i in range(40)
    }
    doubling["f40"] = [node("Relu", ["a"], ["b"])]
    refused(with_functions(doubling), tmp_path, "nodes after inlining")
    circle = {"f0": [node("f0", ["a"], ["b"], domain="local")]}
    refused(with_functions(circle), tmp_path, "calls itself")


def branch(op, name):
    info = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph([node(op, ["x"], [name])], op, [], [info])


def test_control_flow_is_refused_by_name(tmp_path):
    choice = node(
        "If",
        ["c"],
        ["y"],
        "choose",
        then_branch=branch("Relu", "a"),
        else_branch=branch("Neg", "b"),
    )
    model = make_model([choice], {"x": ["n", 2]}, ["y"], {"c": np.array(True)})
    refused(model, tmp_path, r"'choose' \(If\): control flow", UnsupportedOperatorError)


def test_a_file_beyond_the_limit_of_protobuf_is_not_read(tmp_path):
    path = tmp_path / "huge.onnx"
    with path.open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(ModelFileError, match="end at 2 GiB"):
        load(path)


def test_names_from_the_file_cannot_break_the_line(tmp_path):
    model = make_model(
        [node("Relu", ["x"], ["y"], "a\nb\x1b[31m" + "z" * 10**5)], {"x": [1]}, ["y"]
    )
    model.graph.node[0].op_type = "No\nsuch\x1b[31m"
    message = refused(model, tmp_path, "not among the supported", UnsupportedOperatorError)
    assert message.isprintable()
    # protobuf hands out bytes where a string is no text
    path = tmp_path / "bytes.onnx"
    path.write_bytes(model.SerializeToString().replace(b"No\nsuch", b"No\xffsuch"))
    with pytest.raises(UnsupportedOperatorError, match="not among the supported"):
        load(path)


def external(folder, **entries):
    """Write a model whose weight is in another file."""
    model = make_model(
        [node("MatMul", ["x", "w"], ["y"])],
        {"x": ["n", 2]},
        ["y"],
        {"w": np.ones((2, 2), np.float32)},
    )
    (tensor,) = model.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "w.bin").write_bytes(np.full(12, 2.0, np.float32).tobytes())
    (tmp_path / "secret").write_bytes(bytes(16))
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to(tmp_path)
    (folder / "circle").symlink_to(folder / "circle")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.mark.parametrize(
    "entries",
    [
        {},
        {"location": "/etc/hostname"},
        {"location": "../secret"},
        {"location": "link"},
        {"location": "up/secret"},
        {"location": "circle"},
        {"location": "pipe"},
        {"location": "."},
        {"location": "none"},
        {"location": "a\0b"},
        {"location": "w.bin", "offset": -4},
        {"location": "w.bin", "offset": 40},
        {"location": "w.bin", "length": 10**30},
        {"location": "w.bin", "length": "much"},
    ],
    ids=str,
)
def test_external_weights_are_read_from_the_folder_of_the_model_only(entries, folder):
    with pytest.raises(ModelFileError, match=r"external data of 'w'"):
        load(external(folder, **entries))


def test_external_weights_are_read_at_their_offset(folder):
    assert load(external(folder, location="w.bin", offset=16, length=16)).exact([1, 2])[0] == 6
    assert load(external(folder, location="w.bin")).exact([1, 2])[0] == 6


def test_an_external_tensor_of_enormous_size_is_not_read(folder):
    with (folder / "sparse").open("wb") as stream:
        stream.truncate(2**42)
    path = external(folder, location="sparse")
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].dims[:] = [2**20, 2**20]
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match="at most"):
        load(path)


def test_more_dimensions_than_arrays_have_are_refused(tmp_path):
    model = make_model([node("Relu", ["x"], ["y"])], {"x": [1] * 70}, ["y"])
    refused(model, tmp_path, "70 dimensions")


def test_places_in_a_constant_of_many_dimensions_are_counted_before_they_are_listed(tmp_path):
    ones = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    nodes = [
        node("ConstantOfShape", ["s"], ["c"], value=ones),
        node("NonZero", ["c"], ["n"]),
        node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
        node("ReduceSum", ["f"], ["r"], keepdims=0),
        node("Add", ["x", "r"], ["y"]),
    ]
    shape = np.array([2**22] + [1] * 29, dtype=np.int64)
    refused(make_model(nodes, {"x": [1, 2]}, ["y"], {"s": shape}), tmp_path, "NonZero")


def test_external_weights_that_many_tensors_share_are_counted_together(folder, monkeypatch):
    monkeypatch.setattr("jensen.loaders.onnx.external.MAX_BYTES", 10)
    with pytest.raises(ModelFileError, match="bytes together; at most 10"):
        load(external(folder, location="w.bin"))
