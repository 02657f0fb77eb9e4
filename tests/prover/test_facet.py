"""A facet is judged by the pieces of f that meet there, not by kinks further away."""

import jensen
import jensen.prover.lines.line_search
from jensen import Block, Box, Everywhere, ReluNetwork, Status


def test_a_kink_behind_the_group_does_not_hide_that_f_bends_down(monkeypatch):
    # f = 0.2 for x < 0, falls with slope -1 up to x = 0.1, then rises with slope 1
    monkeypatch.setattr(jensen.prover.lines.line_search.LineSearch, "look", lambda *_: None)
    net = ReluNetwork(
        1,
        [
            Block("g", {"input": [[1.0]]}, [0.0]),
            Block("j", {"g": [[-10.0]]}, [1.0]),
            Block("output", {"g": [[1.0]], "j": [[0.2]]}, [0.0], "identity"),
        ],
    )
    for domain in (Box(-1, 1), Everywhere()):
        assert jensen.verify(net, domain).status is Status.NONCONVEX


def test_a_hyperplane_form_that_is_a_negative_constant_closes_the_node(monkeypatch):
    monkeypatch.setattr(jensen.prover.lines.line_search.LineSearch, "look", lambda *_: None)
    net = ReluNetwork.from_layers(
        [[[-2.0], [-2.0], [0.0]], [[2.0, 0.0, -2.0], [-2.0, 2.0, -1.0]], [[2.0, -2.0]]],
        [[1.0, -1.0, 0.0], [-1.0, 0.0], [1.0]],
    )
    assert jensen.verify(net, Box(-4, 4)).status is Status.CONVEX
