"""From a network to its regions: the complex of the walks, cut by every level, and joined."""

from __future__ import annotations

from jensen.cells.complex import ExactVertices, TooDegenerateError
from jensen.cells.layers import layers_of_network
from jensen.cells.solid import SolidSubdivision
from jensen.cells.start import coordinate_scale, domain_rows, starting_complex, starting_solid
from jensen.cells.subdivide import Subdivision
from jensen.domains.domain import Domain
from jensen.errors import DomainError, NetworkError, UndecidedError
from jensen.linear_regions.join_plane import joined_plane
from jensen.linear_regions.join_solid import joined_solid
from jensen.linear_regions.parts import Parts
from jensen.network.relu_network import ReluNetwork
from jensen_encodings.deadline import NEVER, Deadline

SPACE = 3


def subdivide(network: ReluNetwork, domain: Domain, deadline: Deadline = NEVER) -> Parts:
    """Subdivide a domain of one to three dimensions by all kinks of a network with one output.

    Raises
    ------
    UndecidedError
        If time was up before the last level.
    DomainError
        If the domain has no interior, or sides so large or small that error bounds would not hold.
    NetworkError
        If weights are so large or small that error bounds would not hold.
    """
    scale = coordinate_scale(network, domain)
    rows = domain_rows(domain, scale)
    layers = layers_of_network(network, scale, rows)
    if not layers.usable:
        raise NetworkError("weights beyond 1e60 or below 1e-60: regions are not found reliably")
    division: Subdivision
    try:
        if len(scale) == SPACE:
            cells, solid = starting_solid(domain, scale, layers.width)
            exact = ExactVertices(layers, cells.vertices, None)
            division = SolidSubdivision(layers, cells, solid, exact)
        else:
            cells = starting_complex(domain, scale, layers.width)
            exact = ExactVertices(layers, cells.vertices, None)
            division = Subdivision(layers, cells, exact)
    except TooDegenerateError as error:
        raise DomainError(f"regions are not found reliably on {domain}: {error}") from None
    division.keep_to(deadline)
    for level in layers.hidden:
        if deadline.over():
            raise UndecidedError("time was up before all regions were found")
        division.evaluate(level)
        division.split(level)
        division.forget(level)
        if rows is not None and level == 0:
            division.keep_inside(rows.size)
            if not len(division.cells.face_signs):
                raise DomainError("the domain has no interior: fix inputs that cannot vary")
    columns = 0 if rows is None else rows.size
    first = 0 if rows is None else 1
    is_box = domain.box_sides(network.input_size) is not None
    if isinstance(division, SolidSubdivision):
        return joined_solid(division, scale, first, columns, is_box=is_box)
    return joined_plane(division, scale, first, columns, is_box=is_box)
