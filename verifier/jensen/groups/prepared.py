"""One network on one domain, made ready for the provers: the only place with that recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from jensen.bounds.ahead import raised_signs
from jensen.bounds.network_data import network_data
from jensen.bounds.paths import sign_bounds
from jensen.bounds.pre_activation import (
    hidden_bounds,
    interval_bounds,
    pre_activation_bounds,
    stable_pattern,
)
from jensen.bounds.stacked_units import may_have_twins
from jensen.domains.domain import Domain
from jensen.domains.working_set import WorkingSet
from jensen.groups.folded import fold_linear_units
from jensen.groups.groups import GroupedNetwork, group_network
from jensen.groups.lifted import lifted_network
from jensen.network.relu_network import ReluNetwork
from jensen.stopwatch import Stopwatch
from jensen.types import FloatArray, Interval
from jensen_encodings import NetworkData
from jensen_encodings.deadline import NEVER, Deadline


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scalar network on a domain; every part is built when it is first asked for, once.

    ``working.to_input`` leads from a working point back to the user's inputs.

    Attributes
    ----------
    network : ReluNetwork
        With one output, over the user's inputs; negated where concavity is asked for.
    domain : Domain
    watch : Stopwatch
        Takes the time of each part.
    deadline : Deadline
        The working set of a polyhedron is not looked for any longer, groups of large networks
        are not formed, and bounds are those of intervals.
    folds : bool
        Whether ``grouped`` is without linear units, as far as that is exact. Whoever counts
        activation patterns speaks of all units.
    """

    network: ReluNetwork
    domain: Domain
    watch: Stopwatch = field(default_factory=Stopwatch)
    deadline: Deadline = NEVER
    folds: bool = False

    @cached_property
    def signs(self) -> dict[str, Interval]:
        """Bounds of J of every hidden neuron under all patterns (theory, section 3)."""
        with self.watch.stage("signs"):
            return sign_bounds(self.network)

    @cached_property
    def may_have_twins(self) -> bool:
        """Whether rows of hidden blocks are equal up to signs, as where signals are passed on."""
        return may_have_twins(self.network)

    @cached_property
    def swept_signs(self) -> dict[str, Interval]:
        """The same under all patterns that respect the neurons that are stable on the domain."""
        stable = stable_pattern(self.hidden_bounds)
        with self.watch.stage("signs"):
            free = not any(on.any() or off.any() for on, off in stable.values())
            return self.signs if free else sign_bounds(self.network, stable)

    @cached_property
    def stable_signs(self) -> dict[str, Interval]:
        """The same, raised by sweeps from single neurons."""
        signs, stable = self.swept_signs, stable_pattern(self.hidden_bounds)
        with self.watch.stage("signs"):
            return raised_signs(self.network, signs, stable)

    @cached_property
    def working(self) -> WorkingSet:
        """The full-dimensional working set of the domain.

        Raises
        ------
        DomainError
            If the domain is empty.
        OutOfTimeError
            If time was up before that was known.
        """
        with self.watch.stage("domain"):
            return self.domain.working_set(self.network.input_size, self.deadline)

    @cached_property
    def box(self) -> tuple[FloatArray, FloatArray]:
        """The working box; where the domain is one, the rest of the set need not be built."""
        sides = self.domain.box_sides(self.network.input_size)
        return self.working.box if sides is None else sides

    @cached_property
    def lifted(self) -> ReluNetwork:
        """The network over the working box: ``t f(x / t)`` where the set is lifted, else f."""
        is_box = self.domain.box_sides(self.network.input_size) is not None
        return self.network if is_box or not self.working.lifted else lifted_network(self.network)

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """The same as :attr:`hidden_bounds` by intervals alone, whose parts that uses again."""
        box, lifted = self.box, self.lifted
        with self.watch.stage("intervals"):
            return interval_bounds(lifted, box)

    @cached_property
    def hidden_bounds(self) -> dict[str, Interval]:
        """Proved bounds of every hidden pre-activation of :attr:`lifted` on the working box."""
        box, lifted = self.box, self.lifted
        with self.watch.stage("bounds"):
            # where they are there already
            intervals = self.__dict__.get("intervals")
            return hidden_bounds(lifted, box, self.deadline, intervals)

    @cached_property
    def bounds(self) -> dict[str, Interval]:
        """The same, and bounds of the output."""
        box, lifted, hidden = self.box, self.lifted, self.hidden_bounds
        with self.watch.stage("bounds"):
            return pre_activation_bounds(lifted, *box, hidden=hidden, deadline=self.deadline)

    @cached_property
    def data(self) -> NetworkData:
        """The same network on the same box as the arrays that the encodings take.

        Raises
        ------
        UnboundedNeuronError
            If a bound is beyond the range of doubles.
        """
        bounds = self.bounds
        return network_data(self.lifted, *self.box, bounds)

    @cached_property
    def grouped(self) -> GroupedNetwork:
        """The network as levels of hyperplane groups.

        Raises
        ------
        NetworkError
            If it is too large to be held densely.
        OutOfTimeError
            If time was up before those of a large network were formed.
        """
        bounds = self.bounds
        with self.watch.stage("groups"):
            net = group_network(self.network, bounds, self.working, self.deadline)
            return fold_linear_units(net) if self.folds else net


def prepare(
    network: ReluNetwork,
    domain: Domain,
    *,
    output: int = 0,
    concave: bool = False,
    deadline: Deadline = NEVER,
    folds: bool = False,
) -> Prepared:
    """Select an output of a network and take it to a domain.

    Parameters
    ----------
    network : ReluNetwork
    domain : Box, Polyhedron or Everywhere
    output : int
    concave : bool
        Prepare ``-f``, whose convexity is the concavity of f.
    deadline : Deadline
        Of looking at a polyhedron, and of bounds and groups.
    folds : bool
        Leave linear units out of the grouped network.

    Raises
    ------
    NetworkError
        If there is no such output.
    DomainError
        If the domain does not fit the network.

    Examples
    --------
    >>> from jensen.domains.domain import Box
    >>> net = ReluNetwork.from_layers([[[1.0], [1.0]], [[1.0, -3.0]]], [[0, -1], [0]])
    >>> prepare(net, Box(-1, 0)).grouped.groups()
    []
    """
    domain.check(network.input_size)
    scalar = network.select_output(output)
    subject = scalar.negated() if concave else scalar
    return Prepared(subject, domain, deadline=deadline, folds=folds)
