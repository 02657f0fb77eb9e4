"""Networks inside anyone's Pyomo model: exact, and without binaries where convexity is proved."""

from jensen.surrogate.add import add_network
from jensen.surrogate.dcp import dcp_expression
from jensen.surrogate.export import write_program
from jensen.surrogate.handle import Formulation, NetworkHandle
from jensen.surrogate.solving import SurrogateResult, solve

__all__ = [
    "Formulation",
    "NetworkHandle",
    "SurrogateResult",
    "add_network",
    "dcp_expression",
    "solve",
    "write_program",
]
