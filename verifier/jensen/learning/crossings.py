"""Points on kinks, and those that are remembered because the module bent down there."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from jensen.domains.cone_segments import ConeSegments
from jensen.learning.watched import WatchedModule

SECANT_STEPS = 2  # runs of the module that follow a segment to a kink
BUFFER = 4096  # points kept at most, the oldest forgotten first


@dataclass(frozen=True, eq=False)
class Crossings:
    """Points on kinks.

    Attributes
    ----------
    points : tensor (n, inputs + 1)
        ``(x, t)`` of the cone; the kink is at ``x / t``.
    kinks : integer tensor (n,)
        Which kink of the module each lies on.
    outputs : integer tensor (n,)
        Which output is asked about.
    """

    points: torch.Tensor
    kinks: torch.Tensor
    outputs: torch.Tensor

    def __len__(self) -> int:
        return len(self.kinks)

    def take(self, rows: torch.Tensor) -> Crossings:
        """Return some of them."""
        return Crossings(self.points[rows], self.kinks[rows], self.outputs[rows])


class Memory:
    """Crossings that refuted a module, or nearly so.

    Parameters
    ----------
    inputs : int
        Of the module.
    generator : torch.Generator
    """

    def __init__(self, inputs: int, generator: torch.Generator) -> None:
        none = torch.zeros(0, dtype=torch.int64)
        self._all = Crossings(torch.zeros(0, inputs + 1, dtype=torch.float64), none, none)
        self._generator = generator

    def __len__(self) -> int:
        return len(self._all)

    def add(self, found: Crossings) -> None:
        """Remember some more."""
        old = self._all
        self._all = Crossings(
            torch.cat([old.points, found.points.detach().cpu().double()])[-BUFFER:],
            torch.cat([old.kinks, found.kinks.cpu()])[-BUFFER:],
            torch.cat([old.outputs, found.outputs.cpu()])[-BUFFER:],
        )

    def drawn(self, count: int) -> Crossings:
        """Return so many of them at random, new ones more often: a quarter is half of all."""
        share = torch.rand(count, generator=self._generator).square()
        age = (share * len(self)).long().clamp(max=len(self) - 1)
        return self._all.take(len(self) - 1 - age)


class Follower:
    """Follows segments of a domain to kinks.

    Parameters
    ----------
    watched : WatchedModule
    output : int or None
        The one that is asked about; None for any of them at random.
    outputs : int
        How many there are.
    generator : torch.Generator
    """

    def __init__(
        self,
        watched: WatchedModule,
        output: int | None,
        outputs: int,
        generator: torch.Generator,
    ) -> None:
        self._watched, self._output, self._outputs = watched, output, outputs
        self._generator = generator

    def crossings(self, segments: ConeSegments, wanted: Crossings | None = None) -> Crossings:
        """Follow each segment to the kink of a neuron that changes sign along it.

        Parameters
        ----------
        segments : ConeSegments
        wanted : Crossings, optional
            What the last of the segments run around: these kinks come first where they are met.
        """
        device = self._watched.device
        points = torch.from_numpy(segments.points).to(device, self._watched.dtype)
        starts, ends = (torch.from_numpy(i).to(device) for i in (segments.start, segments.end))
        z = self._watched.pre_activations(points)
        on = z > 0
        crosses = on[starts] != on[ends]
        weights = crosses / crosses.sum(dim=0).clamp(min=1)
        rows = crosses.any(dim=1).nonzero()[:, 0]
        if not len(rows):
            empty = rows.new_zeros(0)
            return Crossings(points[:0], empty, empty)
        kinks = self._choose(weights[rows])
        if self._output is None:
            outputs = self.integers(self._outputs, len(rows)).to(rows.device)
        else:
            outputs = torch.full_like(rows, self._output)
        if wanted is not None:
            row = rows - (len(segments) - len(wanted))
            asked, of = (
                t.to(rows.device)[row.clamp(min=0)] for t in (wanted.kinks, wanted.outputs)
            )
            met = (row >= 0) & crosses[rows].gather(1, asked[:, None])[:, 0]
            kinks, outputs = torch.where(met, asked, kinks), torch.where(met, of, outputs)
        kinks = kinks[:, None]
        start, end = starts[rows], ends[rows]
        low, high = points[start], points[end]
        z_low, z_high = z[start].gather(1, kinks), z[end].gather(1, kinks)
        for _ in range(SECANT_STEPS):
            middle = _secant(low, high, z_low, z_high)
            z_middle = self._watched.pre_activations(middle).gather(1, kinks)
            same = (z_middle > 0) == (z_low > 0)
            # the Illinois rule: the end that stays counts half, or it would stay for ever
            low, high = torch.where(same, middle, low), torch.where(same, high, middle)
            z_low, z_high = (
                torch.where(same, z_middle, z_low / 2),
                torch.where(same, z_high / 2, z_middle),
            )
        at = _secant(low, high, z_low, z_high)
        return Crossings(at, kinks[:, 0], outputs)

    def _choose(self, weights: torch.Tensor) -> torch.Tensor:
        """Return one index per row, with probabilities in proportion to the weights."""
        totals = weights.cumsum(dim=1)
        target = torch.rand(len(weights), 1, generator=self._generator).to(totals)
        return (totals <= target * totals[:, -1:]).sum(dim=1).clamp(max=weights.shape[1] - 1)

    def integers(self, below: int, count: int) -> torch.Tensor:
        """Return random integers ``>= 0`` and below a number."""
        return torch.randint(below, (count,), generator=self._generator)


def _secant(
    low: torch.Tensor, high: torch.Tensor, z_low: torch.Tensor, z_high: torch.Tensor
) -> torch.Tensor:
    """Return where z would be 0 if it were linear along the segments."""
    share = z_low / (z_low - z_high)
    return low + torch.nan_to_num(share, nan=0.5).clamp(0, 1) * (high - low)
