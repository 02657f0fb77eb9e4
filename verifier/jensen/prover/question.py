"""What is asked, checked before any work, and the answer that an exact pair gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from jensen.domains.domain import Domain
from jensen.errors import DomainError, OptionError
from jensen.graphs.function_graph import FunctionGraph
from jensen.groups.prepared import Prepared
from jensen.loaders import not_a_network
from jensen.network.relu_network import ReluNetwork
from jensen.prover.closed import closed_neurons
from jensen.prover.group_proof import BeginWriter
from jensen.prover.lines.line_search import LineSearch
from jensen.prover.walks.cells import CellWalk, can_walk_cells
from jensen.prover.walks.cones import ConeWalk, can_walk_cones
from jensen.text import shown
from jensen.verdicts.evidence import Counterexample
from jensen.verdicts.options import Engine, Options
from jensen.verdicts.verdict import Status, Verdict
from jensen_encodings.deadline import NEVER, Deadline

DEFAULT = Options()
SPACE = 3  # inputs


@dataclass(frozen=True, eq=False)
class Question:
    """Is this network convex on this domain? What every screen and every prover is given.

    Attributes
    ----------
    prepared : Prepared
        The network and the domain, and what is built of them once.
    options : Options
    deadline : Deadline
    closed : callable
        Told now and then how many of how many hyperplane groups are closed.
    writer : callable or None
        Returns what can prove groups for a certificate before they are searched, or None.
    """

    prepared: Prepared
    options: Options
    deadline: Deadline = NEVER
    closed: Callable[[int, int], None] = lambda done, total: None
    writer: BeginWriter | None = None

    @property
    def network(self) -> ReluNetwork:
        """The scalar network whose convexity is asked for, over the user's inputs."""
        return self.prepared.network

    @property
    def domain(self) -> Domain:
        """The domain as the user gave it."""
        return self.prepared.domain

    @cached_property
    def lines(self) -> LineSearch:
        """The search along random lines, which goes on from screen to screen."""
        return LineSearch(
            self.network,
            self.domain,
            seed=self.options.seed,
            inputs=self.options.inputs,
            deadline=self.deadline,
        )

    @cached_property
    def cells(self) -> CellWalk | ConeWalk | None:
        """The walk from cell to cell, which goes on from screen to engine; None for no such walk.

        It looks at single neurons under all directions, and leaves nothing for a certificate to go
        by but that checkers may walk, which they do in space.
        """
        options = self.options
        plain = options.engine is Engine.AUTO and options.inputs is None and not options.tolerance
        told = not options.certificate or self.network.input_size <= SPACE
        if not (plain and told):
            return None
        walk: type[CellWalk | ConeWalk] = ConeWalk
        if not can_walk_cones(self.network, self.domain):
            if not can_walk_cells(self.network, self.domain):
                return None
            walk = CellWalk
        return walk(self.network, self.domain, closed_neurons(self.prepared), self.deadline)


def merged_options(options: Options | None, keywords: dict[str, Any]) -> Options:
    """Return options with some fields given by name.

    Raises
    ------
    OptionError
        For a field that does not exist, or a value out of range.
    """
    base = DEFAULT if options is None else options
    if not isinstance(base, Options):
        raise OptionError(f"options {shown(base)}: jensen.Options(...) is needed")
    if not keywords:
        return base
    unknown = set(keywords) - set(Options.__dataclass_fields__)
    if unknown:
        known = ", ".join(Options.__dataclass_fields__)
        raise OptionError(f"unknown option {', '.join(sorted(unknown))}; there are {known}")
    return replace(base, **keywords)


def check_subject(network: Any, domain: Any) -> ReluNetwork:
    """Return the network, and raise unless a network and a domain were given.

    Raises
    ------
    NetworkError, DomainError
        With what to pass.
    """
    checked = check_network(network)
    check_domain(domain)
    return checked


def check_domain(domain: Any) -> None:
    """Raise unless a domain was given, and say what to pass.

    Raises
    ------
    DomainError
    """
    if not isinstance(domain, Domain):
        raise DomainError(
            f"{shown(domain)} where a domain is needed: jensen.Box(lower, upper), "
            "jensen.Polyhedron(A, b), jensen.Everywhere() or jensen.load_domain(file)"
        )


def check_network(network: Any) -> ReluNetwork:
    """Return the network, and raise unless one was given.

    Raises
    ------
    NetworkError
    """
    if isinstance(network, FunctionGraph):
        network.refuse("this")
    if isinstance(network, ReluNetwork):
        return network
    raise not_a_network(network)


def check_question(inputs: int, domain: Domain, options: Options) -> None:
    """Raise unless the domain and the options fit each other and networks of so many inputs.

    Raises
    ------
    DomainError, OptionError
    """
    domain.check(inputs)
    _check_combination(inputs, domain, options)
    if options.inputs is not None and not all(0 <= i < inputs for i in options.inputs):
        raise OptionError(f"inputs {list(options.inputs)}: the network has {inputs}, from 0 on")


def refuted(
    pair: Counterexample,
    domain: Domain,
    output: int,
    options: Options,
    times: Mapping[str, float],
) -> Verdict:
    """Return the verdict that an exact counterexample proves."""
    return Verdict(
        Status.NONCONVEX,
        domain,
        output,
        str(options.engine),
        counterexample=pair,
        times=times,
        claim=claimed(options),
    )


def claimed(options: Options) -> str:
    """Return what is claimed, in words: convex or concave, in which inputs."""
    claim = "concave" if options.concave else "convex"
    if options.inputs is not None:
        claim += f" in inputs {','.join(map(str, options.inputs))}"
    return claim


def _check_combination(inputs: int, domain: Domain, options: Options) -> None:
    """Refuse what an engine cannot do, rather than do something else."""
    engine = options.engine
    if engine is Engine.MILP and domain.has_rows:
        raise OptionError("engine milp decides on a box or everywhere; use engine tree")
    if engine is Engine.MIDPOINT and domain.box_sides(inputs) is None:
        raise OptionError("engine midpoint needs a box: the program's big-M are its bounds")
    if engine is Engine.MIDPOINT and options.inputs is not None:
        raise OptionError("engine midpoint does not decide partial convexity; use engine tree")
