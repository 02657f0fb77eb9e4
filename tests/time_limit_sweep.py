"""Run commands with a time limit on files, and measure how well they keep it.

Beside the tests that use it, by hand: ``python tests/time_limit_sweep.py COMMAND SECONDS FILE...``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jensen.network.relu_network import ReluNetwork

BOX = ("--box", "-1", "1")
CERTIFICATE = "{folder}/proof"
COMMANDS: dict[str, tuple[str, ...]] = {
    "verify": ("verify", "{model}", *BOX),
    "certificate": ("verify", "{model}", *BOX, "--output", "0", "--certificate", CERTIFICATE),
    "violation": ("violation", "{model}", *BOX),
    "jump": ("violation", "{model}", *BOX, "--measure", "jump"),
    "batch": ("batch", "{model}", *BOX, "--jobs", "1"),
    "plot": ("plot", "{model}", *BOX, "--out", "{folder}/plot.svg"),
    "repair": ("repair", "{model}", *BOX, "--output", "0", "--to", "{folder}/fixed.npz"),
    "minimise": ("minimise", "{model}", *BOX),
    "conditions": ("conditions", "{model}", *BOX),
}
WITHOUT_LIMIT: dict[str, tuple[str, ...]] = {
    "info": ("info", "{model}"),
}
SHARE, ALLOWANCE = 1.1, 1.0  # the promise: so many times the limit, and so many seconds
START = 0.7  # to load the program: on a busy machine half of the limit is left all the same
HANGS = 120.0  # seconds beyond any limit after which a command is stopped


@dataclass(frozen=True)
class Run:
    """What one command took: wall-clock and processor seconds, and its exit code."""

    command: str
    model: Path
    limit: float
    wall: float
    cpu: float
    code: int

    @property
    def idle(self) -> float:
        """Seconds on a machine that does nothing else: what is over the limit is work."""
        beyond = self.wall - self.limit
        return self.limit + beyond * min(1.0, self.cpu / self.wall) if beyond > 0 else self.wall

    @property
    def over(self) -> bool:
        """Whether the limit is not kept, even if other programs had none of the processor."""
        return self.idle > SHARE * self.limit + ALLOWANCE + START

    def __str__(self) -> str:
        mark = "OVER" if self.over else "kept"
        times = f"{self.wall:6.2f} s, processor {self.cpu:6.2f} s"
        return (
            f"{mark} {self.idle:5.2f}  {self.command:<11} limit {self.limit:g}: {times}, "
            f"exit {self.code}  {self.model.name}"
        )


def run(command: str, model: Path, limit: float) -> Run:
    """Run a command on a model in a process of its own."""
    words = COMMANDS.get(command) or WITHOUT_LIMIT[command]
    with tempfile.TemporaryDirectory() as folder:
        line = [word.format(model=model, folder=folder) for word in words]
        if command in COMMANDS:
            line += ["--time-limit", str(limit)]
        before, start = os.times(), time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "jensen", *line],
            capture_output=True,
            timeout=limit + HANGS,
            check=False,
        )
        wall, after = time.monotonic() - start, os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    return Run(command, model, limit, wall, cpu, done.returncode)


def readable(model: Path, folder: Path) -> Path:
    """Return a model, one that is arrays ``W0, b0, W1, ...`` written as the commands read it."""
    if model.suffix != ".npz":
        return model
    with np.load(model) as arrays:
        if "W0" not in arrays:
            return model
        count = sum(name.startswith("W") for name in arrays)
        weights = [arrays[f"W{k}"] for k in range(count)]
        biases = [arrays[f"b{k}"] for k in range(count)]
    written = folder / model.name
    ReluNetwork.from_layers(weights, biases).save(written)
    return written


def main(command: str, limit: str, *models: str) -> int:
    """Print one line per model; 1 if the limit is not kept on one."""
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        for model in models:
            measured = run(command, readable(Path(model), Path(folder)), float(limit))
            sys.stdout.write(f"{measured}\n")
            sys.stdout.flush()
            worst |= measured.over
    return worst


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
