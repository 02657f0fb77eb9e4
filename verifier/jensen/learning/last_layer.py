"""The nearest convex network as an end of a training that did not get to a proof."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from jensen.learning.guard import ConvexityGuard
from jensen.network.relu_network import ReluNetwork
from jensen.prover.verdict import Status
from jensen.repairs.nearest import Repair, repair
from jensen.types import FloatArray

POINTS = 4096  # at which the repaired network stays near the trained one


def repair_last_layer(
    guard: ConvexityGuard, network: ReluNetwork, *, time_limit: float, certificate: bool
) -> Repair | None:
    """Change the last linear layer of a guarded module as little as possible to be convex.

    On boxes f is changed least, in the mean square; elsewhere, or without a bias, the weights.

    Parameters
    ----------
    guard : ConvexityGuard
        Of a module whose only output is that of its last linear layer.
    network : ReluNetwork
        The module in canonical form.
    time_limit : float
        Seconds; nothing is done without any.
    certificate : bool
        Whether to write one.

    Returns
    -------
    Repair or None
        None, and the module as it was, where no convex one was proved in time, or the module
        does not compute it with any weights of that layer.
    """
    layers = [layer for layer in guard.module.modules() if type(layer) is nn.Linear]
    if network.output_size != 1 or guard.inputs is not None or not layers or time_limit <= 0:
        return None
    layer = layers[-1]
    found = repair(
        network,
        guard.domain,
        data=None if layer.bias is None else _values(guard, network),
        concave=guard.concave,
        time_limit=time_limit,
        certificate=certificate,
    )
    edges = [w for source, w in found.network.output.weights.items() if source != "input"]
    if found.verdict.status is not Status.CONVEX or len(edges) != 1:
        return None
    if edges[0].shape != layer.weight.shape:
        return None
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(edges[0].copy()))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(found.network.output.bias.copy()))
    # what was proved has to be what the module computes; weights that became 0 are left out
    now = guard.network()
    if now.digest == found.network.digest:
        return found
    verdict = guard.verify(network=now, time_limit=time_limit, certificate=certificate)
    if verdict.status is Status.CONVEX:
        return replace(found, network=now, verdict=verdict)
    layer.load_state_dict(before)
    return None


def _values(guard: ConvexityGuard, network: ReluNetwork) -> tuple[FloatArray, FloatArray] | None:
    """Return values of the network on a box, to stay near those; None on other domains."""
    sides = guard.domain.box_sides(network.input_size)
    if sides is None or not all(np.isfinite(side).all() for side in sides):
        return None
    rng = np.random.default_rng(0)
    X = rng.uniform(*sides, size=(POINTS, network.input_size))
    return X, network(X)[:, 0]
