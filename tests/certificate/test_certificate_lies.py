"""A prover that lies is never believed, whatever rule it lies by."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from certificate_tools import (
    LONELY,
    Lines,
    check,
    claim_of,
    to_bytes,
)
from comparators import bracketed_twice
from fuzz import tiny_network

from jensen.certificate import checker, leaf_proof, producer
from jensen.certificate.certificate import certify_convex
from jensen.certificate.model_export import export_bytes
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.errors import CertificateError
from jensen.network.relu_network import ReluNetwork


@cache
def nonconvex_networks() -> tuple[tuple[ReluNetwork, Domain], ...]:
    found: list[tuple[ReluNetwork, Domain]] = []
    for seed in range(300):
        _, network = tiny_network(seed)
        for domain in (Everywhere(), Box(-1, 1)):
            if len(found) < 40 and not oracle.is_convex(network, domain):
                found.append((network, domain))
    return tuple(found)


def never_off(node: checker.Node, zeta: checker.Form, sign: int, _side: Any) -> int:
    """Claim that every neuron is on."""
    return 0 if sign < 0 else max(node.largest(zeta), 0)


LIES: dict[str, list[Lines]] = {
    "sign": [["sign"]],
    "empty": [
        ["empty", []],
        ["empty", [["facet", "1"]]],
        ["empty", [["facet", "1"], ["facet", "-1"]]],
    ],
    "smooth": [["smooth"]],
    "walk": [["walk"]],
    "side": [["side", "relu_1", 0, "relu_1", 0], ["side", "relu_2", 0, "relu_2", 0]],
}


@pytest.mark.parametrize("rule", LIES)
def test_a_net_of_lies_by_one_rule_is_never_accepted(rule: str, tmp_path: Path) -> None:
    """Every group gets the same false leaf."""
    for network, domain in nonconvex_networks():
        for leaf in LIES[rule]:
            lines: Lines = [claim_of(network, domain), ["bounds", []]]
            for block in network.hidden:
                for index in range(block.size):
                    lines += [["tree", block.name, index], leaf]
            assert check(network, to_bytes(lines), tmp_path) != 0


def test_walks_over_every_face_prove_no_lie(tmp_path: Path) -> None:
    tried = 0
    for network, domain in nonconvex_networks():
        if isinstance(domain, Everywhere) and network.input_size == 2:
            lines: Lines = [claim_of(network, domain), ["bounds", []]]
            for block in network.hidden:
                for index in range(block.size):
                    for face in (1, 2, -2, 3, -3):
                        lines += [["tree", block.name, index, face, []], ["walk"]]
            assert check(network, to_bytes(lines), tmp_path) != 0
            tried += 1
    assert tried > 3


def first_neurons(network: ReluNetwork, claim: dict[str, Any]) -> list[tuple[str, int]]:
    """Return the neurons that bounds can be claimed of, one per unit."""
    model = LONELY.read_model(export_bytes(network))
    net = LONELY.Network(model, LONELY.Claim(claim, model), {})
    first: dict[int, tuple[str, int]] = {}
    for neuron, (unit, _) in net.neurons.items():
        first.setdefault(unit, neuron)
    return list(first.values())


def full_tree(neurons: list[tuple[str, int]], leaf: Lines) -> Lines:
    if not neurons:
        return [leaf]
    subtree = full_tree(neurons[1:], leaf)
    return [["branch", *neurons[0]], *subtree, *subtree]


def test_full_trees_of_smooth_leaves_are_never_accepted(tmp_path: Path) -> None:
    """All patterns are fixed, so that the rule is asked what it answers: which way F bends."""
    tried = 0
    for network, domain in nonconvex_networks():
        claim = claim_of(network, domain)
        neurons = first_neurons(network, claim)
        if len(neurons) > 6:
            continue
        tried += 1
        lines: Lines = [claim, ["bounds", []], ["path_signs"]]
        for neuron in neurons:
            others = [other for other in neurons if other != neuron]
            lines += [["tree", *neuron], *full_tree(others, ["smooth"])]
        assert check(network, to_bytes(lines), tmp_path) == 1
    assert tried >= 10


def grown(node: Any, units: list[int], early: list[int]) -> bool:
    """Whether a tree of leaves `smooth` is closed that branches where it must; note free units."""
    try:
        LONELY.rule_smooth(node)
    except LONELY.Rejected:
        sides = [
            LONELY.Node(node.net, node.group, node.fixed | {u: on})
            for u in units[:1]
            for on in (0, 1)
        ]
        return bool(sides) and min(grown(side, units[1:], early) for side in sides)
    early.append(len(units))
    return True


def test_leaves_smooth_that_leave_units_free_close_no_network_that_bends_down() -> None:
    """Trees of every group, grown in any order as far as the rule needs."""
    rng, early = np.random.default_rng(0), list[int]()
    cancelling = [
        (bracketed_twice(seed, 2, factor=1.25, beside=2), Box(-1, 1)) for seed in range(6)
    ]
    for network, domain in [*cancelling, *nonconvex_networks()[::2]]:
        model = LONELY.read_model(export_bytes(network))
        net = LONELY.Network(model, LONELY.Claim(claim_of(network, domain), model), {})
        closed = LONELY.rule_path_signs(net)
        if len(net.kinks) > 8:
            continue
        for group in sorted(net.kinks - closed):
            units = rng.permutation([unit for unit in net.kinks if unit != group]).tolist()
            if grown(LONELY.Node(net, group, {group: False}), units, early):
                closed.add(group)
        assert closed < net.kinks
    assert sum(map(bool, early)) > 10


def test_full_trees_of_leaves_side_are_never_accepted(tmp_path: Path) -> None:
    """Of all patterns, those that either pair of units contradicts on both sides, by each pair."""
    tried = 0
    for network, domain in nonconvex_networks():
        claim = claim_of(network, domain)
        neurons = first_neurons(network, claim)
        if len(neurons) > 4:
            continue
        for on in neurons:
            for off in neurons:
                lines: Lines = [claim, ["bounds", []], ["path_signs"]]
                for neuron in neurons:
                    others = [other for other in neurons if other != neuron]
                    lines += [["tree", *neuron], *full_tree(others, ["side", *on, *off])]
                assert check(network, to_bytes(lines), tmp_path) == 1
                tried += 1
    assert tried >= 10


def test_lies_about_equations_are_never_accepted(tmp_path: Path) -> None:
    """A slab is not a plane: no multipliers may reduce it, where the function is not convex."""
    tried = 0
    for network, _ in nonconvex_networks():
        n = network.input_size
        rows = np.vstack([np.eye(n)[0] - np.eye(n)[-1], np.eye(n)[-1] - np.eye(n)[0]])
        slab = Polyhedron(rows, [1.0, 1.0])
        if n == 1 or oracle.is_convex(network, slab):
            continue
        tried += 1
        claim = claim_of(network, slab)
        for index in (0, n - 1):
            for sides in (["1", "0"], ["0", "1"]), (["0", "0"], ["0", "0"]), (["1", "1"],) * 2:
                lines = [claim, ["interior", ["0"] * n, [[index, *sides]]], ["bounds", []]]
                assert check(network, to_bytes([*lines, ["path_signs"]]), tmp_path) == 1
    assert tried >= 3


def test_lies_about_paths_and_bounds_are_never_accepted(tmp_path: Path) -> None:
    """Rules without a tree: path products, and bounds that would settle every neuron."""
    for network, domain in nonconvex_networks():
        claim = claim_of(network, domain)
        assert check(network, to_bytes([claim, ["bounds", []], ["path_signs"]]), tmp_path) != 0
        neurons = first_neurons(network, claim)
        for side in (0, 1):
            for rows in ("above", "below"):
                entries = [[rows, *neurons[0], "1000000"]]
                sides = [None, entries] if side else [entries, None]
                bounds = [[*neuron, *sides] for neuron in neurons[1:]]
                lines = [claim, ["bounds", bounds], ["path_signs"]]
                assert check(network, to_bytes(lines), tmp_path) != 0


@pytest.mark.parametrize(
    "rule",
    ["rule_sign", "rule_empty", "rule_smooth", "rule_path_signs", "rule_bound", "rule_walk"],
)
def test_a_prover_that_takes_one_rule_for_granted_is_never_accepted(
    rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The producer's own copy of the rule says yes to everything; the lonely checker decides."""
    if rule != "rule_walk":
        monkeypatch.setattr(producer, "SPACE", 0)  # so that there are trees
    if rule == "rule_path_signs":
        monkeypatch.setattr(checker, rule, lambda net: set(net.kinks))
    elif rule == "rule_bound":
        monkeypatch.setattr(checker, rule, never_off)
    else:
        for module in (checker, leaf_proof):
            monkeypatch.setattr(module, rule, lambda *arguments: None, raising=False)
    lied = 0
    for network, domain in nonconvex_networks():
        try:
            certificate = certify_convex(network, domain)
        except CertificateError:
            continue
        lied += 1
        assert check(network, certificate, tmp_path) != 0
    assert lied
