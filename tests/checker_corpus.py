"""The corpus of certificates with known answers, and a checker that stands alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from certificate_tools import LONELY

from jensen.certificate.model_export import export_bytes
from jensen.network.relu_network import ReluNetwork

checker = LONELY

CORPUS = Path(__file__).resolve().parent / "certificate"
EXIT_CODES = {"accepted": 0, "rejected": 1, "malformed": 2}


def files(kind: str) -> list[Path]:
    return sorted((CORPUS / kind).iterdir())


def model_of(certificate: Path) -> Path:
    return CORPUS / "models" / f"{certificate.name.split('--')[0]}.json"


def answer(model: Path, certificate: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = checker.main([str(model), str(certificate)])
    return code, capsys.readouterr().out.strip()


def exported(network: ReluNetwork) -> Any:
    """Return a network as the checker reads it."""
    return checker.read_model(export_bytes(network))
