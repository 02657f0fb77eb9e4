"""A penalty that keeps a PyTorch module convex, and the proof that it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from jensen.decide import verify
from jensen.domains.cone_segments import ConeSampler, ConeSegments
from jensen.domains.domain import Domain
from jensen.errors import ModelFileError, NetworkError, OptionError, UnsupportedOperatorError
from jensen.graphs.function_graph import FunctionGraph
from jensen.learning.watched import WatchedModule, check_module, input_shapes
from jensen.loaders import from_torch
from jensen.network.relu_network import ReluNetwork
from jensen.prover.question import check_domain
from jensen.prover.verdict import Verdict
from jensen.types import FloatArray

SECANT_STEPS = 2  # runs of the module that follow a segment to a kink
PERIOD = 32  # penalties that share the points of one search for kinks
POOL = 4  # how many times the samples of one penalty such a search looks for
REMEMBERED = 0.25  # share of the segments that are drawn around refuting points
BUFFER = 4096  # refuting points kept at most, the oldest forgotten first


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


class ConvexityGuard:
    """Watches the kinks of a module: penalises those that bend down, proves that none does.

    Parameters
    ----------
    module : torch.nn.Module
        Whatever :func:`jensen.from_torch` takes. The guard never changes it.
    domain : Box, Polyhedron or Everywhere
    output : int, optional
        The output to keep convex; all of them by default.
    margin : float
        Jumps of the slope, per unit of a neuron's pre-activation, are penalised below it.
    concave : bool
        Concave instead of convex.
    inputs : sequence of int, optional
        Convex in these inputs only, for every value of the others.
    input_shape : int, tuple of int, or list of such tuples, optional
        Shape of one sample, one per input of ``forward``. By default it is taken from the
        domain, or from the first linear layer.
    seed : int

    Raises
    ------
    DomainError
        If the domain is empty or of the wrong dimension.
    UnsupportedOperatorError
        If the module holds an operation that is not piecewise linear.
    ModelFileError
        If torch cannot export it, for instance because its control flow depends on data.
    NetworkError, OptionError
        If there is no such output; for options out of range.

    References
    ----------
    docs/learning.md; Gagneux et al., arXiv 2501.03017, section 5.

    Examples
    --------
    >>> import jensen
    >>> _ = torch.manual_seed(0)
    >>> module = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1))
    >>> guard = ConvexityGuard(module, jensen.Box(-1, 1))
    >>> penalty = guard.penalty()  # loss = error(module) + 3.0 * penalty
    >>> bool(penalty >= 0), guard.network().input_size
    (True, 1)
    >>> found = guard.search(64)
    >>> str(guard.verify().status) in {"convex", "nonconvex"}
    True
    """

    def __init__(
        self,
        module: nn.Module,
        domain: Domain,
        *,
        output: int | None = None,
        margin: float = 1e-2,
        concave: bool = False,
        inputs: Sequence[int] | None = None,
        input_shape: Any = None,
        seed: int = 0,
    ) -> None:
        if not 0 <= margin < float("inf"):
            raise OptionError(f"margin {margin}: a finite number >= 0 is needed")
        check_module(module)
        check_domain(domain)
        self.module, self.domain, self.margin = module, domain, float(margin)
        self._shapes = input_shapes(module, domain.dimension, input_shape)
        try:
            network = self.network()  # refuses in one clear line what could not be verified
        except ModelFileError as error:
            guessed = input_shape is None and domain.dimension is not None
            if isinstance(error, UnsupportedOperatorError) or not guessed:
                raise
            raise ModelFileError(
                f"{error}; samples of the domain's shape ({domain.dimension},) were tried: "
                "where the module takes another one, pass it as input_shape="
            ) from None
        domain.check(network.input_size)
        if output is not None and not 0 <= output < network.output_size:
            raise NetworkError(f"output {output} asked for, the module has {network.output_size}")
        self.output, self.concave = output, concave
        self.inputs = _checked_inputs(inputs, network.input_size)
        self._outputs = network.output_size
        self._sampler = ConeSampler(domain, network.input_size, self.inputs, seed)
        self._watched = WatchedModule(module, self._shapes)
        self._pool = _Pool()
        self._generator = torch.Generator().manual_seed(seed)
        self._buffer = np.zeros((0, network.input_size + 1))

    def network(self) -> ReluNetwork:
        """Return the module as it is now, in canonical form.

        Returns
        -------
        ReluNetwork
        """
        network = from_torch(self.module, self._shapes)
        if isinstance(network, FunctionGraph):
            network.refuse("ConvexityGuard")
        return network

    @property
    def remembered(self) -> int:
        """How many refuting points the penalty draws from."""
        return len(self._buffer)

    # -------------------------------------------------------------------------- penalty

    def penalty(self, points: Any = None, *, samples: int = 64) -> torch.Tensor:
        """Return the mean of ``relu(margin - J)`` over random kinks of the domain.

        Random segments of the domain are drawn and each is followed to a kink of a neuron
        that changes sign along it, rare ones first; J is the change of the output's slope
        per unit of the neuron's pre-activation, under the activations at that point. A
        part of the segments runs around points that refuted the module before.

        Parameters
        ----------
        points : tensor (n, ...), optional
            Inputs of the module in the domain, between which the segments run. They are
            looked at in every call; without them one search serves for some calls.
        samples : int
            How many segments, where no points are given.

        Returns
        -------
        scalar tensor
            To be added to a loss, times a weight.
        """
        if points is not None:
            found = self._crossings(self._segments(points, samples))
        else:
            found = self._pooled(samples)
        if not len(found):
            return torch.zeros((), dtype=self._watched.dtype, requires_grad=True)
        return torch.relu(self.margin - self._jumps(found, differentiable=True)).mean()

    def _pooled(self, samples: int) -> Crossings:
        """Return kinks of the last search, or of a new one when its turn has come."""
        if self._pool.age % PERIOD == 0:
            self._pool.found = self._crossings(self._segments(None, POOL * samples))
        self._pool.age += 1
        found = self._pool.found
        assert found is not None  # the first call searches
        if len(found) <= samples:
            return found
        return found.take(self._integers(len(found), samples).to(found.kinks.device))

    def search(self, samples: int = 4096) -> float:
        """Look for kinks that bend down, and remember where they are.

        Parameters
        ----------
        samples : int
            How many segments are followed to a kink.

        Returns
        -------
        float
            The smallest J found, in floating point; infinite where no kink was met.
        """
        found = self._crossings(self._segments(None, samples))
        if not len(found):
            return float("inf")
        jumps = self._jumps(found, differentiable=False)
        worst = jumps.argsort()[: max(1, samples // 16)]
        self._remember(found.points[worst[jumps[worst] < 0]].double().cpu().numpy())
        return float(jumps.min())

    def _segments(self, points: Any, samples: int) -> ConeSegments:
        if points is None:
            old = min(round(REMEMBERED * samples), 8 * len(self._buffer))
            segments = self._sampler.between(self._sampler.points(samples - old))
        else:
            tensor = torch.as_tensor(points).detach().cpu().double()
            if tensor.dim() < 2:
                raise NetworkError(
                    f"points of shape {tuple(tensor.shape)}: need (n, {self._watched.inputs})"
                )
            given = tensor.flatten(1).numpy()
            if not np.isfinite(given).all():
                raise OptionError("points: finite numbers are needed, some are NaN or infinite")
            if given.shape[1] != self._watched.inputs or not len(given):
                raise NetworkError(
                    f"points of shape {given.shape}: need (n, {self._watched.inputs})"
                )
            old = min(round(REMEMBERED * len(given)), 8 * len(self._buffer))
            segments = self._sampler.between(np.hstack([given, np.ones((len(given), 1))]))
        if old:
            middles = self._buffer[self._integers(len(self._buffer), old).numpy()]
            segments = segments.joined(self._sampler.around(middles))
        return segments

    def _crossings(self, segments: ConeSegments) -> Crossings:
        """Follow each segment to the kink of a neuron that changes sign along it."""
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
        kinks = self._choose(weights[rows])[:, None]
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
        if self.output is None:
            outputs = self._integers(self._outputs, len(rows)).to(rows.device)
        else:
            outputs = torch.full_like(rows, self.output)
        return Crossings(at, kinks[:, 0], outputs)

    def _choose(self, weights: torch.Tensor) -> torch.Tensor:
        """Return one index per row, with probabilities in proportion to the weights."""
        totals = weights.cumsum(dim=1)
        target = torch.rand(len(weights), 1, generator=self._generator).to(totals)
        return (totals <= target * totals[:, -1:]).sum(dim=1).clamp(max=weights.shape[1] - 1)

    def _integers(self, below: int, count: int) -> torch.Tensor:
        return torch.randint(below, (count,), generator=self._generator)

    def _jumps(self, found: Crossings, *, differentiable: bool) -> torch.Tensor:
        with torch.set_grad_enabled(differentiable):
            jumps = self._watched.jumps_at(found.points, found.kinks, found.outputs)
        return -jumps if self.concave else jumps

    # --------------------------------------------------------------------- verification

    def verify(self, *, network: ReluNetwork | None = None, **options: Any) -> Verdict:
        """Verify the module as it is, and remember where it is not convex.

        Parameters
        ----------
        network : ReluNetwork, optional
            What :meth:`network` just returned; it is read from the module by default.
        **options
            Of :func:`jensen.verify`, for instance ``time_limit=10, certificate=True``.

        Returns
        -------
        Verdict
            Of the module in evaluation mode, its weights taken as exact numbers.
        """
        verdict = verify(
            self.network() if network is None else network,
            self.domain,
            output=self.output,
            concave=self.concave,
            inputs=self.inputs,
            **options,
        )
        for single in verdict.outputs or (verdict,):
            if single.counterexample is not None:
                middle = np.array([float(v) for v in single.counterexample.midpoint])
                size = max(1.0, np.abs(middle).max()) if self._sampler.is_cone else 1.0
                self._remember(np.append(middle, 1.0)[None] / size)
        return verdict

    def _remember(self, points: FloatArray) -> None:
        self._buffer = np.concatenate([self._buffer, points])[-BUFFER:]


@dataclass
class _Pool:
    """The points that the next penalties draw from, and how often they did."""

    found: Crossings | None = None
    age: int = 0


def _secant(
    low: torch.Tensor, high: torch.Tensor, z_low: torch.Tensor, z_high: torch.Tensor
) -> torch.Tensor:
    """Return where z would be 0 if it were linear along the segments."""
    share = z_low / (z_low - z_high)
    return low + torch.nan_to_num(share, nan=0.5).clamp(0, 1) * (high - low)


def _checked_inputs(inputs: Sequence[int] | None, size: int) -> tuple[int, ...] | None:
    if inputs is None:
        return None
    chosen = tuple(sorted({int(i) for i in inputs}))
    if not chosen or not 0 <= chosen[0] <= chosen[-1] < size:
        raise OptionError(f"inputs {chosen}: some of 0 to {size - 1} are needed")
    return chosen
