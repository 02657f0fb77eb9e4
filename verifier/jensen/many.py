"""Many small networks: stacks are refuted and proved at once, the rest is verified one by one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jensen.bounds.made_up import TABLE
from jensen.decide import verify
from jensen.domains.domain import Domain, Everywhere
from jensen.errors import NetworkError
from jensen.graphs.function_graph import FunctionGraph
from jensen.linear_regions.condition import Condition
from jensen.linear_regions.conditions import path_conditions
from jensen.loaders import opened
from jensen.network.relu_network import ReluNetwork
from jensen.network.stack import NetworkStack, by_architecture
from jensen.prover.common_kinks import refuted_by_kinks
from jensen.prover.lines.common_lines import CommonPoints
from jensen.prover.lines.line_search import LineSampler, middle_distance
from jensen.prover.links import WORK, linked_evidence, links_of_stack
from jensen.prover.question import (
    check_question,
    check_subject,
    claimed,
    merged_options,
    refuted,
)
from jensen.prover.walks.stack import walked_in_space, walked_straight
from jensen.verdicts.evidence import Counterexample, GroupEvidence
from jensen.verdicts.options import Engine, Options
from jensen.verdicts.verdict import Status, Verdict

_CHUNK = 256  # networks at once
_KINKS = 1e7  # weights times neurons, beyond which kinks sought together cost more than one by one
_READ = 2048  # networks taken from a generator before any is verified
# lines and points on each, per round; what is still convex then goes to verify
_ROUNDS = ((1, 17), (4, 33), (16, 33))
_WORK = 2e8  # multiply-adds per round and chunk


def verify_many(
    networks: Iterable[ReluNetwork | FunctionGraph | str | Path] | NetworkStack,
    domain: Domain | None = None,
    *,
    output: int | None = None,
    options: Options | None = None,
    **keywords: Any,
) -> list[Verdict]:
    """Decide for many networks whether they are convex on a domain.

    Networks of one architecture are looked at together: their functions are evaluated along
    common lines, and suspicions are confirmed in exact arithmetic, for all of them at once;
    intervals and the signs of their path products are taken for all that is left. Most random
    networks are decided so, many times faster than by :func:`jensen.verify`, which decides the
    rest. The verdicts are the same; pairs, evidence and times may differ.

    Parameters
    ----------
    networks : iterable of ReluNetwork or path, or NetworkStack
        A generator is read piece by piece. From stacked arrays, a network is only built
        when its lines show nothing.
    domain : Box, Polyhedron or Everywhere
        Default: ``Everywhere()``. It holds for all of them.
    output, options, **keywords
        As for :func:`jensen.verify`; a time limit is one per network.

    Returns
    -------
    list of Verdict
        In the order of the networks. Those that a stack settles do not hold their network: they
        have no digest and no path conditions, and :class:`jensen.ConvexFunction` refuses them.

    Raises
    ------
    DomainError, OptionError, NetworkError
        As :func:`jensen.verify`.

    Examples
    --------
    >>> from jensen.domains.domain import Box
    >>> rng = np.random.default_rng(0)
    >>> weights = [rng.normal(size=(100, 8, 3)), rng.normal(size=(100, 1, 8))]
    >>> biases = [rng.normal(size=(100, 8)), np.zeros((100, 1))]
    >>> verdicts = verify_many(NetworkStack(weights, biases), Box(-1, 1))
    >>> sum(verdict.status == "nonconvex" for verdict in verdicts)
    97
    """
    domain = Everywhere() if domain is None else domain
    chosen = merged_options(options, keywords)
    if isinstance(networks, ReluNetwork | str) or not isinstance(networks, Iterable):
        raise NetworkError(
            f"verify_many takes a list of networks or a NetworkStack, found "
            f"{type(networks).__name__}; one network is verified by jensen.verify"
        )
    if isinstance(networks, NetworkStack):
        if not len(networks):
            return []
        check_subject(networks[0], domain)
        return _decide(networks, domain, output, chosen)
    verdicts: list[Verdict] = []
    unread = iter(networks)
    while part := list(islice(unread, _READ)):
        checked = [check_subject(opened(network), domain) for network in part]
        verdicts += _decide(checked, domain, output, chosen)
    return verdicts


def settle_many(
    networks: Sequence[ReluNetwork] | NetworkStack,
    domain: Domain,
    *,
    output: int | None = None,
    options: Options | None = None,
) -> dict[int, Verdict]:
    """Return the verdicts of the networks that all together settle, by number.

    Parameters
    ----------
    networks, domain, output, options
        As for :func:`verify_many`. Nothing is settled together where a tolerance or a certificate
        is asked for, nor among networks of several outputs unless one is picked.
    """
    options = Options() if options is None else options
    if options.tolerance or options.certificate:
        return {}
    found: dict[int, Verdict] = {}
    for numbers, stack in by_architecture(networks):
        if output is None and stack.output_size > 1:
            continue
        check_question(stack.input_size, domain, options)
        search = _Search(domain, 0 if output is None else output, options)
        for k, verdict in search.run(stack).items():
            number = int(numbers[k])
            found[number] = _about(verdict, networks, number, concave=options.concave)
    return found


def _decide(
    networks: Sequence[ReluNetwork] | NetworkStack,
    domain: Domain,
    output: int | None,
    options: Options,
) -> list[Verdict]:
    found = settle_many(networks, domain, output=output, options=options)
    return [
        found[k] if k in found else verify(networks[k], domain, output=output, options=options)
        for k in range(len(networks))
    ]


def _about(
    verdict: Verdict,
    networks: Sequence[ReluNetwork] | NetworkStack,
    number: int,
    *,
    concave: bool,
) -> Verdict:
    """Return a verdict that holds its network, and calls neurons as that does."""
    if isinstance(networks, NetworkStack):
        return verdict  # to build the network would take longer than the verdict
    network, evidence = networks[number], verdict.evidence
    names = {_layer_name(k): block.name for k, block in enumerate(network.hidden)}
    if evidence and any(name != own for name, own in names.items()):
        evidence = tuple(
            replace(e, neurons=tuple((names[name], unit) for name, unit in e.neurons))
            for e in evidence
        )
    pair = verdict.counterexample
    source = partial(_conditions, network, verdict.domain, verdict.output, concave, pair)
    return replace(verdict, evidence=evidence, subject=network, condition_source=source)


def _conditions(
    network: ReluNetwork,
    domain: Domain,
    output: int | None,
    concave: bool,
    pair: Counterexample | None,
    reasons: Mapping[tuple[str, int], str],
) -> tuple[Condition, ...]:
    scalar = network.select_output(output or 0)
    return path_conditions(scalar.negated() if concave else scalar, domain, reasons, pair=pair)


def _layer_name(layer: int) -> str:
    """Return what networks that are built from arrays call a hidden layer."""
    return f"relu_{layer + 1}"


def _left(stack: NetworkStack, *settled: Mapping[int, object]) -> NDArray[np.int64]:
    """Return the numbers of the networks that are not settled."""
    numbers = (k for k in range(len(stack)) if not any(k in some for some in settled))
    return np.fromiter(numbers, dtype=np.int64)


@dataclass(frozen=True)
class _Search:
    """Looks at the networks of a stack along the same random lines."""

    domain: Domain
    output: int
    options: Options

    def run(self, stack: NetworkStack) -> dict[int, Verdict]:
        """Return the verdicts of the networks that were refuted or proved."""
        scalar = stack.scalar(self.output, negated=self.options.concave)
        start = time.perf_counter()
        proved: dict[int, Verdict] = {}
        found: dict[int, Counterexample] = {}
        with np.errstate(all="ignore"):
            sampler = self._sampler(scalar)
            for number, part in enumerate(self._rounds(scalar, sampler)):
                left = _left(stack, found, proved)
                # behind one line, which refutes most networks that bend down, the cheap signs;
                # behind five, and before many, what costs less than those
                if number and left.size:
                    looked = self._looked_at(scalar, left, sampler if number > 1 else None)
                    proved, found = proved | looked[0], found | looked[1]
                    left = _left(stack, found, proved)
                if part is None or not left.size:
                    continue
                for some in np.array_split(left, -(-left.size // _CHUNK)):
                    pairs = part.refuted(scalar.take(some))
                    found |= {int(some[k]): pair for k, pair in pairs.items()}
        times = {"lines": (time.perf_counter() - start) / max(1, len(stack))}
        return proved | {
            k: refuted(pair, self.domain, self.output, self.options, times)
            for k, pair in found.items()
        }

    def _sampler(self, scalar: NetworkStack) -> LineSampler:
        """Return where lines are drawn from: at the distance of the kinks."""
        size = np.abs(scalar.weights[0]).max(axis=2, initial=0.0)
        size[size == 0] = 1.0  # scaled, as the squares of huge weights would overflow
        norms = size * np.sqrt(((scalar.weights[0] / size[:, :, None]) ** 2).sum(axis=2))
        scale = middle_distance(np.abs(scalar.biases[0]).ravel(), norms.ravel())
        rng = np.random.default_rng(self.options.seed)
        return LineSampler(self.domain, scalar.input_size, scale, rng, self.options.inputs)

    def _rounds(self, scalar: NetworkStack, sampler: LineSampler) -> Iterator[CommonPoints | None]:
        """Yield the points of each round; None where they would cost too much."""
        for lines, points in _ROUNDS:
            if scalar.parameter_count * lines * points > _WORK:
                yield None
                continue
            starts, steps = sampler.lines(lines)
            yield CommonPoints.along(self.domain, starts, steps, points, self.options.inputs)

    def _looked_at(
        self, scalar: NetworkStack, left: NDArray[np.int64], sampler: LineSampler | None
    ) -> tuple[dict[int, Verdict], dict[int, Counterexample]]:
        """Return the networks whose kinks all bend upwards, and those that one of them refutes.

        Parameters
        ----------
        scalar : NetworkStack
        left : int array
            The networks that are looked at.
        sampler : LineSampler or None
            None looks at cheap signs only, else kinks are sought one by one.
        """
        proved: dict[int, Verdict] = {}
        found: dict[int, Counterexample] = {}
        thorough = sampler is not None
        if self.options.engine is not Engine.AUTO or self.domain.may_be_empty:
            return proved, found
        work = scalar.parameter_count * scalar.relu_count
        if thorough and work > WORK:
            return proved, found
        # pairs of neurons are looked for in tables of their rows
        most = max(1, TABLE // max(bias.shape[1] for bias in scalar.biases) ** 3)
        chunk = min(_CHUNK, most) if thorough else _CHUNK
        names = [_layer_name(layer) for layer in range(len(scalar.weights) - 1)]
        for some in np.array_split(left, -(-left.size // chunk)):
            start, part = time.perf_counter(), scalar.take(some)
            signs = links_of_stack(part, self.domain, thorough=thorough, backward=True)
            convex = signs.convex.copy()
            if thorough and not convex.all():
                convex = convex | walked_straight(part, self.domain, signs)
            seeks = self.options.inputs is None and work <= _KINKS
            if sampler is not None and seeks and not convex.all():
                bent = np.flatnonzero(~convex)
                open_units = signs.open_neurons()[bent]
                pairs = refuted_by_kinks(part.take(bent), self.domain, sampler, open_units)
                found |= {int(some[bent[k]]): pair for k, pair in pairs.items()}
            if thorough and not convex.all():
                open_ones = ~convex & [int(k) not in found for k in some]
                convex[walked_in_space(part, self.domain, signs, np.flatnonzero(open_ones))] = True
            times = {"signs": (time.perf_counter() - start) / some.size}
            proved |= {
                int(some[k]): self._convex(linked_evidence(signs, k, names), times)
                for k in np.flatnonzero(convex).tolist()
            }
        return proved, found

    def _convex(self, evidence: tuple[GroupEvidence, ...], times: dict[str, float]) -> Verdict:
        return Verdict(
            Status.CONVEX,
            self.domain,
            self.output,
            str(self.options.engine),
            evidence=evidence,
            times=times,
            claim=claimed(self.options),
        )
