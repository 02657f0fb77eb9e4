"""Models of several outputs in the commands that speak of one: the first, and a note says so."""

from __future__ import annotations

import pytest

from jensen.cli import main
from jensen.network.relu_network import ReluNetwork

COMMANDS = {
    "violation": ["--box", "-1", "1"],
    "conditions": ["--box", "-1", "1"],
    "minimise": ["--box", "-1", "1"],
    "plot": ["--box", "-1", "1", "--out", "picture.svg"],
}


@pytest.fixture
def model(tmp_path, monkeypatch):
    """``|x|`` and ``-|x|``."""
    monkeypatch.chdir(tmp_path)
    halves = [[1.0], [-1.0]]
    network = ReluNetwork.from_layers([halves, [[1.0, 1.0], [-1.0, -1.0]]], [[0, 0], [0, 0]])
    network.save("two.npz")
    return "two.npz"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_first_is_taken_and_a_note_says_so(command, model, capsys):
    if command == "plot":
        pytest.importorskip("matplotlib")
    first = main([command, model, *COMMANDS[command]])
    captured = capsys.readouterr()
    assert first == 0
    assert "2 outputs, and this is the first: --output K chooses one" in captured.err
    assert "2 outputs" not in captured.out
    assert main([command, model, *COMMANDS[command], "--output", "0"]) == first
    assert "2 outputs" not in capsys.readouterr().err
    assert main([command, model, *COMMANDS[command], "--output", "2"]) == 2
    assert "no output 2" in capsys.readouterr().err
