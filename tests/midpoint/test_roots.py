"""Where trees over signs begin."""

import numpy as np
from midpoint_oracle import tiny_network

from jensen.domains.domain import Box
from jensen.groups.prepared import prepare
from jensen.midpoint.columns import pair_columns, single_columns
from jensen.midpoint.linked import PAIR, SINGLE, LinkedNetwork
from jensen.midpoint.roots import FAVOUR, MIDDLE, Roots


def linked_network(links):
    data = prepare(tiny_network(1, 2, [3, 3]), Box(-1, 1)).data
    return LinkedNetwork(data.input_lower, data.input_upper, data.layers[:-1], links)


def test_the_first_node_fixes_nothing():
    linked = linked_network(SINGLE)
    roots = Roots.everywhere(linked, single_columns(linked))
    assert len(roots.signs) == 1
    assert not roots.signs.any()
    assert roots.allowed.all()
    assert (roots.favour == 1).all()


def test_of_pairs_only_middles_behind_the_first_level_are_favoured():
    linked = linked_network(PAIR)
    roots = Roots.of_pairs(linked, pair_columns(linked))
    deep = linked.free >= linked.layers[0].span.stop
    assert deep.any()
    assert (roots.favour[deep, MIDDLE] == FAVOUR).all()
    others = np.delete(roots.favour, MIDDLE, axis=1)
    assert (others == 1).all()
    assert (roots.favour[~deep] == 1).all()
