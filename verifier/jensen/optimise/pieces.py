"""The affine pieces of a network around a point, in rational arithmetic.

A point on a kink belongs to several regions. A pattern that is merely compatible with the point
may belong to none of them, and its slope need not be a subgradient (twins of opposite signs
show it). So the point is moved symbolically: along ``x + e d_1 + e^2 d_2 + ...`` with
e > 0 as small as you like, each pre-activation has the sign of the first number
``(z, d_1 z, d_2 z, ...)`` that is not 0. If the directions span the hull of the domain and d_1
leads into its interior, then the pattern found is that of a region of the domain that touches x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from jensen.arithmetic.exact import ExactMatrix, ExactVector
from jensen.network.relu_network import INPUT, OUTPUT, Block, ReluNetwork
from jensen.types import BoolArray

Point = Sequence[Fraction | int | float]
Pattern = dict[str, BoolArray]
Decide = Callable[[str, Sequence[ExactVector]], BoolArray | None]


class Pieces:
    """The affine pieces of one output.

    Parameters
    ----------
    network : ReluNetwork
        With one output.

    Examples
    --------
    At its kink, 2 relu(x) - relu(x) has the slopes 0 and 1, but never 2:

    >>> net = ReluNetwork.from_layers([[[1.0], [1.0]], [[2.0, -1.0]]], [[0, 0], [0]])
    >>> pieces = Pieces(net)
    >>> [pieces.affine(pieces.around([0], [[d]]))[0] for d in (-1, 1)]
    [(Fraction(0, 1),), (Fraction(1, 1),)]
    """

    def __init__(self, network: ReluNetwork) -> None:
        self.network = network
        self._forward = {
            (s, b.name): ExactMatrix(w) for b in network.blocks for s, w in b.weights.items()
        }
        self._backward = {
            (s, b.name): ExactMatrix(w.T) for b in network.blocks for s, w in b.weights.items()
        }
        self._bias = {block.name: ExactVector.from_floats(block.bias) for block in network.blocks}
        self._filled = {
            (s, b.name): (w != 0).astype(np.float64)
            for b in network.blocks
            for s, w in b.weights.items()
        }

    def around(
        self,
        x: Point,
        directions: Sequence[Point],
        basis: Callable[[], Sequence[Point]] = tuple,
    ) -> Pattern:
        """Return the pattern of a region that ``x + e d_1 + e^2 d_2 + ...`` lies in.

        Parameters
        ----------
        x : sequence of inputs numbers
        directions : sequence of such sequences
            The first one leads into the interior of the domain.
        basis : callable
            Returns more directions, where these leave a sign open. A neuron that is 0 along
            all of them is taken as off: it is 0 on the whole region, within their span.
        """
        pattern, open_signs = self._pattern(x, directions)
        if open_signs:
            pattern, _ = self._pattern(x, [*directions, *basis()])
        return pattern

    def _pattern(self, x: Point, directions: Sequence[Point]) -> tuple[Pattern, bool]:
        pattern: Pattern = {}
        live = {INPUT: np.ones(self.network.input_size, dtype=bool)}
        live |= {b.name: np.ones(b.size, dtype=bool) for b in self.network.blocks if not b.is_relu}
        open_signs = False

        def decide(name: str, terms: Sequence[ExactVector]) -> BoolArray:
            nonlocal open_signs
            on, undecided = _first_signs(terms)
            live[name] = on
            fed = self._fed(self.network[name], live)
            open_signs = open_signs or bool((undecided & fed).any())
            return on

        self.walk(x, directions, decide, pattern)
        return pattern, open_signs

    def walk(self, x: Point, directions: Sequence[Point], decide: Decide, pattern: Pattern) -> bool:
        """Carry a point and directions through the network, asking for signs block by block.

        Parameters
        ----------
        x : sequence of inputs numbers
        directions : sequence of such sequences
        decide : callable
            Given a ReLU block's name and ``[z, d_1 z, d_2 z, ...]`` of its neurons, returns
            which are on; None ends the walk.
        pattern : dict
            Gets the answers.

        Returns
        -------
        bool
            Whether the walk came to its end.
        """
        moved = [ExactVector.from_fractions(v) for v in (x, *directions)]
        values = {INPUT: moved}
        for block in self.network.blocks:
            terms = []
            for order in range(len(moved)):
                z = self._bias[block.name] if order == 0 else None
                for source in block.weights:
                    term = self._forward[source, block.name] @ values[source][order]
                    z = term if z is None else z + term
                assert z is not None  # every block reads something
                terms.append(z.reduced())
            if not block.is_relu:
                values[block.name] = terms
                continue
            on = decide(block.name, terms)
            if on is None:
                return False
            pattern[block.name] = on
            values[block.name] = [term.masked(on) for term in terms]
        return True

    def _fed(self, block: Block, live: dict[str, BoolArray]) -> BoolArray:
        """Whether anything that is on feeds a neuron, or a bias does."""
        fed = block.bias != 0
        for source in block.weights:
            fed = fed | (np.asarray(self._filled[source, block.name] @ live[source]) > 0)
        return np.asarray(fed)

    def affine(self, pattern: Pattern) -> tuple[tuple[Fraction, ...], Fraction]:
        """Return slope and constant of the affine function under a pattern, exactly."""
        slopes: dict[str, ExactVector] = {OUTPUT: ExactVector.from_fractions([1])}
        offset = Fraction(0)
        for block in reversed(self.network.blocks):
            if block.name not in slopes:
                continue
            slope = slopes[block.name].reduced()
            if block.is_relu:
                slope = slope.masked(pattern[block.name])
            bias = self._bias[block.name]
            product = int((slope.integers * bias.integers).sum())
            offset += Fraction(product, slope.denominator * bias.denominator)
            for source in block.weights:
                back = self._backward[source, block.name] @ slope
                slopes[source] = slopes[source] + back if source in slopes else back
        return tuple(slopes[INPUT].to_fractions()), offset


def _first_signs(terms: Sequence[ExactVector]) -> tuple[BoolArray, BoolArray]:
    """Return which first non-zero entries are positive, and where there is none."""
    on = np.zeros(len(terms[0].integers), dtype=bool)
    undecided = np.ones(len(on), dtype=bool)
    for term in terms:
        on |= undecided & term.positive()
        undecided &= np.array([i == 0 for i in term.integers], dtype=bool)
    return on, undecided
