"""Complexes of networks of three inputs."""

from __future__ import annotations

import numpy as np

from jensen.cells.complex import ExactVertices
from jensen.cells.layers import layers_of_network
from jensen.cells.solid import SolidSubdivision
from jensen.cells.start import coordinate_scale, domain_rows, solid_inside, starting_solid
from jensen.domains.domain import Domain
from jensen.network.relu_network import ReluNetwork


def subdivided(network: ReluNetwork, domain: Domain) -> SolidSubdivision:
    scale = coordinate_scale(network, domain)
    rows = domain_rows(domain, scale)
    layers = layers_of_network(network, scale, rows)
    cells, solid = starting_solid(domain, scale, layers.width)
    division = SolidSubdivision(layers, cells, solid, ExactVertices(layers, cells.vertices, None))
    for level in layers.hidden:
        division.evaluate(level)
        division.split(level)
        division.forget(level)
        if rows is not None and level == 0:
            division.cells, division.solid = solid_inside(division.cells, division.solid, rows.size)
    return division


def euler(division: SolidSubdivision) -> int:
    """Vertices - edges + faces - cells: 1 for a convex domain, also with its points at infinity."""
    cells = division.cells
    vertices = len(np.unique(cells.edges))
    return vertices - len(cells.edges) + len(cells.face_signs) - len(division.solid.cell_signs)
