"""Networks and models for tests of networks in Pyomo models."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo

from jensen import ReluNetwork
from jensen.network.relu_network import Activation, Block

ALL = ("big_m", "epigraph", "cuts")
ABSOLUTE = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])


def icnn(inputs: int, width: int, seed: int, outputs: int = 1) -> ReluNetwork:
    rng = np.random.default_rng(seed)
    first = Block("relu_1", {"input": rng.normal(size=(width, inputs))}, rng.normal(size=width))
    weights = {
        "input": rng.normal(size=(width, inputs)),
        "relu_1": np.abs(rng.normal(size=(width, width))),
    }
    second = Block("relu_2", weights, rng.normal(size=width))
    last = {"relu_2": np.abs(rng.normal(size=(outputs, width)))}
    output = Block("output", last, rng.normal(size=outputs), Activation.IDENTITY)
    return ReluNetwork(inputs, [first, second, output])


def freely_convex() -> ReluNetwork:
    """The maximum of three numbers as a tournament: convex, with products of both signs."""
    players = np.array([[1.0, 0.5], [-1.0, 1.0], [0.25, -1.0]])
    first = np.array([players[0] - players[1], players[1], -players[1], players[2], -players[2]])
    match = np.array([1.0, 1.0, -1.0])
    second = np.array([[*match, -1.0, 1.0], [0, 0, 0, 1.0, -1.0], [0, 0, 0, -1.0, 1.0]])
    return ReluNetwork.from_layers([first, second, [[1.0, 1.0, -1.0]]], [[0] * 5, [0] * 3, [0]])


def model_with(inputs: int, side: float = 2.0, **arguments) -> pyo.ConcreteModel:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(inputs), bounds=(-side, side), **arguments)
    return model
