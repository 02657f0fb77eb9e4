"""The engine's cuts in certificates: the same rows in the terms of the checker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from certificate_tools import Lines, check, domain_of, to_bytes
from envelopes import envelope
from fuzz import with_few_falling

from jensen.arithmetic.rational import rational
from jensen.certificate.bounded_network import Names
from jensen.certificate.checker import ONE
from jensen.certificate.convex_writer import Claimed, ConvexWriter
from jensen.certificate.cut_rows import hinted_cuts
from jensen.certificate.float_units import FloatUnits, quotient
from jensen.certificate.joint_roots import JointRoots
from jensen.certificate.joint_rows import JointRows
from jensen.decide import verify
from jensen.domains.domain import Box, Domain, Polyhedron
from jensen.groups.forms import RowName
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover.joint import nodes as joint_nodes
from jensen.prover.joint.kink_bounds import ranges_of
from jensen.prover.joint.proof import JointLeaf, JointProof
from jensen.prover.joint.search import JointSearch, piece_bounds
from jensen.prover.joint_engine import joint_boxes
from jensen.prover.trees.tree import TreeLimits
from jensen_encodings.deadline import NEVER
from jensen_encodings.lp import LpSolver

INPUTS = 4
SIDES = np.array([-0.3, -1.0, -0.7, -1.0]), np.array([1.0, 0.2, 0.7, 0.9])
ROWS = np.array([*np.eye(INPUTS), *-np.eye(INPUTS), [1.0, 1.0, 0.5, -1.0]])
EQUATION = np.array([1.0, -2.0, 1.0, 0.5])
DOMAINS: dict[str, Domain] = {
    "box": Box(-1, 1),
    "fractions": Box(*SIDES),
    "flat": Box([-0.3, 0.1, -0.7, -1.0], [1.0, 0.1, 0.7, 0.9]),
    "thin": Box([-0.3, 0.1, -0.7, -1.0], [1.0, 0.1 + 2.0**-30, 0.7, 0.9]),
    "cut": Polyhedron(ROWS, [*SIDES[1], *-SIDES[0], 0.4]),
    "slice": Polyhedron([*ROWS, EQUATION, -EQUATION], [*SIDES[1], *-SIDES[0], 0.4, 0.0, 0.0]),
}


def random_network(seed: int, inputs: int = INPUTS) -> ReluNetwork:
    rng = np.random.default_rng(seed)
    weights, biases = with_few_falling(rng, (inputs, 9, 7))
    weights[0][1] = -2.0 * weights[0][0]  # twins of opposite signs
    biases[0][1] = -2.0 * biases[0][0]
    if seed % 2:
        weights[0] *= 2.0 ** rng.integers(-9, 9, (9, 1))
    return ReluNetwork.from_layers(weights, biases)


@pytest.mark.parametrize("kind", DOMAINS)
def test_cuts_are_as_deep_as_the_engines(kind: str) -> None:
    found = sum(compared(random_network(seed), DOMAINS[kind], seed) for seed in range(6))
    assert found > 20


def compared(network: ReluNetwork, domain: Domain, seed: int) -> int:
    """Compare the rows of one network, at points of the working set; return how many there are."""
    rng, grouped = np.random.default_rng(seed), prepare(network, domain).grouped
    working = grouped.working_set
    net = ConvexWriter(Claimed(network, domain), grouped, NEVER)._net
    names, units, count = Names(net, grouped), FloatUnits(net), 0
    pieces = [piece_bounds(grouped, box, ranges_of(grouped)) for box in joint_boxes(grouped)]
    limits = TreeLimits(lambda: False)
    for group in grouped.groups():
        search = JointSearch(grouped, group, network, pieces, LpSolver(), limits, 0, keep=True)
        if search.closed:
            continue
        search._begin(search._roots.pop())
        piece = search._current
        assert piece is not None
        program, proof, most = piece._program, JointProof(), list[float]()
        for _ in range(6):
            x = np.zeros(program.width)
            x[: program.dim] = rng.uniform(pieces[0].piece.lower, pieces[0].piece.upper)
            for (k, u), column in program.h.items():
                x[column] = piece.root.ranges.upper[k][u] * rng.random()
            rows, sides, of = piece._cuts.separate(x)
            proof.cuts.extend(zip(of, -rows[:, : program.dim], strict=True))
            most += sides.tolist()
        used = {RowName("cut", unit=i): -1.0 for i in range(len(most))}
        proof.leaves.append(JointLeaf(0, (), used, empty=True))
        hints = hinted_cuts(net, units, names, proof)
        (root,) = JointRoots(net, units, [(names.unit(*group)[0], 0)]).run()
        written = JointRows(net, units, root, net.lead, hints)
        free = [key for key, (form, _) in net.free.items() if form != {ONE: 1}]
        for number, (i, size) in written.cuts.places.items():
            (level, unit), slopes = proof.cuts[number]
            row = written.cuts.rows[i]
            for y in rng.uniform(pieces[0].piece.lower, pieces[0].piece.upper, (3, len(slopes))):
                point = working.to_input([rational(v) for v in y])
                assert point is not None
                inputs = [float(point[key - 1] / net.free[key][1]) for key in free]
                here = row[0] + row[1 : net.inputs] @ np.ldexp(inputs, -units.bits[1 : net.inputs])
                top = piece.root.ranges.upper[level][unit]
                deeper = (slopes @ y + most[number] - size * here) / top
                # the engine has no multiples of a kink whose doubles are not exact
                assert deeper > -1e-5
                assert deeper < 1e-5 or piece._kink is None
            form, _ = root.node.row("cut", i)[0]
            assert quotient(form[ONE], 1 << written.cuts.bits[i]) == row[0]
            count += 1
    return count


def test_certificates_have_the_cuts_that_their_leaves_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joint_nodes, "UNCUT", 0)
    found = 0
    for seed in range(20):
        network, lines = envelope(seed, inputs=4, units=3)
        assert check(network, to_bytes(lines), tmp_path) == 0
        certificate = verify(network, domain_of(lines[0]), certificate=True).certificate
        assert certificate is not None
        assert check(network, certificate, tmp_path) == 0
        cuts, named = 0, set[int]()
        for line in certificate.lines[1:]:
            if line[0] == "tree":
                assert named == set(range(cuts))
                cuts, named = len(line[5]) if line[5:] else 0, set()
                found += cuts
            named |= {entry[1] for entry in entries_of(line) if entry[0] == "cut"}
        assert named == set(range(cuts))
    assert found > 5


def entries_of(line: Lines) -> Lines:
    return line[1] if line[0] == "empty" else []
