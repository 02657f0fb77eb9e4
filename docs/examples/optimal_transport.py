"""Optimal transport: a certified convex potential, so that its gradient is an optimal map.

A map is optimal for the squared distance if and only if it is the gradient of a convex
function (Brenier). Here the potential is a free ReLU network, fitted to the pairs of a discrete
optimal matching of samples, and proved convex on the box. Its gradient is then an
optimal map from the source to whatever it sends the source to: no sign constraints needed.
"""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

import jensen


def samples(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a Gaussian in the box, and a mixture of four of them."""
    generator = torch.Generator().manual_seed(seed)
    source = (0.3 * torch.randn(count, 2, generator=generator)).clamp(-1, 1)
    corners = torch.randint(2, (count, 2), generator=generator) - 0.5
    return source, corners + 0.1 * torch.randn(count, 2, generator=generator)


def transport(potential: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the potential."""
    x = x.clone().requires_grad_(True)
    return torch.autograd.grad(potential(x).sum(), x, create_graph=True)[0]


def main(count: int = 512, steps: int = 2500, width: int = 32) -> jensen.learning.ConvexTraining:
    """Train, prove, and say how far the samples are from where they should go."""
    torch.manual_seed(0)
    source, target = samples(count, 0)
    cost = torch.cdist(source, target).square()
    rows, columns = linear_sum_assignment(cost.numpy())
    source, target = source[rows], target[columns]
    potential = nn.Sequential(
        nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
    )

    def loss(module: nn.Module) -> torch.Tensor:
        return (transport(module, source) - target).square().mean()

    result = jensen.learning.make_convex(potential, loss, jensen.Box(-1, 1), steps=steps)
    print(result.summary)
    print(f"mean squared distance to the matched points: {loss(result.module).item():.4f}")
    return result


if __name__ == "__main__":
    main()
