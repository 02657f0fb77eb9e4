"""No option that has one value takes the last of two in silence."""

from __future__ import annotations

import click
import pytest

from jensen.cli import main
from jensen.cli.app import COMMANDS, app
from jensen.cli.once import OnceCommand


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_looks_for_repeated_options(name):
    with click.Context(app, info_name="jensen") as context:
        assert isinstance(app.get_command(context, name), OnceCommand)


@pytest.mark.parametrize(
    "words",
    [
        ["minimise", "--box", "-1", "1", "--linear", "0.5", "--linear", "-1"],
        ["verify", "--box", "-1", "1", "--box", "-2", "2"],
        ["verify", "--engine", "tree", "--engine", "tree"],
        ["batch", "--time-limit", "1", "--time-limit=2"],
    ],
)
def test_a_second_value_is_refused_with_the_way_to_write_it(capsys, convex_file, words):
    assert main([words[0], str(convex_file), *words[1:]]) == 2
    captured = capsys.readouterr()
    option = next(word for word in reversed(words) if word.startswith("--")).split("=")[0]
    assert f"{option} is given 2 times, and has one value: give it once" in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_options_that_take_several_values_still_do(capsys, convex_file):
    assert main(["verify", str(convex_file), "--fix", "0=1", "--json", "--json"]) == 0
    manifest = convex_file.with_name("nightly.csv")
    manifest.write_text(f"file,expected\n{convex_file.name},convex\n", encoding="utf-8")
    twice = ["--manifest", str(manifest)] * 2
    assert main(["batch", *twice, "--jobs", "0"]) == 0
    assert "2" in capsys.readouterr().out
