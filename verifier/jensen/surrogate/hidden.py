"""The hidden units of a network as big-M rows, once for all outputs that are built on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyomo.environ as pyo

from jensen.bounds.network_data import network_data
from jensen.network.relu_network import OUTPUT, Activation, Block, ReluNetwork
from jensen.surrogate.arguments import Arguments, working_box
from jensen.surrogate.scaling import sides_of_output, tamed
from jensen_encodings import LayerData, NetworkCopy, add_network_copy
from jensen_encodings.affine_rows import affine_row


class HiddenUnits:
    """The variables and binaries of all hidden units; built when they are first needed.

    Parameters
    ----------
    whole : pyomo Block
        Gets a block called ``hidden``.
    arguments : Arguments
    inputs : sequence of pyomo variables
    """

    def __init__(self, whole: Any, arguments: Arguments, inputs: Sequence[Any]) -> None:
        self._whole, self._arguments, self._inputs = whole, arguments, inputs
        self._copy: NetworkCopy | None = None
        self._output = arguments.network.output
        self._exponents: list[int] = []

    def row(self, output: int, variable: Any) -> Any:
        """Return ``variable == f_output`` over the hidden units."""
        copy = self._copy if self._copy is not None else self._build()
        own, other = sides_of_output(self._exponents[output])
        block = self._output
        free = np.full(block.size, np.inf)
        weights = {source: other * weight for source, weight in block.weights.items()}
        layer = LayerData(OUTPUT, weights, other * block.bias, False, -free, free)
        return affine_row(layer, output, variable, copy.post, own)

    def _build(self) -> NetworkCopy:
        box = working_box(self._arguments)
        network, self._exponents = tamed(self._arguments.network, *box)
        self._output = network.output
        # a copy has one output: here the constant 0, which costs nothing
        nothing = {s: np.zeros((1, w.shape[1])) for s, w in network.output.weights.items()}
        bare = Block(OUTPUT, nothing, np.zeros(1), Activation.IDENTITY)
        hidden = ReluNetwork(network.input_size, [*network.hidden, bare])
        self._whole.hidden = pyo.Block(concrete=True)
        data = network_data(hidden, *box)
        self._copy = add_network_copy(self._whole.hidden, data, self._inputs)
        return self._copy
