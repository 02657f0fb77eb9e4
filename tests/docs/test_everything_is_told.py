"""Pages name what there is: reasons, commands, engines, public names, options."""

from __future__ import annotations

import dataclasses
import re

from pages import DOCS

import jensen
from jensen.cli.app import COMMANDS
from jensen.verdicts.evidence import Reason


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_every_reason_of_a_verdict_is_explained():
    told = page("verdicts.md")
    assert [reason for reason in Reason if f"`{reason}`" not in told] == []


def test_every_command_has_its_place():
    told = page("cli.md")
    assert [name for name in COMMANDS if not re.search(rf"jensen {name}\b", told)] == []


def test_every_public_name_is_in_the_reference():
    told = page("reference/python.md")
    names = [name for name in jensen.__all__ if not name.endswith("Error")]
    unlisted = {name for name in names if f"::: jensen.{name}\n" not in told}
    # the abstract base and an enum of two: the site adds them under More
    assert unlisted <= {"Domain", "Activation"}


def test_every_engine_is_an_option_of_verify():
    told = page("cli.md")
    assert [engine for engine in jensen.Engine if f"`{engine}`" not in told] == []


def test_every_field_of_the_options_has_a_line():
    doc = jensen.Options.__doc__ or ""
    names = [field.name for field in dataclasses.fields(jensen.Options)]
    assert [name for name in names if name not in doc] == []
