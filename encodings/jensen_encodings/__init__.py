"""MILP encodings of ReLU networks for Pyomo, usable in anyone's model.

Names are imported when they are first used: the records and the solver load no Pyomo.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jensen_encodings.big_m import NetworkCopy as NetworkCopy
    from jensen_encodings.big_m import add_network_copy as add_network_copy
    from jensen_encodings.data import LayerData as LayerData
    from jensen_encodings.data import NetworkData as NetworkData
    from jensen_encodings.deadline import Deadline as Deadline
    from jensen_encodings.epigraph import EpigraphCopy as EpigraphCopy
    from jensen_encodings.epigraph import add_epigraph_copy as add_epigraph_copy
    from jensen_encodings.errors import EncodingError as EncodingError
    from jensen_encodings.errors import SolverFailure as SolverFailure
    from jensen_encodings.errors import UnboundedNeuronError as UnboundedNeuronError
    from jensen_encodings.midpoint import MidpointProgram as MidpointProgram
    from jensen_encodings.midpoint import midpoint_program as midpoint_program
    from jensen_encodings.program import SolveOptions as SolveOptions
    from jensen_encodings.program import SolveResult as SolveResult
    from jensen_encodings.program import SolveStatus as SolveStatus
    from jensen_encodings.pyomo_model import solve_model as solve_model

_HOMES = {
    "big_m": ("NetworkCopy", "add_network_copy"),
    "data": ("LayerData", "NetworkData"),
    "deadline": ("Deadline",),
    "epigraph": ("EpigraphCopy", "add_epigraph_copy"),
    "errors": ("EncodingError", "SolverFailure", "UnboundedNeuronError"),
    "midpoint": ("MidpointProgram", "midpoint_program"),
    "program": ("SolveOptions", "SolveResult", "SolveStatus"),
    "pyomo_model": ("solve_model",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)  # noqa: PLE0605  (the keys of a table)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
