"""What a verification returns: a status, and the evidence for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from textwrap import wrap
from typing import Any, NoReturn, Protocol

from jensen.arithmetic.exact import to_double
from jensen.domains.domain import Domain
from jensen.text import counted, html_badge, html_table, markup, printable
from jensen.verdicts.evidence import Counterexample, GroupEvidence

# of ``print(verdict)``, the last for each part of it: a terminal shows 24 lines
SCREEN_OUTPUTS, SCREEN_WIDTH, SCREEN_LINES = 4, 110, 3


class Subject(Protocol):
    """What a verdict may speak of."""

    @property
    def digest(self) -> str:
        """Identity of the function, the same in every process."""


class Status(StrEnum):
    """The answer; ``UNKNOWN`` is the default of everything not proved.

    Examples
    --------
    >>> assert Status.CONVEX == "convex"
    """

    CONVEX = "convex"
    NONCONVEX = "nonconvex"
    UNKNOWN = "unknown"


COLOURS = {Status.CONVEX: "#00639b", Status.NONCONVEX: "#b34700", Status.UNKNOWN: "#5f6368"}


@dataclass(frozen=True, repr=False)
class Verdict:
    """The answer to "is output k of this network convex on this domain?".

    Attributes
    ----------
    status : Status
    domain : Domain
    output : int or None
        The output it speaks of; None where it sums up several.
    engine : str
        The engine that decided.
    counterexample : Counterexample or None
        None unless nonconvex.
    evidence : tuple of GroupEvidence
    tolerance : float or None
        None: exact. Otherwise the claim holds up to this number, and ``summary`` says so.
    violation_bounds : (float, float) or None
        Proved lower and upper bound of the worst midpoint violation, where known.
    times : mapping from stage to seconds
    note : str
        What is left open, or which restriction applies.
    claim : str
        What was asked: convex or concave, in which inputs.
    certificate : object or None
        The certificate, where one was asked for.
    outputs : tuple of Verdict
        One per output, where the network has several and none was picked.
    subject : ReluNetwork, FunctionGraph or None
        The network it speaks of; who builds on a verdict compares its :attr:`digest`.
    condition_source : callable or None
        Where :attr:`conditions` come from.

    Examples
    --------
    >>> import jensen
    >>> bend = jensen.ReluNetwork.from_layers([[[1.0]], [[1.0]]], [[0], [0]])
    >>> verdict = jensen.verify(bend, jensen.Box(-1, 1))
    >>> verdict.status, verdict.summary
    (<Status.CONVEX: 'convex'>, 'convex on box [-1, 1] (1 sign)')
    >>> verdict.to_json()["status"]
    'convex'
    """

    status: Status
    domain: Domain
    output: int | None = 0
    engine: str = "auto"
    counterexample: Counterexample | None = None
    evidence: tuple[GroupEvidence, ...] = ()
    tolerance: float | None = None
    violation_bounds: tuple[float, float] | None = None
    times: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    claim: str = "convex"
    certificate: Any = None
    outputs: tuple[Verdict, ...] = ()
    subject: Subject | None = field(default=None, repr=False, compare=False)
    condition_source: Callable[[Mapping[tuple[str, int], str]], tuple[Any, ...]] | None = field(
        default=None, repr=False, compare=False
    )

    @property
    def digest(self) -> str:
        """Of the network it speaks of, which takes a look at all weights; "" without one."""
        return "" if self.subject is None else self.subject.digest

    @property
    def conditions(self) -> tuple[Any, ...]:
        """The path conditions (:class:`jensen.Condition`), the most violated first.

        For one or two inputs, and small networks of three, all that some facet asks for; for
        more inputs the least that was met on each kink, and a bound over all patterns. Computed
        when they are asked for.
        """
        if self.outputs:
            return tuple(item for verdict in self.outputs for item in verdict.conditions)
        if self.condition_source is None:
            return ()
        reasons = {n: str(item.reason) for item in self.evidence for n in item.neurons}
        return self.condition_source(reasons)

    @property
    def nodes(self) -> int:
        """Tree nodes over all groups."""
        return sum(item.nodes for item in self.evidence)

    @property
    def lps(self) -> int:
        """Linear programs over all groups."""
        return sum(item.lps for item in self.evidence)

    @property
    def reasons(self) -> dict[str, int]:
        """How many groups each reason closed."""
        return dict(Counter(str(item.reason) for item in self.evidence))

    @property
    def summary(self) -> str:
        """The verdict in one sentence."""
        if self.status is Status.CONVEX:
            within = "" if self.tolerance is None else f" within {self.tolerance:g}"
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.reasons.items())
            return f"{self.claim}{within} on {self.domain}" + (f" ({reasons})" if reasons else "")
        if self.counterexample is not None:
            worst, where = self.counterexample, ""
            if worst.neuron is not None and worst.slope_change is not None:
                block, index = worst.neuron
                fall = f"slope falls by {-worst.slope_change:.3g}"
                where = f"; neuron {printable(block)}[{index}]: {fall}"
            return (
                f"not {self.claim} on {self.domain}: midpoint violation "
                f"{to_double(worst.violation):.3g}{where}"
            )
        return f"undecided on {self.domain}" + (f": {self.note}" if self.note else "")

    @property
    def details(self) -> list[str]:
        """What is claimed of one output, and what shows it, in lines for people."""
        lines = [self.summary]
        if self.counterexample is not None:
            lines += self.counterexample.ends
        if self.violation_bounds is not None:
            lower, upper = self.violation_bounds
            lines.append(f"worst midpoint violation between {lower:.6g} and {upper:.6g}")
        if self.note and self.note not in self.summary:
            lines.append(self.note)
        return lines

    @property
    def effort(self) -> str:
        """Nodes, linear programs, and the seconds of the stages that took any."""
        spent = {stage: f"{seconds:.2f} s" for stage, seconds in self.times.items()}
        times = ", ".join(f"{stage} {text}" for stage, text in spent.items() if text != "0.00 s")
        search = f"{counted(self.nodes, 'node')}, {counted(self.lps, 'LP')}" if self.nodes else ""
        return "; ".join(part for part in (search, times) if part)

    def __str__(self) -> str:
        """Return the verdict on one screen: of many outputs the first ones, the decisive first.

        Examples
        --------
        >>> from jensen.domains.everywhere import Everywhere
        >>> print(Verdict(Status.UNKNOWN, Everywhere(), note="time is up"))
        unknown
          undecided on all of R^n: time is up
        """
        parts = list(self.outputs or (self,))
        if len(parts) > SCREEN_OUTPUTS:
            parts.sort(key=lambda part: part.status is not self.status)
        lines = []
        for part in parts[:SCREEN_OUTPUTS]:
            label = f"output {part.output}: " if self.outputs else ""
            first, *rest = part.details
            lines += [label + first, *rest]
        if len(parts) > SCREEN_OUTPUTS:
            lines.append(f"and {len(parts) - SCREEN_OUTPUTS} more outputs")
        lines += [self.effort] if self.effort else []
        short = (wrap(x, SCREEN_WIDTH, max_lines=SCREEN_LINES, placeholder=" ...") for x in lines)
        return "\n  ".join([str(self.status), *chain.from_iterable(short)])

    def __repr__(self) -> str:
        """Return one line, however much evidence there is."""
        return f"Verdict({str(self.status)!r}, {self.summary!r})"

    def __bool__(self) -> NoReturn:
        """Refuse: every object is true, a nonconvex verdict as well."""
        raise TypeError(
            "a verdict is convex, nonconvex or unknown, not true or false: compare verdict.status "
            "with jensen.Status.CONVEX, or ask jensen.is_convex"
        )

    def _repr_html_(self) -> str:
        """Return the verdict for a notebook: the claim, and what shows it."""
        shown = "".join(f"<div>{markup(x.strip())}</div>" for x in str(self).split("\n")[1:])
        table = ""
        if self.evidence:
            table = html_table(["reason", "groups", "nodes", "LPs"], self._effort_by_reason())
        badge = html_badge(str(self.status), COLOURS[self.status])
        return f"<div><div>{badge}</div>{shown}{table}</div>"

    def _effort_by_reason(self) -> list[list[str]]:
        """Return a row per reason: how many groups it closed, nodes and linear programs."""
        rows = []
        for reason, count in self.reasons.items():
            chosen = [item for item in self.evidence if str(item.reason) == reason]
            effort = (sum(item.nodes for item in chosen), sum(item.lps for item in chosen))
            rows.append([reason, *(f"{number:,}" for number in (count, *effort))])
        return rows

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        record: dict[str, Any] = {
            "status": str(self.status),
            "digest": self.digest,
            "claim": self.claim,
            "summary": self.summary,
            "domain": self.domain.to_json(),
            "output": self.output,
            "engine": self.engine,
            "tolerance": self.tolerance,
            "counterexample": self.counterexample and self.counterexample.to_json(),
            "violation_bounds": self.violation_bounds and list(self.violation_bounds),
            "reasons": self.reasons,
            "nodes": self.nodes,
            "lps": self.lps,
            "times": dict(self.times),
            "note": self.note,
            "certificate_bytes": None if self.certificate is None else self.certificate.size,
            "evidence": [item.to_json() for item in self.evidence],
        }
        if self.outputs:
            record["outputs"] = [verdict.to_json() for verdict in self.outputs]
        return record


def worst(statuses: list[Status]) -> Status:
    """Return nonconvex if any is, else unknown if any is, else convex."""
    for status in (Status.NONCONVEX, Status.UNKNOWN):
        if status in statuses:
            return status
    return Status.CONVEX
