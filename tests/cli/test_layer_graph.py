"""The drawing of layer graphs."""

import numpy as np

from jensen.network.layer_graph import draw_layer_graph
from jensen.network.relu_network import Activation, Block, ReluNetwork


def test_a_chain_has_no_rails():
    network = ReluNetwork.from_layers([np.ones((3, 2)), np.ones((1, 3))], [np.zeros(3), [0.0]])
    assert draw_layer_graph(network) == [
        "input     2",
        "  │",
        "relu_1    3  relu",
        "  │",
        "output    1  affine",
    ]


def test_skips_run_on_rails_of_their_own(skip_network):
    assert [line.rstrip() for line in draw_layer_graph(skip_network)] == [
        "input     2           ──┐",
        "  │                     │",
        "a         3  relu     ──┼──┐",
        "  │                     │  │",
        "b         4  relu     ◄─┤  │",
        "  │                     │  │",
        "output    1  affine   ◄─┴──┘",
    ]


def test_neighbours_without_an_edge_are_not_joined_and_rails_serve_again():
    one = np.ones((1, 1))

    def block(name: str, *sources: str) -> Block:
        return Block(name, dict.fromkeys(sources, one), np.zeros(1))

    out = Block("output", {"d": one, "c": one}, np.zeros(1), Activation.IDENTITY)
    network = ReluNetwork(
        1, [block("a", "input"), block("b", "input"), block("c", "a", "b"), block("d", "b"), out]
    )
    assert [line.rstrip() for line in draw_layer_graph(network)] == [
        "input     1           ──┐",
        "  │                     │",
        "a         1  relu     ──┼──┐",
        "                        │  │",
        "b         1  relu     ◄─┴──┼──┐",
        "  │                        │  │",
        "c         1  relu     ◄─┬──┘  │",
        "                        │     │",
        "d         1  relu     ◄─┼─────┘",
        "  │                     │",
        "output    1  affine   ◄─┘",
    ]
