"""The groups of several neurons that kink on one set, as the encodings take them."""

from __future__ import annotations

from jensen.domains.domain import Box
from jensen.domains.working_set import working_set
from jensen.errors import NetworkError
from jensen.groups.groups import group_network
from jensen.network.relu_network import ReluNetwork
from jensen_encodings import NetworkData

Twins = tuple[tuple[str, int, float], ...]


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
