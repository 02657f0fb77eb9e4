"""Jensen: exact convexity verification of ReLU networks.

>>> import jensen
>>> net = jensen.ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
>>> jensen.is_convex(net)
True
"""

from jensen import learning
from jensen.decide import is_convex, verify
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.errors import (
    DomainError,
    InfeasibleError,
    JensenError,
    MissingExtraError,
    ModelFileError,
    NetworkError,
    NotConvexError,
    OptionError,
    SolverError,
    TrainingError,
    UnboundedError,
    UndecidedError,
    UnsupportedOperatorError,
)
from jensen.loaders import from_keras, from_sklearn, from_torch, load
from jensen.many import verify_many
from jensen.midpoint.worst_pair import Violation
from jensen.network.relu_network import Activation, Block, ReluNetwork
from jensen.network.stack import NetworkStack
from jensen.optimise.convex_function import ConvexFunction
from jensen.optimise.scenarios import ScenarioSum
from jensen.prover.options import Engine, Options
from jensen.prover.verdict import Counterexample, GroupEvidence, Reason, Status, Verdict
from jensen.repairs.nearest import Repair, repair
from jensen.violation.worst_jump import JumpViolation, worst_jump
from jensen.violation.worst_violation import worst_violation

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "Block",
    "Box",
    "ConvexFunction",
    "Counterexample",
    "Domain",
    "DomainError",
    "Engine",
    "Everywhere",
    "GroupEvidence",
    "InfeasibleError",
    "JensenError",
    "JumpViolation",
    "MissingExtraError",
    "ModelFileError",
    "NetworkError",
    "NetworkStack",
    "NotConvexError",
    "OptionError",
    "Options",
    "Polyhedron",
    "Reason",
    "ReluNetwork",
    "Repair",
    "ScenarioSum",
    "SolverError",
    "Status",
    "TrainingError",
    "UnboundedError",
    "UndecidedError",
    "UnsupportedOperatorError",
    "Verdict",
    "Violation",
    "from_keras",
    "from_sklearn",
    "from_torch",
    "is_convex",
    "learning",
    "load",
    "repair",
    "verify",
    "verify_many",
    "worst_jump",
    "worst_violation",
]
