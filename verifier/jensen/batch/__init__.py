"""Many models: manifests, workers, the store of results, and what they add up to."""

from __future__ import annotations

from jensen.batch.case import Case, Row, RowStatus
from jensen.batch.manifest import find_cases
from jensen.batch.networks import cases_of
from jensen.batch.outcome import Kind, exit_code, outcome
from jensen.batch.runner import Limits, run_batch
from jensen.batch.store import Store

__all__ = [
    "Case",
    "Kind",
    "Limits",
    "Row",
    "RowStatus",
    "Store",
    "cases_of",
    "exit_code",
    "find_cases",
    "outcome",
    "run_batch",
]
