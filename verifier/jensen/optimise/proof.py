"""Where the convexity comes from that everything in this room rests on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from jensen.certificate import checker
from jensen.certificate.certificate import Certificate
from jensen.certificate.model_export import export_json
from jensen.decide import verify
from jensen.domains.domain import Domain, domain_from_json
from jensen.errors import CertificateError, NotConvexError, OptionError, UndecidedError
from jensen.graphs.function_graph import FunctionGraph
from jensen.network.relu_network import ReluNetwork
from jensen.optimise.ground import dot
from jensen.text import shown
from jensen.types import FloatArray
from jensen.verdicts.options import Options
from jensen.verdicts.verdict import Status, Verdict


def proved_convex(
    network: ReluNetwork | FunctionGraph,
    domain: Domain,
    output: int,
    *,
    verdict: Verdict | None = None,
    certificate: Certificate | str | Path | None = None,
    options: Options | None = None,
    claims: Collection[str] = ("convex",),
) -> Verdict:
    """Return a verdict that says "convex", exactly, of one output on a domain.

    Parameters
    ----------
    network : ReluNetwork or FunctionGraph
    domain : Domain
    output : int
    verdict : Verdict, optional
        Of this very network on this domain or a larger one.
    certificate : Certificate or path, optional
        Checked against the network, in place of a verification.
    options : Options, optional
        Of the verification, where there is neither.
    claims : collection of str
        What a verdict may claim; such as partial convexity.

    Raises
    ------
    NotConvexError
        With the pair, if the output is not convex.
    UndecidedError
        If it was not decided, or only up to a tolerance.
    CertificateError
        If the certificate is rejected.
    OptionError
        If verdict or certificate speak of something else.
    """
    _check_given(verdict, certificate)
    if certificate is not None:
        return _checked(network, domain, output, certificate)
    if verdict is None:
        verdict = verify(network, domain, output=output, options=options)
    elif verdict.outputs:
        verdict = next((v for v in verdict.outputs if v.output == output), verdict)
    if verdict.subject is not network and verdict.digest != network.digest:
        about = f"a network of digest {verdict.digest[:12]}" if verdict.digest else "no network"
        raise OptionError(
            f"the verdict is about {about}, this one's digest is {network.digest[:12]}: verify "
            "the network itself, with its inputs fixed where some are"
        )
    if verdict.claim not in claims:
        needed = " or ".join(map(repr, claims))
        raise OptionError(f"the verdict claims {verdict.claim!r}: {needed} is needed")
    if verdict.output != output:
        raise OptionError(f"the verdict is about output {verdict.output}: asked is {output}")
    if verdict.status is Status.NONCONVEX:
        raise NotConvexError(verdict.summary, verdict.counterexample)
    if verdict.status is not Status.CONVEX:
        raise UndecidedError(verdict.summary)
    if verdict.tolerance is not None:
        raise UndecidedError(f"{verdict.summary}: an exact proof is needed")
    if not covers(verdict.domain, domain, network.input_size):
        raise OptionError(f"the verdict is about {verdict.domain}, which does not cover {domain}")
    return verdict


def _check_given(verdict: Any, certificate: Any) -> None:
    if verdict is not None and certificate is not None:
        raise OptionError("verdict and certificate: one is enough, give one")
    if not isinstance(verdict, Verdict | None):
        raise OptionError(f"verdict: what jensen.verify returns is needed, found {shown(verdict)}")
    if not isinstance(certificate, Certificate | str | os.PathLike | None):
        raise OptionError(f"certificate: one, or its file, is needed, found {shown(certificate)}")


def covers(outer: Domain, inner: Domain, inputs: int) -> bool:
    """Whether one domain contains another; False where that is not seen at once.

    Examples
    --------
    >>> from jensen.domains.domain import Box, Everywhere
    >>> covers(Everywhere(), Box(-1, 1), 2), covers(Box(-1, 1), Box(-2, 2), 2)
    (True, False)
    """
    if outer is inner:
        return True
    A, b = outer.inequalities(inputs)
    sides = inner.box_sides(inputs)
    if sides is None:
        return _rows(A, b) <= _rows(*inner.inequalities(inputs))
    lower, upper = sides
    farthest = np.where(A > 0, upper, lower)
    return all(
        dot(row, x) <= Fraction(limit)
        for row, x, limit in zip(A.tolist(), farthest.tolist(), b.tolist(), strict=True)
    )


def _rows(A: FloatArray, b: FloatArray) -> set[tuple[float, ...]]:
    return {(*row, limit) for row, limit in zip(A.tolist(), b.tolist(), strict=True)}


def _checked(
    network: ReluNetwork | FunctionGraph,
    domain: Domain,
    output: int,
    certificate: Certificate | str | Path,
) -> Verdict:
    """Replay a certificate with the independent checker."""
    with tempfile.TemporaryDirectory() as folder:
        export = Path(folder, "model.json")
        export_json(network, export)
        path = Path(folder, "proof.jsonl")
        if isinstance(certificate, Certificate):
            certificate.write(path)
        else:
            path = Path(certificate)
        try:
            model = checker.read_model(export.read_bytes())
            head: dict[str, Any] = next(iter(checker.Lines(str(path))), {})
            checker.check(model, iter(checker.Lines(str(path))))
        except OSError as error:
            raise CertificateError(f"{path}: {error.strerror or error}") from None
        except (checker.Rejected, checker.Malformed, ValueError) as error:
            file = "" if isinstance(certificate, Certificate) else f"{path}: "
            raise CertificateError(f"{file}the certificate is not accepted: {error}") from None
    kind = head["claim"] + ("" if "inputs" not in head else f" in inputs {head['inputs']}")
    claimed = domain_from_json(_in_doubles(head["domain"]))
    verdict = Verdict(
        Status.CONVEX, claimed, head["output"], "certificate", claim=kind, subject=network
    )
    if kind == "nonconvex":
        verdict = replace(verdict, status=Status.NONCONVEX, claim="convex")
    return proved_convex(network, domain, output, verdict=verdict)


def _in_doubles(record: Any) -> Any:
    """Read the exact numbers of a claim's domain, which have to be doubles."""
    if isinstance(record, list):
        return [_in_doubles(item) for item in record]
    if isinstance(record, dict):
        return {k: v if k == "type" else _in_doubles(v) for k, v in record.items()}
    number = Fraction(*(int(part, 0) for part in record.split("/")))
    if Fraction(float(number)) != number:
        raise CertificateError(f"the domain of the certificate holds {record!r:.40}, no double")
    return float(number)
