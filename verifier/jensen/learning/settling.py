"""ReLUs that never switch where they are looked at are made never to switch at all.

Deep ReLUs of trained networks are mostly on, or off, at every point of the domain that is
met, and yet bounds leave both states open: the prover spends its time on showing that their
kinks are not there. ``relu(z + c) = z + c`` wherever ``z >= -c``, so a unit that is on gets a
bias that bounds prove to be enough, and the next layer takes c off; a unit that is off gets a
bias low enough. The function changes only where the unit did switch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from jensen.bounds.pre_activation import pre_activation_bounds
from jensen.learning.kinks import Evaluation
from jensen.learning.watched import WatchedModule
from jensen.network.relu_network import ReluNetwork
from jensen.types import FloatArray

SLACK = 1e-3  # of the width of a unit's bounds, for what single precision rounds away


def plain_network(layers: Sequence[nn.Linear]) -> ReluNetwork:
    """Return linear layers with ReLUs between them as a network.

    Parameters
    ----------
    layers : sequence of torch.nn.Linear
    """
    weights, biases = [], []
    for layer in layers:
        weights.append(layer.weight.detach().cpu().double().numpy())
        shift = layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias
        biases.append(shift.detach().cpu().double().numpy())
    return ReluNetwork.from_layers(weights, biases)


def can_settle(layers: Sequence[nn.Linear]) -> bool:
    """Return whether every layer has a bias of its own that may be trained."""
    biases = [layer.bias for layer in layers]
    return len({id(b) for b in biases}) == len(biases) and all(
        b is not None and b.requires_grad for b in biases
    )


def rarely_switching(
    watched: WatchedModule, points: torch.Tensor, outputs: int, tolerance: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which ReLUs are on, and which are off, at so many points that the rest is nothing.

    Parameters
    ----------
    watched : WatchedModule
    points : tensor (n, inputs + 1)
    outputs : int
        Of the module.
    tolerance : float
        What the other states may contribute, in the root mean square, as a share of the
        outputs' standard deviation.

    Returns
    -------
    on, off : bool tensors (ReLUs,)
        Both for a ReLU that contributes nothing in either state.
    """
    z = watched.pre_activations(points)
    below, above = torch.zeros_like(z[0]), torch.zeros_like(z[0])
    for output in range(outputs):
        asked = torch.full((len(points),), output, device=points.device)
        slopes = watched.jumps(points, asked, differentiable=False)
        for total, part in ((below, torch.relu(-z)), (above, torch.relu(z))):
            total.copy_(torch.maximum(total, (part * slopes).square().mean(dim=0).sqrt()))
    with torch.no_grad(), Evaluation(list(watched.module.modules())):
        spread = float(watched.module(points[:, :-1] / points[:, -1:]).std(dim=0).min())
    always_on, always_off = (z >= 0).all(dim=0), (z <= 0).all(dim=0)
    if not tolerance:
        return always_on, always_off
    return always_on | (below <= tolerance * spread), always_off | (above <= tolerance * spread)


def settle_(
    layers: Sequence[nn.Linear],
    sides: tuple[FloatArray, FloatArray],
    on: torch.Tensor,
    off: torch.Tensor,
) -> int:
    """Shift the biases of ReLUs so that bounds show them to be on, or off, on a box.

    Parameters
    ----------
    layers : sequence of torch.nn.Linear
        With ReLUs between them; their biases change.
    sides : pair of arrays (inputs,)
        Of the box.
    on, off : bool tensors (ReLUs,)
        Which ones to settle, in the order of the layers.

    Returns
    -------
    int
        How many were settled, without those that bounds showed to be stable before.
    """
    settled, first = 0, 0
    for number, (layer, behind) in enumerate(pairwise(layers), start=1):
        # of the layers as they are by now: bounds get tighter with every layer that is settled
        bounds = pre_activation_bounds(plain_network(layers), *sides)[f"relu_{number}"]
        low, high = (torch.from_numpy(side).to(layer.weight.device) for side in bounds)
        unit = slice(first, first + layer.out_features)
        first += layer.out_features
        is_open = (low < 0) & (high > 0)
        slack = SLACK * (high - low)
        up = torch.where(is_open & on[unit], slack - low, 0.0)
        down = torch.where(is_open & off[unit] & ~on[unit], high + slack, 0.0)
        with torch.no_grad():
            before = layer.bias.clone()
            layer.bias += (up - down).to(layer.bias)
            # what rounding made of the shift
            shift = torch.where(up > 0, layer.bias - before, 0.0)
            behind.bias -= behind.weight @ shift
        settled += int(((up > 0) | (down > 0)).sum())
    return settled
