"""One call from a network to a Pyomo block."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pyomo.environ as pyo
from pyomo.common.modeling import unique_component_name

from jensen.bounds.paths import sign_bounds
from jensen.certificate.certificate import Certificate
from jensen.domains.domain import Domain
from jensen.errors import JensenError, NotConvexError, OptionError, UndecidedError
from jensen.graphs.function_graph import FunctionGraph
from jensen.loaders import piecewise_linear
from jensen.network.relu_network import ReluNetwork
from jensen.optimise.proof import proved_convex
from jensen.prover.question import merged_options
from jensen.surrogate.arguments import Arguments, keep_inside, read_arguments
from jensen.surrogate.handle import Formulation, NetworkHandle, Output, Shape
from jensen.surrogate.hidden import HiddenUnits
from jensen.text import shown
from jensen.verdicts.options import Options
from jensen.verdicts.verdict import Verdict

LARGE = 512  # ReLUs from which on cuts are preferred to the epigraph's rows
PATIENCE = 10.0  # seconds that auto gives a proof of convexity, unless told otherwise


def add_network(
    block: Any,
    network: ReluNetwork | FunctionGraph | str | Path,
    inputs: Any,
    *,
    domain: Domain | None = None,
    formulation: str = "auto",
    output: int | None = None,
    verdict: Verdict | None = None,
    certificate: Certificate | str | Path | None = None,
    options: Options | None = None,
    **keywords: Any,
) -> NetworkHandle:
    """Add a network to a Pyomo model.

    Parameters
    ----------
    block : pyomo ConcreteModel or Block
        Gets one block, called ``network`` (``network_1``, ... where the name is taken).
    network : ReluNetwork or path
        Such as an ONNX file.
    inputs : sequence or indexed variable
        One variable, expression or number for each input. Numbers are fixed
        (:meth:`ReluNetwork.fix_inputs`); integer variables stay integer. Mutable parameters, and
        expressions of them alone, need a domain.
    domain : Domain, optional
        Where the network is meant to be used; rows keep the inputs in it. By default the bounds
        of the variables, and what is known of outputs of other networks.
    formulation : str
        ``"big_m"``: one binary per unstable ReLU, its bounds computed here; right for every
        network and every use. ``"epigraph"``: linear rows, for networks whose weight products
        along all paths have one sign. ``"cuts"``: affine functions found during
        :func:`jensen.surrogate.solve`, for networks that are proved convex on the domain.
        The last two need an output that is only pushed down (up, if f is concave); this is
        checked before they are solved. ``"auto"`` picks, and takes big_m where it is not so.
    output : int, optional
        One output only; all by default.
    verdict, certificate : optional
        What is known of the network on this domain already, as for
        :class:`jensen.ConvexFunction`.
    options : Options, optional
        Of the proof of convexity; or its fields as keywords, such as ``time_limit=60``.

    Returns
    -------
    NetworkHandle
        With ``.output`` for any objective or constraint, and ``.why``.

    Raises
    ------
    NotConvexError
        If ``"cuts"`` or ``"epigraph"`` is asked for and f is not convex there; with the pair.
    UndecidedError
        If ``"cuts"`` is asked for and convexity was not decided.
    OptionError
        For a formulation that would be wrong, or variables without bounds.

    Examples
    --------
    >>> net = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
    >>> model = pyo.ConcreteModel()
    >>> model.x = pyo.Var(bounds=(-1, 2))
    >>> f = add_network(model, net, [model.x])
    >>> model.goal = pyo.Objective(expr=f.output - 0.5 * model.x)
    >>> from jensen.surrogate.solving import solve
    >>> round(solve(model).value, 6), f.formulation
    (0.0, 'epigraph')
    """
    try:
        wanted = Formulation(formulation)
    except ValueError:
        names = ", ".join(Formulation)
        raise OptionError(f"formulation {shown(formulation)}: supported are {names}") from None
    if not hasattr(block, "add_component"):
        raise OptionError(f"block {shown(block)}: a Pyomo model or block is needed")
    net = piecewise_linear(network, "jensen.surrogate")
    arguments = read_arguments(net, inputs, domain)
    chosen = range(net.output_size) if output is None else [output]
    proof = _Proof(verdict, certificate, merged_options(options, keywords))
    decided = [_decide(arguments, k, wanted, proof) for k in chosen]
    whole = pyo.Block(concrete=True)
    block.add_component(unique_component_name(block, "network"), whole)
    try:
        variables = keep_inside(whole, arguments)
        whole.output = pyo.Var(range(len(decided)))
        several = len(decided) > 1
        hidden = HiddenUnits(whole, arguments, variables) if several else None
        parts = tuple(
            _part(whole, arguments, variables, index, k, decision, wanted, hidden, proof)
            for index, (k, decision) in enumerate(zip(chosen, decided, strict=True))
        )
    except JensenError:
        block.del_component(whole)
        raise
    handle = NetworkHandle(arguments.network, whole, parts)
    whole.jensen_handle = handle
    return handle


class _Proof:
    """What is known of convexity, and how it is to be proved."""

    def __init__(
        self,
        verdict: Verdict | None,
        certificate: Certificate | str | Path | None,
        options: Options,
    ) -> None:
        self.verdict, self.certificate, self.options = verdict, certificate, options

    def of(self, arguments: Arguments, output: int, options: Options) -> None:
        """Prove an output convex, or raise."""
        proved_convex(
            arguments.network,
            arguments.domain,
            output,
            verdict=self.verdict,
            certificate=self.certificate,
            options=options,
        )

    def holds(self, arguments: Arguments, output: int) -> bool:
        """Whether an output is proved convex."""
        try:
            self.of(arguments, output, self.options)
        except (NotConvexError, UndecidedError):
            return False
        return True


def _decide(
    arguments: Arguments, output: int, wanted: Formulation, proof: _Proof
) -> tuple[Formulation, Shape, str]:
    """Return the formulation of an output, what is proved of it, and why it is this one."""
    network = arguments.network.select_output(output)
    if wanted is Formulation.BIG_M:
        return wanted, Shape.UNKNOWN, "big_m: asked for"
    signs = _shape_by_signs(network)
    if wanted is Formulation.EPIGRAPH:
        if signs is Shape.UNKNOWN:
            raise OptionError(
                "formulation epigraph: weight products of both signs lead to the output, so that "
                "linear rows would be wrong; use cuts if it is convex, or big_m"
            )
        return wanted, signs, "epigraph: asked for"
    if wanted is Formulation.CUTS:
        if signs is not Shape.CONCAVE:
            proof.of(arguments, output, proof.options)
            signs = Shape.CONVEX
        return wanted, signs, "cuts: asked for"
    return _picked(arguments, output, network, signs, proof)


def _picked(
    arguments: Arguments, output: int, network: ReluNetwork, signs: Shape, proof: _Proof
) -> tuple[Formulation, Shape, str]:
    if not network.relu_count:
        return Formulation.BIG_M, Shape.UNKNOWN, "big_m: the output is affine, without binaries"
    if signs is not Shape.UNKNOWN:
        if network.relu_count <= LARGE:
            return Formulation.EPIGRAPH, signs, f"epigraph: {signs} by the signs of all paths"
        return Formulation.CUTS, signs, f"cuts: {signs} by signs, with {network.relu_count} ReLUs"
    options = proof.options
    if options.time_limit is None:
        options = merged_options(options, {"time_limit": PATIENCE})
    try:
        proof.of(arguments, output, options)
    except (NotConvexError, UndecidedError) as error:
        return Formulation.BIG_M, Shape.UNKNOWN, f"big_m: {error}"
    return Formulation.CUTS, Shape.CONVEX, f"cuts: proved convex on {arguments.domain}"


def _shape_by_signs(network: ReluNetwork) -> Shape:
    """Return whether no slope of the output per unit of any ReLU is of the wrong sign."""
    slopes = sign_bounds(network)
    sides = [slopes[block.name] for block in network.hidden if block.is_relu]
    if all((low >= 0).all() for low, _ in sides):
        return Shape.CONVEX
    if all((high <= 0).all() for _, high in sides):
        return Shape.CONCAVE
    return Shape.UNKNOWN


def _part(
    whole: Any,
    arguments: Arguments,
    variables: list[Any],
    index: int,
    output: int,
    decision: tuple[Formulation, Shape, str],
    wanted: Formulation,
    hidden: HiddenUnits | None,
    proof: _Proof,
) -> Output:
    formulation, shape, why = decision
    rows = pyo.Block(concrete=True)
    whole.add_component(f"rows_{output}", rows)
    part = Output(
        arguments.network.select_output(output),
        whole.output[index],
        rows,
        shape,
        formulation,
        why,
        wanted is Formulation.AUTO,
        arguments,
        variables,
        output,
        hidden,
        partial(proof.holds, arguments, output),
    )
    part.build()
    return part
