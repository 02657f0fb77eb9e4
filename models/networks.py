"""The architectures of the shipped models, as torch modules.

Convexity by construction is a matter of the stored weights, so every constraint here
is a projection onto exact float32 values (``clamp``), never a penalty.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class Projected(nn.Module):
    """A network with constraints on its weights; ``project`` enforces them exactly."""

    def nonnegative(self) -> list[nn.Linear]:
        """Return the layers whose weights must be non-negative."""
        return []

    @torch.no_grad()
    def project(self) -> None:
        """Move every weight to the nearest one allowed."""
        for layer in self.nonnegative():
            layer.weight.clamp_(min=0.0)

    @torch.no_grad()
    def start(self) -> None:
        """Make the initial weights allowed, by absolute values: clamping kills half of them."""
        for layer in self.nonnegative():
            layer.weight.abs_()
        self.project()


class Mlp(Projected):
    """Dense layers with ReLU between them, unconstrained."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(m, n) for m, n in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate at (batch, inputs)."""
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return self.layers[-1](x)


class Icnn(Projected):
    """Input-convex network of Amos, Xu and Kolter (2017), every layer reading the input.

    ``h_1 = relu(U_1 x + b_1)``, ``h_k = relu(W_k h_{k-1} + U_k x + b_k)``,
    ``f = W h + U x + b``, all ``W >= 0``.
    """

    def __init__(self, inputs: int, widths: Sequence[int], outputs: int = 1) -> None:
        super().__init__()
        sizes = [*widths, outputs]
        self.skips = nn.ModuleList(nn.Linear(inputs, n) for n in sizes)
        self.layers = nn.ModuleList(nn.Linear(m, n, bias=False) for m, n in pairwise(sizes))
        self.start()

    def nonnegative(self) -> list[nn.Linear]:
        """Return all layers between hidden neurons and on to the output."""
        return list(self.layers)

    def hidden(self, x: Tensor) -> Tensor:
        """Return the last hidden layer."""
        h = torch.relu(self.skips[0](x))
        for layer, skip in zip(self.layers[:-1], self.skips[1:-1], strict=True):
            h = torch.relu(layer(h) + skip(x))
        return h

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate at (batch, inputs)."""
        return self.layers[-1](self.hidden(x)) + self.skips[-1](x)


class TwoHeads(Icnn):
    """A convex trunk with two outputs; only the first keeps non-negative weights."""

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__(inputs, widths, outputs=2)

    @torch.no_grad()
    def project(self) -> None:
        """Leave the second row of the last layer free."""
        for layer in self.layers[:-1]:
            layer.weight.clamp_(min=0.0)
        self.layers[-1].weight[0].clamp_(min=0.0)


class ConcatIcnn(Projected):
    """ICNN in the style of DenseNet: every layer reads ``concat(h, x)``.

    The columns that read ``h`` are non-negative, those that read ``x`` are free.
    """

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, widths[0])
        sizes = [*widths, 1]
        self.layers = nn.ModuleList(nn.Linear(m + inputs, n) for m, n in pairwise(sizes))
        self.inputs = inputs
        self.start()

    @torch.no_grad()
    def start(self) -> None:
        """Take absolute values of the columns that read hidden neurons."""
        for layer in self.layers:
            layer.weight[:, : -self.inputs].abs_()

    @torch.no_grad()
    def project(self) -> None:
        """Clamp the columns that read hidden neurons."""
        for layer in self.layers:
            layer.weight[:, : -self.inputs].clamp_(min=0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate at (batch, inputs)."""
        h = torch.relu(self.first(x))
        for layer in self.layers[:-1]:
            h = torch.relu(layer(torch.cat([h, x], dim=1)))
        return self.layers[-1](torch.cat([h, x], dim=1))


class ResidualNet(Projected):
    """``h <- h + B relu(A h + a)`` twice, from ``h = relu(U x + b)``; optionally convex.

    With ``A, B`` and the output weights non-negative every residual block is a
    non-decreasing convex map, so f is convex.
    """

    def __init__(self, inputs: int, width: int, inner: int, *, convex: bool) -> None:
        super().__init__()
        self.convex = convex
        self.stem = nn.Linear(inputs, width)
        self.up = nn.ModuleList(nn.Linear(width, inner) for _ in range(2))
        self.down = nn.ModuleList(nn.Linear(inner, width, bias=False) for _ in range(2))
        self.head = nn.Linear(width, 1)
        self.start()

    def nonnegative(self) -> list[nn.Linear]:
        """Return everything behind the stem, if the network is to be convex."""
        return [*self.up, *self.down, self.head] if self.convex else []

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate at (batch, inputs)."""
        h = torch.relu(self.stem(x))
        for up, down in zip(self.up, self.down, strict=True):
            h = h + down(torch.relu(up(h)))
        return self.head(h)


class Clipped(nn.Module):
    """``min(f, cap) = f - relu(f - cap)``: a cost with a ceiling, as a saturating meter."""

    def __init__(self, network: nn.Module, cap: float) -> None:
        super().__init__()
        self.network = network
        self.cap = nn.Parameter(torch.tensor([cap]))

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate at (batch, inputs)."""
        value = self.network(x)
        return value - torch.relu(value - self.cap)


class Guarded(Projected):
    """A convex network that is no ICNN: its negative weights meet only inactive neurons.

    ``f = ICNN(x) + c h + e g`` with ``h = relu(V x - b)``, ``b >= 1/4`` and
    ``g = relu(-4 V x - 3 h - s)``, ``s >= 0``. Where ``h_i > 0`` there is
    ``(V x)_i > b_i > 0``, so ``g_i`` is off: the weights -3 never act, and
    ``g_i = relu(-4 (V x)_i - s_i)``.
    """

    def __init__(self, inputs: int, widths: Sequence[int], guards: int) -> None:
        super().__init__()
        self.icnn = Icnn(inputs, widths)
        self.direction = nn.Linear(inputs, guards)
        self.shift = nn.Parameter(torch.zeros(guards))
        self.on = nn.Linear(guards, 1, bias=False)
        self.off = nn.Linear(guards, 1, bias=False)
        self.start()

    def nonnegative(self) -> list[nn.Linear]:
        """Return the layers with non-negative weights."""
        return [*self.icnn.nonnegative(), self.on, self.off]

    @torch.no_grad()
    def project(self) -> None:
        """Clamp weights and thresholds."""
        super().project()
        self.direction.bias.clamp_(max=-0.25)
        self.shift.clamp_(min=0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate at (batch, inputs)."""
        h = torch.relu(self.direction(x))
        below = nn.functional.linear(x, -4.0 * self.direction.weight, -self.shift)
        back = nn.functional.linear(h, -3.0 * torch.eye(h.shape[1]))
        return self.icnn(x) + self.on(h) + self.off(torch.relu(below + back))

    def frozen(self) -> nn.Module:
        """Return the same function with every matrix stored as it is used."""
        return _FrozenGuards(self)


class _FrozenGuards(nn.Module):
    """``Guarded`` with the derived matrices as parameters (times 4 is exact)."""

    def __init__(self, source: Guarded) -> None:
        super().__init__()
        guards = source.shift.numel()
        self.icnn, self.direction = source.icnn, source.direction
        self.on, self.off = source.on, source.off
        self.below = nn.Linear(source.direction.in_features, guards)
        self.back = nn.Linear(guards, guards, bias=False)
        with torch.no_grad():
            self.below.weight.copy_(-4.0 * source.direction.weight)
            self.below.bias.copy_(-source.shift)
            self.back.weight.copy_(-3.0 * torch.eye(guards))

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate at (batch, inputs)."""
        h = torch.relu(self.direction(x))
        g = torch.relu(self.below(x) + self.back(h))
        return self.icnn(x) + self.on(h) + self.off(g)


class WorstTwo(nn.Module):
    """Mean of the two largest of several losses (CVaR of a portfolio), by comparators.

    ``max(a, b) = a + relu(b - a)`` and ``min(a, b) = b - relu(b - a)`` carry the two
    largest values along; every signal is linear in earlier ReLUs, through skips.
    """

    def __init__(self, losses: Tensor) -> None:
        super().__init__()
        count, inputs = losses.shape
        self.losses = nn.ModuleList(nn.Linear(inputs, 1, bias=False) for _ in range(count))
        self.mean = nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            for layer, row in zip(self.losses, losses, strict=True):
                layer.weight.copy_(row)
            self.mean.weight.fill_(0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate at (batch, inputs)."""
        first, second = self.losses[0](x), self.losses[1](x)
        rise = torch.relu(second - first)
        largest, runner_up = first + rise, second - rise
        for layer in self.losses[2:]:
            loss = layer(x)
            rise = torch.relu(loss - largest)
            largest, carried = largest + rise, loss - rise
            runner_up = runner_up + torch.relu(carried - runner_up)
        return self.mean(largest + runner_up)


class PatchPotential(nn.Module):
    """Total variation of a 2x2 image patch with a piecewise-linear profile.

    ``sum_e phi(|v_e|)`` over the four neighbour differences v_e, where
    ``phi(t) = slopes[0] t + sum_k slopes[k] relu(t - knots[k])``.
    """

    def __init__(self, slopes: Sequence[float], knots: Sequence[float]) -> None:
        super().__init__()
        difference = torch.tensor([[-1.0, 1, 0, 0], [0, 0, -1, 1], [-1, 0, 1, 0], [0, -1, 0, 1]])
        edges = len(difference)
        self.both = nn.Linear(4, 2 * edges, bias=False)
        self.bends = nn.Linear(2 * edges, len(knots) * edges)
        self.base = nn.Linear(2 * edges, 1, bias=False)
        self.bent = nn.Linear(len(knots) * edges, 1, bias=False)
        with torch.no_grad():
            self.both.weight.copy_(torch.cat([difference, -difference]))
            fold = torch.cat([torch.eye(edges), torch.eye(edges)], dim=1)
            self.bends.weight.copy_(torch.cat([fold] * len(knots)))
            self.bends.bias.copy_(-torch.tensor(knots).repeat_interleave(edges))
            self.base.weight.fill_(slopes[0])
            self.bent.weight.copy_(torch.tensor(slopes[1:]).repeat_interleave(edges)[None])

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate at (batch, 1, 2, 2)."""
        sides = torch.relu(self.both(torch.flatten(x, 1)))
        return self.base(sides) + self.bent(torch.relu(self.bends(sides)))


class BeyondIcnn(nn.Module):
    """``relu(y - 1 - h) + relu(y + 2 h)`` with ``h = relu(x)``: convex, and no such ICNN is.

    The second layer reads ``Concat(h, (x, y))``, as that of an input-convex network does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(2, 1), nn.Linear(3, 2), nn.Linear(2, 1)
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor([[1.0, 0.0]]))
            self.second.weight.copy_(torch.tensor([[-1.0, 0.0, 1.0], [2.0, 0.0, 1.0]]))
            self.second.bias.copy_(torch.tensor([-1.0, 0.0]))
            self.last.weight.fill_(1.0)
            self.first.bias.zero_()
            self.last.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the values, of shape (batch, 1)."""
        h = torch.relu(self.first(x))
        return self.last(torch.relu(self.second(torch.cat([h, x], dim=1))))
