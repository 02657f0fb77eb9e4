"""A network on a box as the arrays that the encodings take."""

from __future__ import annotations

from jensen.bounds import pre_activation_bounds
from jensen.domain import Box
from jensen.errors import NetworkError
from jensen.groups import group_network
from jensen.lift import working_set
from jensen.network import Activation, FloatArray, ReluNetwork
from jensen_encodings import LayerData, NetworkData

Twins = tuple[tuple[str, int, float], ...]


def network_data(network: ReluNetwork, lower: FloatArray, upper: FloatArray) -> NetworkData:
    """Describe a network with one output on a box, with rigorous bounds.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    lower, upper : arrays of shape (inputs,)
    """
    bounds = pre_activation_bounds(network, lower, upper)
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


def twin_groups(network: ReluNetwork, data: NetworkData) -> tuple[Twins, ...]:
    """Return the groups of several neurons that vanish on the same set.

    Their activations follow from one another (docs/theory.md, section 2): one binary, or one
    branch, does for all. In networks too large for the exact comparison none are returned.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    data : NetworkData
        The same network on its box.

    Returns
    -------
    tuple of groups
        Of (block name, index, c) each, with ``z = c z_lead``.
    """
    bounds = {layer.name: (layer.lower, layer.upper) for layer in data.layers}
    working = working_set(Box(data.input_lower, data.input_upper), network.input_size)
    try:
        net = group_network(network, bounds, working)
    except NetworkError:
        return ()
    return tuple(
        tuple((member.block, member.index, float(member.c)) for member in unit)
        for level in net.levels
        for unit in level.units
        if len(unit) > 1
    )
