"""The same function written as another network: verdicts must not depend on how it is written.

Every rewriting is exact in doubles, and checked to be by evaluation in fractions.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from jensen.arithmetic.rational import rationals
from jensen.domains.domain import Domain, Everywhere, Polyhedron
from jensen.errors import NetworkError
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork

Blocks = list[Block]
Rewrite = Callable[[np.random.Generator, Blocks], Blocks]
EXPONENTS = (-480, -300, -60, -1, 0, 1, 60, 300, 480)  # of powers of two; two of them may meet


def dense(weight: object) -> np.ndarray:
    return weight.toarray() if hasattr(weight, "toarray") else np.array(weight)


def rescaled(rng: np.random.Generator, blocks: Blocks) -> Blocks:
    """Multiply each hidden neuron by a power of two, and divide where it is read."""
    wild = rng.random() < 0.5
    scale = {
        block.name: 2.0 ** (rng.choice(EXPONENTS, block.size) if wild else rng.integers(-9, 9, 1))
        for block in blocks
    }
    scale[OUTPUT] = np.ones(1)
    found = []
    for block in blocks:
        own = np.broadcast_to(scale[block.name], (block.size,))
        weights = {
            source: dense(w) * own[:, None] / scale.get(source, np.ones(1))
            for source, w in block.weights.items()
        }
        found.append(Block(block.name, weights, block.bias * own, block.activation))
    return found


def split(rng: np.random.Generator, blocks: Blocks) -> Blocks:
    """Write neurons twice, with shares of their weights that add up to these."""
    return _expanded(rng, blocks, (1.0, 1.0), ((0.5, 0.5), (2.0, -1.0), (-1.0, 2.0)))


def cancelled(rng: np.random.Generator, blocks: Blocks) -> Blocks:
    """Add twins of neurons, positive multiples, whose weights cancel."""
    return _expanded(rng, blocks, (2.0, 1.0), ((1.0, -1.0), (0.25, 0.5), (0.0, 1.0), (1.0, -1.0)))


def _expanded(
    rng: np.random.Generator,
    blocks: Blocks,
    factors: tuple[float, float],
    shares: tuple[tuple[float, float], ...],
) -> Blocks:
    """Replace neurons by two twins ``relu(c z)``; shares a, b have ``a c + b c' = 1``."""
    valid = [s for s in shares if s[0] * factors[0] + s[1] * factors[1] == 1]
    found, doubled = [], {}
    for block in blocks:
        weights = {}
        for name, w in block.weights.items():
            read = dense(w)
            if name in doubled:
                chosen, parts = doubled[name]
                first = read.copy()
                first[:, chosen] *= parts[:, 0]
                read = np.concatenate([first, read[:, chosen] * parts[:, 1]], axis=1)
            weights[name] = read
        bias = block.bias
        if block.name != OUTPUT and rng.random() < 0.7:
            chosen = np.flatnonzero(rng.random(block.size) < 0.6)
            parts = np.array([valid[k] for k in rng.integers(len(valid), size=len(chosen))])
            parts = parts.reshape(len(chosen), 2)
            one, two = factors
            scale = np.ones(block.size)
            scale[chosen] = one
            weights = {
                name: np.concatenate([w * scale[:, None], two * w[chosen]])
                for name, w in weights.items()
            }
            bias = np.concatenate([bias * scale, two * bias[chosen]])
            doubled[block.name] = chosen, parts
        found.append(Block(block.name, weights, bias, block.activation))
    return found


def turned(rng: np.random.Generator, blocks: Blocks) -> Blocks:
    """Replace neurons by ``z + relu(-z)``: a linear block beside each block, its twin turned."""
    found, extra, mark = [], {}, f"_z{len(blocks)}"
    for block in blocks:
        weights = {}
        for name, w in block.weights.items():
            read = dense(w)
            weights[name] = read
            if name in extra:
                chosen = extra[name]
                if chosen.any():
                    weights[name + mark] = read * chosen
        relu = block.name != OUTPUT and block.activation is Activation.RELU
        if not relu or rng.random() < 0.4:
            found.append(Block(block.name, weights, block.bias, block.activation))
            continue
        chosen = rng.random(block.size) < 0.5
        sign = np.where(chosen, -1.0, 1.0)
        turned_rows = {name: w * sign[:, None] for name, w in weights.items()}
        found.append(Block(block.name, turned_rows, block.bias * sign, block.activation))
        found.append(Block(block.name + mark, weights, block.bias, Activation.IDENTITY))
        extra[block.name] = chosen
    return found


def passed_on(rng: np.random.Generator, blocks: Blocks) -> Blocks:
    """Let values go through further blocks: linear ones, ReLUs of ReLUs, ``relu(z) - relu(-z)``."""
    found, renamed, pairs, mark = [], {}, set(), f"_on{len(blocks)}"
    for block in blocks:
        weights = {}
        for name, w in block.weights.items():
            read, by = dense(w), renamed.get(name, name)
            if by != name and rng.random() < 0.3:
                by = name
            weights[by] = np.concatenate([read, -read], axis=1) if by in pairs else read
        found.append(Block(block.name, weights, block.bias, block.activation))
        if block.name == OUTPUT or rng.random() < 0.4:
            continue
        eye, name = np.eye(block.size), block.name + mark
        kind = rng.integers(3)
        if kind == 2:
            pairs.add(name)
            eye = np.concatenate([eye, -eye])
        on = Activation.IDENTITY if kind == 0 else Activation.RELU
        if kind == 1 and block.activation is not Activation.RELU:
            continue
        found.append(Block(name, {block.name: eye}, np.zeros(len(eye)), on))
        renamed[block.name] = name
    return found


REWRITES: dict[str, Rewrite] = {
    "rescaled": rescaled,
    "split": split,
    "cancelled": cancelled,
    "turned": turned,
    "passed on": passed_on,
}


def rewritten(seed: int, network: ReluNetwork) -> tuple[str, ReluNetwork] | None:
    """Return the names of one to three rewritings, and the network they make.

    None where a double was rounded.
    """
    rng = np.random.default_rng([seed, 11])
    blocks = list(network.blocks)
    names = list(rng.choice(list(REWRITES), int(rng.integers(1, 4))))
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            for name in names:
                blocks = REWRITES[name](rng, blocks)
        found = ReluNetwork(network.input_size, blocks)
    except NetworkError:  # beyond the doubles
        return None
    points = rng.integers(-20, 20, (4, network.input_size)) / 4
    same = all(found.exact(x) == network.exact(x) for x in points.tolist())
    return (", ".join(names), found) if same else None


def embedded(seed: int, network: ReluNetwork, domain: Domain) -> tuple[ReluNetwork, Domain] | None:
    """Return a network of more inputs that is convex on a domain there if this one is on its own.

    Half of the time it is ``f(P x)``, on a domain that contains lines; else the further inputs
    follow from the others by equations, and f reads some of them instead. None where a double
    was rounded.
    """
    rng = np.random.default_rng([seed, 12])
    inputs, more = network.input_size, int(rng.integers(1, 3))
    rows, limits = domain.inequalities(inputs)
    points = rng.integers(-20, 20, (4, inputs)) / 4
    slopes = rng.integers(-2, 3, (more, inputs)).astype(float)
    if rng.random() < 0.5:
        projection = np.concatenate([np.eye(inputs), slopes.T], axis=1)
        blocks = [_reading(block, lambda w: w @ projection, 0.0) for block in network.blocks]
        set_of = (
            Everywhere()
            if isinstance(domain, Everywhere)
            else Polyhedron(rows @ projection, limits)
        )
        # different shares of the further inputs, whose rounding errors may cancel in one of them
        shares = [np.arange(more) * k + 1.0 for k in range(len(points))]
        where = [np.concatenate([x - slopes.T @ t, t]) for x, t in zip(points, shares, strict=True)]
        if not (rationals(rows) @ rationals(projection) == rationals(rows @ projection)).all():
            return None
    else:
        constant = rng.integers(-1, 2, more).astype(float)
        factor = rng.choice([1.0, 0.5, 3.0])
        equations = factor * np.concatenate([-slopes, np.eye(more)], axis=1)
        A = np.concatenate([equations, -equations, np.pad(rows, ((0, 0), (0, more)))])
        set_of = Polyhedron(A, np.concatenate([factor * constant, -factor * constant, limits]))
        share = rng.integers(-1, 2, more).astype(float)

        def reads(w: np.ndarray) -> np.ndarray:
            return np.concatenate([w - share @ slopes, np.tile(share, (len(w), 1))], axis=1)

        blocks = [_reading(block, reads, -float(share @ constant)) for block in network.blocks]
        where = [np.concatenate([x, slopes @ x + constant]) for x in points]
    found = ReluNetwork(inputs + more, blocks)
    pairs = zip(where, points, strict=True)
    same = all(_values(found, y) == _values(network, x) for y, x in pairs)
    return (found, set_of) if same else None


def _values(network: ReluNetwork, x: np.ndarray) -> list[list[Fraction]]:
    """Return all pre-activations: a neuron that is off would hide what was rounded."""
    return [z.to_fractions() for z in network.exact_pre_activations(x.tolist()).values()]


def _reading(block: Block, change: Callable[[np.ndarray], np.ndarray], added: float) -> Block:
    """Return a block that reads other inputs."""
    if INPUT not in block.weights:
        return block
    weights = {s: change(dense(w)) if s == INPUT else w for s, w in block.weights.items()}
    return Block(block.name, weights, block.bias + added, block.activation)
