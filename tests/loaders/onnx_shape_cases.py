"""Operators on images and on the shapes of tensors."""

from __future__ import annotations

import numpy as np
import onnx
from onnx_case import IMG, VEC, Case, ints, numbers, powers

SHAPES = [
    # convolutions and poolings
    *(
        Case(
            "Conv",
            IMG,
            constants=(numbers(3, 2, 3, 2), *extra),
            attributes={"strides": strides, "pads": pads, "dilations": dilations},
        )
        for strides in ([1, 1], [2, 3])
        for pads in ([0, 0, 0, 0], [1, 0, 2, 1])
        for dilations in ([1, 1], [2, 1])
        for extra in ((), (numbers(3),))
    ),
    *(
        Case("Conv", IMG, constants=(numbers(4, 1, 2, 2),), attributes={"group": 2, "auto_pad": p})
        for p in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
    ),
    Case("Conv", IMG, constants=(numbers(2, 2, 3, 3),), attributes={"kernel_shape": [3, 3]}),
    Case("Conv", (2, 2, 4, 4), constants=(numbers(2, 2, 3, 3),)),
    Case("Conv", (1, 2, 9), constants=(numbers(3, 2, 3), numbers(3)), attributes={"strides": [2]}),
    Case("Conv", (1, 4, 9), constants=(numbers(4, 1, 3),), attributes={"group": 4, "pads": [1, 1]}),
    Case("Conv", (1, 1, 3, 4, 3), constants=(numbers(2, 1, 2, 2, 2),)),
    *(
        Case("MaxPool", shape, attributes=attributes, since=since)
        for shape, attributes, since in (
            (IMG, {"kernel_shape": [2, 2]}, 7),
            (IMG, {"kernel_shape": [2, 2], "strides": [2, 2]}, 7),
            (IMG, {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 1, 1, 0]}, 7),
            (IMG, {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}, 7),
            (IMG, {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"}, 8),
            (IMG, {"kernel_shape": [2, 2], "strides": [3, 4], "ceil_mode": 1}, 10),
            (IMG, {"kernel_shape": [3, 2], "strides": [2, 3], "ceil_mode": 1}, 10),
            (IMG, {"kernel_shape": [2, 2], "dilations": [2, 3]}, 10),
            ((1, 2, 3), {"kernel_shape": [5], "strides": [3], "ceil_mode": 1}, 10),
            ((1, 2, 7), {"kernel_shape": [3], "strides": [2]}, 7),
            ((2, 1, 3, 4, 3), {"kernel_shape": [2, 2, 2]}, 7),
        )
    ),
    *(
        Case("AveragePool", shape, attributes=attributes, since=since)
        for shape, attributes, since in (
            (IMG, {"kernel_shape": [2, 2]}, 7),
            (IMG, {"kernel_shape": [2, 4], "strides": [2, 1], "pads": [0, 0, 0, 0]}, 7),
            ((1, 2, 7), {"kernel_shape": [2], "strides": [2]}, 7),
            (IMG, {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]}, 7),
            (IMG, {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1}, 7),
            (IMG, {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}, 7),
            (IMG, {"kernel_shape": [2, 2], "strides": [3, 3], "ceil_mode": 1}, 10),
            (IMG, {"kernel_shape": [2, 2], "dilations": [2, 3]}, 19),
            ((1, 2, 4), {"kernel_shape": [5], "strides": [2], "ceil_mode": 1}, 10),
        )
    ),
    Case(
        "AveragePool", IMG, attributes={"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, rounds=True
    ),
    Case(
        "AveragePool",
        IMG,
        attributes={
            "kernel_shape": [3, 3],
            "strides": [2, 2],
            "pads": [1, 1, 1, 1],
            "ceil_mode": 1,
            "count_include_pad": 1,
        },
        since=19,
        rounds=True,
    ),
    *(
        Case("ConvTranspose", IMG, constants=(numbers(2, 2, 3, 2), *extra), attributes=attributes)
        for extra in ((), (numbers(2),))
        for attributes in (
            {},
            {"strides": [2, 3], "pads": [1, 0, 1, 1], "output_padding": [1, 2]},
            {"dilations": [2, 1], "strides": [1, 2], "kernel_shape": [3, 2]},
            {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
            {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
            {"strides": [2, 2], "output_shape": [10, 11]},
        )
    ),
    Case(
        "ConvTranspose",
        (2, 4, 5),
        constants=(numbers(4, 1, 3), numbers(2)),
        attributes={"group": 2, "auto_pad": "VALID"},
    ),
    Case("GlobalAveragePool", (1, 3, 4, 4)),
    Case("GlobalAveragePool", IMG, rounds=True),
    Case("GlobalMaxPool", IMG),
    *(
        Case(
            "BatchNormalization",
            shape,
            constants=(numbers(shape[1]), numbers(shape[1]), numbers(shape[1]), powers(shape[1])),
            attributes={"epsilon": 0.01},
            rounds=True,
        )
        for shape in ((1, 6), IMG, (2, 3, 4))
    ),
    # shapes
    *(Case("Flatten", IMG, attributes={"axis": axis}) for axis in (0, 1, 2, 4)),
    *(Case("Flatten", IMG, attributes={"axis": axis}, since=11) for axis in (-1, -4)),
    *(
        Case("Reshape", IMG, constants=(target,))
        for target in (ints(-1), ints(0, -1), ints(1, 60), ints(0, 0, 30), ints(5, -1, 2, 1))
    ),
    Case("Reshape", IMG, constants=(ints(1, -1),), attributes={"allowzero": 1}, since=14),
    Case("Transpose", IMG),
    Case("Transpose", IMG, attributes={"perm": [0, 2, 3, 1]}),
    Case("Squeeze", (1, 3, 1, 2)),
    Case("Squeeze", (1, 3, 1, 2), attributes={"axes": [2]}, until=12),
    Case("Squeeze", (1, 3, 1, 2), constants=(ints(0, -2),), since=13),
    Case("Unsqueeze", attributes={"axes": [0, 3]}, until=12),
    Case("Unsqueeze", constants=(ints(1, -1),), since=13),
    Case("Slice", IMG, attributes={"starts": [1, -3], "ends": [5, 9], "axes": [2, 3]}, until=9),
    Case("Slice", IMG, attributes={"starts": [0, -1], "ends": [1, 7]}, until=9),
    Case("Slice", IMG, constants=(ints(1, -3), ints(5, 99), ints(2, -1)), since=10),
    Case("Slice", IMG, constants=(ints(4, -1), ints(0, -99), ints(2, 3), ints(-1, -2)), since=10),
    Case("Split", attributes={"axis": 1}, outputs=3, until=17),
    Case("Split", attributes={"axis": 1, "num_outputs": 4}, outputs=4, since=18),
    Case("Split", attributes={"axis": -1, "split": [1, 2, 3]}, outputs=3, since=11, until=12),
    Case("Split", constants=(ints(4, 2),), attributes={"axis": 1}, outputs=2, since=13),
    Case("Gather", IMG, constants=(ints(3, 0, 3),), attributes={"axis": 2}),
    Case(
        "Gather", IMG, constants=(np.array([[0, -1], [1, 1]]),), attributes={"axis": -1}, since=11
    ),
    Case("Gather", constants=(np.array(2),), attributes={"axis": 1}),
    Case("Expand", (3, 1), constants=(ints(2, 1, 6),), since=8),
    Case("Tile", (2, 3), constants=(ints(2, 2),)),
    Case("Pad", IMG, attributes={"pads": [0, 0, 1, 2, 0, 0, 0, 1], "value": 2.0}, until=10),
    *(
        Case(
            "Pad", IMG, constants=(ints(0, 0, 1, 2, 0, 0, 2, 1),), attributes={"mode": m}, since=11
        )
        for m in ("constant", "reflect", "edge")
    ),
    Case(
        "Pad", IMG, constants=(ints(0, 0, 1, 2, 0, 0, 2, 1),), attributes={"mode": "wrap"}, since=19
    ),
    Case("Pad", IMG, constants=(ints(0, 0, -1, 2, 0, 0, 2, -2), np.array(3.0)), since=11),
    Case("Pad", IMG, constants=(ints(1, 2), np.array(-1.0), ints(-1)), since=18),
    Case("Concat", second=VEC, attributes={"axis": 1}),
    Case("Concat", second=(4, 6), attributes={"axis": 0}),
    Case("Concat", second=VEC, constants=(numbers(1, 2),), attributes={"axis": -1}, since=11),
    Case(
        "Where",
        constants=(np.array([True, False, True, True, False, False]), numbers(1, 6)),
        since=9,
    ),
    Case("Dropout"),
    Case("Dropout", constants=(np.array(0.5), np.array(False)), since=12),
    Case("Cast", attributes={"to": onnx.TensorProto.DOUBLE}),
    Case("Cast", attributes={"to": onnx.TensorProto.FLOAT}),
    Case("DepthToSpace", (1, 8, 2, 3), attributes={"blocksize": 2}),
    Case("DepthToSpace", (1, 8, 2, 3), attributes={"blocksize": 2, "mode": "CRD"}, since=11),
    Case("SpaceToDepth", (1, 2, 4, 6), attributes={"blocksize": 2}),
    Case(
        "GatherElements",
        IMG,
        constants=(ints(3, -1, 0, 3).reshape(1, 1, 2, 2),),
        attributes={"axis": 2},
    ),
    Case("GatherND", IMG, constants=(np.array([[0, 1, -1], [0, 0, 2]]),), since=11),
    Case(
        "GatherND",
        (2, 3, 4),
        constants=(np.array([[2], [0]]),),
        attributes={"batch_dims": 1},
        since=12,
    ),
    Case(
        "ScatterElements",
        constants=(np.array([[4, 1]]), numbers(1, 2)),
        attributes={"axis": 1},
        since=11,
    ),
    Case("ScatterND", (3, 2), constants=(np.array([[2], [0]]), numbers(2, 2))),
    Case("Trilu", (2, 3, 4), constants=(np.array(-1),)),
    Case("Trilu", (2, 3, 4), attributes={"upper": 0}),
    *(
        Case("Upsample", IMG, attributes={"mode": m, "scales": [1.0, 1.0, 2.0, 4.0]}, until=8)
        for m in ("nearest", "linear")
    ),
    *(
        Case(
            "Upsample",
            IMG,
            constants=(np.float32([1, 1, 2, 4]),),
            attributes={"mode": m},
            since=9,
            until=9,
        )
        for m in ("nearest", "linear")
    ),
    *(
        Case(
            "Resize", IMG, constants=(np.float32([1, 1, 2, 0.5]),), attributes={"mode": m}, until=10
        )
        for m in ("nearest", "linear")
    ),
    *(
        Case(
            "Resize",
            IMG,
            constants=(np.zeros(0, np.float32), np.zeros(0, np.float32), ints(1, 2, 10, 3)),
            attributes={"mode": m, "coordinate_transformation_mode": c},
            since=11,
            until=12,
        )
        for m in ("nearest", "linear")
        for c in ("half_pixel", "asymmetric")
    ),
    *(
        Case(
            "Resize",
            IMG,
            constants=(None, np.float32([1, 1, 2, 4])),
            attributes={"mode": m, "coordinate_transformation_mode": c},
            since=13,
            rounds=c == "align_corners",
        )
        for m in ("nearest", "linear")
        for c in ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
    ),
    *(
        Case(
            "Resize",
            IMG,
            constants=(None, None, ints(10, 9)),
            attributes={
                "axes": [2, 3],
                "nearest_mode": m,
                "coordinate_transformation_mode": "asymmetric",
            },
            since=18,
        )
        for m in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    ),
]
