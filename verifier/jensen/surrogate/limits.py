"""What is beyond HiGHS, in words: asked where it has refused or failed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyomo.environ as pyo

from jensen.surrogate.handle import Output

NARROW = 1e-6  # boxes of inputs, beside 1 or their bounds, on which rows can fail


def beyond_highs(model: Any, objective: Any, integers: bool) -> str:
    """Say which objective or row of a model HiGHS does not take; "" if none is seen.

    Parameters
    ----------
    model : pyomo Block
    objective : pyomo Objective
    integers : bool
        Whether there are integers or binaries.
    """
    degree = objective.expr.polynomial_degree()
    if degree not in (0, 1, 2):
        return f"objective {objective.name}: HiGHS takes linear and quadratic ones"
    for row in model.component_data_objects(pyo.Constraint, active=True):
        if row.body.polynomial_degree() not in (0, 1):
            return f"row {row.name}: HiGHS takes linear ones"
    if degree == 2 and integers:
        return (
            f"objective {objective.name}: HiGHS solves no quadratic one beside integers or "
            "binaries, of which big_m has one per ReLU; write it with linear rows"
        )
    return ""


def narrow_input(parts: Iterable[Output]) -> str:
    """Say which input varies by less than rows of HiGHS may miss; "" if none does.

    Parameters
    ----------
    parts : iterable of Output
    """
    for part in parts:
        ground = part.arguments.ground
        size = np.maximum(1.0, np.maximum(np.abs(ground.lower), np.abs(ground.upper)))
        width = ground.upper - ground.lower
        for i in np.flatnonzero((width > 0) & (width < NARROW * size)).tolist():
            return (
                f"input {i} of a network varies by {width[i]:.3g} around {ground.lower[i]:.6g}, as "
                "little as the tolerances of HiGHS: fix it, or write it as c + w t with t in [0, 1]"
            )
    return ""
