"""The nearest convex network as an end of a training that did not get to a proof."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from jensen.learning.guard import ConvexityGuard
from jensen.network.relu_network import ReluNetwork
from jensen.prover.verdict import Status
from jensen.repairs.nearest import Repair, repair


def repair_last_layer(
    guard: ConvexityGuard, network: ReluNetwork, *, time_limit: float, certificate: bool
) -> Repair | None:
    """Change the last linear layer of a guarded module as little as possible to be convex.

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
    found = repair(
        network,
        guard.domain,
        concave=guard.concave,
        time_limit=time_limit,
        certificate=certificate,
    )
    edges = [w for source, w in found.network.output.weights.items() if source != "input"]
    weight = layers[-1].weight
    if found.verdict.status is not Status.CONVEX or len(edges) != 1:
        return None
    if edges[0].shape != weight.shape:
        return None
    before = weight.detach().clone()
    with torch.no_grad():
        weight.copy_(torch.from_numpy(edges[0].copy()))
    # what was proved has to be what the module computes; weights that became 0 are left out
    now = guard.network()
    if now.digest == found.network.digest:
        return found
    verdict = guard.verify(network=now, time_limit=time_limit, certificate=certificate)
    if verdict.status is Status.CONVEX:
        return replace(found, network=now, verdict=verdict)
    with torch.no_grad():
        weight.copy_(before)
    return None
