"""Numbers of an exported PyTorch program in full precision.

PyTorch's ONNX exporter writes the Python numbers of a program (``x * 0.1``, the bounds of
``clamp``, the slope of ``leaky_relu``) as float32, also where tensors are float64. In such
programs each of them is replaced beforehand by a float64 tensor that is built of numbers that
float32 holds: an integer of 53 bits times powers of two.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

HALVES = ("float16", "bfloat16")
_DIGITS = 53
_EXPONENTS = range(-126, 128)  # of the powers of two that float32 holds as normal numbers


def narrowed_numbers(program: Any) -> list[float]:
    """Return the Python numbers of a program's half-precision operators that they cannot hold.

    The exporter writes them in half precision, while PyTorch computes with float32 inside
    such operators.

    Parameters
    ----------
    program : torch.export.ExportedProgram
    """
    found: set[float] = set()
    for node in _all_nodes(program.graph_module):
        for dtype in _dtypes(node) & set(HALVES):
            kind = getattr(importlib.import_module("torch"), dtype)
            found |= {v for v in _arguments(node).values() if not _holds(kind, v)}
    return sorted(found)


def _holds(dtype: Any, value: Any) -> bool:
    """Whether a type of PyTorch holds an argument, as all that are no numbers."""
    if not isinstance(value, float) or not math.isfinite(value):
        return True
    torch = importlib.import_module("torch")
    return float(torch.tensor(value, dtype=torch.float64).to(dtype)) == value


def _dtypes(node: Any) -> set[str]:
    """Return the names of the types that an operator computes."""
    if node.op != "call_function" or not hasattr(node.target, "_schema"):
        return set()
    return _dtypes_of(node)


def _dtypes_of(node: Any) -> set[str]:
    """Return the names of the types of a node's values."""
    value = node.meta.get("val")
    values = value if isinstance(value, list | tuple) else [value]
    return {str(getattr(v, "dtype", "")).removeprefix("torch.") for v in values}


def with_exact_scalars(program: Any) -> Any:
    """Return an exported program whose float64 operators take no number that float32 rounds.

    Parameters
    ----------
    program : torch.export.ExportedProgram

    Returns
    -------
    torch.export.ExportedProgram
        The same if there was nothing to do. What is left as it was, for want of a rule, is
        found by comparing values afterwards.
    """
    torch = importlib.import_module("torch")
    if not any(_is_affected(node) for node in _all_nodes(program.graph_module)):
        return program
    _rewrite(torch, program, _WHOLE)
    program = program.run_decompositions({})  # without in-place operators and nested graphs
    _rewrite(torch, program, _RULES)
    return program


def _rewrite(torch: Any, program: Any, rules: Mapping[str, Rule]) -> None:
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        rule = rules.get(_name(node)) if _is_affected(node) else None
        if rule is not None:
            with graph.inserting_before(node):
                rule(_Rewriter(torch, node), **_arguments(node))
    graph.eliminate_dead_code()
    program.graph_module.recompile()


def _all_nodes(module: Any) -> Iterator[Any]:
    """Yield the nodes of a graph and of the graphs nested in it."""
    for part in module.modules():
        if hasattr(part, "graph"):
            yield from part.graph.nodes


def _arguments(node: Any) -> dict[str, Any]:
    """Return the arguments of a node by name, those left out as well."""
    found = {}
    for position, argument in enumerate(node.target._schema.arguments):
        if position < len(node.args):
            found[argument.name] = node.args[position]
        else:
            found[argument.name] = node.kwargs.get(argument.name, argument.default_value)
    return found


def _is_affected(node: Any) -> bool:
    """Whether a node computes float64 with a number that float32 does not hold."""
    kinds = _dtypes(node)
    if kinds & {"float32", "float64"} and _name(node) == "smooth_l1_loss":
        return bool(_arguments(node)["beta"] > 0)  # divided by, which rounding turns into a jump
    if kinds == {"bool"} and hasattr(node.args[0], "meta"):
        kinds = _dtypes_of(node.args[0])  # a comparison
    if "float64" not in kinds:
        return False
    # the exporter brings the sixth of a hard sigmoid itself, as float32
    return _name(node) == "hardsigmoid" or any(map(_is_narrowed, _arguments(node).values()))


def _name(node: Any) -> str:
    """Return the name of an operator of ATen, without its overload."""
    return str(node.target._schema.name).removeprefix("aten::")


def _is_narrowed(value: Any) -> bool:
    if not isinstance(value, float) or not math.isfinite(value):
        return False
    with np.errstate(over="ignore"):
        return float(np.float32(value)) != value


class _Rewriter:
    """Puts nodes before one node, and takes its place."""

    def __init__(self, torch: Any, node: Any) -> None:
        self._torch = torch
        self._aten = torch.ops.aten
        self._node = node
        self._graph = node.graph

    def call(self, operator: str, *arguments: Any, **keywords: Any) -> Any:
        """Add an operator of ATen, such as ``mul.Tensor``."""
        name, _, overload = operator.partition(".")
        target = getattr(getattr(self._aten, name), overload)
        made = self._graph.call_function(target, arguments, keywords)
        values = [a.meta["val"] if hasattr(a, "meta") else a for a in arguments]
        with self._mode():
            made.meta["val"] = target(*values, **keywords)
        return made

    def constant(self, value: Any) -> Any:
        """Return a tensor that holds a number as its type can; tensors and None as they are."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        if not _is_narrowed(value) or self._dtype != self._torch.float64:
            return self._full(float(value))
        mantissa, exponent = math.frexp(value)
        made, left = self._full(int(math.ldexp(mantissa, _DIGITS))), exponent - _DIGITS
        while left:
            step = min(max(left, _EXPONENTS.start), _EXPONENTS.stop - 1)
            made = self.call("mul.Tensor", made, self._full(2.0**step))
            left -= step
        return made

    def become(self, made: Any) -> None:
        """Let what was made take the place of the node."""
        self._node.replace_all_uses_with(made)
        self._graph.erase_node(self._node)

    def replace(self, **arguments: Any) -> None:
        """Give the node other positional arguments."""
        names = [argument.name for argument in self._node.target._schema.arguments]
        self._node.args = tuple(
            arguments.get(name, old) for name, old in zip(names, self._node.args, strict=True)
        )

    def _full(self, value: float) -> Any:
        return self.call("full.default", [], value, dtype=self._dtype, device=self._value.device)

    @property
    def _dtype(self) -> Any:
        single = self._value.dtype == self._torch.float32
        return self._torch.float32 if single else self._torch.float64  # as for comparisons

    def _mode(self) -> Any:
        return self._value.fake_mode

    @property
    def _value(self) -> Any:
        value = self._node.meta["val"]
        return value[0] if isinstance(value, list | tuple) else value


Rule = Callable[..., None]


def _scaled(rewriter: _Rewriter, value: Any, factor: Any) -> Any:
    if factor == 1 and not hasattr(factor, "meta"):
        return rewriter.constant(value)
    return rewriter.call("mul.Tensor", rewriter.constant(value), rewriter.constant(factor))


def _product(operator: str) -> Rule:
    def rule(rewriter: _Rewriter, self: Any, other: Any, **rest: Any) -> None:
        if rest.get("rounding_mode") is None:
            rewriter.become(rewriter.call(operator, self, rewriter.constant(other)))

    return rule


def _sum(operator: str) -> Rule:
    def rule(rewriter: _Rewriter, self: Any, other: Any, alpha: Any = 1) -> None:
        rewriter.become(rewriter.call(operator, self, _scaled(rewriter, other, alpha)))

    return rule


def _reversed_difference(rewriter: _Rewriter, self: Any, other: Any, alpha: Any = 1) -> None:
    minuend = rewriter.constant(other)
    rewriter.become(rewriter.call("sub.Tensor", minuend, _scaled(rewriter, self, alpha)))


def _bounds(low: str | None, high: str | None) -> Rule:
    """Clamping between arguments of these names."""

    def rule(rewriter: _Rewriter, self: Any, **bounds: Any) -> None:
        least, most = (None if name is None else bounds[name] for name in (low, high))
        made = rewriter.call(
            "clamp.Tensor", self, rewriter.constant(least), rewriter.constant(most)
        )
        rewriter.become(made)

    return rule


def _leaky_relu(rewriter: _Rewriter, self: Any, negative_slope: float) -> None:
    # relu(x) - s relu(-x)
    below = rewriter.call("relu.default", rewriter.call("neg.default", self))
    above = rewriter.call("relu.default", self)
    made = rewriter.call("sub.Tensor", above, _scaled(rewriter, below, negative_slope))
    rewriter.become(made)


def _hard_sigmoid(rewriter: _Rewriter, self: Any) -> None:
    shifted = rewriter.call("add.Tensor", self, 3.0)
    clamped = rewriter.call("clamp.default", shifted, 0.0, 6.0)
    rewriter.become(rewriter.call("div.Tensor", clamped, 6.0))


def _comparison(operator: str) -> Rule:
    def rule(rewriter: _Rewriter, self: Any, other: Any) -> None:
        rewriter.become(rewriter.call(operator, self, rewriter.constant(other)))

    return rule


def _soft_shrink(rewriter: _Rewriter, self: Any, lambd: float) -> None:
    bounds = rewriter.constant(-lambd), rewriter.constant(lambd)
    rewriter.become(rewriter.call("sub.Tensor", self, rewriter.call("clamp.Tensor", self, *bounds)))


def _huber(rewriter: _Rewriter, self: Any, target: Any, reduction: int, delta: float) -> None:
    _reduced(rewriter, _of_width(rewriter, self, target, delta), reduction)


def _smooth_l1(rewriter: _Rewriter, self: Any, target: Any, reduction: int, beta: float) -> None:
    # a multiple of Huber's function: 1 / beta may be no double, and each branch would be rounded
    loss = _of_width(rewriter, self, target, beta)
    made = rewriter.call("div.Tensor", loss, rewriter.constant(beta))
    _reduced(rewriter, made, reduction)


def _of_width(rewriter: _Rewriter, self: Any, target: Any, delta: float) -> Any:
    # c^2 / 2 + delta (|z| - c), where c = min(|z|, delta): delta squared may be no double
    size = rewriter.call("abs.default", rewriter.call("sub.Tensor", self, target))
    near = rewriter.call("clamp.Tensor", size, None, rewriter.constant(delta))
    square = rewriter.call("mul.Tensor", rewriter.call("mul.Tensor", near, 0.5), near)
    beyond = _scaled(rewriter, rewriter.call("sub.Tensor", size, near), delta)
    return rewriter.call("add.Tensor", square, beyond)


def _reduced(rewriter: _Rewriter, loss: Any, reduction: int) -> None:
    reduced = (None, "mean.default", "sum.default")[reduction]
    rewriter.become(loss if reduced is None else rewriter.call(reduced, loss))


def _threshold(rewriter: _Rewriter, self: Any, threshold: float, value: float) -> None:
    below = rewriter.call("le.Tensor", self, rewriter.constant(threshold))
    rewriter.become(rewriter.call("where.self", below, rewriter.constant(value), self))


def _interpolation(rewriter: _Rewriter, self: Any, end: Any, weight: float) -> None:
    step = _scaled(rewriter, rewriter.call("sub.Tensor", end, self), weight)
    rewriter.become(rewriter.call("add.Tensor", self, step))


def _matrix_product(product: str) -> Rule:
    def rule(rewriter: _Rewriter, self: Any, beta: Any, alpha: Any, **factors: Any) -> None:
        left, right = factors.values()
        made = rewriter.call(product, left, right)
        offset = _scaled(rewriter, self, beta)
        rewriter.become(rewriter.call("add.Tensor", offset, _scaled(rewriter, made, alpha)))

    return rule


def _fused(operator: str) -> Rule:
    """``self + value * tensor1 * tensor2``, or divided."""

    def rule(rewriter: _Rewriter, self: Any, tensor1: Any, tensor2: Any, value: Any) -> None:
        part = _scaled(rewriter, rewriter.call(operator, tensor1, tensor2), value)
        rewriter.become(rewriter.call("add.Tensor", self, part))

    return rule


def _batch_norm(rewriter: _Rewriter, running_var: Any, eps: float, **_: Any) -> None:
    """Put what float32 does not hold of eps into the variance."""
    near = float(np.float32(eps))
    variance = rewriter.call("add.Tensor", running_var, rewriter.constant(eps - near))
    rewriter.replace(running_var=variance, eps=near)


def _masked_fill(rewriter: _Rewriter, self: Any, mask: Any, value: Any) -> None:
    rewriter.become(rewriter.call("masked_fill.Tensor", self, mask, rewriter.constant(value)))


def _where(rewriter: _Rewriter, condition: Any, self: Any, other: Any) -> None:
    sides = rewriter.constant(self), rewriter.constant(other)
    rewriter.become(rewriter.call("where.self", condition, *sides))


def _full(rewriter: _Rewriter, size: Any, fill_value: Any, **_: Any) -> None:
    rewriter.become(rewriter.call("expand.default", rewriter.constant(fill_value), size))


def _full_like(rewriter: _Rewriter, self: Any, fill_value: Any, **_: Any) -> None:
    zeros = rewriter.call("zeros_like.default", self)
    rewriter.become(rewriter.call("add.Tensor", zeros, rewriter.constant(fill_value)))


def _scalar_tensor(rewriter: _Rewriter, s: Any, **_: Any) -> None:
    rewriter.become(rewriter.constant(s))


def _padding(rewriter: _Rewriter, self: Any, pad: Any, value: Any, mode: str = "constant") -> None:
    if mode == "constant":
        constant = rewriter.constant(value)
        shifted = rewriter.call("sub.Tensor", self, constant)
        padded = rewriter.call("constant_pad_nd.default", shifted, pad, 0.0)
        rewriter.become(rewriter.call("add.Tensor", padded, constant))


_RULES: Mapping[str, Rule] = {
    "_native_batch_norm_legit_no_training": _batch_norm,
    "add": _sum("add.Tensor"),
    "addcdiv": _fused("div.Tensor"),
    "addcmul": _fused("mul.Tensor"),
    "addmm": _matrix_product("mm.default"),
    "addmv": _matrix_product("mv.default"),
    "baddbmm": _matrix_product("bmm.default"),
    "clamp": _bounds("min", "max"),
    "clamp_max": _bounds(None, "max"),
    "clamp_min": _bounds("min", None),
    "constant_pad_nd": _padding,
    "div": _product("div.Tensor"),
    "full": _full,
    "full_like": _full_like,
    "ge": _comparison("ge.Tensor"),
    "gt": _comparison("gt.Tensor"),
    "hardsigmoid": _hard_sigmoid,
    "hardtanh": _bounds("min_val", "max_val"),
    "le": _comparison("le.Tensor"),
    "leaky_relu": _leaky_relu,
    "lerp": _interpolation,
    "lt": _comparison("lt.Tensor"),
    "masked_fill": _masked_fill,
    "mul": _product("mul.Tensor"),
    "pad": _padding,
    "rsub": _reversed_difference,
    "scalar_tensor": _scalar_tensor,
    "sub": _sum("sub.Tensor"),
    "threshold": _threshold,
    "where": _where,
}

# before they are decomposed: into comparisons that no longer show that nothing jumps
_WHOLE: Mapping[str, Rule] = {
    "huber_loss": _huber,
    "smooth_l1_loss": _smooth_l1,
    "softshrink": _soft_shrink,
}
