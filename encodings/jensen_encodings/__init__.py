"""MILP encodings of ReLU networks for Pyomo, usable in anyone's model."""

from jensen_encodings.big_m import NetworkCopy, add_network_copy
from jensen_encodings.data import LayerData, NetworkData
from jensen_encodings.epigraph import EpigraphCopy, add_epigraph_copy
from jensen_encodings.errors import EncodingError, SolverFailure, UnboundedNeuronError
from jensen_encodings.highs import SolveOptions, SolveResult, SolveStatus, solve_model
from jensen_encodings.midpoint import MidpointProgram, midpoint_program

__all__ = [
    "EncodingError",
    "EpigraphCopy",
    "LayerData",
    "MidpointProgram",
    "NetworkCopy",
    "NetworkData",
    "SolveOptions",
    "SolveResult",
    "SolveStatus",
    "SolverFailure",
    "UnboundedNeuronError",
    "add_epigraph_copy",
    "add_network_copy",
    "midpoint_program",
    "solve_model",
]
