"""Cases with the same network: one is verified, the others wait for it and get its row."""

from jensen.batch import Limits, Row, RowStatus, find_cases, run_batch
from jensen.batch.executor import InlineExecutor
from jensen.batch.job import Job
from jensen.batch.runner import _Twins

DIGEST = "6d" * 32


class Answers(InlineExecutor):
    """Leaves first turns open; of second ones the first dies, and the others are convex."""

    def __init__(self) -> None:
        super().__init__()
        self.second: list[int] = []
        self.slow = 0  # a first turn that lasts until the second ones have begun
        self.held: list[Job] = []

    slots = 2

    def wait(self, timeout: float) -> list[tuple[Job, Row]]:
        jobs, self._jobs = self._jobs, []
        done = []
        for job in jobs:
            if job.time_limit is not None and job.number == 2 and not self.slow:
                self.slow = 1
                self.held.append(job)
            elif job.time_limit is not None:
                done.append((job, Row(RowStatus.UNKNOWN, DIGEST)))
            else:
                self.second.append(job.number)
                died = len(self.second) == 1
                row = Row(RowStatus.ERROR, "file:0") if died else Row(RowStatus.CONVEX, DIGEST)
                done.append((job, row))
        if not done and self.held:
            done, self.held = [(job, Row(RowStatus.UNKNOWN, DIGEST)) for job in self.held], []
        return done


def test_a_twin_that_died_is_not_waited_for(make):
    paths = [make(f"{name}.npz", 1) for name in "abc"]
    executor = Answers()
    results = run_batch(find_cases(paths), executor=executor, limits=Limits(quick=0.5))
    assert [row.status for _, row in results] == ["error", "error", "convex"]
    assert executor.second == [0, 2]


def test_twins_are_released_once():
    twins = _Twins()
    assert [twins.waits(number, "job") for number in (3, 5, 4)] == [False, True, True]
    assert twins.released(3) == [5, 4]
    assert twins.released(3) == []
    assert not twins.waits(6, "job")
