"""HiGHS's thread pool belongs to the process: programs run whatever was there before."""

from __future__ import annotations

import highspy
import numpy as np

from jensen_encodings.lp import LpSolver, LpStatus
from jensen_encodings.solver import QuietHighs


def test_programs_run_after_highs_was_used_with_another_number_of_threads():
    highspy.Highs.resetGlobalScheduler(True)
    other = QuietHighs()
    other.setOptionValue("threads", 2)
    for _ in range(2):
        other.passModel(highspy.HighsLp())
        other.addVar(0.0, 1.0)
        other.addRow(0.5, 2.0, 1, np.zeros(1, dtype=np.int32), np.ones(1))
        assert other.run() == highspy.HighsStatus.kOk
        one = np.ones(1)
        found = LpSolver().maximise(one, np.ones((1, 1)), one, np.zeros(1, dtype=bool))
        assert (found.status, found.objective) == (LpStatus.OPTIMAL, 1.0)
