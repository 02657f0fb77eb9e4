"""The first look for bad facets in a box: from its middle, without a linear program."""

from itertools import pairwise

import numpy as np

from jensen import Box, ReluNetwork
from jensen.groups.prepared import prepare
from jensen.violation.jump_search import JumpSearch


def test_the_first_look_in_a_box_solves_no_program(monkeypatch):
    rng = np.random.default_rng(0)
    sizes = (200, 16, 8, 1)
    weights = [rng.normal(size=(b, a)) for a, b in pairwise(sizes)]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])

    def solve(*_: object) -> None:
        raise AssertionError("a program is solved")

    search = JumpSearch(prepare(network, Box(-1.0, 1.0)), gap=1e-4)
    monkeypatch.setattr("jensen_encodings.lp.LpSolver.maximise", solve)
    monkeypatch.setattr(JumpSearch, "_take", lambda *_: search._heap.clear())
    search.run()
    assert search.lower > 0
