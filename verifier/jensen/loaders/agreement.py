"""A loaded network against the object it was read from, on a few points.

What is verified is the network. An exporter that drops an argument in silence would
otherwise let another function be verified than the one the user holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jensen.errors import ModelFileError
from jensen.network.relu_network import OUTPUT, ReluNetwork

FloatArray = NDArray[np.float64]

POINTS = 3
_SLACK = 0.4


def check_agreement(
    network: ReluNetwork,
    run: Callable[[Sequence[FloatArray]], Any],
    shapes: Sequence[Sequence[int]],
    *,
    precision: float,
    name: str,
) -> None:
    """Raise unless a network computes what the original computes, up to its rounding.

    Parameters
    ----------
    network : ReluNetwork
    run : callable
        The original: takes one array per input, of a batch of one, and returns the
        outputs as arrays, possibly nested in lists and mappings.
    shapes : sequence of shapes
        Of one sample of each input.
    precision : float
        The unit of rounding of the original.
    name : str
        The original's name for the message.

    Raises
    ------
    ModelFileError
        If the original does not run, or an output differs by more than
        ``precision ** 0.4`` of the largest number in the network: far more than
        rounding does, far less than a wrong operator.
    """
    rng = np.random.default_rng(0)
    for _ in range(POINTS):
        inputs = [rng.normal(size=(1, *shape)) for shape in shapes]
        expected = _joined(run, inputs, name)
        x = np.concatenate([part.ravel() for part in inputs])
        values = network.pre_activations(x[None, :])
        found = values[OUTPUT][0]
        if found.shape != expected.shape:
            raise ModelFileError(
                f"{name}: it has {expected.size} outputs, the exported network {found.size}"
            )
        if not np.isfinite(expected).all():
            continue
        scale = max(1.0, np.abs(x).max(), *(np.abs(z).max() for z in values.values()))
        worst = int(np.abs(found - expected).argmax())
        if abs(found[worst] - expected[worst]) > precision**_SLACK * scale:
            raise ModelFileError(
                f"{name}: the exporter changed the function: at a random point output {worst} "
                f"is {expected[worst]:g}, of the exported network {found[worst]:g}"
            )


def _joined(run: Callable[..., Any], inputs: Sequence[FloatArray], name: str) -> FloatArray:
    try:
        parts = _arrays(run(inputs))
    except Exception as error:  # any operator of the original may raise anything
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(f"{name}: it does not run on a random point ({reason})") from None
    return np.concatenate([np.zeros(0), *(part.ravel() for part in parts)])


def _arrays(result: Any) -> list[FloatArray]:
    if isinstance(result, Mapping):
        result = list(result.values())
    if isinstance(result, list | tuple):
        return [array for part in result for array in _arrays(part)]
    return [np.asarray(result, dtype=np.float64)]
