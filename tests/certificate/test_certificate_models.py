"""Every shipped model, every known case: certified, and accepted by the checker run alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from certificate_tools import CHECKER, check

from jensen.batch import Case, find_cases
from jensen.certificate.certificate import Certificate
from jensen.certificate.model_export import export_json
from jensen.decide import verify
from jensen.domains.domain import Box, Domain, Everywhere
from jensen.loaders import load
from jensen.network.relu_network import ReluNetwork
from jensen.verdicts.verdict import Status

MODELS = Path(__file__).resolve().parents[2] / "models"


def run_alone(model: Path, certificate: Certificate) -> str:
    """Run ``python checker.py MODEL CERT`` without this package and without any other."""
    file = model.with_suffix(".jsonl.gz")
    certificate.write(file)
    command = [sys.executable, "-I", "-S", str(CHECKER), str(model), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


@pytest.mark.parametrize(
    "case", find_cases([MODELS]), ids=lambda case: f"{case.name} {case.domain}"
)
def test_every_shipped_model_is_certified(case: Case, tmp_path: Path) -> None:
    network = load(case.path)
    output = case.output or 0
    verdict = verify(network, case.domain, output=output, options=case.options, certificate=True)
    assert str(verdict.status) == str(case.expected)
    assert verdict.certificate is not None
    export_json(network, tmp_path / "m.json")
    said = run_alone(tmp_path / "m.json", verdict.certificate)
    assert said.startswith(f"accepted: output {output} is {verdict.status}")


def certify_known(network: ReluNetwork, domain: Domain, convex: bool | None, folder: Path) -> None:
    verdict = verify(network, domain, certificate=True)
    assert convex is None or (verdict.status is Status.CONVEX) == convex
    assert verdict.certificate is not None
    # in this process: two thousand others would take longer to start than all of the rest
    assert check(network, verdict.certificate, folder) == 0


@pytest.mark.slow
def test_every_case_with_known_truth_is_certified(shared_cases: Path, tmp_path: Path) -> None:
    for name in ("handmade", "degenerate"):
        for case in json.loads((shared_cases / f"{name}.json").read_text()):
            network = ReluNetwork.from_layers(case["weights"], case["biases"])
            certify_known(network, Box(*case["box"]), case["convex_on_box"], tmp_path)
            certify_known(network, Everywhere(), case["convex_everywhere"], tmp_path)
    for file in shared_cases.glob("cell_*.npz"):
        cell = np.load(file)
        for i in range(len(cell["W0"])):
            network = ReluNetwork.from_layers(
                [cell[f"W{k}"][i] for k in range(3)], [cell[f"b{k}"][i] for k in range(3)]
            )
            certify_known(network, Box(-100, 100), bool(cell["convex_on_box"][i]), tmp_path)
            certify_known(network, Everywhere(), bool(cell["convex_everywhere"][i]), tmp_path)
