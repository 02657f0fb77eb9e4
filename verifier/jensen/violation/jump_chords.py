"""Where the search for the worst jump looks first, and where it branches for coincidences."""

from __future__ import annotations

from collections.abc import Container

import numpy as np

from jensen.groups.coincidence import Dependence
from jensen.groups.groups import GroupedNetwork
from jensen.types import FloatArray, Unit
from jensen.violation.jump_facets import Entry

CHORDS, STEPS = 24, 33  # of the first look along lines
CROSSINGS = 400  # kinks on these lines that are looked at more closely


def kinks_on_chords(
    net: GroupedNetwork, start: FloatArray, wanted: Container[Unit], rng: np.random.Generator
) -> list[tuple[Unit, FloatArray]]:
    """Return kinks of some groups on random lines through the working set.

    Parameters
    ----------
    net : GroupedNetwork
    start : array (variables,)
        A point of the working set, where the first line begins.
    wanted : container of (level, unit)
    rng : numpy Generator
    """
    suspects = []
    working = net.working_set
    with np.errstate(all="ignore"):
        for _ in range(CHORDS):
            direction = rng.normal(size=len(start))
            direction /= np.linalg.norm(direction)
            speed = working.float_speed(direction)
            room = working.float_limits - working.float_speed(start)
            forth = np.min(room[speed > 0] / speed[speed > 0], initial=1e6)
            back = np.max(room[speed < 0] / speed[speed < 0], initial=-1e6)
            if not (np.isfinite([back, forth]).all() and back < forth):
                continue
            line = start + np.linspace(back, forth, STEPS)[:, None] * direction
            suspects += _kinks(net, line, wanted)
            start = start + rng.uniform(back, forth) * direction
    return suspects[:CROSSINGS]


def _kinks(
    net: GroupedNetwork, line: FloatArray, wanted: Container[Unit]
) -> list[tuple[Unit, FloatArray]]:
    """Return where groups that may bend down cross 0 along a line of points."""
    found = []
    for k, z in enumerate(net.pre_activations(line)[:-1]):
        step, units = np.nonzero((z[:-1] < 0) != (z[1:] < 0))
        for s, u in zip(step.tolist(), units.tolist(), strict=True):
            if (k, u) in wanted:
                share = z[s, u] / (z[s, u] - z[s + 1, u])
                found.append(((k, u), line[s] + share * (line[s + 1] - line[s])))
    return found


def unit_of_others(net: GroupedNetwork, entry: Entry, point: FloatArray | None) -> Unit | None:
    """Return a free unit that decides whether others share the leader's hyperplane.

    In the earliest level that has one, the unit that is furthest from 0 at the point:
    its other side is most likely empty, here and in all that follows.
    """
    depends = Dependence(net, entry.group, entry.node.activations)
    units = {unit for other in (entry.group, *entry.others) for unit in depends.of(other)}
    if not units:
        return None
    level = min(units)[0]
    candidates = sorted(unit for unit in units if unit[0] == level)
    if point is None:
        return candidates[0]
    z = net.pre_activations(point)[level]
    bounds = net.levels[level]
    reach = np.maximum(np.abs(bounds.lower), np.abs(bounds.upper))
    return max(candidates, key=lambda unit: abs(z[unit[1]]) / reach[unit[1]])
