"""Default-initialised networks: how many are convex, and how many of these are input-convex."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np

from jensen import Box, Everywhere, NetworkStack, is_icnn, to_icnn, verify_many
from jensen.errors import IcnnFormError
from jensen.verdicts.verdict import Status

BOX = Box(-100, 100)
CHUNK = 100  # networks per job
LIMIT = 10.0  # seconds per network


@dataclass(frozen=True)
class Cell:
    """One architecture: inputs and widths of the hidden layers."""

    inputs: int
    widths: tuple[int, ...]

    @property
    def name(self) -> str:
        if len(set(self.widths)) > 1:
            return f"{self.inputs}-D [{', '.join(map(str, self.widths))}]"
        return f"{self.inputs}-D [{self.widths[0]}]x{len(self.widths)}"


WIDTHS = (1, 2, 4, 8, 16)
PLANE = tuple(Cell(2, (w, w)) for w in WIDTHS)
# the other widths of two layers in the plane: for the picture, not for the table
GRID = tuple(Cell(2, (a, b)) for a in WIDTHS for b in WIDTHS)
DEPTHS = tuple(Cell(3, (w,) * depth) for w in (2, 3, 4) for depth in (2, 4, 6, 8, 10))
DEPTHS += tuple(Cell(3, (w,) * depth) for w in (5, 10) for depth in (2, 4, 6))
INPUTS = tuple(Cell(n, (w, w)) for n in (3, 5, 8, 10) for w in (2, 3, 5, 10))
CELLS = tuple(dict.fromkeys((*PLANE, *DEPTHS, *INPUTS)))


@dataclass(frozen=True)
class Result:
    """What was counted in one chunk of a cell."""

    cell: str
    chunk: int
    networks: int
    convex_box: int
    unknown_box: int
    convex_everywhere: int
    unknown_everywhere: int
    icnn: int
    representable: int
    seconds: float

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def default_initialised(cell: Cell, chunk: int, count: int) -> NetworkStack:
    """Draw as PyTorch's linear layers do: uniform in ``+-1 / sqrt(fan in)``, single precision."""
    rng = np.random.default_rng([cell.inputs, *cell.widths, chunk])
    weights, biases = [], []
    for before, width in pairwise((cell.inputs, *cell.widths, 1)):
        bound = 1 / np.sqrt(before)
        weights.append(rng.uniform(-bound, bound, (count, width, before)).astype(np.float32))
        biases.append(rng.uniform(-bound, bound, (count, width)).astype(np.float32))
    return NetworkStack(weights, biases)


def measure(cell: Cell, chunk: int, count: int = CHUNK) -> Result:
    """Decide all networks of a chunk, exactly."""
    start = time.process_time()
    stack = default_initialised(cell, chunk, count)
    box = [v.status for v in verify_many(stack, BOX, time_limit=LIMIT)]
    # convex everywhere means convex on the box: only these have to be asked
    asked = [k for k, status in enumerate(box) if status is not Status.NONCONVEX]
    everywhere = (
        Counter(v.status for v in verify_many(stack.take(asked), Everywhere(), time_limit=LIMIT))
        if asked
        else Counter()
    )
    forms = [_form(stack, k) for k in asked]
    return Result(
        cell.name,
        chunk,
        count,
        box.count(Status.CONVEX),
        box.count(Status.UNKNOWN),
        everywhere[Status.CONVEX],
        everywhere[Status.UNKNOWN],
        sum(form == "icnn" for form in forms),
        sum(form != "" for form in forms),
        time.process_time() - start,
    )


def _form(stack: NetworkStack, number: int) -> str:
    """Return "icnn", "representable" or nothing for what is no input-convex network on R^n."""
    network = stack[number]
    if is_icnn(network):
        return "icnn"
    try:
        to_icnn(network)
    except IcnnFormError:
        return ""
    return "representable"
