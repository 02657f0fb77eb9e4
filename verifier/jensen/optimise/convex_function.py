"""A network that was proved convex, as a convex function."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jensen.certificate.certificate import Certificate
from jensen.domains.domain import Domain, Everywhere
from jensen.graphs.function_graph import FunctionGraph
from jensen.loaders import opened
from jensen.network.block import OUTPUT
from jensen.network.checks import chosen_output
from jensen.network.relu_network import ReluNetwork
from jensen.optimise.cells import gradients_around
from jensen.optimise.curved import CurvedTerm
from jensen.optimise.cuts import Term, slopes
from jensen.optimise.function import Function
from jensen.optimise.ground import ground_of
from jensen.optimise.parts import check_form, parts_of
from jensen.optimise.problem import vector
from jensen.optimise.proof import proved_convex
from jensen.prover.question import merged_options
from jensen.types import FloatArray
from jensen.verdicts.options import Options
from jensen.verdicts.verdict import Verdict
from jensen_encodings.deadline import Deadline


class ConvexFunction(Function):
    """One output of a network, proved convex on a domain.

    The network may have a quadratic part ``x H x / 2 + l x + c``, as potentials have, with H
    positive semidefinite.

    Every answer carries a gap that is proved: what is called ``lower`` holds in real arithmetic,
    by the convexity that was proved and multipliers that were rounded outwards; what is called
    ``value`` is attained.

    Parameters
    ----------
    network : ReluNetwork, FunctionGraph or path
        A ReLU network, or one plus quadratic functions of at most 256 inputs; of more, squares
        of single inputs.
    domain : Domain, optional
        All of R^n by default.
    output : int, optional
        Needed where the network has several.
    verdict : Verdict, optional
        Of this network, which their digests tell, on this domain or a larger one; spares the
        verification.
    certificate : Certificate or path, optional
        Checked against this network in place of a verification.
    options : Options, optional
        Of the verification; or its fields as keywords, such as ``time_limit=60``.

    Raises
    ------
    NotConvexError
        With the pair that breaks convexity.
    UndecidedError
        If convexity was not decided, or only up to a tolerance.
    NetworkError
        For other functions than ReLUs and quadratic ones.

    References
    ----------
    docs/optimise.md.

    Examples
    --------
    >>> from jensen.domains.domain import Box
    >>> net = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [1]])
    >>> f = ConvexFunction(net, Box(-1, 2))
    >>> f.value([1.5]), f.subgradient([1.5])
    (2.5, array([1.]))
    >>> found = f.minimise(linear=[0.5])
    >>> found.x, found.value, found.gap < 1e-12
    (array([0.]), 1.0, True)
    >>> f.conjugate([3.0]).value, f.prox([1.25], step=1.0).x
    (3.0, array([0.25]))
    """

    def __init__(
        self,
        network: ReluNetwork | FunctionGraph | str | Path,
        domain: Domain | None = None,
        *,
        output: int | None = None,
        verdict: Verdict | None = None,
        certificate: Certificate | str | Path | None = None,
        options: Options | None = None,
        **keywords: Any,
    ) -> None:
        net = opened(network)
        domain = Everywhere() if domain is None else domain
        index = chosen_output(net.output_size, output)
        chosen = merged_options(options, keywords)
        self.network = net.select_output(index)
        p, q = parts_of(self.network)
        deadline = Deadline.after(chosen.time_limit)
        ground = ground_of(domain, net.input_size, deadline)
        self.verdict = proved_convex(
            net, domain, index, verdict=verdict, certificate=certificate, options=chosen
        )
        self.domain = domain
        # where f is convex p is: the gradient of q does not jump
        self._term = Term(p, ground)
        self._curved: CurvedTerm | None = None
        if q is not None:
            check_form(q, ground, deadline)
            self._curved = CurvedTerm(self._term, q, self._in_doubles)
        super().__init__(self._curved or self._term)

    def subgradients(self, x: ArrayLike) -> FloatArray:
        """Return the gradients of all regions that touch a point of the domain, as rows.

        Inside the domain their convex hull is the subdifferential.

        Parameters
        ----------
        x : array (inputs,)

        Returns
        -------
        array (regions, inputs)
            Different rows in exact arithmetic; rounded to the nearest doubles.

        Examples
        --------
        >>> import jensen
        >>> bend = jensen.ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
        >>> jensen.ConvexFunction(bend, jensen.Box(-1, 1)).subgradients([0.5]).tolist()
        [[1.0]]
        """
        point = vector(x, self.inputs, "the point")
        self._check_inside(point)
        exact = [Fraction(v) for v in point.tolist()]
        found = gradients_around(self._term.pieces, self._term.ground, exact)
        if self._curved is not None:
            slope = self._curved.form.gradient(exact)
            found = [tuple(a + b for a, b in zip(g, slope, strict=True)) for g in found]
        return np.array([slopes(gradient) for gradient in found])

    def _in_doubles(self, X: FloatArray) -> FloatArray:
        return np.array(self.network.pre_activations(X)[OUTPUT][:, 0], dtype=np.float64)

    def __repr__(self) -> str:
        return f"ConvexFunction({self.network!r}, {self.domain})"
