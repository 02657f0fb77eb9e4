"""Denoising: a learned regulariser whose convexity is proved, and so is the denoiser.

The regulariser R is trained to be small on clean signals and large on noise (an adversarial
regulariser), as a free ReLU network. Once R is proved convex, denoising is a convex problem
with one solution, which jensen.ConvexFunction computes and bounds:

    argmin_x R(x) + |x - y|^2 / (2 step).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import jensen

SIZE, NOISE = 6, 0.25


def signals(count: int, generator: torch.Generator) -> torch.Tensor:
    """Return random steps: constant up to somewhere, another constant from there on."""
    levels = 1.6 * torch.rand(count, 2, generator=generator) - 0.8
    where = torch.randint(1, SIZE, (count, 1), generator=generator)
    return torch.where(torch.arange(SIZE) < where, levels[:, :1], levels[:, 1:])


def main(steps: int = 1500, width: int = 24) -> tuple[float, float]:
    """Train, prove, denoise; return the mean squared errors before and after."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    regulariser = nn.Sequential(
        nn.Linear(SIZE, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
    )

    def loss(module: nn.Module) -> torch.Tensor:
        clean = signals(256, generator)
        noisy = (clean + NOISE * torch.randn(clean.shape, generator=generator)).clamp(-1.5, 1.5)
        noisy.requires_grad_(True)
        value = module(noisy)
        slope = torch.autograd.grad(value.sum(), noisy, create_graph=True)[0].norm(dim=1)
        return module(clean).mean() - value.mean() + 5 * torch.relu(slope - 1).square().mean()

    box = jensen.Box(-1.5, 1.5)
    result = jensen.learning.make_convex(regulariser, loss, box, steps=steps)
    print(result.summary)
    prior = jensen.ConvexFunction(result.network, box, verdict=result.verdict)
    clean = signals(20, generator).double().numpy()
    noisy = clean + NOISE * np.random.default_rng(0).normal(size=clean.shape)
    denoised = [prior.prox(np.clip(y, -1.5, 1.5), step=0.35).x for y in noisy]
    before, after = np.mean((noisy - clean) ** 2), np.mean((np.array(denoised) - clean) ** 2)
    print(f"mean squared error: {before:.4f} with noise, {after:.4f} denoised")
    return float(before), float(after)


if __name__ == "__main__":
    main()
