"""Whether a network is input-convex as it stands."""

from __future__ import annotations

from pathlib import Path

from jensen.graphs.function_graph import FunctionGraph
from jensen.loaders import opened
from jensen.network.relu_network import INPUT, ReluNetwork


def is_icnn(network: ReluNetwork | FunctionGraph | str | Path) -> bool:
    """Return whether all weights behind the first ReLUs are non-negative.

    These are the input-convex networks of Amos et al.: every unit is convex in the input,
    since it adds up convex units with weights ``>= 0`` and the input, or affine units of
    it, with any weights. Such networks are convex everywhere; the converse is false.

    Parameters
    ----------
    network : ReluNetwork or path
        With any number of outputs.

    Returns
    -------
    bool

    Raises
    ------
    NetworkError
        If something else was given.

    References
    ----------
    B. Amos, L. Xu, J. Z. Kolter, "Input convex neural networks", ICML 2017.

    Examples
    --------
    >>> net = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
    >>> is_icnn(net), is_icnn(net.negated())
    (True, False)
    """
    network = opened(network)
    if isinstance(network, FunctionGraph):
        network.refuse("an input-convex form")
    affine = {INPUT}
    for block in network.blocks:
        bent = [weight for source, weight in block.weights.items() if source not in affine]
        if not block.is_relu and not bent:
            affine.add(block.name)
        for weight in bent:
            stored = weight.data if hasattr(weight, "tocsr") else weight
            if (stored < 0).any():
                return False
    return True
