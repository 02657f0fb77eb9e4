"""Weight products that cannot be negative close groups without any search (theory, section 3)."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from jensen.groups.prepared import Prepared
from jensen.network.relu_network import INPUT, OUTPUT, ReluNetwork
from jensen.prover.closed import closed_neurons
from jensen.prover.outcome import Outcome
from jensen.prover.question import Question
from jensen.types import Unit
from jensen.verdicts.evidence import GroupEvidence, Reason
from jensen.verdicts.options import Engine
from jensen.verdicts.verdict import Status

SPACE = 3  # inputs from which on a walk costs more than bounds, for networks of whatever size
WIDE = 48  # ReLUs from which on it does in the plane
SMALL = 2e4  # weights times neurons: a millisecond for sweeps from single neurons, or bounds


def signs_of_all_paths(question: Question) -> Outcome | None:
    """Close everything at once if no path product is negative, on whatever domain."""
    if question.options.engine is Engine.MIDPOINT:
        return None  # asked for a measure of the violation
    if _sinks(question.network):
        return None
    signs = question.prepared.signs
    neurons = [block for block in question.network.hidden if block.is_relu]
    # not-a-number is no sign
    if not all((signs[block.name][0] >= 0).all() for block in neurons):
        return None
    evidence = tuple(
        GroupEvidence(((block.name, i),), Reason.SIGN, jump_lower_bound=float(low))
        for block in neurons
        for i, low in enumerate(signs[block.name][0])
    )
    return Outcome(Status.CONVEX, evidence)


def _sinks(network: ReluNetwork) -> bool:
    """Whether a ReLU that only the output reads has a negative weight there, which is its J."""
    for name, weight in network.output.weights.items():
        if name == INPUT or network.successors[name] != (OUTPUT,) or not network[name].is_relu:
            continue
        values = weight.data if sp.issparse(weight) else weight
        if np.minimum.reduce(values, axis=None, initial=0.0) < 0:
            return True
    return False


def signs_where_stable(question: Question) -> Outcome | None:
    """Close everything at once if bounds and signs do, where a walk along all kinks costs more."""
    if not bounds_come_first(question):
        return None
    closed = closed_neurons(question.prepared)
    if not all(settled.all() for settled in closed.values()):
        return None
    signs, bounds = question.prepared.stable_signs, question.prepared.hidden_bounds
    evidence = []
    for block in question.network.hidden:
        if block.is_relu:
            (low, high), jumps = bounds[block.name], signs[block.name][0].tolist()
            crosses = ((low < 0) & (high > 0)).tolist()
            evidence += [
                GroupEvidence(((block.name, i),), Reason.SIGN, jump_lower_bound=jumps[i])
                if crosses[i]
                else GroupEvidence(((block.name, i),), Reason.NEVER_CROSSES)
                for i in range(block.size)
            ]
    grouped = question.prepared.grouped if question.options.certificate else None
    return Outcome(Status.CONVEX, tuple(evidence), grouped=grouped)


def bounds_come_first(question: Question) -> bool:
    """Whether bounds on pre-activations are taken before kinks are walked or lines are drawn."""
    options, network = question.options, question.network
    plain = options.engine is Engine.AUTO and options.inputs is None and not options.tolerance
    if network.input_size > SPACE:
        return plain and is_small(network) and not question.domain.has_rows
    # a certificate of a walk in the plane says what the walk did, and bounds say nothing of that
    wide = network.relu_count >= WIDE and not options.certificate
    return plain and (network.input_size == SPACE or wide)


def is_small(network: ReluNetwork) -> bool:
    """Whether sweeps and bounds cost less than random lines, whatever the number of inputs."""
    return network.parameter_count * network.relu_count <= SMALL


def closed_by_sweep(prepared: Prepared) -> dict[Unit, GroupEvidence]:
    """Close groups whose members all have J >= 0 under every pattern of the unstable neurons."""
    signs, grouped = prepared.stable_signs, prepared.grouped
    closed = {}
    for group in grouped.groups():
        neurons = grouped.neurons(group)
        lows = [float(signs[block][0][index]) for block, index in neurons]
        if all(low >= 0 for low in lows):
            closed[group] = GroupEvidence(neurons, Reason.SIGN, jump_lower_bound=min(lows))
    return closed
