"""Version 3: bounds on the kink, states and products, faces; proofs without the prover's trees."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from certificate_tools import check
from comparators import random_order
from exact_facets import Facet, facets, network_of, random_network, values_at
from fuzz import tiny_network, varied_network

from jensen.certificate import checker
from jensen.certificate.certificate import certify_convex
from jensen.certificate.joint_leaf import JointAnswer, JointProver
from jensen.certificate.proof_node import ProofNode
from jensen.decide import verify
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.errors import CertificateError
from jensen.network.relu_network import ReluNetwork

TRAINED = Path(__file__).resolve().parents[3] / "shared" / "cases" / "trained"


# ------------------------------------------------------------------ rows hold at facets


def rows_of(node: checker.Node) -> Iterator[tuple[Any, ...]]:
    yield ("jump",)
    yield from (("cut", index) for index in range(len(node.cuts)))
    for name, (unit, _) in node.net.neurons.items():
        yield ("above", *name)
        low, high = node.bounds(unit)
        if low < 0 < high:
            yield ("below", *name)
        if unit not in node.fixed and low <= 0 <= high:
            yield ("on", *name)
            yield ("off", *name)
            yield from (("product", *name, which) for which in range(4))


def add_cut(node: checker.Node, unit: int, rng: np.random.Generator) -> None:
    """Add a cut with numbers at random: whatever they are, it holds."""
    sides = [(None, str(Fraction(int(rng.integers(-6, 7)), 3)), [["facet", "-2"]])[rng.integers(3)]
             for _ in range(2)]  # fmt: skip
    numbers = [str(Fraction(int(v), 2)) for v in rng.integers(-4, 5, node.net.inputs)]
    node.cut(unit, *sides, numbers)


def count_rows_that_hold(seed: int) -> int:
    network = random_network(seed, depth=1 + seed % 3)
    domain = (Box(-1, 1), Everywhere())[seed % 2]
    net, rng, seen = network_of(network, domain), np.random.default_rng(seed), 0
    for group in sorted(net.kinks):
        node = checker.Node(net, group, {group: False})
        for k in range(net.inputs, net.output):
            if k != group and k not in node.fixed and rng.random() < 0.7:
                shifts = [str(Fraction(int(v), 3)) for v in rng.integers(-6, 7, 2)]
                node.narrow(k, *shifts)
        for k in range(net.inputs, net.output):
            add_cut(node, k, rng)
        node.open_states()
        for facet in facets(net, group, rng):
            slopes = facet.slopes(group)
            for k, (low, high) in enumerate(node.ranges):
                assert low <= facet.at[k] <= high or k == net.output
            assert all(facet.pattern[k] == node.fixed[k] for k in node.fixed.keys() - {group})
            for k, (low, high) in node.spans.items():
                assert k == group or low <= slopes[k] <= high
            for words in rows_of(node):
                value = sum(factor * facet.value(form, slopes) for form, factor in node.row(*words))
                if words == ("jump",):
                    assert value == -slopes[net.output] - 1
                else:
                    assert value >= 0, (seed, group, words)
                    seen += 1
    return seen


def test_rows_and_bounds_hold_at_facets() -> None:
    assert sum(map(count_rows_that_hold, range(60))) > 2000


def test_cuts_hold_on_faces() -> None:
    """Points of kinks on a cone are scaled to the cube, where one coordinate is 1 or -1."""
    seen = 0
    for seed in range(60):
        net = network_of(random_network(seed, depth=1 + seed % 3), Everywhere())
        rng = np.random.default_rng(seed)
        for group in sorted(net.kinks):
            for facet in facets(net, group, rng):
                inputs = range(1, net.inputs)
                largest = max(inputs, key=lambda k: abs(facet.at[k]))
                x = [facet.at[k] / abs(facet.at[largest]) for k in inputs]
                point = Facet(net, x, x)
                node = checker.Node(net, group, {group: False}, largest * int(x[largest - 1]))
                for unit in range(net.inputs, net.output):
                    add_cut(node, unit, rng)
                for ((form, _),) in (node.row("cut", i) for i in range(len(node.cuts))):
                    assert point.value(form, []) >= 0
                    seen += 1
    assert seen > 2000


def test_expanded_forms_have_the_values_of_their_units() -> None:
    """By rows where few units are put in, side by side in one integer where many are."""
    for seed in range(60):
        net = network_of(random_network(seed, 1 + seed % 3, width=2 + seed % 7), Box(-1, 1))
        rng = np.random.default_rng(seed)
        inputs = net.units[1 : net.inputs]
        x = [u.low + Fraction(int(rng.integers(98)), 97) * (u.high - u.low) for u in inputs]
        at = values_at(net, x)
        for share in (0.0, 0.5, 1.0):
            hidden = range(net.inputs, net.output)
            fixed = {k: at[k] > 0 for k in hidden if rng.random() < share}
            for k in (*hidden, net.output):
                form = checker.Node(net, checker.ONE, fixed).expand({k: 1})
                values = [at[key] if key >= 0 else max(at[-key], Fraction(0)) for key in form]
                assert at[k] == sum(c * v for c, v in zip(form.values(), values, strict=True))


@pytest.mark.slow
def test_rows_and_bounds_hold_at_many_facets() -> None:
    assert sum(map(count_rows_that_hold, range(1000, 2500))) > 50_000


def test_rows_put_in_by_column_give_the_forms_of_rows_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = checker.FEW
    for seed in range(40):
        monkeypatch.setattr(checker, "FEW", few)
        net = network_of(random_network(seed, 2, width=8), (Box(-1, 1), Everywhere())[seed % 2])
        fixed = {k: (k + seed) % 3 > 0 for k in range(net.inputs, net.output)}
        node = checker.Node(net, checker.ONE, fixed)
        for bits in (0, 1, 64, 300):
            for sign in (1, -1):
                form = dict.fromkeys(range(net.inputs, net.output + 1), sign << bits)
                monkeypatch.setattr(checker, "FEW", few)
                found = node.expand(form)
                monkeypatch.setattr(checker, "FEW", 0)
                assert node.expand(form) == found


def test_intervals_of_slopes_below_a_root_are_those_from_scratch() -> None:
    changed = 0
    for seed in range(60):
        net = network_of(random_network(seed, 1 + seed % 3, width=4), Box(-1, 1))
        rng, hidden = np.random.default_rng(seed), range(net.inputs, net.output)
        for group in sorted(net.kinks):
            root = {k: bool(rng.random() < 0.5) for k in hidden if rng.random() < 0.2}
            root[group] = False
            node = checker.Node(net, group, root)
            node.least_jump(root)
            known = dict(node.last_spans)
            for share in (0.0, 0.2, 0.8, 0.1, 1.0, 0.5):
                more = {k: bool(rng.random() < 0.5) for k in hidden if rng.random() < share}
                fixed = more | root
                anew = checker.Node(net, group, root)
                assert node.least_jump(fixed) == anew.least_jump(fixed)
                assert node.last_spans == anew.last_spans
                changed += node.last_spans != known
    assert changed > 60


def test_short_rows_have_the_slopes_that_rows_have() -> None:
    """Whatever the pattern: what slopes are carried through is the same function."""
    shorter = 0
    for seed in range(60):
        _, network = varied_network(seed)
        net, rng = (
            network_of(network, (Box(-1, 1), Everywhere())[seed % 2]),
            np.random.default_rng(seed),
        )
        shorter += any(dict(unit.inner) != unit.through for unit in net.units)
        for group in range(net.inputs, net.output):
            on = rng.random(len(net.units)) < 0.5
            found = []
            for row in ("form", "through"):
                slopes = dict.fromkeys(range(len(on)), Fraction(0))
                for k in range(group + 1, len(on)):
                    slopes[k] = sum(
                        (v * (1 if h == -group else slopes[abs(h)])
                         for h, v in getattr(net.units[k], row).items()
                         if h == -group or (abs(h) != group and (h > 0 or on[-h]))),
                        Fraction(0),
                    )  # fmt: skip
                found.append(slopes)
            assert found[0] == found[1]
    assert shorter > 10


def sides_contradicted(node: checker.Node) -> bool:
    """Whether the rule accepts some pair of units at a node."""
    names = [name for name, (unit, _) in node.net.neurons.items() if unit in node.fixed]
    for on, off in itertools.product(names, repeat=2):
        try:
            checker.rule_side(node, *on, *off)
        except checker.Rejected:
            continue
        return True
    return False


def test_no_facet_has_a_pattern_that_both_sides_contradict() -> None:
    contradicted = patterns = 0
    for seed in range(60):
        network = random_order(seed, inputs=1 + seed % 3, pieces=3)
        net = network_of(network, (Box(-1, 1), Everywhere())[seed % 2])
        rng = np.random.default_rng(seed)
        for group in sorted(net.kinks):
            for facet in itertools.islice(facets(net, group, rng), 4):
                units = [k for k in range(net.inputs, net.output) if rng.random() < 0.8]
                fixed = {k: facet.pattern[k] for k in units} | {group: False}
                assert not sides_contradicted(checker.Node(net, group, fixed))
                patterns += 1
            for _ in range(6):
                fixed = {k: bool(rng.random() < 0.5) for k in range(net.inputs, net.output)}
                node = checker.Node(net, group, fixed | {group: False})
                contradicted += sides_contradicted(node)
    assert patterns > 200
    assert contradicted > 20


# ------------------------------------------------------------------- proofs from scratch


def test_product_rows_know_the_interval_of_a_slope_that_is_constant() -> None:
    """Such a slope has no product variable, but its rows may be named all the same."""
    network, domain = random_network(2, depth=2), Box(-1, 1)
    net, seen = network_of(network, domain), 0
    names = {unit: name for name, (unit, _) in net.neurons.items()}
    for group in net.kinks:
        for k in net.units[net.output].reads & net.kinks:
            node = checker.Node(net, group, {group: False})
            low, high = node.bounds(k)
            if low <= 0 <= high and -group in net.units[k].form:
                node.combine([["product", *names[k], 0, "1"]], {})
                slope = net.units[k].form[-group]
                assert node.spans[k] == (slope, slope)
                seen += 1
    assert seen


def domains(size: int) -> list[Domain]:
    return [Box(-1, 1), Everywhere(), Polyhedron(-np.eye(size), [0.5] * size)]


def certified(seeds: range, folder: Path, depth: int | None = None) -> tuple[int, set[str]]:
    """Certify convex networks without the prover; count, and return the rules and rows used."""
    count, used = 0, set()
    for seed in seeds:
        network = tiny_network(seed)[1] if depth is None else random_network(seed, depth)
        for domain in domains(network.input_size):
            if isinstance(domain, Polyhedron) and depth is not None:
                continue
            if not oracle.is_convex(network, domain):
                continue
            certificate = certify_convex(network, domain)
            assert check(network, certificate, folder) == 0
            count += 1
            for line in certificate.lines[2:]:
                used.add(line[0])
                used |= {entry[0] for entry in line[1]} if line[0] == "empty" else set()
                used |= (
                    {"bounds on a kink"} if line[0] == "tree" and line[4:] and line[4] else set()
                )
                used |= {"face"} if line[0] == "tree" and line[3:] and line[3] else set()
    return count, used


def test_tiny_convex_networks_are_certified_without_the_prover(tmp_path: Path) -> None:
    count, used = certified(range(150), tmp_path)
    assert count > 60
    assert {"jump", "bounds on a kink", "face", "sign", "empty", "walk"} <= used


def test_deep_convex_networks_are_certified_without_the_prover(tmp_path: Path) -> None:
    count, _ = certified(range(120), tmp_path, depth=3)
    assert count > 10


@pytest.mark.slow
def test_many_convex_networks_are_certified_without_the_prover(tmp_path: Path) -> None:
    assert certified(range(5000, 6500), tmp_path)[0] > 500
    assert certified(range(5000, 5800), tmp_path, depth=3)[0] > 50


def test_no_network_that_is_not_convex_is_certified() -> None:
    tried = 0
    for seed in range(60):
        network = random_network(seed, depth=2)
        for domain in (Box(-1, 1), Everywhere()):
            if not oracle.is_convex(network, domain):
                tried += 1
                with pytest.raises(CertificateError):
                    certify_convex(network, domain)
    assert tried > 60


def trained(name: str) -> ReluNetwork:
    file = TRAINED / f"{name}.npz"
    if not file.exists():
        pytest.skip("the shared cases are not here")
    arrays = np.load(file)
    layers = range(sum(key.startswith("W") for key in arrays))
    return ReluNetwork.from_layers(
        [arrays[f"W{i}"] for i in layers], [arrays[f"b{i}"] for i in layers]
    )


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("paper_target2_4x8", Box(-10, 10)),
        ("d3_12x12x12_s0_r1", Box(-1, 1)),
        ("rn_2_16_0", Everywhere()),
    ],
)
def test_trained_networks_are_certified(name: str, domain: Domain, tmp_path: Path) -> None:
    network = trained(name)
    assert check(network, certify_convex(network, domain), tmp_path) == 0


def test_what_the_joint_engine_proves_has_a_certificate(tmp_path: Path) -> None:
    for seed in range(40):
        network = random_network(seed, depth=2)
        verdict = verify(network, Box(-1, 1), certificate=True)
        assert verdict.certificate is not None
        assert check(network, verdict.certificate, tmp_path) == 0


@pytest.mark.slow
def test_every_convex_trained_network_is_certified(tmp_path: Path) -> None:
    index = TRAINED / "index.json"
    if not index.exists():
        pytest.skip("the shared cases are not here")
    for case in json.loads(index.read_text()):
        if case.get("convex_on_box") or case.get("convex_everywhere"):
            domain = Box(*case["box"]) if case["box"] else Everywhere()
            network = trained(case["file"].removesuffix(".npz"))
            assert check(network, certify_convex(network, domain), tmp_path) == 0, case["file"]


def test_the_multipliers_of_the_engine_close_its_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs are solved again only where the certificate's bounds are wider than the engine's."""
    solved, answer = [], JointProver.answer

    def counted(self: JointProver, node: ProofNode, *states: Any) -> JointAnswer:
        solved.append(node.group)
        return answer(self, node, *states)

    network = trained("d5_48x48_lse_s0_r1")
    monkeypatch.setattr(JointProver, "answer", counted)
    # with a limit on nodes the engine searches before anything is written
    verdict = verify(network, Box(-1, 1), certificate=True, node_limit=10**6)
    assert verdict.certificate is not None
    assert check(network, verdict.certificate, tmp_path) == 0
    leaves = sum(line[0] == "empty" for line in verdict.certificate.lines[1:])
    assert 4 * len(solved) < leaves
