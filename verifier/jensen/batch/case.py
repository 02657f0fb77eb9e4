"""What goes into a batch (a case) and what comes out of it (a row)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from jensen.batch.member import StackMember
from jensen.domains.domain import Domain
from jensen.graphs.function_graph import FunctionGraph
from jensen.network.relu_network import ReluNetwork
from jensen.verdicts.options import Options


class RowStatus(StrEnum):
    """A verdict, or that there is none because the job failed.

    Examples
    --------
    >>> RowStatus.ERROR == "error"
    True
    """

    CONVEX = "convex"
    NONCONVEX = "nonconvex"
    UNKNOWN = "unknown"
    ERROR = "error"


@dataclass(frozen=True)
class Case:
    """One model to verify.

    Attributes
    ----------
    path : Path
        The model file; it is opened by the worker, so that a broken one costs one row.
    name : str
        The name in tables and in the store; printable whatever the path holds.
    domain : Domain
    options : Options
        Without the time limit, which is no part of what is asked.
    output : int or None
        None: all outputs.
    expected : RowStatus or None
        What the manifest expects; ``error`` stands for a refused file.
    reason : str
        Why it is expected.
    network : ReluNetwork, FunctionGraph or jensen.batch.networks.StackMember, optional
        Verified instead of the file, where the network is no file of its own.

    Examples
    --------
    >>> from jensen.batch import cases_of
    >>> from jensen.network.relu_network import ReluNetwork
    >>> net = ReluNetwork.from_layers([[[1.0]], [[1.0]]], [[0], [0]])
    >>> case = cases_of([net])[0]
    >>> case.name, len(case.job(net.digest))
    ('network[0]', 64)
    """

    path: Path
    name: str
    domain: Domain
    options: Options = field(default_factory=Options)
    output: int | None = None
    expected: RowStatus | None = None
    reason: str = ""
    network: ReluNetwork | FunctionGraph | StackMember | None = None

    @property
    def question(self) -> str:
        """What is asked of the model, as canonical JSON: domain, output, proof options."""
        return canonical(
            {
                "domain": self.domain.to_json(),
                "output": self.output,
                "options": asked_options(self.options),
            }
        )

    def job(self, digest: str) -> str:
        """Return the identity of this question put to the model of that digest.

        Parameters
        ----------
        digest : str

        Returns
        -------
        str
            A SHA-256.
        """
        text = f"{digest}\n{self.question}".encode()
        return hashlib.sha256(text).hexdigest()


@dataclass(frozen=True)
class Row:
    """What became of one case; JSON-ready, and one row of the store.

    ``digest`` is the network's (:attr:`~jensen.ReluNetwork.digest`), or one of the
    file where no network could be read. ``seconds`` is the worker's wall clock for the
    whole job; ``outputs`` and ``evidence`` hold parts of ``Verdict.to_json()``. ``edition`` is
    that of the code which decided (:mod:`jensen.batch.edition`), 0 where none was counted.

    Examples
    --------
    >>> row = Row(RowStatus.CONVEX, "6d" * 32, "convex on all of R^n")
    >>> Row.from_json(row.to_json()).status
    <RowStatus.CONVEX: 'convex'>
    """

    status: RowStatus
    digest: str
    summary: str = ""
    error: str = ""
    note: str = ""
    engine: str = ""
    tolerance: float | None = None
    lower: float | None = None
    upper: float | None = None
    counterexample: dict[str, Any] | None = None
    reasons: dict[str, int] = field(default_factory=dict)
    layers: dict[str, dict[str, int]] = field(default_factory=dict)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    nodes: int = 0
    lps: int = 0
    inputs: int | None = None
    relus: int | None = None
    parameters: int | None = None
    certificate: str | None = None
    certificate_bytes: int | None = None
    seconds: float = 0.0
    times: dict[str, float] = field(default_factory=dict)
    finished: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    edition: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready record.

        Returns
        -------
        dict
        """
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Row:
        """Build a row from :meth:`to_json`; keys of other versions are left out.

        Parameters
        ----------
        record : mapping

        Returns
        -------
        Row
        """
        known = {item.name for item in fields(cls)}
        values = {key: value for key, value in record.items() if key in known}
        values["status"] = RowStatus(values["status"])
        return cls(**values)


def asked_options(options: Options) -> dict[str, Any]:
    """Return the options that change what is claimed; limits and seeds do not."""
    return {
        "concave": options.concave,
        "engine": str(options.engine),
        "inputs": None if options.inputs is None else list(options.inputs),
        "tolerance": options.tolerance,
    }


def canonical(value: Any) -> str:
    """Return JSON that is the same for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
