"""The vectors of neurons that a network is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from jensen.arithmetic.exact import Matrix
from jensen.types import FloatArray

INPUT = "input"
OUTPUT = "output"


class Activation(StrEnum):
    """What a block applies to its pre-activation.

    Examples
    --------
    >>> Activation.RELU == "relu"
    True
    """

    RELU = "relu"
    IDENTITY = "identity"


@dataclass(frozen=True, eq=False)
class Block:
    """A vector of neurons: ``z = sum_j weights[j] @ h_j + bias``, ``h = activation(z)``.

    Attributes
    ----------
    name : str
        Unique; ``"input"`` is reserved for the input, ``"output"`` for the last block.
    weights : mapping from predecessor name to a matrix of shape (size, predecessor size)
        Dense ``float64`` arrays or ``scipy.sparse.csr_array``.
    bias : array of shape (size,)
    activation : Activation
        ``RELU``, or ``IDENTITY`` for an affine block that was not merged because the
        product of the weights would have to be rounded. The output block is affine.

    Examples
    --------
    >>> import numpy as np
    >>> block = Block("relu_1", {"input": np.eye(2)}, np.zeros(2), Activation.RELU)
    >>> block.size, block.is_relu
    (2, True)
    """

    name: str
    weights: Mapping[str, Matrix]
    bias: FloatArray
    activation: Activation = Activation.RELU

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(self.bias.shape[0])

    @property
    def is_relu(self) -> bool:
        """Whether the block's neurons can kink."""
        return self.activation is Activation.RELU
