"""Few inputs: cut cells only where bounds leave a kink open, whatever lies beside them.

Bounds at the extreme rays of a cell hold all over it. They close most cells and most kinks
before all levels have cut them, which a walk through the whole complex cannot make use of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from jensen.cells.cones import SOLID, Cones, UncertainSignError, recentred
from jensen.cells.first_cones import box_cone, cones_between_kinks
from jensen.cells.layers import Layers, is_usable, layers_of_network
from jensen.cells.polyhedron_cone import polyhedron_cone
from jensen.cells.start import coordinate_scale, is_flat
from jensen.domains.domain import Domain
from jensen.network.relu_network import ReluNetwork
from jensen.prover.walks.cell_bounds import CellBounds, CellValues
from jensen.prover.walks.plane_pairs import pair_about
from jensen.prover.walks.walked import TRIES, Walked
from jensen.types import BoolArray, FloatArray, IndexArray
from jensen.verdicts.evidence import Counterexample
from jensen_encodings.deadline import NEVER, Deadline

LOOSE = 1e-6  # radius of a ray, relative to it, beyond which it is computed anew
AT_ONCE = 1 << 13  # rays that are worked on at a time, and
NUMBERS = 1 << 22  # rays times units
DENSE = 1 << 24  # weights of all levels as dense matrices: 0.1 GB
MOST = 6  # inputs: beyond, boxes have many corners, and kinks many neighbours


def can_walk_cells(network: ReluNetwork, domain: Domain) -> bool:
    """Whether a network and a domain are of the kind that :class:`CellWalk` takes.

    Parameters
    ----------
    network : ReluNetwork
    domain : Domain
    """
    inputs = network.input_size
    if inputs > MOST or not network.hidden:
        return False
    if is_flat(domain, inputs) or not fits_in_tables(network):
        return False
    bounded = domain.has_rows or domain.box_sides(inputs) is not None
    return bounded or network.hidden[0].is_relu


def fits_in_tables(network: ReluNetwork) -> bool:
    """Whether the weights of all levels are few as dense matrices."""
    weights = [weight for block in network.blocks for weight in block.weights.values()]
    return sum(int(np.prod(weight.shape)) for weight in weights) <= DENSE


class CellWalk:
    """The search of one network on one domain, which pauses and can be gone on with.

    Parameters
    ----------
    network : ReluNetwork
        With one output; :func:`can_walk_cells`.
    domain : Domain
    closed : mapping from block name to bool array (size,)
        Neurons whose J is known to be >= 0 under every pattern, or that keep their sign.
    deadline : Deadline

    Attributes
    ----------
    inputs : int
    left : bool
        Whether there is something to go on with: False after an answer, and where there will be
        none, as signs are hidden by rounding or a kink that bends down shows no pair.
    signs : int
        What it took so far: extreme rays of all cells that were looked at, times units.

    References
    ----------
    docs/theory.md, section 4: few inputs.
    """

    def __init__(
        self,
        network: ReluNetwork,
        domain: Domain,
        closed: Mapping[str, BoolArray],
        deadline: Deadline = NEVER,
    ) -> None:
        self._network, self._domain, self._deadline = network, domain, deadline
        self.inputs = network.input_size
        ends = np.cumsum([block.size for block in network.hidden])
        self._places = {
            block.name: int(end) - block.size
            for block, end in zip(network.hidden, ends, strict=True)
        }
        kink = np.concatenate([np.full(block.size, block.is_relu) for block in network.hidden])
        asked = kink & ~np.concatenate([closed[block.name] for block in network.hidden])
        self._kink = kink
        self._scale = coordinate_scale(network, domain)
        layers = layers_of_network(network, self._scale)
        self._shared = layers.coordinates - 2
        self._at_once = min(AT_ONCE, NUMBERS // max(1, network.relu_count))
        self._waiting: list[Cones] = []
        self._tries = TRIES
        self._is_centred = False
        self.signs = 0
        self.left = layers.usable and layers.coordinates == network.input_size + 1
        start = _start(domain, layers, self._scale, asked) if self.left else None
        self.left = start is not None and is_usable(np.abs(start[0].points))
        if start is not None and self.left:
            self._cones, self._bounding = start
            self._cones.states[:, ~kink] = 1  # they pass z on
            self._bounds = CellBounds(layers)
            self._spans = self._bounds.spans

    def run(self, signs: float = np.inf) -> Walked | None:
        """Search until all is closed, or a kink bends down.

        Parameters
        ----------
        signs : float
            Pause after about so many more.

        Returns
        -------
        Walked or None
            None says nothing.
        """
        limit = self.signs + signs
        try:
            if not self.signs and self.left:
                self._take_out_kinks()
            while self.left and self.signs < limit and not self._deadline.over():
                walked = self._step()
                if walked is not None:
                    self.left = False
                    return walked
        except UncertainSignError:
            self.left = False
        return None

    def leave_out(self, neurons: Iterable[tuple[str, int]]) -> None:
        """Look no more at kinks of neurons that something else has closed.

        Parameters
        ----------
        neurons : iterable of (block name, index)
            Of groups whose J was shown to be >= 0.
        """
        units = [self._places[block] + index for block, index in neurons]
        if units and self.left:
            self._cones = _without(self._cones, units)
            self._waiting = [_without(cones, units) for cones in self._waiting]

    def _step(self) -> Walked | None:
        """Bound some cells, and cut those that are left open."""
        cones = self._cones
        if not cones.count:
            return self._closed()
        if len(cones.cell) > self._at_once and cones.count > 1:
            half = cones.count // 2
            self._waiting.append(cones.take(np.arange(half)))
            self._cones = cones.take(np.arange(half, cones.count))
            return None
        self.signs += len(cones.cell) * cones.states.shape[1]
        try:
            values = self._bounds.of(cones)
            pair = self._bent(values)
            if pair is not None:
                return Walked(proved=False, pair=pair)
            left = self._open(values)
            if left.any():
                self._cones, self._is_centred = self._cut(values, left), False
                self._recentre(LOOSE)
                return None
        except UncertainSignError:
            if self._is_centred:
                raise
            self._is_centred = True
            self._recentre(0.0)
            return None
        return self._closed()

    def _closed(self) -> Walked | None:
        """Go on with cells that wait, if there are any."""
        if not self._waiting:
            return Walked(proved=True)
        self._cones = self._waiting.pop()
        return None

    def _take_out_kinks(self) -> None:
        """Leave pieces of kinks alone, where only the first level's are asked for."""
        cones, span = self._cones, self._spans[0]
        if cones.asked[:, span.stop :].any() or not self._network.hidden[0].is_relu:
            return
        z, error = np.zeros((2, len(cones.cell), cones.states.shape[1]))
        z[:, span], error[:, span] = self._bounds.first_values(cones)
        above = np.logical_or.reduceat(z > error, cones.first)
        below = np.logical_or.reduceat(z < -error, cones.first)
        hidden = np.logical_or.reduceat(~(np.abs(z) > error), cones.first)
        asked = cones.asked & (cones.states == 0)
        if (asked & hidden & ~(above & below)).any():
            raise UncertainSignError("a kink in a side of a cell")
        cell, unit = np.nonzero(asked & above & below)
        pieces = cones.cut(cell, unit, np.zeros(len(cell), dtype=bool), z, error, self._shared)
        old = np.flatnonzero(cones.label != SOLID)
        self._cones = pieces.beside(cones.take(old)) if old.size else pieces

    def _recentre(self, loose: float) -> None:
        """Compute rays anew from the forms that bound their cells, where radii are that large."""
        cones = self._cones
        rays = np.flatnonzero(cones.radius > loose * cones.size)
        if rays.size:
            cells, place = np.unique(cones.cell[rays], return_inverse=True)
            forms, bounds = self._forms(cones.states[cells]), self._bounds
            bounding = np.broadcast_to(self._bounding, (len(cells), *self._bounding.shape))
            every = np.concatenate([forms, bounding], axis=1)
            recentred(cones, rays, every, place, bounds.form_rounding)

    def _forms(self, states: NDArray[np.int8]) -> FloatArray:
        """Return all units as forms, where those that are on pass z on: (cells, units, coord.)."""
        bounds, on, forms = self._bounds, (states > 0)[:, :, None], list[FloatArray]()
        for links, source in zip(bounds.reads, bounds.sources, strict=True):
            form = np.broadcast_to(source, (len(states), *source.shape))
            for link in links:
                passed = np.where(on[:, self._spans[link.level]], forms[link.level], 0.0)
                form = form + link.weights @ passed
            forms.append(form)
        return np.concatenate(forms, axis=1)

    def _bent(self, values: CellValues) -> Counterexample | None:
        """Return a pair about a piece of a kink that bends down, if there is one.

        Raises
        ------
        UncertainSignError
            If a kink seems to bend down, but pairs about it do not.
        """
        cones = self._cones
        piece = np.flatnonzero(cones.label != SOLID)
        bent = piece[values.high[piece, cones.label[piece]] < 0]
        for cell in bent[: self._tries].tolist():
            form = self._forms(cones.states[[cell]])[0, cones.label[cell]]
            across = form[:-1] * self._scale
            pair = pair_about(self._network, self._domain, self._inside(cell), across)
            if pair is not None:
                return pair
            self._tries -= 1
        if bent.size:
            self._is_centred = True
            raise UncertainSignError("a kink that shows no pair")
        return None

    def _inside(self, cell: int) -> FloatArray:
        """Return a point inside a cell, or a piece."""
        rays = self._cones.points[self._cones.cell == cell]
        far = rays[:, -1] == 0
        finite, ends = rays[~far], rays[far]
        inside: FloatArray = (finite[:, :-1] / finite[:, -1:]).mean(axis=0)
        if far.any():
            inside = inside + (ends[:, :-1] / np.abs(ends).max(axis=1)[:, None]).mean(axis=0)
        return inside * self._scale

    def _open(self, values: CellValues) -> BoolArray:
        """Return the units of each cell whose kinks may bend down there."""
        cones = self._cones
        falls = values.low < 0
        falls |= np.isnan(values.low)
        left: BoolArray = cones.asked & (cones.states == 0) & falls
        piece = np.flatnonzero(cones.label != SOLID)
        left[piece, cones.label[piece]] = falls[piece, cones.label[piece]]
        return left

    def _cut(self, values: CellValues, left: BoolArray) -> Cones:
        """Cut open cells by a unit each, and take out of them the kinks that can be told."""
        cones = self._cones
        linear = self._linear()
        solid = (cones.label == SOLID)[:, None]
        told = left & linear & solid
        cell, unit = np.nonzero(told)
        rest = np.flatnonzero((left & ~told).any(axis=1))
        by = self._chosen(values, left & ~told, linear, rest)
        kept = np.concatenate([cell, rest])
        if not kept.size:
            raise UncertainSignError("nothing to cut")
        apart = np.arange(len(kept)) >= len(cell)
        units = np.concatenate([unit, by])
        asked, cones.asked = cones.asked, cones.asked & ~told
        try:
            return cones.cut(kept, units, apart, values.z, values.error, self._shared)
        finally:
            cones.asked = asked

    def _linear(self) -> BoolArray:
        """Return the units whose z is linear on each cell: all in front are known there."""
        cones = self._cones
        known = cones.states != 0
        piece = np.flatnonzero(cones.label != SOLID)
        known[piece, cones.label[piece]] = True
        linear = np.empty(known.shape, dtype=bool)
        passed: list[BoolArray] = []
        for links, span in zip(self._bounds.reads, self._spans, strict=True):
            front = np.ones(len(known), dtype=bool)
            for link in links:
                front &= passed[link.level]
            linear[:, span] = front[:, None]
            passed.append(front & known[:, span].all(axis=1))
        return linear

    def _chosen(
        self, values: CellValues, left: BoolArray, linear: BoolArray, rest: IndexArray
    ) -> IndexArray:
        """Return the unit that cuts each of some cells: the one that matters most to J.

        What a unit passes on is known up to the gap between relu and the line above it.
        """
        bounds, states, left = self._bounds, self._cones.states[rest], left[rest]
        unknown, open_ones, needed = states == 0, states >= 0, np.zeros(states.shape)
        own = self._share_of_states(values, left, rest)
        wanted = own + (left & ~linear[rest])
        for level in range(len(self._spans) - 1, -1, -1):
            span = self._spans[level]
            for link in bounds.readers[level]:
                behind = self._spans[link.level]
                needs = needed[:, behind] * open_ones[:, behind] + wanted[:, behind]
                needed[:, span] += needs @ link.sizes
        matters = (own + needed) * values.gap[rest]
        matters[~(unknown & linear[rest] & values.both[rest])] = -1.0
        chosen: IndexArray = matters.argmax(axis=1)
        if (matters[np.arange(len(rest)), chosen] < 0).any():
            raise UncertainSignError("a cell that nothing cuts")
        return chosen

    def _share_of_states(self, values: CellValues, left: BoolArray, rest: IndexArray) -> FloatArray:
        """Return how much of J of the units left rests on each unknown state; 0 means nothing.

        Parameters
        ----------
        left : bool array (rest, units)
        rest : int array (rest,)
            Cells.
        """
        states = self._cones.states[rest]
        weight = np.maximum(np.abs(values.low[rest]), np.abs(values.high[rest]))
        arrives = np.zeros(states.shape)
        for links, span in zip(self._bounds.reads, self._spans, strict=True):
            for link in links:
                read = self._spans[link.level]
                jumps = arrives[:, read] * (states[:, read] >= 0) + left[:, read]
                arrives[:, span] += jumps @ link.sizes.T
        return np.where(states == 0, weight * arrives, 0.0)


def _without(cones: Cones, units: list[int]) -> Cones:
    """Return cells whose kinks of some units are not asked for, without pieces of these."""
    cones.asked[:, units] = False
    kept = np.flatnonzero(~np.isin(cones.label, units))
    return cones if len(kept) == cones.count else cones.take(kept)


def _start(
    domain: Domain, layers: Layers, scale: FloatArray, asked: BoolArray
) -> tuple[Cones, FloatArray] | None:
    """Return the cells to begin with, and the forms that bound the domain."""
    if domain.has_rows:
        return polyhedron_cone(*domain.inequalities(len(scale)), scale, asked)
    box, first = domain.box_sides(len(scale)), layers.layers[0].source
    if box is not None:
        return box_cone((box[0] / scale, box[1] / scale), asked)
    return None if first is None else cones_between_kinks(first, asked)
