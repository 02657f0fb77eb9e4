"""Links and edges in space without a box: which come first, and what the others are left."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import jensen
from jensen.domains.domain import Box, Everywhere
from jensen.network.relu_network import ReluNetwork
from jensen.prover import links, walk


def nearly_convex(seed: int) -> ReluNetwork:
    """Return a network of 15 ReLUs, one in twenty of its weights behind the first level < 0."""
    rng = np.random.default_rng(seed)
    weights, biases = [], []
    for inputs, width in pairwise((3, 5, 5, 5, 1)):
        weight = rng.normal(size=(width, inputs))
        if weights:
            weight = np.abs(weight) * np.where(rng.random(weight.shape) < 0.05, -1, 1)
        weights.append(weight)
        biases.append(rng.normal(size=width))
    return ReluNetwork.from_layers(weights, biases)


@pytest.mark.parametrize(
    ("seed", "domain", "asked"),
    [(50, Everywhere(), False), (182, Everywhere(), False), (182, Box(-1, 1), True)],
)
def test_edges_come_before_links_where_signs_leave_most_kinks_open(
    seed: int, domain: Box | Everywhere, asked: bool, monkeypatch: pytest.MonkeyPatch
):
    seen = []

    def noted(*arguments: object, **more: object) -> object:
        seen.append(arguments)
        return linked(*arguments, **more)

    linked = links._links
    monkeypatch.setattr(links, "_links", noted)
    assert jensen.verify(nearly_convex(seed), domain).status == "convex"
    assert bool(seen) == asked


def test_links_prove_what_edges_cannot_tell(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(walk, "edges_bend_upwards", lambda *_: np.zeros(1, dtype=bool))
    monkeypatch.setattr(walk, "planes_bend", lambda *_: False)
    verdict = jensen.verify(nearly_convex(182))
    assert verdict.status == "convex"
    assert "walk" not in verdict.reasons
