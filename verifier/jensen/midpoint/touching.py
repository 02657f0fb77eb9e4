"""Affine functions that touch f where it bends down, and by how much they exceed it elsewhere.

Let p be a point on a facet of a group g, with the states a. Continued over the whole domain, the
piece of f that has these states is an affine function A with A(p) = f(p), whatever share of z_g
is taken for h_g, and with r = relu(-z) for units that are on, relu(z) for those that are off,

    A(z) - f(z) = - sum over units of J(a) r(z).

No pair along whose segment f is furthest above its chord at p violates convexity by more than the
maximum of ``A - f`` (theory, Lemma 16). Where states are unknown, J has an interval, and r of the
unit itself is between 0 and ``|z|``: one linear objective bounds all A at once.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

import numpy as np

from jensen.bounds.paths import sign_bounds
from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import FREE, ON, Activations
from jensen.midpoint.columns import single_columns
from jensen.midpoint.linked import EPS, SINGLE, TINY, LinkedNetwork, Objective, SafeDual
from jensen.midpoint.relaxation import LinearRelaxation, Task
from jensen.midpoint.tree import SignTree, TreeOptions
from jensen.network.relu_network import INPUT, ReluNetwork
from jensen.types import BoolArray, FloatArray, Unit
from jensen_encodings import NetworkData
from jensen_encodings.deadline import NEVER, Deadline

Neuron = tuple[str, int]
HALF = 0.5  # the share of z of the group itself
UNEQUAL = 0.125  # what the better side of a unit counts, beside the worse one
NO_GAIN = 1e-9  # of the excess
TREE_NODES, TOGETHER = 200, 4


@dataclass(frozen=True, eq=False)
class Excess:
    """By how much affine functions exceed f.

    Attributes
    ----------
    bound : float
        Proved.
    unit : (level, unit) or None
        The free one whose state would tell most.
    """

    bound: float
    unit: Unit | None


@dataclass(frozen=True)
class _Enough:
    """What a tree looks for: nothing but a bound."""

    value: float

    def offer(self, bases: FloatArray) -> None:
        """Look at no points."""


@dataclass(frozen=True, eq=False)
class _Block:
    """One hidden layer: what of J its neurons have under some states, and of the price of h."""

    on: BoolArray
    off: BoolArray
    low: FloatArray
    high: FloatArray
    own: BoolArray

    @property
    def free(self) -> BoolArray:
        return ~(self.on | self.off | self.own)


class Touching:
    """The functions that touch a network where its groups bend down.

    Parameters
    ----------
    net : GroupedNetwork
    network : ReluNetwork
        The same, scalar.
    data : NetworkData
        Rigorous bounds of its hidden layers.
    paid : mapping from (block, index) to float
        ``sum paid relu(z)`` is taken from f, which stays as convex as it was elsewhere.
    """

    def __init__(
        self,
        net: GroupedNetwork,
        network: ReluNetwork,
        data: NetworkData,
        paid: Mapping[Neuron, float],
    ) -> None:
        self._net, self._network = net, network
        layers = data.layers[:-1]
        self._linked = LinkedNetwork(data.input_lower, data.input_upper, layers, SINGLE)
        self._columns = single_columns(self._linked)
        self._all = np.ones((1, len(self._columns.own)), dtype=bool)
        nothing = SafeDual(self._linked, self._columns, Objective({}, 0.0))
        self._relaxation = LinearRelaxation(nothing)
        self._paid = {layer.name: np.zeros(layer.size) for layer in layers}
        for (block, index), amount in paid.items():
            self._paid[block][index] = amount
        self._units: dict[str, list[tuple[Unit, int, bool]]] = {name: [] for name in self._paid}
        for level, part in enumerate(net.levels):
            for unit in np.flatnonzero(part.kink).tolist():
                for member in part.units[unit]:
                    place = (level, unit), member.index, member.c > 0
                    self._units[member.block].append(place)
        self._relu = {layer.name: layer.is_relu for layer in layers}
        terms = self._linked.neurons + len(data.input_lower) + 16
        # slack is a bound of the rounding errors of z, so this is more than z's terms
        self._unit_roundoff = 4.0 * terms * EPS
        self._sizes = {layer.name: layer.slack / EPS for layer in self._linked.layers}

    def excess(
        self,
        group: Unit,
        states: Activations,
        allowed: Container[Unit],
        aim: float = -np.inf,
        deadline: Deadline = NEVER,
    ) -> Excess:
        """Bound ``A - f`` for all points with the given states on the kink of a group.

        Parameters
        ----------
        group : (level, unit)
        states : sequence of int8 arrays
        allowed : container of units
            Those that may be chosen.
        aim : float
            What would be good enough: where no state tells more, a short tree is searched for it.
        deadline : Deadline
        """
        blocks = self._blocks(group, states)
        objective = self._objective(blocks)
        self._relaxation.change_objective(objective)
        start = np.zeros(self._relaxation.size)
        (found,) = self._relaxation.relax([Task(self._all[0], start)], -np.inf)
        dual = SafeDual(self._linked, self._columns, objective)
        every = np.repeat(self._all, len(found.candidates), axis=0)
        bound = float(dual.evaluate(found.candidates, every).bound.min())
        if bound <= aim or found.base is None or found.hidden is None:
            return Excess(bound, None)
        unit = self._choice(blocks, found.base[0], found.hidden[:, 0], bound, allowed)
        if unit is None and aim > 0:
            options = TreeOptions(deadline, 0.0, 0.0, TREE_NODES, TOGETHER)
            tree = SignTree(dual, self._relaxation, _Enough(aim), options, first_bound=bound)
            tree.run()
            bound = min(bound, tree.upper)
        return Excess(bound, unit)

    def _blocks(self, group: Unit, states: Activations) -> dict[str, _Block]:
        """Return the states of neurons, and bounds of J under them."""
        stable: dict[str, tuple[BoolArray, BoolArray]] = {}
        owns: dict[str, BoolArray] = {}
        for layer in self._linked.layers:
            on, off = self._linked.is_on[layer.span].copy(), self._linked.is_off[layer.span].copy()
            owns[layer.name] = np.zeros(len(on), dtype=bool)
            for (level, unit), index, same in self._units[layer.name]:
                state = states[level][unit]
                if (level, unit) == group:
                    on[index] = off[index] = False
                    owns[layer.name][index] = True
                elif state != FREE:
                    on[index] = (state == ON) == same
                    off[index] = not on[index]
            stable[layer.name] = on, off
        jumps = sign_bounds(self._network, stable)
        return {
            name: _Block(on, off, *jumps[name], owns[name]) for name, (on, off) in stable.items()
        }

    def _objective(self, blocks: Mapping[str, _Block]) -> Objective:
        """Return a bound of all A - f that is linear in h and z, and z by what is in front."""
        linked = self._linked
        prices = {name: np.zeros((len(block.on), 1)) for name, block in blocks.items()}
        prices[INPUT] = np.zeros((len(linked.input_lower), 1))
        constant = unsure = 0.0
        for layer in linked.layers:
            block = blocks[layer.name]
            low = np.nextafter(block.low - self._paid[layer.name], -np.inf)
            # r = h - z, h, and h - z / 2 of the group; at most |z| = 2 h - z where J < 0
            bends = block.free & (low < 0)
            own = np.where(block.own, -low, 0.0)
            of_h = np.where(block.on | block.off | block.own, -low, np.where(bends, -2 * low, 0.0))
            of_z = np.where(block.on | bends, low, -HALF * own)
            if not self._relu[layer.name]:
                continue  # r is 0
            prices[layer.name][:, 0] += of_h
            constant += float(of_z @ layer.bias)
            sizes = self._sizes[layer.name]
            unsure += float((np.abs(of_z) + np.abs(of_h)) @ (sizes + linked.magnitude[layer.span]))
            for source, weight in layer.weights.items():
                prices[source][:, 0] += weight.T @ of_z
        tiny = TINY * (1 + linked.magnitude.sum() + linked.input_reach.sum())
        unsure = self._unit_roundoff * (unsure + float(tiny))
        return Objective(prices, constant + unsure)

    # ------------------------------------------------------------------ what to branch on

    def _choice(
        self,
        blocks: Mapping[str, _Block],
        x: FloatArray,
        hidden: FloatArray,
        bound: float,
        allowed: Container[Unit],
    ) -> Unit | None:
        """Return the free unit whose states take most from the objective at a solution."""
        values, linked = {INPUT: x}, self._linked
        h = np.zeros(linked.neurons)
        h[linked.free] = hidden
        z: dict[str, FloatArray] = {}
        for layer in linked.layers:
            here = layer.bias + sum(w @ values[s] for s, w in layer.weights.items())
            z[layer.name] = here
            on, off = linked.is_on[layer.span], linked.is_off[layer.span]
            values[layer.name] = np.where(on, here, np.where(off, 0.0, h[layer.span]))
        counts = {name: _counts(block, z[name], values[name]) for name, block in blocks.items()}
        gains: dict[Unit, float] = {}
        for layer in self._linked.layers:
            block, here, after = blocks[layer.name], z[layer.name], values[layer.name]
            if not block.free.any() or not self._relu[layer.name]:
                continue
            free = counts[layer.name] * -block.low
            gain_on = free + block.low * (after - here)
            gain_off = free + block.low * after
            for source, weight in layer.weights.items():
                if source != INPUT:
                    more = _passed(weight, block, counts[source])
                    gain_on, gain_off = gain_on + more[0], gain_off + more[1]
            gain = np.minimum(gain_on, gain_off) + UNEQUAL * np.maximum(gain_on, gain_off)
            for unit, index, _ in self._units[layer.name]:
                if block.free[index] and unit in allowed:
                    gains[unit] = gains.get(unit, 0.0) + float(gain[index])
        best = max(gains, key=lambda one: gains[one], default=None)
        return None if best is None or gains[best] <= NO_GAIN * abs(bound) else best


def _counts(block: _Block, z: FloatArray, h: FloatArray) -> FloatArray:
    """Return r as the objective has it at a solution."""
    free = np.where(block.low < 0, 2 * h - z, 0.0)
    r = np.where(block.on, h - z, np.where(block.off, h, free))
    return np.where(block.own, h - HALF * z, r)


def _passed(weight: FloatArray, block: _Block, counts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return by how much the J in front grow if neurons are on, and if they are off."""
    plus, minus = np.maximum(weight, 0.0) @ counts, np.minimum(weight, 0.0) @ counts
    now = plus * np.minimum(block.low, 0.0) + minus * np.maximum(block.high, 0.0)
    on = plus * block.low + minus * block.high
    return on - now, -now
