"""Shared by the tests of certificates: a lonely checker, and how claims are written."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from jensen.certificate.certificate import Certificate
from jensen.certificate.claims import domain_record
from jensen.certificate.model_export import export_bytes, export_json
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.network.relu_network import ReluNetwork

CHECKER = Path(__file__).resolve().parents[1] / "verifier" / "jensen" / "certificate" / "checker.py"
Lines = list[Any]
FARTHEST = 2**40


def lonely_checker() -> ModuleType:
    """Load a copy of the checker that nothing else in the process holds."""
    spec = importlib.util.spec_from_file_location("lonely_checker", CHECKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["lonely_checker"] = module
    spec.loader.exec_module(module)
    return module


LONELY = lonely_checker()


def check(network: ReluNetwork, certificate: Certificate | bytes, folder: Path) -> int:
    """Write model and certificate, and return the checker's exit code."""
    model, file = folder / "model.json", folder / "certificate.jsonl"
    export_json(network, model)
    if isinstance(certificate, bytes):
        file.write_bytes(certificate)
    else:
        certificate.write(file)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = LONELY.main([str(model), str(file)])
    assert out.getvalue().split(":")[0] == ("accepted", "rejected", "malformed")[code]
    return int(code)


def digest_of(network: ReluNetwork) -> str:
    """Return what certificates call a network by: the hash of its export."""
    return hashlib.sha256(export_bytes(network)).hexdigest()


def claim_of(network: ReluNetwork, domain: Domain) -> dict[str, Any]:
    """Return the claim that a network is convex."""
    return {
        "format": LONELY.FORMAT,
        "model": digest_of(network),
        "claim": "convex",
        "output": 0,
        "domain": domain_record(domain, network.input_size),
    }


def to_bytes(lines: Lines) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def domain_of(claim: dict[str, Any]) -> Domain:
    """Read a domain back; its numbers are doubles in these tests, or absurdly large.

    The kinks of the tiny networks meet each other far inside of ``FARTHEST``, beyond which
    all regions are cones: convexity is the same on a box that is cut there.
    """
    record = claim["domain"]

    def numbers(items: list[str]) -> list[float]:
        values = LONELY.rationals(items, len(items))
        return [float(max(-FARTHEST, min(value, FARTHEST))) for value in values]

    if record["type"] == "box":
        return Box(numbers(record["lower"]), numbers(record["upper"]))
    if record["type"] == "polyhedron":
        return Polyhedron([numbers(row) for row in record["A"]], numbers(record["b"]))
    return Everywhere()
