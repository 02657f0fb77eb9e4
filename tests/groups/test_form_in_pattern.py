"""Forms under full patterns by products of rows, against forms computed unit by unit."""

from __future__ import annotations

import numpy as np
import pytest
from fuzz import tiny_network
from question_domains import domains_of

from jensen.groups.forms import ExactForms, form_in_pattern, is_multiple
from jensen.groups.jump import OFF, ON
from jensen.groups.prepared import prepare


@pytest.mark.parametrize("folds", [False, True])
def test_rows_times_matrices_give_the_forms_of_all_units(folds):
    looked = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        _, network = tiny_network(seed, budget=10)
        for domain in domains_of(seed, network)[:3]:
            net = prepare(network, domain, folds=folds).grouped
            for group in net.groups():
                pattern = tuple(
                    np.where(level.kink, rng.choice([OFF, ON], level.size), ON).astype(np.int8)
                    for level in net.levels
                )
                forms = ExactForms(net, group, pattern, {})
                for k, level in enumerate(net.levels):
                    for u in range(level.size):
                        found = form_in_pattern(net, (k, u), group, pattern)
                        assert found.tolist() == forms.form(k, u).tolist()
                        looked += 1
                        if level.kink[u]:
                            one = is_multiple(found, forms.form(*group))
                            assert one == forms.is_coincident(k, u)
    assert looked > 500
