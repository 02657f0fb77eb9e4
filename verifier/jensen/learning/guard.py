"""A penalty that keeps a PyTorch module convex, and the proof that it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from operator import index
from typing import Any

import numpy as np
import torch
from torch import nn

from jensen.arguments import checked_count, checked_flag
from jensen.decide import verify
from jensen.domains.cone_segments import ConeSampler, ConeSegments
from jensen.domains.domain import Domain
from jensen.errors import ModelFileError, NetworkError, OptionError, UnsupportedOperatorError
from jensen.graphs.function_graph import FunctionGraph
from jensen.learning.crossings import Crossings, Follower, Memory
from jensen.learning.settling import can_settle, plain_network, rarely_switching, settle_
from jensen.learning.watched import (
    WatchedModule,
    check_module,
    input_shapes,
    rows_of,
)
from jensen.loaders import from_torch
from jensen.network.relu_network import ReluNetwork
from jensen.prover.question import check_domain
from jensen.repairs.descents import lowest_points
from jensen.text import shown
from jensen.types import FloatArray
from jensen.verdicts.evidence import Counterexample
from jensen.verdicts.options import checked_number
from jensen.verdicts.verdict import Verdict

PERIOD = 32  # penalties that share the points of one search for kinks
POOL = 4  # how many times the samples of one penalty such a search looks for
REMEMBERED = 0.5  # share of the segments that are drawn around refuting points
EACH = 2  # places of each neuron that descents look at
TYPICAL = 256  # points for the mean size of a pre-activation
ON_KINK = 1e-4  # largest |z| on a kink, in units of the neuron's mean
INSTEAD = "jensen.verify takes this one, and the layers in front of that can be guarded alone"


class ConvexityGuard:
    """Watches the kinks of a module: penalises those that bend down, proves that none does.

    Parameters
    ----------
    module : torch.nn.Module
        Whatever :func:`jensen.from_torch` takes. Nothing but :meth:`settle` changes it.
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
        If the module holds an operation that is not read.
    ModelFileError
        If torch cannot export it, for instance because its control flow depends on data.
    NetworkError, OptionError
        If the module is not piecewise linear; if there is no such output; for options.

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
    >>> found = min(guard.search(64), guard.descend(starts=2))
    >>> bool(guard.settle() >= 0)  # how many neurons were made stable
    True
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
        margin = checked_number(margin, "margin")
        checked_flag(concave, "concave")
        checked_count(seed, "seed", 0)
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
        if output is not None and not _is(Integral, output):
            raise OptionError(f"output {shown(output)}: a whole number is needed")
        if output is not None and not 0 <= output < network.output_size:
            raise NetworkError(f"output {output} asked for, the module has {network.output_size}")
        self.output, self.concave = output, concave
        self.inputs = _checked_inputs(inputs, network.input_size)
        self._outputs = network.output_size
        self._sampler = ConeSampler(domain, network.input_size, self.inputs, seed)
        self._watched = WatchedModule(module, self._shapes)
        self._pool = _Pool()
        self._generator = torch.Generator().manual_seed(seed)
        self._memory = Memory(network.input_size, self._generator)
        self._follower = Follower(self._watched, output, self._outputs, self._generator)

    def network(self) -> ReluNetwork:
        """Return the module as it is now, in canonical form.

        Returns
        -------
        ReluNetwork
        """
        network = from_torch(self.module, self._shapes)
        if isinstance(network, FunctionGraph):
            network.refuse("ConvexityGuard", INSTEAD)
        return network

    @property
    def remembered(self) -> int:
        """How many refuting points the penalty draws from."""
        return len(self._memory)

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
        checked_count(samples, "samples", 1)
        if points is not None:
            found = self._follower.crossings(*self._segments(points, samples))
        else:
            found = self._pooled(samples)
        if not len(found):
            return torch.zeros((), dtype=self._watched.dtype, requires_grad=True)
        return torch.relu(self.margin - self._jumps(found, differentiable=True)).mean()

    def _pooled(self, samples: int) -> Crossings:
        """Return kinks of the last search, or of a new one when its turn has come."""
        if self._pool.age % PERIOD == 0:
            self._pool.found = self._follower.crossings(*self._segments(None, POOL * samples))
        self._pool.age += 1
        found = self._pool.found
        assert found is not None  # the first call searches
        if len(found) <= samples:
            return found
        return found.take(self._follower.integers(len(found), samples).to(found.kinks.device))

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
        checked_count(samples, "samples", 1)
        found = self._follower.crossings(*self._segments(None, samples))
        if not len(found):
            return float("inf")
        jumps = self._jumps(found, differentiable=False)
        worst = jumps.argsort()[: max(1, samples // 16)]
        self._memory.add(found.take(worst[jumps[worst] < 0]))
        return float(jumps.min())

    def descend(self, starts: int = 8, *, seed: int = 0) -> float:
        """Descend along all kinks to where they bend down most, and remember these places.

        It finds what random segments never meet, as the prover does before it proves
        anything. Where J is below the margin the place is remembered.

        Parameters
        ----------
        starts : int
            Descents of each neuron.
        seed : int

        Returns
        -------
        float
            The smallest J found, in floating point; infinite where no kink was reached, and
            for modules that are to be convex in some inputs only.
        """
        checked_count(starts, "starts", 1)
        checked_count(seed, "seed", 0)
        if self.inputs is not None:
            return float("inf")
        plain = self._watched.plain
        network = self.network() if plain is None else plain_network(plain)
        lowest = float("inf")
        for output in range(self._outputs) if self.output is None else (self.output,):
            scalar = network.select_output(output)
            asked = scalar.negated() if self.concave else scalar
            points = lowest_points(asked, self.domain, starts, EACH, seed)
            if len(points):
                lowest = min(lowest, self._remember_near(points, output))
        return lowest

    def settle(self, tolerance: float = 0.0, *, samples: int = 8192) -> int:
        """Make ReLUs that do not switch at any of many points of a box stable on all of it.

        Biases are shifted and shifts taken off again behind, so that the function stays as it
        is but where such a neuron did switch. Proofs are far shorter afterwards: what is
        left of them is about neurons that matter. Only stacks of linear layers and ReLUs,
        on boxes, are changed, in place.

        Parameters
        ----------
        tolerance : float
            Neurons that do switch are settled as well where that changes the outputs by no
            more than this share of their standard deviation, in the root mean square.
        samples : int
            Points: inside, on sides and in corners.

        Returns
        -------
        int
            How many neurons were settled.
        """
        checked_count(samples, "samples", 1)
        tolerance = checked_number(tolerance, "tolerance")
        layers, sides = self._watched.plain, self.domain.box_sides(self._watched.inputs)
        if layers is None or sides is None or not can_settle(layers):
            return 0
        points = torch.from_numpy(self._sampler.points(samples))
        points = points.to(self._watched.device, self._watched.dtype)
        on, off = rarely_switching(self._watched, points, self._outputs, tolerance)
        self._pool.age = 0  # the pool knows places of kinks that are gone
        return settle_(layers, sides, on, off)

    def _segments(self, points: Any, samples: int) -> tuple[ConeSegments, Crossings | None]:
        """Return random segments, and behind them some around crossings that are remembered."""
        if points is None:
            old = min(round(REMEMBERED * samples), 8 * len(self._memory))
            segments = self._sampler.between(self._sampler.points(samples - old))
        else:
            given = rows_of(points, self._watched.inputs)
            old = min(round(REMEMBERED * len(given)), 8 * len(self._memory))
            segments = self._sampler.between(np.hstack([given, np.ones((len(given), 1))]))
        if not old:
            return segments, None
        drawn = self._memory.drawn(old)
        return segments.joined(self._sampler.around(drawn.points.numpy())), drawn

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
                self._remember_pair(single.counterexample, single.output or 0)
        return verdict

    def _remember_pair(self, pair: Counterexample, output: int) -> None:
        """Remember the kink between two points at which J is least."""
        ends = np.array([[float(v) for v in end] for end in (pair.x, pair.y)])
        cone = np.hstack([ends, np.ones((2, 1))])
        if self._sampler.is_cone:
            cone /= np.maximum(1.0, np.abs(ends).max(axis=1, keepdims=True))
        every = torch.arange(len(self._typical()))
        count = len(every)
        wanted = Crossings(torch.zeros(count, 0), every, torch.full_like(every, output))
        row = np.zeros(count, dtype=np.intp)
        found = self._follower.crossings(ConeSegments(cone, row, row + 1), wanted)
        if len(found):
            least = self._jumps(found, differentiable=False).argmin()[None]
            self._memory.add(found.take(least))
            return
        # too near to one another for single precision
        self._remember_near(cone.mean(axis=0, keepdims=True), output)

    def _remember_near(self, cone: FloatArray, output: int) -> float:
        """Remember points at their nearest kinks where J is below the margin; return the least."""
        points = torch.from_numpy(cone).to(self._watched.device, self._watched.dtype)
        distance = self._watched.pre_activations(points).abs() / self._typical()
        distance, kinks = distance.min(dim=1)
        found = Crossings(points, kinks, torch.full_like(kinks, output))
        found = found.take((distance < ON_KINK).nonzero()[:, 0])
        if not len(found):
            return float("inf")
        jumps = self._jumps(found, differentiable=False)
        self._memory.add(found.take((jumps < self.margin).nonzero()[:, 0]))
        return float(jumps.min())

    def _typical(self) -> torch.Tensor:
        """Return the mean size of every pre-activation."""
        points = torch.from_numpy(self._sampler.points(TYPICAL))
        z = self._watched.pre_activations(points.to(self._watched.device, self._watched.dtype))
        return z.abs().mean(dim=0).clamp(min=1e-30)


@dataclass
class _Pool:
    """The points that the next penalties draw from, and how often they did."""

    found: Crossings | None = None
    age: int = 0


def _is(kind: type, value: Any) -> bool:
    """Whether a value is a number of a kind; mypy takes no float for a Real."""
    return isinstance(value, kind)


def _checked_inputs(inputs: Sequence[int] | None, size: int) -> tuple[int, ...] | None:
    if inputs is None:
        return None
    try:
        chosen = tuple(sorted({index(i) for i in inputs}))
    except TypeError:
        raise OptionError(f"inputs {shown(inputs)}: numbers such as (0, 2) are needed") from None
    if not chosen or not 0 <= chosen[0] <= chosen[-1] < size:
        raise OptionError(f"inputs {chosen}: some of 0 to {size - 1} are needed")
    return chosen
