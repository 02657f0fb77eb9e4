"""Images denoised by proximal steps of convex regularisers, written down and learned."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from minimisers import LIMIT

import jensen
from jensen import Box, ConvexFunction, ReluNetwork


def denoise_learned(side: int = 64) -> Iterator[list[str]]:
    """The proximal step of a regulariser learned on images: convolutional and input-convex.

    Trained so that a gradient step of it removes noise; the network takes whole images.
    """
    import torch  # noqa: PLC0415  (optional)

    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = _regulariser()
    convex = [module.second.weight, module.last.weight]
    with torch.no_grad():
        for weight in convex:
            weight.abs_()
    clean = _images(256, 24)
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(400):
        x = clean[torch.randint(0, len(clean), (16,), generator=generator)]
        y = (x + 0.1 * torch.randn(x.shape, generator=generator)).requires_grad_()
        (slope,) = torch.autograd.grad(module(y).sum(), y, create_graph=True)
        optimizer.zero_grad()
        (y - slope - x).square().mean().backward()
        optimizer.step()
        with torch.no_grad():
            for weight in convex:
                weight.clamp_(min=0)
    network = jensen.from_torch(module, (1, side, side))
    f = ConvexFunction(network, Box(0, 1))
    image, noisy = _noisy_image(side)
    for tolerance in (1e-2, 1e-3, 1e-4):
        start = time.process_time()
        found = f.forget().prox(noisy, 1.0, tolerance=tolerance, time_limit=LIMIT)
        seconds = time.process_time() - start
        errors = [np.mean((v - image.ravel()) ** 2) for v in (noisy, found.x)]
        name = (
            f"denoising {side}x{side}, learned regulariser, {network.relu_count:,} ReLUs, "
            f"proved gap {found.gap / found.value:.1e}, error {errors[0]:.4f} to {errors[1]:.4f}"
        )
        yield [name, f"{seconds:.2f} s", "-", "-", "-", f"{found.evaluations} cuts"]


def _regulariser() -> Any:
    """Return a sum over all 3x3 patches of a small input-convex network of the patch."""
    import torch  # noqa: PLC0415  (optional)

    class Regulariser(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.skip = torch.nn.Conv2d(1, 8, 3), torch.nn.Conv2d(1, 8, 3)
            self.second = torch.nn.Conv2d(8, 8, 1)
            self.last = torch.nn.Conv2d(8, 1, 1, bias=False)

        def forward(self, x: Any) -> Any:
            h = torch.relu(self.second(torch.relu(self.first(x))) + self.skip(x))
            return self.last(h).sum((1, 2, 3))[:, None]

    return Regulariser()


def _images(count: int, side: int) -> Any:
    """Return images of a few rectangles."""
    import torch  # noqa: PLC0415  (optional)

    rng = np.random.default_rng(1)
    images = np.zeros((count, 1, side, side), dtype=np.float32)
    for image in images:
        for _ in range(4):
            (top, left), (high, wide) = rng.integers(0, side, 2), rng.integers(4, side, 2)
            image[0, top : top + high, left : left + wide] = rng.random()
    return torch.from_numpy(images)


def _noisy_image(side: int) -> tuple[np.ndarray, np.ndarray]:
    image = np.zeros((side, side))
    image[side // 4 : side // 2, side // 4 : 3 * side // 4] = 1.0
    image[side // 2 :, : side // 3] = 0.5
    noisy = image + 0.1 * np.random.default_rng(0).normal(size=image.shape)
    return image, noisy.ravel()


def denoise(side: int = 64) -> Iterator[list[str]]:
    """The proximal step of an input-convex regulariser: total variation of a noisy image."""
    count = side * side
    index = np.arange(count).reshape(side, side)

    def differences(a: np.ndarray, b: np.ndarray) -> sp.csr_array:
        rows = np.tile(np.arange(len(a)), 2)
        values = np.repeat([1.0, -1.0], len(a))
        return sp.csr_array((values, (rows, np.append(a, b))), shape=(len(a), count))

    first = sp.csr_array(
        sp.vstack(
            [
                differences(index[:, 1:].ravel(), index[:, :-1].ravel()),
                differences(index[1:].ravel(), index[:-1].ravel()),
            ]
        )
    )
    weight = sp.csr_array(sp.vstack([first, -first]))
    network = ReluNetwork.from_layers(
        [weight, np.ones((1, weight.shape[0]))], [np.zeros(weight.shape[0]), np.zeros(1)]
    )
    f = ConvexFunction(network, Box(0, 1))
    _, noisy = _noisy_image(side)
    for tolerance in (1e-2, 1e-3):
        start = time.process_time()
        found = f.forget().prox(noisy, 0.1, tolerance=tolerance, time_limit=LIMIT)
        seconds = time.process_time() - start
        gap = found.gap / found.value
        name = f"denoising {side}x{side}, {network.relu_count:,} ReLUs, proved gap {gap:.1e}"
        yield [name, f"{seconds:.2f} s", "-", "-", "-", f"{found.evaluations} cuts"]
