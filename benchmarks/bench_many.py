"""Stacks of small networks: ``verify_many`` against one ``verify`` call each.

    python benchmarks/bench_many.py [NETWORKS]

Default-initialised networks d=10 [10, 10], weights in float32 and float64; CPU time of this
process, ``verify`` on networks that are built already; every verdict is compared.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: one core is compared with one

import numpy as np

from jensen import Box, Domain, Everywhere, NetworkStack, verify, verify_many
from jensen.verdicts.verdict import Verdict

WIDTHS = (10, 10, 10, 1)


def default_initialised(count: int, kind: type[np.floating]) -> NetworkStack:
    """Uniform in ``+-1/sqrt(fan in)``."""
    rng = np.random.default_rng(0)
    weights, biases = [], []
    for into, out in pairwise(WIDTHS):
        bound = 1 / np.sqrt(into)
        weights.append(rng.uniform(-bound, bound, (count, out, into)).astype(kind))
        biases.append(rng.uniform(-bound, bound, (count, out)).astype(kind))
    return NetworkStack(weights, biases)


def timed(
    work: Callable[[Any, Domain], list[Verdict]], networks: Any, domain: Domain
) -> tuple[float, list[str]]:
    start = time.process_time()
    verdicts = work(networks, domain)
    return time.process_time() - start, [str(verdict.status) for verdict in verdicts]


def main(count: int) -> None:
    print(f"{count} networks {WIDTHS}, microseconds of CPU time per network")
    print(
        f"{'weights':8} {'domain':16} {'verify':>8} {'list':>7} {'stack':>7} {'ratio':>7}  verdicts"
    )
    for kind in (np.float32, np.float64):
        stack = default_initialised(count, kind)
        networks = list(stack)
        for domain in (Box(-100, 100), Everywhere(), Box(-1, 1), Box(0.1, 0.3)):
            one, right = timed(lambda nets, d: [verify(net, d) for net in nets], networks, domain)
            listed, same = timed(verify_many, networks, domain)
            stacked, also = timed(verify_many, stack, domain)
            if not right == same == also:
                raise SystemExit("the verdicts differ")
            times = [1e6 * spent / count for spent in (one, listed, stacked)]
            print(
                f"{kind.__name__:8} {domain!s:16} {times[0]:8.0f} {times[1]:7.1f} {times[2]:7.1f} "
                f"{one / stacked:6.1f}x  {dict(Counter(right))}"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
