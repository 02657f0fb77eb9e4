"""The nearest convex network as an end of a training that did not get to a proof."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from jensen.errors import JensenError
from jensen.learning.guard import ConvexityGuard
from jensen.network.relu_network import ReluNetwork
from jensen.repairs.nearest import Repair, repair
from jensen.types import FloatArray
from jensen.verdicts.verdict import Status

POINTS = 4096  # at which the repaired network stays near the trained one
LARGEST = 1e60  # coordinates of such points: they are squared on the way
AGREEMENT = 1e-3  # relative: what single precision may change of the repaired network
LEAST_SECONDS = 0.05  # for a last verification, where no time is left


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
    began = time.monotonic()
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
    done = None
    try:
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(edges[0].copy()))
            if layer.bias is not None:
                layer.bias.copy_(torch.from_numpy(found.network.output.bias.copy()))
        left = time_limit - (time.monotonic() - began)
        done = _as_computed(guard, found, max(left, LEAST_SECONDS), certificate=certificate)
    finally:
        if done is None:
            layer.load_state_dict(before)
    return done


def _as_computed(
    guard: ConvexityGuard, found: Repair, time_limit: float, *, certificate: bool
) -> Repair | None:
    """Return a repair of what the module computes now; None if that is not what was found."""
    try:
        now = guard.network()
    except JensenError:  # single precision does not hold the new weights
        return None
    # what was proved has to be what the module computes; weights that became 0 are left out
    assert isinstance(found.network, ReluNetwork)  # as was given
    if now.digest == found.network.digest:
        return found
    if not _agree(guard, now, found.network):
        return None
    verdict = guard.verify(network=now, time_limit=time_limit, certificate=certificate)
    return replace(found, network=now, verdict=verdict) if verdict.status is Status.CONVEX else None


def _agree(guard: ConvexityGuard, now: ReluNetwork, wanted: ReluNetwork) -> bool:
    """Whether two networks differ by rounding only: another layer may have been the last one."""
    X = _points(guard, now.input_size)
    if X is None:
        X = np.random.default_rng(0).normal(size=(POINTS, now.input_size))
    ours, theirs = now(X)[:, 0], wanted(X)[:, 0]
    size = max(float(np.abs(ours).max()), float(np.abs(theirs).max()))
    return bool(np.abs(ours - theirs).max() <= AGREEMENT * size)


def _values(guard: ConvexityGuard, network: ReluNetwork) -> tuple[FloatArray, FloatArray] | None:
    """Return values of the network on a box, to stay near those; None on other domains."""
    X = _points(guard, network.input_size)
    return None if X is None else (X, network(X)[:, 0])


def _points(guard: ConvexityGuard, inputs: int) -> FloatArray | None:
    """Return random points of a box; None on other domains."""
    sides = guard.domain.box_sides(inputs)
    if sides is None or max(np.abs(side).max() for side in sides) > LARGEST:
        return None
    lower, upper = sides
    X: FloatArray = np.random.default_rng(0).uniform(lower, upper, size=(POINTS, inputs))
    return X
