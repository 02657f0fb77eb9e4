"""A network as the sum that minimising takes: piecewise linear plus quadratic."""

from __future__ import annotations

from jensen.composition.piecewise_quadratic import MOST_INPUTS, not_split, split
from jensen.errors import NetworkError
from jensen.graphs.function_graph import FunctionGraph
from jensen.network.relu_network import ReluNetwork
from jensen.optimise.ground import Ground
from jensen.optimise.quadratic_form import QuadraticForm
from jensen_encodings.deadline import Deadline


def parts_of(network: ReluNetwork | FunctionGraph) -> tuple[ReluNetwork, QuadraticForm | None]:
    """Return a network with one output, or its piecewise-linear and its quadratic part.

    Raises
    ------
    NetworkError
        If a node is neither, or a ReLU reads a quadratic value.
    """
    if not isinstance(network, FunctionGraph):
        return network, None
    found = split(network, sums_of_squares=True)
    if found is not None:
        terms = found.polynomial(0)
        return found.piecewise, QuadraticForm.of_polynomial(terms, network.input_size)
    raise not_split(
        network,
        "minimising",
        f"of more than {MOST_INPUTS} inputs sums of squares of single inputs only. Of the network "
        "alone, f + |x|^2 / (2 step) is what prox(center, step) minimises: leave the quadratic "
        "part out and ask for that",
    )


def check_form(form: QuadraticForm, ground: Ground, deadline: Deadline) -> None:
    """Raise unless the quadratic part of a function that is convex on a domain is so on R^n.

    Raises
    ------
    NetworkError
    OutOfTimeError
        If that was not known in time.
    """
    # known already where the domain has an interior
    if ground.dimension < len(form.linear) and not form.is_convex(deadline):
        raise NetworkError(
            "f is convex, but its quadratic part only along the domain: write f in fewer "
            "inputs, such that the domain has an interior"
        )
