"""Hypothesis strategies for networks: the degenerate ones come first and shrink best."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from jensen.domains.domain import Box, Domain, Everywhere
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork

INTEGERS = st.sampled_from([0.0, 1.0, -1.0])
DYADIC = st.integers(-8, 8).map(lambda v: v / 4.0)
REALS = st.floats(-4.0, 4.0, allow_nan=False, allow_subnormal=False)
WIDE = st.builds(lambda m, e: m * 10.0**e, REALS, st.integers(-6, 6))
NUMBERS = st.sampled_from([INTEGERS, DYADIC, REALS, WIDE])


@st.composite
def networks(
    draw: st.DrawFn,
    *,
    max_inputs: int = 3,
    max_depth: int = 3,
    max_width: int = 3,
    outputs: int = 1,
    affine: bool = False,
) -> ReluNetwork:
    """Draw a tiny ReLU DAG: skips, zero rows and proportional rows are all likely.

    Parameters
    ----------
    affine : bool
        Whether hidden blocks may be affine.
    """
    numbers = draw(NUMBERS)
    inputs = draw(st.integers(1, max_inputs))
    depth = draw(st.integers(1, max_depth))
    names, sizes, blocks = [INPUT], {INPUT: inputs}, []
    for index in range(depth + 1):
        last = index == depth
        width = outputs if last else draw(st.integers(1, max_width))
        name = OUTPUT if last else f"relu_{index + 1}"
        sources = [names[-1], *(n for n in names[:-1] if draw(st.booleans()))]
        weights = {s: _matrix(draw, numbers, width, sizes[s]) for s in sources}
        bias = np.array([draw(numbers) for _ in range(width)])
        if not last and width > 1 and draw(st.booleans()):
            factor = draw(st.sampled_from([1.0, -1.0, -2.0]))
            for matrix in weights.values():
                matrix[-1] = factor * matrix[0]
            bias[-1] = factor * bias[0]
        relu = not last and not (affine and draw(st.booleans()))
        activation = Activation.RELU if relu else Activation.IDENTITY
        blocks.append(Block(name, weights, bias, activation))
        names.append(name)
        sizes[name] = width
    return ReluNetwork(inputs, blocks)


def _matrix(draw: st.DrawFn, numbers: st.SearchStrategy[float], rows: int, columns: int):
    return np.array([[draw(numbers) for _ in range(columns)] for _ in range(rows)])


@st.composite
def boxes(draw: st.DrawFn, inputs: int) -> Box:
    """Draw a box with an interior, most often one whose corners meet kinks."""
    lower = [draw(st.sampled_from([-1.0, 0.0, -0.75, -100.0])) for _ in range(inputs)]
    upper = [low + draw(st.sampled_from([1.0, 2.0, 0.5, 200.0])) for low in lower]
    return Box(lower, upper)


@st.composite
def cases(draw: st.DrawFn) -> tuple[ReluNetwork, Domain]:
    """Draw a network and a domain of its dimension."""
    network = draw(networks())
    return network, draw(st.one_of(st.just(Everywhere()), boxes(network.input_size)))


def patterns(network: ReluNetwork) -> st.SearchStrategy[dict[str, np.ndarray]]:
    """Draw an activation pattern, reachable or not."""
    return st.fixed_dictionaries(
        {
            block.name: st.lists(st.booleans(), min_size=block.size, max_size=block.size).map(
                np.array
            )
            for block in network.blocks
            if block.is_relu
        }
    )
