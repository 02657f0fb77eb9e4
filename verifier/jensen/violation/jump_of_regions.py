"""The worst gradient jump of few inputs: all facets are there to be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from jensen.cells.start import is_flat
from jensen.domains.domain import Domain
from jensen.errors import DomainError, NetworkError, UndecidedError
from jensen.linear_regions.regions import MOST_INPUTS, Regions, regions_of
from jensen.network.relu_network import ReluNetwork
from jensen.prover.walks.parts import SPACE, expected_signs
from jensen.types import IndexArray, Neurons
from jensen.verdicts.counterexample import Point, admits, exact_violation
from jensen_encodings.deadline import NEVER, Deadline

# by number of inputs: the cells of more ReLUs take too long to be worth a try, in space unless
MOST_RELUS = {1: 600, 2: 600, 3: 80}
MOST_SIGNS = 1e7  # that a walk would take are few, and
SECONDS = 1e-6  # that each of them takes here leave time for a search
QUARTERINGS = 400


@dataclass(frozen=True)
class WorstFacet:
    """The facet across which the gradient falls the most.

    Attributes
    ----------
    squared : Fraction
        The square of the fall; 0 if no facet bends down.
    before, middle, after : tuple of Fraction
        ``middle`` is inside the facet, which is the only one between the others.
    violation : Fraction
        ``f(middle) - (f(before) + f(after)) / 2``
    neurons : tuple of (block name, index)
    """

    squared: Fraction = Fraction(0)
    before: Point = ()
    middle: Point = ()
    after: Point = ()
    violation: Fraction = Fraction(0)
    neurons: Neurons = ()


def worst_facet(
    network: ReluNetwork, domain: Domain, deadline: Deadline = NEVER
) -> WorstFacet | None:
    """Return the worst facet of a network of one to three inputs, exactly.

    None for networks of other sizes, or where time is up.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    domain : Domain
    deadline : Deadline
    """
    inputs = network.input_size
    if inputs > MOST_INPUTS or is_flat(domain, inputs):
        return None
    if network.relu_count > MOST_RELUS[inputs]:
        signs = expected_signs(network, domain) if inputs == SPACE else np.inf
        if signs > MOST_SIGNS or 2 * SECONDS * signs > deadline.left():
            return None
    try:
        found = regions_of(network, domain, deadline)
    except (DomainError, NetworkError, UndecidedError):
        return None  # without interior, or of sizes beyond all error bounds: the search copes
    index, squared = -1, Fraction(0)
    for facet in _steepest(found).tolist():
        if deadline.over():
            return None
        square, sign = found.exact_jump(facet)
        if sign < 0 and square > squared:
            index, squared = facet, square
    return _crossed(found, index, squared) if squared else WorstFacet()


def _steepest(found: Regions) -> IndexArray:
    """Return the facets across which the gradient may fall the most, as far as rounding tells."""
    jumps, certain = found.rounded_jumps
    shown = float((-jumps[certain]).max(initial=0.0))
    most = np.where(certain, -jumps, np.abs(jumps))
    rises = certain & (jumps >= 0)
    # what is not a number may be anything
    return np.flatnonzero(~rises & ~(most < shown - 2 * found.jump_error))


def _crossed(found: Regions, index: int, squared: Fraction) -> WorstFacet | None:
    """Return the facet with two points on both sides, and no other facet between them."""
    facet, middle = found.facets[index], found.exact_middle(index)
    if middle is None:
        return None
    one, two = (found.exact_piece(cell)[0] for cell in facet.cells)
    step = [b - a for a, b in zip(one, two, strict=True)]
    size = max(map(abs, step))
    ends = [end for v in facet.vertices if (end := found.exact_vertex(v)) is not None]
    reach = max(abs(a - m) for end in ends for a, m in zip(end, middle, strict=True)) if ends else 0
    step = [v / size * (reach or 1) for v in step]
    for _ in range(QUARTERINGS):
        before = tuple(m - s for m, s in zip(middle, step, strict=True))
        after = tuple(m + s for m, s in zip(middle, step, strict=True))
        if admits(found.domain, before, after):
            violation = exact_violation(found.network, before, after)
            length = sum((2 * s) ** 2 for s in step)
            if violation > 0 and 16 * violation**2 == squared * length:
                return WorstFacet(squared, before, middle, after, violation, facet.neurons)
        step = [s / 4 for s in step]
    return None
