"""Linear regions: cells, facets, edges and vertices of a network of few inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jensen.cells.start import is_flat
from jensen.domains.domain import Domain, Everywhere
from jensen.errors import DomainError, OptionError
from jensen.graphs.function_graph import FunctionGraph
from jensen.linear_regions.build import subdivide
from jensen.linear_regions.parts import SolidParts
from jensen.linear_regions.plane_regions import Regions
from jensen.linear_regions.solid_regions import SolidRegions
from jensen.loaders import opened
from jensen.network.checks import first_output
from jensen.network.relu_network import ReluNetwork
from jensen.prover.question import check_subject
from jensen_encodings.deadline import NEVER, Deadline

__all__ = ["MOST_INPUTS", "Regions", "regions", "regions_of"]

MOST_INPUTS = 3


def regions(
    network: ReluNetwork | FunctionGraph | str | Path,
    domain: Domain | None = None,
    *,
    output: int | None = None,
    fixed: Mapping[int, float] | None = None,
) -> Regions:
    """Return the linear regions of a network of one to three inputs, or of such a slice.

    The arrangement is exact: every sign that rounding could hide is decided in rational
    arithmetic, so that kinks through one point or along one line are right. Numbers are
    rounded; ``exact_vertex``, ``exact_piece`` and ``exact_jump`` are not.

    Parameters
    ----------
    network : ReluNetwork or path
    domain : Box, Polyhedron or Everywhere
        Default: ``Everywhere()``; with an interior.
    output : int, optional
        Which output is f; the first, with a warning where there are several.
    fixed : mapping from input to its value, optional
        Look at the slice where these inputs have these values; the domain is that of the others.

    Returns
    -------
    Regions
        With ``.cells``, ``.facets``, ``.edges`` and ``.vertices``.

    Raises
    ------
    OptionError
        For more than three inputs that vary.
    DomainError
        If the domain does not fit or has no interior.
    NetworkError
        If there is no such output or input, or weights are out of range.

    References
    ----------
    docs/theory.md, section 4; A. Berzins, "Polyhedral complex extraction from ReLU networks
    using edge subdivision", ICML 2023.

    Examples
    --------
    >>> from jensen.domains.domain import Box
    >>> net = ReluNetwork.from_layers([[[1.0, 0.0], [0.0, 1.0]], [[1.0, -1.0]]], [[0, 0], [0]])
    >>> found = regions(net, Box(-1, 1))
    >>> len(found.cells), len(found.facets), sorted(facet.jump for facet in found.facets)
    (4, 4, [-1.0, -1.0, 1.0, 1.0])
    """
    domain = Everywhere() if domain is None else domain
    checked = check_subject(opened(network), domain)
    scalar = checked.select_output(first_output(checked.output_size, output))
    if fixed is not None and not (isinstance(fixed, Mapping) and not fixed):
        scalar = scalar.fix_inputs(fixed)
    return regions_of(scalar, domain)


def regions_of(scalar: ReluNetwork, domain: Domain, deadline: Deadline = NEVER) -> Regions:
    """Return the linear regions of a network with one output.

    Raises
    ------
    UndecidedError
        If time was up before all were found.
    OptionError, DomainError, NetworkError
        As :func:`regions`.
    """
    inputs = scalar.input_size
    domain.check(inputs)
    if inputs > MOST_INPUTS:
        raise OptionError(
            f"regions of {inputs} inputs: {MOST_INPUTS} can vary at most; give values "
            "to the others with fixed={...}"
        )
    if is_flat(domain, inputs):
        raise DomainError("the box has a side of width 0: give that input's value with fixed={...}")
    with np.errstate(all="ignore"):
        parts = subdivide(scalar, domain, deadline)
    if isinstance(parts, SolidParts):
        return SolidRegions(scalar, domain, parts)
    return Regions(scalar, domain, parts)
