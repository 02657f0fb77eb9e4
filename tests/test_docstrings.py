"""``help()`` of every public name says what goes in, what comes out, what fails, and shows it."""

from __future__ import annotations

import enum
import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import jensen

ROOMS = ("jensen", "jensen.learning", "jensen.surrogate", "jensen.plot", "jensen.batch")
PACKAGES = (*ROOMS, "jensen.errors", "jensen_encodings")
NEEDS = {"jensen.learning": "torch", "jensen.plot": "matplotlib"}


def public(name: str) -> Iterator[tuple[str, Any]]:
    """Go through the functions and classes of a package that are its own, if it is installed."""
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        return
    module = importlib.import_module(name)
    names = getattr(module, "__all__", None) or [n for n in vars(module) if n[0].isupper()]
    for entry in names:
        value = getattr(module, entry)
        if isinstance(value, ModuleType):
            continue
        if value.__module__.split(".")[0] in {"jensen", "jensen_encodings"}:
            yield f"{name}.{entry}", value


def methods(kind: type) -> Iterator[tuple[str, Any]]:
    """Go through the public methods of a class that no public base class documents."""
    public_bases = [base for base in kind.__mro__[1:] if base.__name__ in jensen.__all__]
    private = [b for b in kind.__mro__[1:] if b not in public_bases and "jensen" in b.__module__]
    for owner in (kind, *private):
        for name, value in vars(owner).items():
            function = getattr(value, "__func__", value)
            inherited = any(name in vars(base) for base in public_bases)
            if not name.startswith("_") and inspect.isfunction(function) and not inherited:
                yield name, function


def arguments(function: Any) -> list[str]:
    names = inspect.signature(function).parameters
    return [name for name in names if name not in {"self", "cls"}]


def returns(function: Any) -> bool:
    annotation = inspect.signature(function).return_annotation
    return annotation not in {None, "None", "NoReturn", inspect.Signature.empty}


def raises(function: Any) -> bool:
    return re.search(r"^\s+raise \w", inspect.getsource(function), re.MULTILINE) is not None


def lacking(function: Any) -> list[str]:
    """Return what the docstring of a function does not say."""
    text = inspect.getdoc(function) or ""
    found = [] if text else ["a docstring"]
    if arguments(function) and not re.search(r"^Parameters\n-", text, re.MULTILINE):
        found.append("Parameters")
    found += [name for name in arguments(function) if not re.search(rf"\b{name}\b", text)]
    said = text.startswith(("Return ", "Enumerate ")) and "." in function.__qualname__
    if returns(function) and not said and not re.search(r"^(Returns|Yields)\n-", text, re.M):
        found.append("Returns")
    if raises(function) and not re.search(r"^Raises\n-", text, re.MULTILINE):
        found.append("Raises")
    return found


FOUND = {value: name for room in PACKAGES for name, value in public(room)}  # each once
CASES = [pytest.param(value, id=name) for value, name in FOUND.items()]


@pytest.mark.parametrize("value", CASES)
def test_help_is_complete(value):
    if inspect.isfunction(value):
        assert not lacking(value)
        assert ">>> " in (value.__doc__ or ""), "an example"
        return
    texts = [inspect.getdoc(value) or ""]
    missing = {}
    for name, function in methods(value):
        missing[name] = lacking(function)
        texts.append(inspect.getdoc(function) or "")
    assert not {name: found for name, found in missing.items() if found}
    examples = "\n".join(re.findall(r"^(?:>>>|\.\.\.) .*$", "\n".join(texts), re.MULTILINE))
    shown = examples or re.search(r"See :func:`[\w.]+` for an example", texts[0])
    assert shown or issubclass(value, Exception), "an example"
    unseen = [name for name, _ in methods(value) if not re.search(rf"\.{name}\(", examples)]
    assert not unseen, "in no example"
    for name, member in vars(value).items():
        if isinstance(member, property) and not name.startswith("_"):
            assert inspect.getdoc(member), name
    if not issubclass(value, enum.Enum | Exception):
        assert len(texts[0].splitlines()) > 1


def test_the_public_names_are_looked_at():
    assert len(FOUND) > 80
    modules = {"learning", "plot", "surrogate"}
    assert {value.__name__ for value in FOUND} >= set(jensen.__all__) - modules
