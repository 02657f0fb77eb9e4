"""Errors of the encodings; each is also the builtin a caller would expect."""

from __future__ import annotations


class EncodingError(ValueError):
    """Arrays that describe no ReLU network, or options out of range."""


class UnboundedNeuronError(EncodingError):
    """A big-M formulation was asked for a ReLU whose pre-activation has no finite bounds."""


class SolverFailure(RuntimeError):  # noqa: N818  (reads better in a traceback)
    """HiGHS rejected the model or stopped without a usable answer."""
