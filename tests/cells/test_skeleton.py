"""Vertices and edges alone: as many cells as the whole complex has, on boxes and in space."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import jensen
from jensen.cells.skeleton import Levels, Skeleton, UncertainSignsError
from jensen.cells.skeleton_cut import cut
from jensen.cells.skeleton_start import meeting, skeleton_of_box, skeleton_of_space
from jensen.domains.domain import Box, Everywhere
from jensen.network.relu_network import ReluNetwork

Arrays = list[np.ndarray]
SIZES = [(3, 4), (3, 5, 4), (3, 4, 3, 3), (3, 3, 2, 2)]


def drawn(sizes: tuple[int, ...], seed: int) -> tuple[Arrays, Arrays]:
    rng = np.random.default_rng([seed, *sizes])
    shapes = list(pairwise((*sizes, 1)))
    return [rng.normal(size=(b, a)) for a, b in shapes], [rng.normal(size=b) for _, b in shapes]


def levels_of(networks: list[tuple[Arrays, Arrays]]) -> Levels:
    weights, biases = ([np.array(layer) for layer in zip(*part, strict=True)] for part in
                       zip(*networks, strict=True))  # fmt: skip
    units = sum(weight.shape[1] for weight in weights[:-1])
    return Levels(weights, biases, np.ones((len(networks), units), dtype=bool))


def in_space(weights: Arrays, biases: Arrays) -> tuple[Arrays, Arrays]:
    """Return the network with three units of the first level last whose kinks meet."""
    order = meeting(weights[0])
    assert order is not None
    weights, biases = list(weights), list(biases)
    weights[0], biases[0], weights[1] = weights[0][order], biases[0][order], weights[1][:, order]
    return weights, biases


def cut_by_all(skeleton: Skeleton, known: int = 0) -> Skeleton:
    for level, units in enumerate(skeleton.levels.sizes):
        skeleton = skeleton.evaluated(level) if level else skeleton
        columns = np.arange(units - (0 if level else known))
        skeleton = cut(skeleton, level, columns)
        if skeleton.endless:
            skeleton.goes_on(level, columns)
    return skeleton


def cells_of(skeleton: Skeleton) -> set[tuple[int, ...]]:
    """Return (network, units on) of all cells: on both sides of every face."""
    levels = skeleton.levels
    network, unit, on, _ = skeleton.faces()
    both = np.concatenate([on, on | levels.bit[:, unit]], axis=1).T.tolist()
    return {(n, *units) for n, units in zip([*network.tolist()] * 2, both, strict=True)}


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("seed", range(4))
def test_there_are_as_many_cells_as_in_the_whole_complex(sizes: tuple[int, ...], seed: int):
    weights, biases = drawn(sizes, seed)
    network = ReluNetwork.from_layers(weights, biases)
    boxed = cut_by_all(
        skeleton_of_box(levels_of([(weights, biases)]), (np.full(3, -2.0), np.full(3, 3.0)))
    )
    assert len(cells_of(boxed)) == len(jensen.regions(network, Box(-2, 3)).cells)
    start = skeleton_of_space(levels_of([in_space(weights, biases)]))
    space = cut_by_all(start, known=3)
    assert len(cells_of(space)) == len(jensen.regions(network, Everywhere()).cells)


def test_vertices_of_a_stack_are_those_of_its_networks():
    networks = [drawn((3, 5, 4), seed) for seed in range(5)]
    box = (np.full(3, -1.0), np.full(3, 1.0))
    together = cut_by_all(skeleton_of_box(levels_of(networks), box))
    alone = [cut_by_all(skeleton_of_box(levels_of([network]), box)) for network in networks]
    assert np.bincount(together.network).tolist() == [len(part.z) for part in alone]
    assert len(together.edges) == sum(len(part.edges) for part in alone)
    left = together.without(np.array([0, 3]))
    assert np.bincount(left.network, minlength=5).tolist() == [
        0 if k in (0, 3) else len(part.z) for k, part in enumerate(alone)
    ]
    assert cells_of(left) == {cell for cell in cells_of(together) if cell[0] not in (0, 3)}


def test_errors_bound_what_rounding_does():
    """Against the same in rational numbers: z at vertices of kinks of the first level."""
    weights, biases = drawn((3, 5, 4), 1)
    # halves of twins: where the first unit vanishes, the second is off by the weight between them
    weights[0][1] = weights[0][0] * (1 + 2.0**-35)
    biases[0][1] = biases[0][0]
    levels = levels_of([(weights, biases)])
    start = skeleton_of_box(levels, (np.full(3, -1.0), np.full(3, 1.0)))
    first = cut(start, 0, np.arange(5))
    zero = (first.z[:, 0] == 0).nonzero()[0]
    # there, z_1 is 2^-35 of the weights' part, which is minus the bias
    expected = -biases[0][0] * 2.0**-35
    assert zero.size
    assert (np.abs(first.z[zero, 1] - expected) <= first.error[zero, 1] + 1e-22).all()
    assert (first.error < 2.0**-45).all()


def test_what_rounding_hides_is_said_of_its_network_alone():
    networks = [drawn((3, 4, 3), seed) for seed in range(3)]
    networks[1][0][0][2] = networks[1][0][0][1]  # twins in the second network
    networks[1][1][0][2] = networks[1][1][0][1]
    box = (np.full(3, -4.0), np.full(3, 4.0))
    start = skeleton_of_box(levels_of(networks), box)
    with pytest.raises(UncertainSignsError) as caught:
        cut(start, 0, np.arange(4))
    assert caught.value.networks.tolist() == [1]
    assert set(cut(start.without(caught.value.networks), 0, np.arange(4)).network.tolist()) == {
        0,
        2,
    }


def test_kinks_that_meet_nowhere_are_no_start():
    flat = np.array([[1.0, 2, 0], [0, 1, 0], [3, 1, 0], [1, 1, 0]])
    assert meeting(flat) is None
    weights, biases = drawn((3, 4, 2), 0)
    levels = levels_of([in_space(weights, biases), (weights, [np.zeros(4), *biases[1:]])])
    with pytest.raises(UncertainSignsError) as caught:
        skeleton_of_space(levels)
    assert caught.value.networks.tolist() == [1]
