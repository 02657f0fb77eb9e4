"""Bounds of all units on many kinks at once, as the checker will compute them (docs/FORMAT.md).

A certificate names a multiple q of the group for each bound; the checker draws the lines that
replace ``max(zeta, 0)``, in integers. Here the same lines are drawn in doubles, for all kinks
together, level by level, and every bound comes as two doubles that the checker's is between:
lines change continuously with coefficients and ranges, so that each rounding counts with
the size of what it multiplies. Which bound of a range decides a state is therefore known.
Kinks of units that are not affine are left to the checker's own rule, bound by bound: each one
changes the lines of the kink itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jensen.certificate.checker import Network
from jensen.certificate.float_units import FloatLevel, FloatUnits, outward, rounded, texts
from jensen.certificate.proof_node import ProofNode
from jensen.types import BoolArray, FloatArray, IndexArray
from jensen_encodings.deadline import NEVER, Deadline

# of a unit's range: bounds that are not better by that cost more than they help; on faces there are
# many more of them, and no multipliers of the engine's that need them
GAIN, FACE_GAIN = 0.003, 0.05
MARGIN = 1e-9  # relative: bounds closer to 0 are not taken for strict
CHUNK = 1 << 21  # numbers of a table at a time
HOPELESS = 1e100  # an error that no bound survives
FINE_BITS = 20  # to which the checker rounds slopes of lines, of a unit's integers


@dataclass(eq=False)
class Lemmas:
    """Bounds that are worth their line: multiples of the group, NaN where there is none.

    Attributes
    ----------
    lower, upper : arrays (kinks, units)
        In terms of units divided by their sizes.
    """

    lower: FloatArray
    upper: FloatArray

    @property
    def some(self) -> BoolArray:
        """Which units have one."""
        return ~(np.isnan(self.lower) & np.isnan(self.upper))


@dataclass(frozen=True, eq=False)
class _Lines:
    """Forms ``A x + c`` of the inputs, up to an error on the whole box: arrays (kinks, k, ...)."""

    A: FloatArray
    c: FloatArray
    error: FloatArray


class KinkRanges:
    """Ranges of all units on the kinks of some groups, on one face each or on the whole domain.

    Parameters
    ----------
    net : Network
    units : FloatUnits
    groups : index array (kinks,)
    faces : sequence of int
        0, or the input on whose side the kink is looked at, with that side's sign.
    deadline : Deadline
        Beyond it no more bounds are sought; what was found holds.

    Attributes
    ----------
    ranges : Enclosures
        Arrays (kinks, units).
    affine : bool array (kinks,)
    nodes : dict from kink to ProofNode
        The checker's nodes where its rule was asked.
    """

    def __init__(
        self,
        net: Network,
        units: FloatUnits,
        groups: IndexArray,
        faces: Sequence[int],
        deadline: Deadline = NEVER,
    ) -> None:
        self._net, self._units, self.groups, self.faces = net, units, groups, faces
        self._deadline = deadline
        self.nodes: dict[int, ProofNode] = {}
        self.ranges = units.ranges.repeated(len(groups))
        for kink, face in enumerate(faces):
            if face:
                side = np.sign(face) * np.ldexp(1.0, -int(units.bits[abs(face)]))
                for ends in (self.ranges.lower, self.ranges.lower_in):
                    ends[kink, abs(face)] = side
                for ends in (self.ranges.upper, self.ranges.upper_in):
                    ends[kink, abs(face)] = side
        self._all = np.arange(len(groups))
        self.affine = units.affine[groups]
        own = units.on_z[groups], units.on_h[groups]
        both = [np.stack([part, -part], axis=1) for part in own]
        self._normals = self._expanded(self._all, both[0], both[1])

    def missed(self) -> FloatArray:
        """Return, for each kink, the sign of the affine group all over the box, else 0."""
        value = self._largest(self._all, self._normals.A) + self._normals.c
        _, high = outward(value, self._normals.error)
        gone = (high < 0) & self.affine[:, None]
        return np.where(gone[:, 0], -1.0, np.where(gone[:, 1], 1.0, 0.0))

    def find(self, wanted: BoolArray) -> Lemmas:
        """Bound units that change their sign, in topological order, and use the bounds.

        Parameters
        ----------
        wanted : bool array (kinks, units)
        """
        found = Lemmas(*np.full((2, *wanted.shape), np.nan))
        wanted = wanted.copy()
        wanted[self._all, self.groups] = False
        for level in self._units.levels:
            free = (self.ranges.lower < 0) & (self.ranges.upper > 0)
            self._bound_all(np.flatnonzero(self.affine), level.units, wanted & free, found)
            self._bound_all(np.flatnonzero(~self.affine), level.units, wanted & free, found)
        return found

    # ----------------------------------------------------------------------- bounds

    def _bound_all(
        self, kinks: IndexArray, targets: IndexArray, asked: BoolArray, found: Lemmas
    ) -> None:
        """Bound the units of some that are asked for, on so many kinks at a time."""
        part = asked[np.ix_(kinks, targets)]
        kinks, targets = kinks[part.any(axis=1)], targets[part.any(axis=0)]
        step = max(1, CHUNK // (2 * len(targets) * len(self._units.bits) + 1))
        for at in range(0, len(kinks), step):
            if self._deadline.over():
                return
            self._bound(kinks[at : at + step], targets, asked, found)

    def _bound(
        self, kinks: IndexArray, targets: IndexArray, asked: BoolArray, found: Lemmas
    ) -> None:
        """Bound some units on some kinks; note down the bounds that are worth it."""
        units, ranges, place = self._units, self.ranges, np.ix_(kinks, targets)
        lines = self._expanded(kinks, *self._start(targets))
        shifts = rounded(self._shifts(kinks, lines))
        lines = self._shifted(kinks, targets, lines, shifts)
        inner, outer = outward(self._largest(kinks, lines.A) + lines.c, lines.error)
        # the checker rounds up to an integer
        outer += 1.01 * np.tile(units.grain[targets], 2)
        half = len(targets)
        low, low_in = -outer[:, half:], -inner[:, half:]
        high, high_in = outer[:, :half], inner[:, :half]
        gain = np.array([FACE_GAIN if self.faces[kink] else GAIN for kink in kinks.tolist()])
        least = gain[:, None] * (ranges.upper[place] - ranges.lower[place])
        better_low = low > ranges.lower[place] + least
        better_high = high < ranges.upper[place] - least
        on, off = low > MARGIN, high < -MARGIN
        # a bound that decides the state is enough; one of doubtful sign is left out
        use_low = on | (better_low & ~off & (low_in <= 0))
        use_high = (off & ~on) | (better_high & ~on & ~off & (high_in >= 0))
        use_low &= asked[place] & np.isfinite(low)
        use_high &= asked[place] & np.isfinite(high)
        found.lower[place] = np.where(use_low, shifts[:, half:], found.lower[place])
        found.upper[place] = np.where(use_high, shifts[:, :half], found.upper[place])
        if not self.affine[kinks[0]]:
            self._narrow_exactly(kinks, targets, found)
            return
        for ends, new, used, better in (
            (ranges.lower, low, use_low, np.maximum),
            (ranges.lower_in, low_in, use_low, np.maximum),
            (ranges.upper, high, use_high, np.minimum),
            (ranges.upper_in, high_in, use_high, np.minimum),
        ):
            ends[place] = np.where(used, better(ends[place], new), ends[place])
        ranges.own[place] &= ~(use_low | use_high)

    def _narrow_exactly(self, kinks: IndexArray, targets: IndexArray, found: Lemmas) -> None:
        """Let the checker's rule compute the bounds of some units on some kinks."""
        for kink in kinks.tolist():
            node = self.nodes.get(kink)
            if node is None:
                node = ProofNode(self._net, int(self.groups[kink]), self.faces[kink])
                self.nodes[kink] = node
            units = targets[found.some[kink, targets]]
            for unit, sides in zip(units.tolist(), self.sides(kink, units, found), strict=True):
                node.narrow(unit, *sides)
                low, high = (self._units.ratio(unit, end) for end in node.ranges[unit])
                self.ranges.set((kink, unit), low, high)

    def forget(self, lemmas: Lemmas, lower: BoolArray, upper: BoolArray) -> None:
        """Leave out bounds of units that no other bounded unit reads: arrays (kinks, units)."""
        own, ranges = self._units.ranges, self.ranges
        lower, upper = lower & ~np.isnan(lemmas.lower), upper & ~np.isnan(lemmas.upper)
        lemmas.lower[lower] = lemmas.upper[upper] = np.nan
        for ends, before, places in (
            (ranges.lower, own.lower, lower),
            (ranges.lower_in, own.lower_in, lower),
            (ranges.upper_in, own.upper_in, upper),
            (ranges.upper, own.upper, upper),
        ):
            ends[places] = np.broadcast_to(before, ends.shape)[places]
        ranges.own |= ~lemmas.some & (lower | upper)

    def sides(
        self, kink: int, units: IndexArray, found: Lemmas
    ) -> list[tuple[str | None, str | None]]:
        """Return what a certificate says of the lower and the upper bounds of some units."""
        bits = self._units.bits[units] - self._units.bits[self.groups[kink]]
        lower, upper = (texts(side[kink, units], bits) for side in (found.lower, found.upper))
        return list(zip(lower, upper, strict=True))

    def _shifts(self, kinks: IndexArray, lines: _Lines) -> FloatArray:
        """Return, per kink and line, the multiple of the group that makes its bound best."""
        normals, offsets = self._normals.A[kinks], self._normals.c[kinks]
        affine = self.affine[kinks]
        best = self._best(kinks, lines.A, normals[:, 0], offsets[:, 0])
        if affine.all():
            return best
        # the lines of a kink that is no plane are one above zeta and one above -zeta
        sides = (
            np.maximum(best, 0.0),
            np.maximum(self._best(kinks, lines.A, normals[:, 1], offsets[:, 1]), 0.0),
        )
        values = [
            self._largest(kinks, lines.A + s[..., None] * normals[:, i, None])
            + s * offsets[:, i, None]
            for i, s in enumerate(sides)
        ]
        chosen = np.where(values[1] < values[0], -sides[1], sides[0])
        return np.where(affine[:, None], best, chosen)

    def _best(
        self, kinks: IndexArray, A: FloatArray, n: FloatArray, offset: FloatArray
    ) -> FloatArray:
        """Return the s that makes the largest value of ``a x + s (n x + offset)`` least."""
        low, high = self._box(kinks)
        weights = (high - low) / 2 * np.abs(n)
        used = weights > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            breaks = np.where(used[:, None], -A / n[:, None], np.inf)
        order = np.argsort(breaks, axis=2)
        sorted_weights = np.take_along_axis(
            np.broadcast_to(weights[:, None], breaks.shape), order, axis=2
        )
        middle = offset + ((low + high) / 2 * n).sum(axis=1)
        slope = (middle - weights.sum(axis=1))[:, None, None]
        slope = slope + 2 * np.cumsum(sorted_weights, axis=2)
        last = np.maximum(used.sum(axis=1) - 1, 0)
        index = np.minimum((slope < 0).sum(axis=2), last[:, None])
        at = np.take_along_axis(order, index[..., None], axis=2)
        found = np.take_along_axis(breaks, at, axis=2)[..., 0]
        best: FloatArray = np.where(np.isfinite(found), found, 0.0)
        return best

    def _shifted(
        self, kinks: IndexArray, targets: IndexArray, lines: _Lines, shifts: FloatArray
    ) -> _Lines:
        """Return lines with so much of an affine group added."""
        units, normals = self._units, self._normals
        grains = self._grains(kinks, targets) * np.ldexp(1.0, -np.tile(units.bits[targets], 2))
        side = (shifts < 0).astype(int)[..., None]  # of a kink that is no plane, as an estimate
        A = np.take_along_axis(normals.A[kinks], side, axis=1)
        c = np.take_along_axis(normals.c[kinks], side[..., 0], axis=1)
        reach = units.reach[self.groups[kinks], None]
        error = normals.error[kinks, :1] + 2 * units.rounding * reach
        return _Lines(
            lines.A + np.abs(shifts)[..., None] * A,
            lines.c + np.abs(shifts) * c,
            lines.error + np.abs(shifts) * error + grains,
        )

    def _grains(self, kinks: IndexArray, targets: IndexArray) -> FloatArray:
        """Return what the checker's rounding of slopes costs, in integers of a target."""
        units = self._units
        front = self._free(kinks) & (units.level < units.level[targets].max())
        cost = np.ldexp(units.reach + units.own_reach, units.bits - FINE_BITS)
        found: FloatArray = (front * cost).sum(axis=1)[:, None]
        return found

    # ------------------------------------------------------------------------ lines

    def _start(self, targets: IndexArray) -> tuple[FloatArray, FloatArray]:
        """Return the rows of targets, and of minus them: arrays (1, 2 targets, units)."""
        parts = (self._units.on_z[targets], self._units.on_h[targets])
        on_z, on_h = (np.concatenate([part, -part])[None] for part in parts)
        return on_z, on_h

    def _expanded(self, kinks: IndexArray, on_z: FloatArray, on_h: FloatArray) -> _Lines:
        """Replace units from the last to the first by their rows, and max(zeta, 0) by lines.

        The first axis of both arrays is 1 as long as forms are the same on all kinks.
        """
        units, levels = self._units, self._units.levels
        reach, own = units.reach, units.own_reach
        error = units.rounding * (np.abs(on_z) @ reach + np.abs(on_h) @ (reach + own))
        for index in reversed(range(len(levels))):
            level = levels[index]
            c, passed = on_h[:, :, level.units], on_z[:, :, level.units]
            # what is read from here on
            front = 1 + max((int(here.units.max()) for here in levels[:index]), default=0)
            front = max(front, units.inputs)
            on_z, on_h = on_z[:, :, :front], on_h[:, :, :front]
            if c.any():
                slope, constant, cost = self._drawn(kinks, level, c)
                passed = passed + slope
                on_z = _with(on_z, np.zeros(1, dtype=int), constant[..., None])
                error = error + cost
            if passed.any():
                error = error + units.rounding * (np.abs(passed) @ reach[level.units])
                if level.on_z_columns.size:
                    on_z = _with(on_z, level.on_z_columns, passed @ level.on_z)
                if level.on_h_columns.size:
                    on_h = _with(on_h, level.on_h_columns, passed @ level.on_h)
        A, c = on_z[:, :, 1 : units.inputs], on_z[:, :, 0]
        error = error + units.rounding * (np.abs(A) @ reach[1 : units.inputs] + np.abs(c))
        A, c, error = (
            np.broadcast_to(part, (len(kinks), *part.shape[1:])) for part in (A, c, error)
        )
        return _Lines(A, c, error)

    def _drawn(
        self, kinks: IndexArray, level: FloatLevel, c: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return slopes, constants and possible errors of lines above ``c max(zeta, 0)``."""
        units, ranges, place = self._units, self.ranges, np.ix_(kinks, level.units)
        low, high = ranges.lower[place], ranges.upper[place]
        low_in, high_in = ranges.lower_in[place], ranges.upper_in[place]
        reach, own = units.reach[level.units], units.own_reach[level.units]
        free = (low < 0) & (high > 0)
        group = level.units == self.groups[kinks, None]
        free &= ~group
        share = np.where(free, high / np.where(free, high - low, 1.0), (low >= 0) & (high > 0))
        share[group] = 0.0
        apart = np.where(ranges.own[place], 0.0, (low_in - low) + (high - high_in))
        width = np.where(free, high_in - low_in, 1.0)
        unsure = np.where(width > 0, apart / np.where(width > 0, width, 1.0), HOPELESS)
        # in the upper lines the ranges enter, in the lower ones their comparison
        above = unsure * (reach + own) + apart + units.rounding * own
        tilts, flat = low + high_in > 0, low_in + high <= 0
        tilts = np.where(ranges.own[place], units.tilts[level.units], tilts)
        below = np.where(ranges.own[place] | tilts | flat, 0.0, reach)
        down = np.where(free, tilts, share)
        up = np.maximum(c, 0.0)
        slope = up * share[:, None] + np.minimum(c, 0.0) * down[:, None]
        room = np.where(free, (1.0 - share) * high, 0.0)
        constant = (up @ room[:, :, None])[..., 0]
        cost = np.where(free, above, 0.0), np.where(free, below, 0.0)
        error = (up @ cost[0][:, :, None])[..., 0]
        if below.any():
            error = error - (np.minimum(c, 0.0) @ cost[1][:, :, None])[..., 0]
        error += units.rounding * (np.abs(c) @ (reach + own))
        return slope, constant, error

    def _free(self, kinks: IndexArray) -> BoolArray:
        return (self.ranges.lower[kinks] < 0) & (self.ranges.upper[kinks] > 0)

    def _box(self, kinks: IndexArray) -> tuple[FloatArray, FloatArray]:
        """Return the ranges of the inputs."""
        inputs = slice(1, self._units.inputs)
        return self.ranges.lower[kinks, inputs], self.ranges.upper[kinks, inputs]

    def _largest(self, kinks: IndexArray, A: FloatArray) -> FloatArray:
        low, high = self._box(kinks)
        found: FloatArray = (
            np.maximum(A, 0.0) @ high[:, :, None] + np.minimum(A, 0.0) @ low[:, :, None]
        )[..., 0]
        return found


def _with(forms: FloatArray, columns: IndexArray, more: FloatArray) -> FloatArray:
    """Return forms (1 or kinks, k, columns) with more in some columns, of one or all kinks."""
    kinks = max(len(forms), len(more))
    found: FloatArray = np.repeat(forms, kinks // len(forms), axis=0)
    found[:, :, columns] += more
    return found
