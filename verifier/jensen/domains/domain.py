"""The domains on which convexity is decided, and how they are read from JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jensen.domains.base import Domain
from jensen.domains.box import Box
from jensen.domains.everywhere import Everywhere
from jensen.domains.polyhedron import Polyhedron
from jensen.errors import DomainError

__all__ = ["KINDS", "Box", "Domain", "Everywhere", "Polyhedron", "domain_from_json"]

KINDS: Mapping[str, type[Domain]] = {kind.kind: kind for kind in (Box, Polyhedron, Everywhere)}


def domain_from_json(data: Any) -> Domain:
    """Build a domain from its JSON description (docs/domain-format.md).

    Raises
    ------
    DomainError
        If it is no such description.
    """
    if not isinstance(data, dict):
        raise DomainError("domain: a table with a 'type' is needed")
    kind = data.get("type")
    if not isinstance(kind, str) or kind not in KINDS:
        found = f"type {kind!r}" if "type" in data else f"without a 'type', with keys {[*data]}"
        raise DomainError(f"domain {found}: supported are {', '.join(KINDS)}")
    given, needed = set(data) - {"type"}, set(KINDS[kind].fields)
    if given != needed:
        raise DomainError(f"domain {kind}: found keys {sorted(given)}, needed are {sorted(needed)}")
    return KINDS[kind].from_json(data)
