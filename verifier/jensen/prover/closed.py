"""Neurons that signs of paths and bounds close, on whatever domain."""

from __future__ import annotations

from jensen.groups.prepared import Prepared
from jensen.types import BoolArray


def closed_neurons(prepared: Prepared) -> dict[str, BoolArray]:
    """Return the neurons that are stable, or have J >= 0 under every pattern that occurs."""
    signs, bounds = prepared.stable_signs, prepared.hidden_bounds
    return {
        name: (low >= 0) | (bounds[name][0] >= 0) | (bounds[name][1] <= 0)
        for name, (low, _) in signs.items()
    }
