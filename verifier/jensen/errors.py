"""Every error the library raises on purpose.

Each class inherits :class:`JensenError` and the builtin a caller would expect.
A message names the file, layer or node, says what was found and what is
supported, in one line, so that the command line can print it as it is.
"""

from __future__ import annotations

from typing import Any


class JensenError(Exception):
    """Base class of every deliberate error of this package.

    Examples
    --------
    >>> import jensen
    >>> try:
    ...     jensen.load("missing.onnx")
    ... except jensen.JensenError as error:
    ...     print(error)
    missing.onnx: no such file
    """


class NetworkError(JensenError, ValueError):
    """A network that is not a finite ReLU DAG (shapes, NaN, cycles, ...)."""


class DomainError(JensenError, ValueError):
    """A domain that is empty, ill-formed or of the wrong dimension."""


class OptionError(JensenError, ValueError):
    """An option with a value outside what is supported."""


class ModelFileError(JensenError, ValueError):
    """A model file that cannot be read."""


class OutputError(JensenError, OSError):
    """A file that cannot be written, or that would take the place of an input."""


class UnsupportedOperatorError(ModelFileError, NotImplementedError):
    """A model file that holds an operation outside piecewise-linear networks."""


class MissingExtraError(JensenError, ImportError):
    """An optional dependency is needed; the message names the extra."""


class NotConvexError(JensenError, ValueError):
    """A network that is not convex where it has to be; ``counterexample`` is the pair."""

    def __init__(self, message: str, counterexample: Any = None) -> None:
        super().__init__(message)
        self.counterexample = counterexample


class InfeasibleError(JensenError, ValueError):
    """No point satisfies the domain, the rows, the equations and the integers."""


class UnboundedError(JensenError, ValueError):
    """An objective falls for ever; ``ray`` is a direction along which it does."""

    def __init__(self, message: str, ray: Any = None) -> None:
        super().__init__(message)
        self.ray = ray


class UndecidedError(JensenError, RuntimeError):
    """Convexity was neither proved nor refuted within the limits."""


class OutOfTimeError(UndecidedError):
    """Time was up before it was known what set a polyhedron is."""


class SolverError(JensenError, RuntimeError):
    """The MILP or LP solver failed in a way that leaves no usable answer."""


class CertificateError(JensenError, RuntimeError):
    """A certificate cannot be written; the claim itself may still be true."""


class TrainingError(JensenError, RuntimeError):
    """A training that cannot go on: a loss without gradient, or one that is not finite."""


class IcnnFormError(JensenError, ValueError):
    """A network that no input-convex form was found for; the message says why."""
