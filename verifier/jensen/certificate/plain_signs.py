"""Networks whose weights alone close every group: what the rule `path_signs` will find.

Let every hidden block be one of ReLUs, and no weight behind the first of them negative. Then the
sweep of docs/FORMAT.md, section 4, finds no interval of J with a negative end, so that nothing
is computed before it is written, not even the network in integers:

* The first neuron of a unit has z = c zeta with c > 0, so rows of units with it alone contain no
  negative multiple of max(zeta_h, 0). Where a unit has neurons with c > 0 and c < 0, its row
  contains inputs alone: such multiples would have to be positive as well as negative.
* So a negative slope over zeta_h, as twins with c < 0 cause, ends in inputs. By induction from
  the output, of which no weight is negative either, all other slopes are not negative.
* Units that are settled pass on zeta_h with factors of the same sign, or 0.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.exact import Matrix
from jensen.network.relu_network import INPUT, ReluNetwork
from jensen.types import FloatArray

MODERATE_BITS = 200  # of the largest weight, over the smallest
MOST_WORK = 2.0**37  # of the checker, of which 2**40 is too much


def signs_of_weights_do(network: ReluNetwork, output: int, *, concave: bool) -> bool:
    """Decide whether all weights are such that the rule `path_signs` closes every group.

    Networks that may be too large for the checker, or of numbers that are, are left to it.

    Parameters
    ----------
    network : ReluNetwork
    output : int
    concave : bool
    """
    blocks = network.hidden
    if not all(block.is_relu for block in blocks):
        return False
    behind = [
        weight for block in blocks for source, weight in block.weights.items() if source != INPUT
    ]
    last = [weight for source, weight in network.blocks[-1].weights.items() if source != INPUT]
    rows = [(-1 if concave else 1) * _stored(weight[[output]]) for weight in last]
    least = min((float(v.min(initial=0.0)) for v in (*map(_stored, behind), *rows)), default=0.0)
    return least >= 0 and _is_moderate(network)


def _is_moderate(network: ReluNetwork) -> bool:
    """Whether it is out of the question that the checker's numbers, or its work, are too large."""
    parts = [np.abs(part[part != 0]) for part in _numbers(network)]
    parts = [part for part in parts if part.size]
    if not parts:
        return True
    ends = [float(min(part.min() for part in parts)), float(max(part.max() for part in parts))]
    low, high = np.frexp(ends)[1].tolist()
    longest = (len(network.blocks) + 1) * (53 + high - low)
    work = 16 * network.parameter_count * (longest + 4096.0) * (longest + 64.0) / 1024
    return bool(high - low <= MODERATE_BITS and work <= MOST_WORK)


def _numbers(network: ReluNetwork) -> Iterator[FloatArray]:
    for block in network.blocks:
        yield block.bias
        yield from map(_stored, block.weights.values())


def _stored(weight: Matrix) -> FloatArray:
    """Return the numbers that are stored."""
    return np.asarray(weight.data if sp.issparse(weight) else weight, dtype=float)
