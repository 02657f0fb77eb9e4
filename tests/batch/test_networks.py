"""Batches of networks that are no files of their own."""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from jensen.batch import Case, Limits, RowStatus, Store, cases_of, find_cases, run_batch
from jensen.batch.job import Job, error_row, run_job
from jensen.batch.member import StackMember
from jensen.batch.networks import network_of
from jensen.batch.processes import ProcessExecutor
from jensen.batch.sent import pack, run_sent
from jensen.decide import verify
from jensen.domains.domain import Box, Everywhere
from jensen.errors import ModelFileError
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import Function
from jensen.graphs.node import GraphNode
from jensen.network.relu_network import ReluNetwork
from jensen.network.stack import NetworkStack

BOX = Box(-1, 1)


def small_stack(count: int, seed: int = 0) -> NetworkStack:
    """Some convex and some not."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(count, 2, 2)), rng.normal(size=(count, 1, 2))]
    return NetworkStack(weights, [rng.normal(size=(count, 2)), np.zeros((count, 1))])


def right(networks: NetworkStack) -> list[str]:
    return [str(verify(network, BOX).status) for network in networks]


def test_networks_of_a_generator_are_verified_by_workers(tmp_path):
    stack = small_stack(12)
    cases = cases_of((network for network in stack), BOX, name="seed")
    two = ProcessExecutor(2)
    try:
        with Store(tmp_path / "s.db") as store:
            results = run_batch(cases, executor=two, store=store)
    finally:
        two.close()
    assert [str(row.status) for _, row in results] == right(stack)
    assert [case.name for case, _ in results] == [f"seed[{k}]" for k in range(12)]
    events: list[str] = []
    with Store(tmp_path / "s.db") as store:
        again = run_batch(cases, store=store, on_event=lambda e: events.append(str(e.kind)))
    assert [row for _, row in again] == [row for _, row in results]
    assert events == ["found"] * 12


def test_what_lines_refute_never_reaches_a_worker():
    cases = cases_of(small_stack(40), BOX)
    kinds: list[tuple[str, RowStatus | None]] = []
    results = run_batch(
        cases, on_event=lambda e: kinds.append((str(e.kind), e.row and e.row.status))
    )
    counts = Counter(str(row.status) for _, row in results)
    started = sum(kind == "start" for kind, _ in kinds)
    assert counts["convex"] + counts["nonconvex"] == 40
    assert started < counts["convex"]
    assert len({row.digest for _, row in results}) == 40
    assert all(row.relus == 2 and row.finished and row.versions for _, row in results)


def test_a_file_of_stacked_arrays_is_a_case_per_network(tmp_path, make):
    stack = small_stack(5)
    stack.save(tmp_path / "stack.npz")
    make("up.npz", 1)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "stack.npz").read_bytes()[:200])
    np.savez(tmp_path / "flat.npz", W0=np.zeros((1, 1)), b0=np.zeros(1))
    results = run_batch(find_cases([tmp_path], domain=BOX))
    rows = {case.name.rpartition("/")[2]: row for case, row in results}
    assert [str(rows[f"stack.npz[{k}]"].status) for k in range(5)] == right(stack)
    assert rows["up.npz"].status is RowStatus.CONVEX
    assert rows["cut.npz"].status is RowStatus.ERROR
    assert "needed are (networks, out, in)" in rows["flat.npz"].error
    assert len(rows) == 8


def test_a_manifest_can_name_a_stack(tmp_path):
    small_stack(3).save(tmp_path / "stack.npz")
    (tmp_path / "manifest.toml").write_text('[[model]]\nfile = "stack.npz"\ndomain = "box -1 1"\n')
    assert [case.name[-12:] for case in find_cases([tmp_path])] == [
        f"stack.npz[{k}]" for k in range(3)
    ]


def test_a_network_is_found_again_by_the_name_in_the_store(tmp_path):
    stack = small_stack(3)
    stack.save(tmp_path / "stack.npz")
    with Store(tmp_path / "s.db") as store:
        run_batch(find_cases([tmp_path / "stack.npz"], domain=BOX), store=store)
        run_batch(cases_of(list(stack), BOX), store=store)
        stored = [case for case, _ in store.rows()]
    files, made = stored[:3], stored[3:]
    assert [network_of(case).digest for case in files] == [network.digest for network in stack]
    assert len(made) == 3
    for case in made:
        with pytest.raises(ModelFileError):
            network_of(case)
    with pytest.raises(ModelFileError, match="a stack of 3 networks, not one"):
        network_of(Case(tmp_path / "stack.npz", "stack.npz[7]", BOX))


def test_a_network_is_sent_without_the_rest_of_its_stack():
    member = StackMember(small_stack(1000), 7)
    sent = pickle.dumps(member)
    assert len(sent) < 5000
    assert pickle.loads(sent).digest == member.digest


def test_jobs_of_networks_in_memory_can_be_sent_to_other_machines():
    skip = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
    for case in [*cases_of([skip]), *cases_of(small_stack(2))]:
        job = Job(0, case)
        sent = pack(job)
        assert sent is not None
        row = run_sent(pickle.loads(pickle.dumps(sent)), run_job).row
        assert (row.status, row.digest) == (run_job(job).status, network_of(case).digest)


def test_lost_jobs_of_one_stack_are_told_apart():
    first, second = cases_of(small_stack(2), Everywhere())
    assert error_row(first, "lost").digest != error_row(second, "lost").digest
    assert error_row(Case(Path("nowhere"), "n", BOX), "lost").digest.startswith("name:")


def test_total_time_leaves_networks_in_memory_open_too():
    results = run_batch(cases_of(small_stack(5), BOX), limits=Limits(total_time=1e-9))
    assert [str(row.status) for _, row in results] == ["unknown"] * 5


def test_graphs_among_networks_get_verdicts_of_their_own():
    bump = ReluNetwork.from_layers([[[1.0]], [[-1.0]]], [[0], [0]])
    soft = FunctionGraph(
        1,
        [
            GraphNode("s", {"input": [[1.0]]}, [0.0], Function.SOFTPLUS),
            GraphNode("output", {"s": [[1.0]]}, [0.0]),
        ],
    )
    results = run_batch(cases_of([soft, bump, soft], BOX))
    assert [str(row.status) for _, row in results] == ["convex", "nonconvex", "convex"]
