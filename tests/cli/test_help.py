"""Help that teaches: examples that are real, and completion in shells."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import click
import pytest

import jensen
from jensen.cli.app import COMMANDS, app


def examples(name: str) -> list[str]:
    with click.Context(app, info_name="jensen") as context:
        command = app.get_command(context, name)
        assert command is not None
        text = command.get_help(click.Context(command, info_name=name, parent=context))
    found = re.findall(rf"^  (jensen {name} .*)$", text, re.MULTILINE)
    return [re.split(r"  +|(?: > )", line)[0] for line in found]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_examples_that_the_command_can_read(name):
    assert examples(name)
    with click.Context(app, info_name="jensen") as context:
        command = app.get_command(context, name)
        assert command is not None
        for line in examples(name):
            command.make_context(name, shlex.split(line)[2:], parent=context)


def test_the_module_runs_as_the_command_does():
    done = subprocess.run(
        [sys.executable, "-m", "jensen", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: jensen ")


def complete(shell: str, words: str = "jensen") -> str:
    environment = os.environ | {"_JENSEN_COMPLETE": shell, "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(len(words.split()) - 1)
    return subprocess.run(
        [sys.executable, "-m", "jensen"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_shells_get_their_script(shell):
    assert "_JENSEN_COMPLETE" in complete(f"{shell}_source")


def test_commands_options_and_files_are_completed():
    assert "plain,verify" in complete("bash_complete", "jensen ver")
    assert "plain,--certificate" in complete("bash_complete", "jensen verify --cert")
    assert "file,mod" in complete("bash_complete", "jensen verify mod")


def test_every_public_function_tells_its_parameters():
    for name in jensen.__all__:
        given = getattr(jensen, name)
        if callable(given) and not isinstance(given, type):
            assert "Parameters\n" in (given.__doc__ or ""), name
            assert ">>> " in (given.__doc__ or "") or name == "load", name
