"""One node of a function graph: an affine map of earlier nodes, then a function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import scipy.sparse as sp

from jensen.arguments import real
from jensen.arithmetic.exact import Matrix
from jensen.errors import NetworkError
from jensen.graphs.convolution import Convolution
from jensen.graphs.functions import GROUPED, MAX_POWER, RULES, Function
from jensen.network.block import OUTPUT, Activation
from jensen.network.checks import as_matrix, as_vector, fixed
from jensen.text import shown
from jensen.types import FloatArray, Interval


@dataclass(frozen=True, eq=False)
class GraphNode:
    """A vector of values: ``z = sum_j weights[j] @ h_j + bias``, ``h = function(z)``.

    Attributes
    ----------
    name : str
        Unique; ``"input"`` is reserved for the input, ``"output"`` for the last node.
    weights : mapping from predecessor name to a matrix of shape (rows, predecessor size)
        Dense ``float64`` arrays, ``scipy.sparse.csr_array`` or :class:`Convolution`. None at
        all: a constant.
    bias : array of shape (rows,)
    function : Function
    parameter : float
        Of ELU and CELU (alpha) and of POWER (the exponent, a whole number of at least 2).
    group : int
        How many consecutive rows of z the functions of several arguments take: two for
        PRODUCT, any number for LOG_SUM_EXP and NORM, one for all others.

    Examples
    --------
    >>> node = GraphNode("sizes", {"input": np.eye(4)}, np.zeros(4), Function.NORM, group=2)
    >>> z = np.array([[3.0, 4.0, 0.0, -1.0]])
    >>> node.grouped(z).shape, node.values(z).tolist()
    ((1, 2, 2), [[5.0, 1.0]])
    >>> lower, upper = node.enclosure((z[0], z[0]))
    >>> bool((lower <= [5, 1]).all() and (upper >= [5, 1]).all())
    True
    """

    name: str
    weights: Mapping[str, Matrix]
    bias: FloatArray
    function: Function = Function.IDENTITY
    parameter: float = 1.0
    group: int = 1

    @property
    def rows(self) -> int:
        """Number of pre-activations."""
        return int(self.bias.shape[0])

    @property
    def size(self) -> int:
        """Number of values."""
        return self.rows // self.group

    @property
    def activation(self) -> Activation:
        """The activation of a block of a ReLU network; what is no ReLU counts as affine."""
        return Activation.RELU if self.function is Function.RELU else Activation.IDENTITY

    def grouped(self, z: FloatArray) -> FloatArray:
        """Return pre-activations in the shape that the function takes.

        Parameters
        ----------
        z : array of shape (n, rows)

        Returns
        -------
        array of shape (n, size, group), or z where there are no groups
        """
        return (
            z.reshape(*z.shape[:-1], self.size, self.group) if self.group > 1 or self.reduces else z
        )

    @property
    def reduces(self) -> bool:
        """Whether the function takes several arguments."""
        return self.function in GROUPED

    def values(self, z: FloatArray) -> FloatArray:
        """Apply the function in floating point: (n, rows) -> (n, size).

        Parameters
        ----------
        z : array of shape (n, rows)

        Returns
        -------
        array of shape (n, size)
        """
        return RULES[self.function].values(self.grouped(z), self.parameter)

    def enclosure(self, bounds: Interval) -> Interval:
        """Return rigorous bounds of the values from bounds of the pre-activations.

        Parameters
        ----------
        bounds : (lower, upper), arrays of shape (rows,)

        Returns
        -------
        lower, upper : arrays of shape (size,)
        """
        lower, upper = (self.grouped(side) for side in bounds)
        return RULES[self.function].enclosure(lower, upper, self.parameter)


def checked(node: GraphNode) -> GraphNode:
    """Return a copy whose arrays nobody else holds and nobody can write to.

    Raises
    ------
    NetworkError
        For a function, a parameter or a group that makes no sense.
    """
    if not isinstance(node, GraphNode):
        raise NetworkError(f"{type(node).__name__} where a GraphNode is needed")
    name = f"node {shown(node.name)}"
    if not isinstance(node.name, str) or not isinstance(node.weights, Mapping):
        raise NetworkError(f"{name}: a name and weights such as {{'input': matrix}} are needed")
    try:
        function = Function(node.function)
    except ValueError:
        raise NetworkError(
            f"{name}: function {shown(node.function)}; supported are {', '.join(Function)}"
        ) from None
    weights = {s: _frozen(w, f"{name}, weight from {s!r}") for s, w in node.weights.items()}
    bias = as_vector(node.bias, name)
    fixed(bias)
    parameter, group = real(node.parameter), node.group
    if parameter is None or not isinstance(group, Integral):
        raise NetworkError(
            f"{name}: parameter {shown(node.parameter)}, group {shown(group)}: a number, and a "
            "whole number, are needed"
        )
    result = GraphNode(node.name, weights, bias, function, parameter, int(group))
    _check_parameters(result)
    if not np.isfinite(bias).all():
        raise NetworkError(f"{name}: the bias holds NaN or infinity")
    return result


def _frozen(weight: Matrix | Convolution, where: str) -> Matrix | Convolution:
    """Return a copy of a weight that nobody can write to.

    Raises
    ------
    NetworkError
    """
    if isinstance(weight, Convolution):
        weight = weight.frozen()
        values = weight.weight
    else:
        weight = fixed(as_matrix(weight, where))
        values = weight.data if sp.issparse(weight) else weight
    if not np.isfinite(values).all():
        raise NetworkError(f"{where}: it holds NaN or infinity")
    return weight


def _check_parameters(node: GraphNode) -> None:
    name, alpha = f"node {node.name!r} ({node.function})", node.parameter
    if node.group != 1 and not node.reduces:
        raise NetworkError(f"{name}: groups of {shown(node.group)}; it takes one argument")
    if node.function is Function.PRODUCT and node.group != 2:
        raise NetworkError(f"{name}: groups of {shown(node.group)}; a product takes two arguments")
    if not node.rows or node.group < 1 or node.rows % node.group:
        raise NetworkError(f"{name}: {node.rows} rows in groups of {shown(node.group)}")
    if node.function is Function.ELU and not 0 <= alpha < np.inf:
        raise NetworkError(f"{name}: alpha {alpha}; a finite number >= 0 is needed")
    if node.function is Function.CELU and not 0 < alpha < np.inf:
        raise NetworkError(f"{name}: alpha {alpha}; a finite number > 0 is needed")
    if node.function is Function.POWER and not (2 <= alpha <= MAX_POWER and alpha.is_integer()):
        raise NetworkError(f"{name}: exponent {alpha}; supported are 2 to {MAX_POWER}")
    if node.name == OUTPUT and node.function is not Function.IDENTITY:
        raise NetworkError(f"{name}: the output is affine")
