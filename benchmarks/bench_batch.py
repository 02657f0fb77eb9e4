"""Batches: what a job costs beyond its work, and what a second core brings.

    python benchmarks/bench_batch.py

Writes models to a temporary folder, verifies them with one and with two workers, and prints
a table. The overhead is the workers' wall clock less the jobs' own (loading included).
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from jensen.batch import Case, Limits, Store, find_cases, run_batch
from jensen.batch.processes import ProcessExecutor
from jensen.network.relu_network import ReluNetwork


def tournament(pieces: int, inputs: int, seed: int) -> ReluNetwork:
    """max_k (a_k x + b_k) by ``max(u, v) = relu(u - v) + relu(v) - relu(-v)``."""
    rng = np.random.default_rng(seed)
    weights, biases = [], []
    value, offset = rng.normal(size=(pieces, inputs)), rng.normal(size=pieces)
    while len(value) > 1:
        half = len(value) // 2
        rows, merge = np.zeros((3 * half, len(value))), np.zeros((half, 3 * half))
        for k in range(half):
            rows[3 * k, [2 * k, 2 * k + 1]] = 1.0, -1.0
            rows[3 * k + 1, 2 * k + 1], rows[3 * k + 2, 2 * k + 1] = 1.0, -1.0
            merge[k, 3 * k : 3 * k + 3] = 1.0, 1.0, -1.0
        weights.append(rows @ value)
        biases.append(rows @ offset)
        value, offset = merge, np.zeros(half)
    return ReluNetwork.from_layers([*weights, value], [*biases, offset])


def run(cases: list[Case], slots: int, folder: Path) -> tuple[float, float]:
    """Return the wall clock of a warm batch and the sum of its jobs' times."""
    executor = ProcessExecutor(slots)
    try:
        # start the workers and let them import: that is paid once per run, not per job
        run_batch(cases[: 2 * slots], executor=executor, limits=Limits(quick=0))
        with Store(folder / f"{slots}-{time.monotonic_ns()}.db") as store:
            start = time.perf_counter()
            results = run_batch(cases, executor=executor, store=store, limits=Limits(quick=0))
            wall = time.perf_counter() - start
    finally:
        executor.close()
    return wall, sum(row.seconds for _, row in results)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, count, pieces, inputs in (("cheap", 1000, 2, 2), ("equal", 200, 32, 5)):
            models = folder / kind
            models.mkdir()
            for k in range(count):
                seed = k if kind == "cheap" else 0
                tournament(pieces, inputs, seed).save(models / f"{k:04}.npz")
            cases = find_cases([models])
            one, work = run(cases, 1, folder)
            two, _ = run(cases, 2, folder)
            overhead = 1000 * (one - work) / count
            print(
                f"{count} {kind} jobs: one worker {one:.2f} s ({1000 * work / count:.2f} ms of "
                f"work each, overhead {overhead:.2f} ms), two workers {two:.2f} s: "
                f"{one / two:.2f}x"
            )


if __name__ == "__main__":
    main()
