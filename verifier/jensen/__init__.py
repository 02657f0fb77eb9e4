"""Jensen: exact convexity verification of ReLU networks.

>>> import jensen
>>> net = jensen.ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
>>> jensen.is_convex(net)
True

Names are imported when they are first used: ``import jensen`` itself loads next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jensen import learning as learning
    from jensen import plot as plot
    from jensen import surrogate as surrogate
    from jensen.decide import is_convex as is_convex
    from jensen.decide import verify as verify
    from jensen.domains.domain import Box as Box
    from jensen.domains.domain import Domain as Domain
    from jensen.domains.domain import Everywhere as Everywhere
    from jensen.domains.domain import Polyhedron as Polyhedron
    from jensen.domains.domain_file import load_domain as load_domain
    from jensen.errors import DomainError as DomainError
    from jensen.errors import IcnnFormError as IcnnFormError
    from jensen.errors import InfeasibleError as InfeasibleError
    from jensen.errors import JensenError as JensenError
    from jensen.errors import MissingExtraError as MissingExtraError
    from jensen.errors import ModelFileError as ModelFileError
    from jensen.errors import NetworkError as NetworkError
    from jensen.errors import NotConvexError as NotConvexError
    from jensen.errors import OptionError as OptionError
    from jensen.errors import SolverError as SolverError
    from jensen.errors import TrainingError as TrainingError
    from jensen.errors import UnboundedError as UnboundedError
    from jensen.errors import UndecidedError as UndecidedError
    from jensen.errors import UnsupportedOperatorError as UnsupportedOperatorError
    from jensen.graphs.function_graph import FunctionGraph as FunctionGraph
    from jensen.graphs.functions import Function as Function
    from jensen.graphs.node import GraphNode as GraphNode
    from jensen.icnn.check import is_icnn as is_icnn
    from jensen.icnn.convert import to_icnn as to_icnn
    from jensen.linear_regions.condition import Condition as Condition
    from jensen.linear_regions.conditions import path_conditions as path_conditions
    from jensen.linear_regions.regions import Regions as Regions
    from jensen.linear_regions.regions import regions as regions
    from jensen.loaders import from_keras as from_keras
    from jensen.loaders import from_sklearn as from_sklearn
    from jensen.loaders import from_torch as from_torch
    from jensen.loaders import load as load
    from jensen.many import verify_many as verify_many
    from jensen.midpoint.pair_violation import Violation as Violation
    from jensen.network.relu_network import Activation as Activation
    from jensen.network.relu_network import Block as Block
    from jensen.network.relu_network import ReluNetwork as ReluNetwork
    from jensen.network.stack import NetworkStack as NetworkStack
    from jensen.optimise.convex_function import ConvexFunction as ConvexFunction
    from jensen.optimise.scenarios import ScenarioSum as ScenarioSum
    from jensen.repairs.nearest import Repair as Repair
    from jensen.repairs.nearest import repair as repair
    from jensen.verdicts.evidence import Counterexample as Counterexample
    from jensen.verdicts.evidence import GroupEvidence as GroupEvidence
    from jensen.verdicts.evidence import Reason as Reason
    from jensen.verdicts.options import Engine as Engine
    from jensen.verdicts.options import Options as Options
    from jensen.verdicts.verdict import Status as Status
    from jensen.verdicts.verdict import Verdict as Verdict
    from jensen.violation.jump_violation import JumpViolation as JumpViolation
    from jensen.violation.worst_jump import worst_jump as worst_jump
    from jensen.violation.worst_violation import worst_violation as worst_violation

__version__ = "0.1.0"

_HOMES = {
    "jensen.decide": (
        "is_convex",
        "verify",
    ),
    "jensen.domains.domain": (
        "Box",
        "Domain",
        "Everywhere",
        "Polyhedron",
    ),
    "jensen.domains.domain_file": ("load_domain",),
    "jensen.errors": (
        "DomainError",
        "IcnnFormError",
        "InfeasibleError",
        "JensenError",
        "MissingExtraError",
        "ModelFileError",
        "NetworkError",
        "NotConvexError",
        "OptionError",
        "SolverError",
        "TrainingError",
        "UnboundedError",
        "UndecidedError",
        "UnsupportedOperatorError",
    ),
    "jensen.graphs.function_graph": ("FunctionGraph",),
    "jensen.graphs.functions": ("Function",),
    "jensen.graphs.node": ("GraphNode",),
    "jensen.icnn.check": ("is_icnn",),
    "jensen.icnn.convert": ("to_icnn",),
    "jensen.linear_regions.condition": ("Condition",),
    "jensen.linear_regions.conditions": ("path_conditions",),
    "jensen.linear_regions.regions": (
        "Regions",
        "regions",
    ),
    "jensen.loaders": (
        "from_keras",
        "from_sklearn",
        "from_torch",
        "load",
    ),
    "jensen.many": ("verify_many",),
    "jensen.midpoint.pair_violation": ("Violation",),
    "jensen.network.relu_network": (
        "Activation",
        "Block",
        "ReluNetwork",
    ),
    "jensen.network.stack": ("NetworkStack",),
    "jensen.optimise.convex_function": ("ConvexFunction",),
    "jensen.optimise.scenarios": ("ScenarioSum",),
    "jensen.verdicts.evidence": (
        "Counterexample",
        "GroupEvidence",
        "Reason",
    ),
    "jensen.verdicts.options": (
        "Engine",
        "Options",
    ),
    "jensen.verdicts.verdict": (
        "Status",
        "Verdict",
    ),
    "jensen.repairs.nearest": (
        "Repair",
        "repair",
    ),
    "jensen.violation.jump_violation": ("JumpViolation",),
    "jensen.violation.worst_jump": ("worst_jump",),
    "jensen.violation.worst_violation": ("worst_violation",),
}
_ROOMS = ("learning", "plot", "surrogate")
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted((*_HOME, *_ROOMS))  # noqa: PLE0605  (the keys of a table)


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
