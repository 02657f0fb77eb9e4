"""Every network of known truth is decided, and decided right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from agreement import check_evidence

import jensen
from jensen.domains.domain import Box, Domain, Everywhere
from jensen.network.relu_network import ReluNetwork
from jensen.verdicts.verdict import Status

TIME_LIMIT = 30.0


def decide(network: ReluNetwork, domain: Domain, convex: bool, name: object) -> list[str]:
    verdict = jensen.verify(network, domain, time_limit=TIME_LIMIT)
    expected = Status.CONVEX if convex else Status.NONCONVEX
    if verdict.status is not expected:
        return [f"{name} on {domain}: expected {expected}, found {verdict.summary}"]
    check_evidence(network, domain, verdict)
    return []


@pytest.mark.parametrize("name", ["handmade.json", "degenerate.json"])
def test_no_hand_made_network_is_misjudged_or_left_open(shared_cases: Path, name):
    failures = []
    for case in json.loads((shared_cases / name).read_text()):
        network = ReluNetwork.from_layers(case["weights"], case["biases"])
        for key, domain in (
            ("convex_on_box", Box(*case["box"])),
            ("convex_everywhere", Everywhere()),
        ):
            if case[key] is not None:
                failures += decide(network, domain, case[key], case["name"])
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("cell", ["cell_d2_w2", "cell_d2_w4", "cell_d3_w2", "cell_d3_w3"])
def test_no_default_initialised_network_is_misjudged_or_left_open(shared_cases: Path, cell):
    with np.load(shared_cases / f"{cell}.npz") as data:
        arrays = {key: data[key] for key in data.files}
    failures = []
    for index in range(len(arrays["W0"])):
        weights, biases = ([arrays[f"{letter}{k}"][index] for k in range(3)] for letter in "Wb")
        network = ReluNetwork.from_layers(weights, biases)
        for key, domain in (
            ("convex_on_box", Box(-100, 100)),
            ("convex_everywhere", Everywhere()),
        ):
            failures += decide(network, domain, bool(arrays[key][index]), index)
    assert not failures, "\n".join(failures)
