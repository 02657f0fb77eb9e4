"""At the ends of the range of doubles, and on thin domains: never wrong, never a traceback."""

from __future__ import annotations

import dataclasses
import itertools
import json
from fractions import Fraction

import numpy as np
import oracle
import pytest
from agreement import check_evidence
from fuzz import general, tiny_network

import jensen
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.errors import DomainError
from jensen.network.relu_network import Block, ReluNetwork
from jensen.verdicts.evidence import Counterexample
from jensen.verdicts.verdict import Status
from jensen_encodings.deadline import Deadline
from jensen_encodings.lp import LpSolver, LpStatus

DOMAINS: list[Domain] = [Everywhere(), Box(-1, 1)]
pytestmark = pytest.mark.filterwarnings("error")


def at_scales(network: ReluNetwork, seed: int, low: float, high: float) -> ReluNetwork:
    """Every row times its own power of ten."""
    rng = np.random.default_rng(seed)
    blocks = []
    for block in network.blocks:
        scale = 10.0 ** rng.uniform(low, high, block.size)
        weights = {s: w * scale[:, None] for s, w in block.weights.items()}
        blocks.append(Block(block.name, weights, block.bias * scale, block.activation))
    return ReluNetwork(network.input_size, blocks)


@pytest.mark.parametrize(
    "scales",
    [(-180, 0), (0, 100), (-100, 100), (-323, -280)],
    ids=["small", "large", "both", "sub"],
)
def test_products_of_weights_beyond_the_doubles_are_never_misjudged(scales):
    for seed in range(60):
        network = at_scales(tiny_network(seed, budget=8)[1], seed, *scales)
        for domain in DOMAINS:
            verdict = jensen.verify(network, domain, time_limit=20.0)
            if verdict.status is Status.UNKNOWN:
                continue
            convex = oracle.is_convex(network, domain)
            assert verdict.status is (Status.CONVEX if convex else Status.NONCONVEX), (seed, domain)
            check_evidence(network, domain, verdict)


def with_wild_weights(network: ReluNetwork, seed: int, low: float, high: float) -> ReluNetwork:
    """Every single weight times its own power of ten, up to the largest doubles."""
    rng = np.random.default_rng(seed)

    def stretched(array: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", under="ignore"):
            return np.clip(array * 10.0 ** rng.uniform(low, high, array.shape), -1e308, 1e308)

    blocks = [
        Block(
            b.name, {s: stretched(w) for s, w in b.weights.items()}, stretched(b.bias), b.activation
        )
        for b in network.blocks
    ]
    return ReluNetwork(network.input_size, blocks)


EXTREME_BOXES = {
    "everywhere": Everywhere(),
    "unit": Box(-1, 1),
    "largest": Box(-1.7e308, 1.7e308),
    "subnormal": Box(0, 5e-324),
    "far": Box(1e300, np.nextafter(1e300, np.inf)),
    "mixed": Box(-1e-200, 1e200),
}


@pytest.mark.parametrize("name", EXTREME_BOXES)
@pytest.mark.parametrize("scales", [(0, 0), (250, 307), (-320, 307)], ids=["plain", "vast", "wild"])
def test_weights_and_boxes_over_the_whole_range_of_doubles_are_decided(name, scales):
    domain = EXTREME_BOXES[name]
    for seed in range(10):
        network = with_wild_weights(tiny_network(seed, budget=6)[1], seed, *scales)
        verdict = jensen.verify(network, domain, concave=seed % 2 == 1, time_limit=20.0)
        function = network.negated() if seed % 2 else network
        convex = oracle.is_convex(function, domain)
        assert verdict.status is (Status.CONVEX if convex else Status.NONCONVEX), seed
        check_evidence(function, domain, verdict)
        assert json.dumps(verdict.to_json(), allow_nan=False)


@pytest.mark.parametrize("engine", ["milp", "midpoint"])
@pytest.mark.parametrize("name", [name for name in EXTREME_BOXES if name != "everywhere"])
def test_where_a_big_m_overflows_the_verdict_is_unknown_and_says_why(name, engine):
    domain = EXTREME_BOXES[name]
    for seed in range(6):
        network = with_wild_weights(tiny_network(seed, budget=6)[1], seed, -320, 307)
        verdict = jensen.verify(network, domain, engine=engine, time_limit=20.0)
        if verdict.status is Status.UNKNOWN:
            assert verdict.note
        elif verdict.tolerance is None:
            convex = oracle.is_convex(network, domain)
            assert verdict.status is (Status.CONVEX if convex else Status.NONCONVEX), seed


def test_fractions_of_many_thousand_digits_are_written_out():
    long = Fraction(10**5000 + 1, 3**9000)
    pair = Counterexample((long,), (-long,), long)
    record = pair.to_json()
    assert set(record["x"][0]) <= set("0123456789/")
    assert len(record["x"][0]) > 9000
    assert record["x_float"] == [-v for v in record["y_float"]]
    assert 0 < record["x_float"][0] < np.inf


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_linear_program_with_odd_numbers_fails_at_once(bad):
    """HiGHS does not end on a NaN in the objective, not even at its time limit."""
    rows = np.vstack([np.eye(2), -np.eye(2)])
    fine = np.ones(4), np.zeros(4, dtype=bool)
    solver = LpSolver(Deadline.after(10.0))
    broken = rows.copy()
    broken[0, 0] = bad
    assert solver.maximise(np.ones(2), broken, *fine).status is LpStatus.FAILED
    assert solver.maximise(np.array([bad, 1.0]), rows, *fine).status is LpStatus.FAILED
    assert solver.maximise(np.ones(2), rows, *fine).status is LpStatus.OPTIMAL


@pytest.mark.parametrize(("a", "b"), [(1e-200, -1e-200), (-1e-200, 1e-200), (1e-170, -1e-170)])
def test_a_path_product_that_underflows_keeps_its_sign(a, b):
    chain = ReluNetwork.from_layers(
        [[[1.0], [1.0]], [[a, 0.0], [0.0, 1.0]], [[b, 1.0]]], [[0.0, -0.5], [1.0, 0.0], [0.0]]
    )
    row = ReluNetwork.from_layers([[[a], [1.0]], [[b, 1.0]]], [[0.0, -0.5], [0.0]])
    for network in (chain, row):
        for domain in DOMAINS:
            convex = oracle.is_convex(network, domain)
            verdict = jensen.verify(network, domain)
            assert verdict.status is (Status.CONVEX if convex else Status.NONCONVEX)


@pytest.mark.parametrize("size", [1e160, 1e300])
def test_weights_whose_products_overflow_end_in_a_verdict(size):
    network = ReluNetwork.from_layers(
        [[[1.0], [1.0]], [[size, 0.0], [0.0, 1.0]], [[-size, 1.0]]], [[0, -0.5], [1.0, 0], [0]]
    )
    for domain in DOMAINS:
        assert jensen.verify(network, domain).status is not Status.CONVEX


def test_box_sides_of_zero_width_fix_their_inputs():
    for seed in range(90):
        network = tiny_network(seed)[1]
        if network.input_size == 1:
            continue
        rng = np.random.default_rng(seed)
        lower, upper = -np.ones(network.input_size), np.ones(network.input_size)
        fixed = rng.integers(network.input_size)
        lower[fixed] = upper[fixed] = rng.integers(-2, 3) / 4
        domain = Box(lower, upper)
        verdict = jensen.verify(network, domain, time_limit=20.0)
        convex = oracle.is_convex(network, domain)
        assert verdict.status is (Status.CONVEX if convex else Status.NONCONVEX), seed
        check_evidence(network, domain, verdict)


def test_a_polyhedron_in_a_hyperplane_is_decided_there():
    """x + y = 1/2, written as two inequalities, in place of y = 1/2 - x."""
    for seed in range(60):
        network = tiny_network(seed)[1]
        if network.input_size != 2:
            continue
        plane = Polyhedron([[1.0, 1.0], [-1.0, -1.0]], [0.5, -0.5])
        blocks = []
        for block in network.blocks:
            weights, bias = dict(block.weights), block.bias
            if "input" in weights:
                matrix = weights["input"]
                bias = bias + matrix[:, 1] / 2
                weights["input"] = (matrix[:, 0] - matrix[:, 1])[:, None]
                # rounding here would change the function
                if (bias - matrix[:, 1] / 2 != block.bias).any():
                    break
            blocks.append(Block(block.name, weights, bias, block.activation))
        else:
            line = ReluNetwork(1, blocks)
            verdict = jensen.verify(network, plane, time_limit=20.0)
            check_evidence(network, plane, verdict)
            if seed % 6 in (1, 2):  # small integers: exact
                assert verdict.status is jensen.verify(line, Everywhere()).status, seed


def test_every_function_is_convex_on_a_single_point():
    network = tiny_network(4)[1]
    assert jensen.verify(network.negated(), Box(0.5, 0.5)).status is Status.CONVEX
    assert jensen.verify(network, Box(0.5, 0.5)).status is Status.CONVEX


def test_an_empty_polyhedron_is_an_error():
    network = ReluNetwork.from_layers([[[1.0]], [[-1.0]]], [[0.0], [0.0]])
    with pytest.raises(DomainError, match="empty"):
        jensen.verify(network, Polyhedron([[1.0], [-1.0]], [0.0, -1.0]))


def faint_concave(inputs: int, levels: int, size: float = 2.0**-190) -> ReluNetwork:
    """Minus relu(sum x) times 2^-190 per level: below all doubles from six levels on."""
    weights = [np.ones((1, inputs)), [[-size]], *[[[size]]] * levels]
    biases = [[0.0], *[[1.0]] * levels, [0.0]]
    return ReluNetwork.from_layers(weights, biases)


@pytest.mark.parametrize("inputs", [1, 2, 3, 5])
@pytest.mark.parametrize("levels", [1, 2, 6])
def test_bends_whose_size_is_below_the_doubles_are_still_seen(inputs, levels):
    network = faint_concave(inputs, levels)
    for domain in (Box(-1, 1), Everywhere()):
        assert jensen.verify(network, domain, time_limit=20.0).status is Status.NONCONVEX
        assert jensen.verify_many([network], domain)[0].status is Status.NONCONVEX
        assert jensen.worst_jump(network, domain, time_limit=20.0).upper > 0
    worst = jensen.worst_violation(network, Box(-1, 1), time_limit=20.0)
    assert worst.upper > 0
    assert worst.status != "proved convex"


@pytest.mark.parametrize("exponent", [-300, -500, -600, -1000])
def test_products_that_underflow_in_a_stack_prove_nothing(exponent):
    for inputs, levels in itertools.product((1, 2, 3), (1, 2, 3)):
        network = faint_concave(inputs, levels, 2.0**exponent)
        for domain in (Box(-1, 1), Everywhere()):
            verdicts = jensen.verify_many([network] * 3, domain)
            assert {verdict.status for verdict in verdicts} == {Status.NONCONVEX}


@pytest.mark.parametrize("engine", ["auto", "tree", "joint"])
def test_levels_times_powers_of_two_do_not_change_the_answer(engine):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        sizes = [int(rng.integers(1, 5)), *rng.integers(1, 4, int(rng.integers(2, 6))).tolist(), 1]
        plain_layers, faint_layers, total = [], [], 0
        for k, (n, m) in enumerate(itertools.pairwise(sizes)):
            signs = np.where(rng.random((m, n)) < (0.2 if k else 0.5), -1.0, 1.0)
            weight, bias = signs * rng.integers(1, 4, (m, n)), 1.0 * rng.integers(-2, 3, m)
            exponent = max(int(rng.integers(-190, 40)), -1000 - total)  # so that biases are doubles
            total += exponent
            plain_layers.append((weight, bias))
            faint_layers.append((np.ldexp(weight, exponent), np.ldexp(bias, total)))
        plain = ReluNetwork.from_layers(*zip(*plain_layers, strict=True))
        faint = ReluNetwork.from_layers(*zip(*faint_layers, strict=True))
        for domain in DOMAINS:
            answers = {
                jensen.verify(plain, domain, time_limit=20.0).status,
                jensen.verify(faint, domain, engine=engine, time_limit=20.0).status,
                jensen.verify_many([faint], domain, time_limit=20.0)[0].status,
            }
            assert len(answers - {Status.UNKNOWN}) == 1, seed


def test_exact_numbers_of_any_length_are_written_down():
    faint = [[[2.0**-1000]]] * 16
    network = ReluNetwork.from_layers([[[1.0]], [[-1.0]], *faint], [[0.0], *[[1.0]] * 16, [0.0]])
    worst = jensen.worst_violation(network, Box(-1, 1), time_limit=20.0)
    pair = jensen.verify(network, Box(-1, 1), time_limit=20.0).counterexample
    assert pair is not None
    found = dataclasses.replace(worst, exact_lower=pair.violation).to_json()
    assert len(found["exact_lower"]) > 4300  # Python's own limit


def grown(rng: np.random.Generator, network: ReluNetwork) -> ReluNetwork | None:
    """A positive multiple of the function, in which scales go up or down from block to block."""
    sizes = {"input": np.zeros(network.input_size, dtype=int)}
    blocks = []
    for block in network.blocks:
        before = max((sizes[s].max() for s in block.weights), key=abs)
        own = before + rng.integers(-700, 701) + rng.integers(-100, 101, block.size)
        weights = {}
        for source, weight in block.weights.items():
            dense = weight.toarray() if hasattr(weight, "toarray") else weight
            steps = np.where(dense != 0, own[:, None] - sizes[source], 0)
            if np.abs(steps).max(initial=0) > 1000:
                return None
            weights[source] = np.ldexp(dense, steps)
        steps = np.where(block.bias != 0, own, 0)
        if np.abs(steps).max(initial=0) > 1000:
            return None
        sizes[block.name] = own
        blocks.append(Block(block.name, weights, np.ldexp(block.bias, steps), block.activation))
    return ReluNetwork(network.input_size, blocks)


def test_products_beyond_the_doubles_are_decided_if_rows_can_be_levelled():
    found = 0
    for seed in range(400):
        _, network = tiny_network(seed, budget=8)
        extreme = grown(np.random.default_rng(seed), network)
        if extreme is None:
            continue
        for domain in DOMAINS:
            convex = oracle.is_convex(network, domain)
            verdict = jensen.verify(extreme, domain, time_limit=20.0)
            assert verdict.status is (Status.CONVEX if convex else Status.NONCONVEX), (seed, domain)
            check_evidence(extreme, domain, verdict)
            found += 1
    assert found > 200


def with_uneven_units(seed: int, network: ReluNetwork) -> ReluNetwork:
    """The same function, hidden units in other scales, up to 2^52 apart."""
    rng = np.random.default_rng(seed)
    before, blocks = np.zeros(network.input_size, dtype=int), []
    for block in network.blocks:
        own = rng.integers(-26, 27, block.size) * (block is not network.output)
        weights = {s: np.ldexp(w, own[:, None] - before) for s, w in block.weights.items()}
        blocks.append(Block(block.name, weights, np.ldexp(block.bias, own), block.activation))
        before = own
    return ReluNetwork(network.input_size, blocks)


@pytest.mark.parametrize(("seed", "sizes"), [(3, (7, 10, 8)), (12, (8, 12, 10))])
def test_proofs_do_not_depend_on_the_scales_of_units(seed: int, sizes: tuple[int, ...]):
    """With these scales programs closed nothing: their tolerances hide the small units."""
    network, domain = general(seed, sizes), Box(-1, 1)
    uneven = with_uneven_units(seed, network)
    point = [Fraction(1, k) for k in range(2, 2 + sizes[0])]
    assert uneven.exact(point) == network.exact(point)
    for certificate in (False, True):
        verdict = jensen.verify(uneven, domain, certificate=certificate, time_limit=20.0)
        assert verdict.status is Status.CONVEX
        assert verdict.nodes > 0
        check_evidence(uneven, domain, verdict)
    assert verdict.certificate is not None


# convex; plain doubles left a group of each of them open
OPEN = [
    (
        Box(0.5, 2),
        [[[-1], [2], [2]], [[1, -1, 1], [2, -2, -3], [-1, 2, 3]], [[-3, -1, -2]]],
        [[-739, 739, 739], [-22, 0, 0], [-664]],
    ),
    (
        Everywhere(),
        [
            [[2, 2, -3, -3], [-2, 2, -2, 3], [3, 2, -2, -1]],
            [[3, 2, -3], [0, -3, -3]],
            [[-3, -1], [-3, 0]],
            [[2, -3]],
        ],
        [[654, 654, 654], [1282, 1282], [1549, 1549], [968]],
    ),
]


@pytest.mark.parametrize(("domain", "weights", "sizes"), OPEN)
def test_levelled_networks_have_evidence_and_certificates(domain, weights, sizes):
    scaled, before = [], np.zeros(len(weights[0][0]), dtype=int)
    for weight, own in zip(weights, map(np.array, sizes), strict=True):
        scaled.append(np.ldexp(np.array(weight, dtype=float), own[:, None] - before))
        before = own
    network = ReluNetwork.from_layers(scaled, [np.zeros(len(w)) for w in weights])
    verdict = jensen.verify(network, domain, certificate=True)
    assert verdict.status is Status.CONVEX
    assert verdict.certificate is not None
    check_evidence(network, domain, verdict)
    assert jensen.verify(network, domain, engine="joint").status is Status.CONVEX
