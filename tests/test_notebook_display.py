"""What a notebook shows of networks, verdicts and violations: HTML in which names are text."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest
from hostile import PIECES

import jensen
from jensen import Activation, Block, Box, Everywhere, ReluNetwork, Status, Verdict


class Reader(HTMLParser):
    """Collects tags and text, and checks that all tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.cells: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.cells.append(data)


@pytest.fixture
def tent() -> ReluNetwork:
    """f(x, y) = |x| - |y|."""
    first = [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
    return ReluNetwork.from_layers([first, [[1.0, 1.0, -1.0, -1.0]]], [[0.0] * 4, [0.0]])


def named(name: str) -> ReluNetwork:
    blocks = [
        Block(name, {"input": np.array([[1.0], [-1.0]])}, np.zeros(2)),
        Block("output", {name: np.array([[1.0, -2.0]])}, np.zeros(1), Activation.IDENTITY),
    ]
    return ReluNetwork(1, blocks)


def test_a_network_shows_its_layers(tent):
    shown = Reader(tent._repr_html_())
    assert shown.tags == {"div", "table", "tr", "th", "td"}
    assert {"input", "relu_1", "output", "4", "8"} <= set(shown.cells)
    assert repr(tent) in shown.cells


def test_a_deep_network_is_shown_in_short_with_its_output():
    deep = ReluNetwork.from_layers([np.eye(1)] * 60, [np.zeros(1)] * 60)
    shown = Reader(deep._repr_html_())
    assert "output" in shown.cells
    assert "37 more" in shown.cells
    assert deep._repr_html_().count("<tr>") == 25 + 1


def test_a_verdict_shows_its_reasons_and_its_pair(tent):
    shown = Reader(jensen.verify(tent, Box(-1, 1))._repr_html_())
    assert "nonconvex" in shown.cells
    assert any(cell.startswith("x = (") for cell in shown.cells)
    convex = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
    shown = Reader(jensen.verify(convex)._repr_html_())
    assert {"convex", "sign", "reason"} <= set(shown.cells)


def test_a_long_reason_is_shown_in_full_on_lines_of_their_own():
    note = "the rules of composition end at node softplus_1[0]: " + "its argument bends, " * 8
    shown = str(Verdict(Status.UNKNOWN, Everywhere(), note=note.strip()))
    assert " ".join(shown.split()) == f"unknown undecided on all of R^n: {note.strip()}"
    assert all(len(line) <= 112 for line in shown.split("\n"))
    endless = str(Verdict(Status.UNKNOWN, Everywhere(), note="for no reason, " * 100))
    assert len(endless.split("\n")) == 4
    assert endless.endswith(" ...")


def test_a_verdict_of_several_outputs_shows_each(tent):
    both = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0], [-1.0, 0.0]]], [[0, 0], [0, 0]])
    text = "".join(Reader(jensen.verify(both)._repr_html_()).cells)
    assert "output 0" in text
    assert "output 1" in text


def test_violations_show_bounds_and_where(tent):
    found = jensen.worst_violation(tent, Box(-1, 1))
    shown = Reader(found._repr_html_())
    assert found.summary in shown.cells
    assert "(x+y)/2" in shown.cells
    jump = jensen.worst_jump(tent, Box(-1, 1))
    shown = Reader(jump._repr_html_())
    assert jump.summary in shown.cells
    assert "unit normal" in shown.cells
    convex = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
    assert "table" not in Reader(jensen.worst_violation(convex, Box(-1, 1))._repr_html_()).tags
    assert "table" not in Reader(jensen.worst_jump(convex)._repr_html_()).tags


def test_no_name_of_a_block_becomes_markup():
    allowed = {"div", "table", "tr", "th", "td", "strong"}
    for piece in PIECES:
        network = named(f"n{piece}")
        verdict = jensen.verify(network, Box(-1, 1))
        jump = jensen.worst_jump(network, Box(-1, 1))
        for text in (network._repr_html_(), verdict._repr_html_(), jump._repr_html_()):
            assert Reader(text).tags <= allowed
            assert text.isprintable()
