"""How many processors this process may use."""

from __future__ import annotations

import os


def available_processors() -> int:
    """Return their number, at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
