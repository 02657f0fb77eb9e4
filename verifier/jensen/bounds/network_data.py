"""A network on a box as the arrays that the encodings take."""

from __future__ import annotations

from jensen.bounds.pre_activation import pre_activation_bounds
from jensen.network.relu_network import Activation, ReluNetwork
from jensen.types import Bounds, FloatArray
from jensen_encodings import LayerData, NetworkData


def network_data(
    network: ReluNetwork, lower: FloatArray, upper: FloatArray, bounds: Bounds | None = None
) -> NetworkData:
    """Describe a network with one output on a box, with rigorous bounds.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    lower, upper : arrays of shape (inputs,)
    bounds : mapping from block to (lower, upper), optional
        Proved bounds of the pre-activations, where they are known already.

    Raises
    ------
    UnboundedNeuronError
        If a bound is beyond the range of doubles.
    """
    bounds = pre_activation_bounds(network, lower, upper) if bounds is None else bounds
    layers = tuple(
        LayerData(
            name=block.name,
            weights=block.weights,
            bias=block.bias,
            is_relu=block.activation is Activation.RELU,
            lower=bounds[block.name][0],
            upper=bounds[block.name][1],
        )
        for block in network.blocks
    )
    return NetworkData(lower, upper, layers)
