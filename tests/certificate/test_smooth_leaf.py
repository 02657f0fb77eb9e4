"""A leaf `smooth` says how the function bends across the facets of its pattern."""

from __future__ import annotations

from collections import Counter
from functools import partial

import numpy as np
import pytest
from exact_facets import Facet, facets, network_of, random_network

from jensen.certificate import checker
from jensen.domains.domain import Box, Everywhere


def is_alone(net: checker.Network, group: int, facet: Facet) -> bool:
    """Whether all that vanishes at the point vanishes where the group does."""
    pattern = dict(enumerate(facet.pattern)) | {group: False}
    node = checker.Node(net, group, {k: pattern[k] for k in range(net.inputs, net.output)})
    normal = node.expand({group: 1})
    forms = [node.expand({k: 1}) for k in range(net.inputs, net.output) if not facet.at[k]]
    return bool(normal) and all(checker.multiple(form, normal) is not None for form in forms)


def count_answers(seed: int) -> Counter[str]:
    """Ask the rule at facets of a network, with all states known and with some left open."""
    net = network_of(random_network(seed, depth=1 + seed % 3), (Box(-1, 1), Everywhere())[seed % 2])
    rng, answers = np.random.default_rng(seed), Counter[str]()
    for group in sorted(net.kinks):
        for facet in filter(partial(is_alone, net, group), facets(net, group, rng)):
            for share in (1.0, 0.7):
                others = [k for k in sorted(net.kinks - {group}) if rng.random() < share]
                states = {k: facet.pattern[k] for k in others} | {group: False}
                try:
                    checker.rule_smooth(checker.Node(net, group, states))
                except checker.Rejected as error:
                    said = str(error)
                    assert share < 1 or "downwards" not in said or facet.bend < 0, (seed, group)
                else:
                    said = "upwards" if facet.bend else "not at all"
                    assert facet.bend >= 0, (seed, group)
                answers[said] += 1
    return answers


def test_the_rule_knows_how_the_function_bends_at_facets() -> None:
    answers = sum(map(count_answers, range(60)), Counter())
    assert min(answers.values()) > 20
    assert answers.keys() > {"upwards", "not at all", "it may bend downwards here"}


@pytest.mark.slow
def test_the_rule_knows_how_the_function_bends_at_many_facets() -> None:
    assert sum(map(count_answers, range(1000, 1500)), Counter())["upwards"] > 3_000
