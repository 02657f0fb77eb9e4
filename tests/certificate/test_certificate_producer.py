"""Certificates for every verdict, accepted by a checker that shares nothing with the prover."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import oracle
import pytest
from certificate_tools import check
from fuzz import tiny_network

from jensen.certificate.certificate import certify_convex
from jensen.certificate.model_export import export_json
from jensen.decide import verify
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.errors import CertificateError, OptionError
from jensen.network.relu_network import ReluNetwork
from jensen.verdicts.verdict import Status
from jensen_encodings.deadline import Deadline
from jensen_encodings.lp import LpResult, LpSolver


def certified(network: ReluNetwork, domain: Domain, folder: Path, **options: object) -> Status:
    """Verify with a certificate, have it accepted, and return the verdict."""
    verdict = verify(network, domain, output=0, certificate=True, **options)
    assert verdict.certificate is not None, verdict.note
    claims = {
        Status.CONVEX: ("convex", "concave"),
        Status.NONCONVEX: ("nonconvex", "nonconcave"),
    }[verdict.status]
    assert verdict.certificate.lines[0]["claim"] == claims[bool(options.get("concave"))]
    assert check(network, verdict.certificate, folder) == 0
    return verdict.status


def domains(network: ReluNetwork, seed: int) -> list[Domain]:
    rng = np.random.default_rng(seed)
    n = network.input_size
    lower = rng.integers(-2, 2, n).astype(float)
    A = rng.integers(-2, 3, (int(rng.integers(1, 4)), n)).astype(float)
    return [
        Everywhere(),
        Box(-1, 1),
        Box(lower, lower + rng.integers(0, 3, n)),
        Polyhedron(A, rng.integers(1, 3, len(A)).astype(float)),
    ]


@pytest.mark.parametrize("seed", range(40))
def test_tiny_networks_of_every_kind_are_certified(seed: int, tmp_path: Path) -> None:
    _, network = tiny_network(seed)
    for domain in domains(network, seed):
        status = certified(network, domain, tmp_path)
        assert (status is Status.CONVEX) == oracle.is_convex(network, domain)


@pytest.mark.parametrize("seed", range(0, 40, 3))
def test_concave_and_partial_claims_are_certified(seed: int, tmp_path: Path) -> None:
    _, network = tiny_network(seed)
    for domain in domains(network, seed):
        certified(network, domain, tmp_path, concave=True)
        certified(network, domain, tmp_path, inputs=(0,))


def flat_polyhedra(n: int) -> list[Polyhedron]:
    """A simplex, a line whose second equation shows on the first one only, a half-space of it."""
    eye, ones = np.eye(n), np.ones((1, n))
    plane = np.vstack([ones, -ones])
    narrow = np.vstack([plane, eye[:1] + ones / 2, -eye[:1] + ones / 4, -eye[-1:]])
    return [
        Polyhedron(np.vstack([plane, -eye]), np.array([1.0, -1.0, *np.zeros(n)])),
        Polyhedron(narrow, np.array([0.0, 0.0, 0.5, -0.5, 4.0])),
        Polyhedron(np.vstack([plane, -eye[:1]]), np.array([0.5, -0.5, 1.0])),
    ]


@pytest.mark.parametrize("seed", range(20))
def test_polyhedra_without_interior_are_certified(seed: int, tmp_path: Path) -> None:
    _, network = tiny_network(seed)
    for domain in flat_polyhedra(network.input_size)[: 3 if network.input_size > 1 else 1]:
        certified(network, domain, tmp_path)
        certified(network, domain, tmp_path, concave=True)


def test_slabs_thinner_than_the_solver_sees_are_certified(tmp_path: Path) -> None:
    """A third is no double: what looks like an equation leaves a width of 3e-17."""
    _, network = tiny_network(15)
    assert network.input_size == 3
    A = [[1, 1, 1], [-1, -1, -1], [1.5, 0.5, 0.5], [1 / 3 - 1, 1 / 3, 1 / 3], [0, 0, -1]]
    certified(network, Polyhedron(A, [0, 0, 0.5, -0.5, 4]), tmp_path)


def test_partial_claims_need_an_interior(tmp_path: Path) -> None:
    _, network = tiny_network(1)
    with pytest.raises(OptionError, match="certificate of partial convexity needs a polyhedron"):
        verify(network, flat_polyhedra(network.input_size)[0], certificate=True, inputs=(0,))


def test_the_cases_with_known_truth_are_certified(shared_cases: Path, tmp_path: Path) -> None:
    for name in ("handmade", "degenerate"):
        for case in json.loads((shared_cases / f"{name}.json").read_text())[::4]:
            network = ReluNetwork.from_layers(case["weights"], case["biases"])
            for domain, truth in (
                (Box(*case["box"]), case["convex_on_box"]),
                (Everywhere(), case["convex_everywhere"]),
            ):
                if truth is not None:
                    status = certified(network, domain, tmp_path)
                    assert (status is Status.CONVEX) == truth


def tournament(pieces: int, inputs: int, seed: int = 0) -> ReluNetwork:
    """Maximum of random affine pieces: ``max(a, b) = relu(a - b) + relu(b) - relu(-b)``."""
    rng = np.random.default_rng(seed)
    slope, offset = rng.integers(-99, 99, (pieces, inputs)) / 8, rng.integers(-9, 9, pieces) / 8
    weights, biases = [], []
    while pieces > 1:
        pieces //= 2
        match = np.kron(np.eye(pieces), [[1.0, -1.0], [0.0, 1.0], [0.0, -1.0]])
        weights.append(match @ slope)
        biases.append(match @ offset)
        slope = np.kron(np.eye(pieces), [[1.0, 1.0, -1.0]])
        offset = np.zeros(pieces)
    return ReluNetwork.from_layers([*weights, slope], [*biases, offset])


@pytest.mark.parametrize(("pieces", "inputs"), [(4, 2), (32, 5)])
@pytest.mark.parametrize("domain", [Everywhere(), Box(-1, 1)], ids=str)
def test_tournaments_are_certified(
    pieces: int, inputs: int, domain: Domain, tmp_path: Path
) -> None:
    assert certified(tournament(pieces, inputs), domain, tmp_path) is Status.CONVEX


def test_every_claim_of_a_network_without_kinks_is_certified(tmp_path: Path) -> None:
    line = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, -1.0]]], [[0, 0], [3]])
    assert certified(line, Everywhere(), tmp_path) is Status.CONVEX
    assert certified(line, Everywhere(), tmp_path, concave=True) is Status.CONVEX


@pytest.mark.parametrize("seed", range(0, 60, 2))
def test_groups_without_a_tree_of_the_prover_are_searched_from_scratch(
    seed: int, tmp_path: Path
) -> None:
    _, network = tiny_network(seed)
    for domain in domains(network, seed):
        truth = oracle.is_convex(network, domain)
        if truth:
            assert check(network, certify_convex(network, domain), tmp_path) == 0
        else:
            with pytest.raises(CertificateError, match="cannot be certified"):
                certify_convex(network, domain)


@pytest.mark.parametrize("seed", range(0, 30, 2))
def test_corrupted_solver_numbers_leave_certificates_right(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The solver's numbers are hints: lies cost certificates, never their truth."""
    rng = np.random.default_rng(seed)
    honest = LpSolver.maximise

    def corrupt(self: LpSolver, *arguments: object) -> LpResult:
        result = honest(self, *arguments)  # type: ignore[arg-type]
        lies = result.multipliers * rng.choice([1.0, 1.0, -1.0, 0.0, 1e9], result.multipliers.size)
        x = result.x + rng.choice([0.0, 1e-3, 5.0], result.x.size)
        return LpResult(result.status, result.objective, x, lies)

    _, network = tiny_network(seed)
    for domain in domains(network, seed)[:3]:
        truth = oracle.is_convex(network, domain)
        monkeypatch.setattr(LpSolver, "maximise", corrupt)
        verdict = verify(network, domain, certificate=True)
        monkeypatch.setattr(LpSolver, "maximise", honest)
        if verdict.status is not Status.UNKNOWN:
            assert (verdict.status is Status.CONVEX) == truth
        if verdict.certificate is not None:
            assert check(network, verdict.certificate, tmp_path) == 0


def test_certificates_of_the_same_proof_are_the_same_bytes(tmp_path: Path) -> None:
    network = tournament(8, 2)
    files = [tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"]
    for file in files:
        verdict = verify(network, certificate=True)
        assert verdict.certificate is not None
        verdict.certificate.write(file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_an_export_needs_its_ending(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"must end in \.json"):
        export_json(tournament(2, 1), tmp_path / "model.txt")


def test_producing_a_certificate_keeps_to_the_time_limit() -> None:
    network = tournament(8, 2)
    with pytest.raises(CertificateError, match="time limit"):
        certify_convex(network, Everywhere(), deadline=Deadline(0.0))


def test_every_output_has_its_own_certificate(tmp_path: Path) -> None:
    network = ReluNetwork.from_layers(
        [[[1.0], [-1.0]], [[1.0, 1.0], [1.0, -2.0]]], [[0, 0], [0, 0]]
    )
    verdict = verify(network, certificate=True)
    assert [part.status for part in verdict.outputs] == [Status.CONVEX, Status.NONCONVEX]
    for k, part in enumerate(verdict.outputs):
        assert part.certificate is not None
        assert part.certificate.lines[0]["output"] == k
        assert check(network, part.certificate, tmp_path) == 0


def test_networks_without_hidden_layers_have_certificates(tmp_path: Path) -> None:
    network = ReluNetwork.from_layers([[[1.0, -2.0]]], [[3.0]])
    for domain in (Box(-1, 1), Everywhere()):
        verdict = verify(network, domain, certificate=True)
        assert verdict.certificate is not None
        assert check(network, verdict.certificate, tmp_path) == 0


def far_apart(seed: int) -> tuple[ReluNetwork, list[Domain]]:
    """Rows, biases and sides of a box of scales from 1e-200 to 1e200, beyond doubles together."""
    rng = np.random.default_rng([seed, 99])
    inputs = int(rng.integers(1, 4))
    sizes = [inputs, *rng.integers(1, 4, int(rng.integers(2, 4))), 1]
    weights, biases = [], []
    for i, (rows, columns) in enumerate(zip(sizes[1:], sizes[:-1], strict=True)):
        weight, bias = rng.normal(size=(rows, columns)), rng.normal(size=rows)
        if i:
            weight = np.where(rng.random(weight.shape) < 0.15, weight, np.abs(weight))
        weights.append(weight * 10.0 ** rng.integers(-150, 150, (rows, 1)))
        bias = bias * 10.0 ** rng.integers(-150, 150, rows)
        biases.append(bias * 0 if rng.random() < 0.3 else bias)
    box = Box(-(10.0 ** rng.integers(-200, 200, inputs)), 10.0 ** rng.integers(-200, 200, inputs))
    return ReluNetwork.from_layers(weights, biases), [box, Everywhere(), Box(-1, 1)]


@pytest.mark.parametrize("seed", [90, 134, 161, 203, 321, 348, *range(10)])
def test_numbers_beyond_the_range_of_doubles_are_certified(seed: int, tmp_path: Path) -> None:
    network, domains = far_apart(seed)
    for domain in domains:
        certified(network, domain, tmp_path)
