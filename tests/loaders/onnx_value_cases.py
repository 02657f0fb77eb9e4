"""Operators on the numbers of a tensor: arithmetic, activations, sums, sorting, reductions."""

from __future__ import annotations

import numpy as np
from onnx_case import IMG, VEC, Case, ints, numbers, powers

ARITHMETIC = [
    # sums and products
    *(
        Case(op, constants=(numbers(*shape),), first_constant=first)
        for op in ("Add", "Sub", "Mul")
        for shape in ((), (6,), (1, 6), (1, 1), (3, 1), (2, 1, 6))
        for first in (False, True)
    ),
    *(Case("Div", constants=(powers(*shape),)) for shape in ((), (6,), (3, 6))),
    Case("Div", constants=(np.array([3.0, -7, 5, 1, 2, 0.1]),), rounds=True),
    *(
        Case(op, second=VEC)
        for op in ("Add", "Sub", "Sum", "Max", "Min", "Concat")
        if op != "Concat"
    ),
    *(Case(op, second=(3, 1)) for op in ("Add", "Sub")),
    *(Case(op, second=(3, 1), since=8) for op in ("Max", "Min", "Sum")),
    Case("Mean", second=VEC),
    Case("Mean", second=VEC, constants=(numbers(6),), since=8, rounds=True),
    *(Case(op, constants=(numbers(6),), since=8) for op in ("Max", "Min", "Sum")),
    *(Case(op, constants=(numbers(1, 6), numbers(1, 6) * 2)) for op in ("Max", "Min", "Sum")),
    *(Case(op) for op in ("Neg", "Abs", "Relu", "Identity", "Sum", "Max", "Min", "Mean")),
    # matrix products
    Case("MatMul", constants=(numbers(6, 3),)),
    Case("MatMul", constants=(numbers(6),)),
    Case("MatMul", (6,), constants=(numbers(6, 3),)),
    Case("MatMul", (6,), constants=(numbers(6),)),
    Case("MatMul", (3, 2), constants=(numbers(2, 4),)),
    Case("MatMul", (2, 3, 2), constants=(numbers(2, 4),)),
    Case("MatMul", (2, 3, 2), constants=(numbers(2, 2, 4),)),
    Case("MatMul", (3, 2), constants=(numbers(2, 2, 4),)),
    Case("MatMul", (6, 1), constants=(numbers(3, 6),), first_constant=True),
    Case("MatMul", (6, 2), constants=(numbers(3, 6),), first_constant=True),
    Case("MatMul", (6,), constants=(numbers(3, 6),), first_constant=True),
    Case("MatMul", (6, 2), constants=(numbers(6),), first_constant=True),
    Case("MatMul", (2, 3, 2), constants=(numbers(2, 4, 3),), first_constant=True),
    *(
        Case(
            "Gemm",
            (6, 1) if trans_a else (1, 6),
            constants=(numbers(3, 6) if trans_b else numbers(6, 3), *extra),
            attributes={"transA": trans_a, "transB": trans_b, "alpha": alpha, "beta": 0.5},
            since=7 if extra else 11,
        )
        for trans_a in (0, 1)
        for trans_b in (0, 1)
        for alpha in (1.0, -2.0)
        for extra in ((), (numbers(3),), (numbers(1, 1),), (numbers(1, 3),))
    ),
    Case("Gemm", (2, 6), constants=(numbers(6, 3), numbers(2, 1))),
    Case("Gemm", (6, 2), constants=(numbers(3, 6), numbers(3, 1)), first_constant=True),
    Case(
        "Gemm",
        (2, 6),
        constants=(numbers(6, 3), numbers(2)),
        attributes={"transA": 1, "transB": 1},
        first_constant=True,
    ),
    # activations
    Case("LeakyRelu", attributes={"alpha": 0.25}),
    Case("LeakyRelu", attributes={"alpha": -0.5}),
    Case("LeakyRelu", rounds=True),
    Case("LeakyRelu", attributes={"alpha": 1e-12}, rounds=True),
    Case("PRelu", constants=(powers(6),)),
    Case("PRelu", constants=(powers(1),)),
    Case("PRelu", IMG, constants=(powers(2, 1, 1),)),
    Case("PRelu", constants=(np.array([0.1, 1e-9, 0, 1, -3, 1e-30]),), rounds=True),
    *(
        Case("Clip", attributes=bounds, until=10)
        for bounds in ({}, {"min": 0.0, "max": 6.0}, {"min": -1.0}, {"max": 2.0})
    ),
    *(
        Case("Clip", constants=bounds, since=11)
        for bounds in (
            (),
            (np.array(0.0), np.array(6.0)),
            (np.array(-1.0), np.array(1.0)),
            (np.array(-1.0),),
            (None, np.array(2.0)),
            (np.array(-np.inf), np.array(2.0)),
            (np.array(1.0), np.array(1.0)),
        )
    ),
    Case("Clip", constants=(np.array(2.0), np.array(-1.0)), since=13),
    Case("HardSigmoid", rounds=True),
    Case("Shrink", attributes={"lambd": 0.75, "bias": 0.75}),
    Case("ThresholdedRelu", attributes={"alpha": 0.0}, since=10),
    Case("HardSigmoid", attributes={"alpha": 0.25, "beta": 0.5}),
]

SUMS = [
    # sums over subscripts
    *(
        Case(
            "Einsum",
            (2, 3, 4),
            constants=(numbers(*shape),),
            attributes={"equation": equation},
            first_constant=first,
        )
        for shape, equation, first in (
            ((4, 5), "abc,cd->abd", False),
            ((4, 5), "abc,cd->dab", False),
            ((3, 2), "abc,ba->c", False),
            ((4, 3, 5), "aij,bia->bja", True),
            ((5,), "abc,d", False),
        )
    ),
    Case("Einsum", (2, 3), attributes={"equation": "ab->b"}),
    # sorted numbers
    Case("TopK", attributes={"k": 2}, until=9, unread=1),
    *(
        Case("TopK", shape, constants=(ints(k),), attributes={"axis": axis}, since=10, unread=1)
        for shape, axis in ((VEC, 1), ((5, 2), 0), ((1, 7), -1))
        for k in (1, 3, 5)
    ),
    Case("TopK", constants=(ints(3),), attributes={"largest": 0}, since=11, unread=1),
    # reductions
    *(
        Case("CumSum", IMG, constants=(np.array(axis),), attributes=attributes)
        for axis, attributes in ((3, {}), (-2, {"reverse": 1}), (1, {"exclusive": 1}))
    ),
    Case("ReduceL1", IMG, attributes={"axes": [1, 3], "keepdims": 0}, until=17),
    Case("ReduceL1", IMG, constants=(ints(-1),), since=18),
    *(
        Case(op, IMG, attributes=attributes, until=until, rounds=op == "ReduceMean")
        for op, until in (
            ("ReduceSum", 12),
            ("ReduceMean", 17),
            ("ReduceMax", 17),
            ("ReduceMin", 17),
        )
        for attributes in ({}, {"axes": [1]}, {"axes": [0, 2, 3], "keepdims": 0})
    ),
    *(
        Case(op, IMG, constants=axes, attributes=attributes, since=since, rounds=op == "ReduceMean")
        for op, since in (
            ("ReduceSum", 13),
            ("ReduceMean", 18),
            ("ReduceMax", 18),
            ("ReduceMin", 18),
        )
        for axes, attributes in (
            ((), {}),
            ((), {"noop_with_empty_axes": 1}),
            ((ints(1),), {}),
            ((ints(0, -2),), {"keepdims": 0}),
        )
    ),
]
