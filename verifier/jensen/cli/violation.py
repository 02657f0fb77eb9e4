"""``jensen violation``: how non-convex is it, with proof from both sides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from rich.console import Console
from rich.status import Status

from jensen.arithmetic.exact import to_double
from jensen.cli import common
from jensen.cli.completion import file_names
from jensen.cli.once import OnceCommand
from jensen.domains.domain import Domain, Everywhere
from jensen.graphs.function_graph import FunctionGraph
from jensen.loaders import load
from jensen.midpoint.pair_violation import UNBOUNDED, Violation
from jensen.midpoint.worst_pair import ENGINES
from jensen.network.relu_network import ReluNetwork
from jensen.text import counted, point, printable
from jensen.violation.jump_violation import JumpViolation
from jensen.violation.magnitude import RANGE_SECONDS, Magnitude, magnitude
from jensen.violation.recession import ON_BOXES, growth_rate
from jensen.violation.worst_jump import worst_jump
from jensen.violation.worst_violation import worst_violation
from jensen_encodings.deadline import Deadline
from jensen_encodings.highs import Progress

RANGE_SHARE = 0.2  # of the time limit, at most, to enclose the range of f
NAMES = {"midpoint": "worst midpoint violation", "jump": "worst gradient jump"}


@click.command("violation", cls=OnceCommand)
@click.argument("model", shell_complete=file_names)
@common.domain_options
@common.fix_option
@click.option(
    "--measure",
    type=click.Choice(list(NAMES)),
    default="midpoint",
    show_default=True,
    help="midpoint: f((x+y)/2) - (f(x)+f(y))/2 of a pair; jump: fall of the gradient at a kink.",
)
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="tree",
    show_default=True,
    help="For --measure midpoint: tree is exact, milp holds up to HiGHS's tolerance.",
)
@common.output_option
@click.option("--concave", is_flag=True, help="Measure how far f is from concave instead.")
@click.option(
    "--time-limit",
    type=float,
    metavar="SECONDS",
    help="Stop after this time with the best bounds so far.",
)
@click.option(
    "--gap", type=float, default=1e-4, show_default=True, help="Relative gap at which to stop."
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Threads; by default up to 4 for the engine tree, 1 for milp.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    model: str,
    *,
    fix: tuple[dict[int, float], ...],
    measure: str,
    engine: str,
    output: int | None,
    concave: bool,
    time_limit: float | None,
    gap: float,
    threads: int | None,
    as_json: bool,
    **settings: Any,
) -> int:
    """Bound the worst violation of convexity on a domain, and show where it occurs.

    --measure midpoint is the maximum of f((x+y)/2) - (f(x)+f(y))/2 over pairs x, y of a box, a
    bounded polyhedron or all of R^n, where it may be unbounded. --measure jump is the largest
    fall of the gradient across a kink, on any domain.

    Exit codes: 0 no violation above the tolerance that is printed, 1 a violation, 2 error,
    3 stopped before either was shown. Ctrl-C stops with the best bounds so far.

    \b
    jensen violation model.onnx --box -1 1                       the worst pair of a box
    jensen violation model.onnx --measure jump --time-limit 60   the worst kink, everywhere
    """  # noqa: D301  (\b keeps click from folding the examples)
    if measure == "jump" and engine != "tree":
        raise click.UsageError(f"--engine {engine} is one of --measure midpoint")
    domain = common.chosen_domain(settings) or Everywhere()
    common.checked_time_limit(time_limit)
    network = common.with_fixed_inputs(load(model), fix)
    output = common.chosen_output(network.output_size, output)
    text = f"{printable(model)} on {domain}"
    with common.stderr_console().status(text) as status:
        limits: dict[str, Any] = {
            "output": output,
            "concave": concave,
            "time_limit": common.remaining(time_limit),
            "gap": gap,
            "progress": _reporter(status, text, NAMES[measure]),
        }
        if measure == "jump":
            return _report_jump(model, worst_jump(network, domain, **limits), as_json=as_json)
        if isinstance(network, ReluNetwork):
            limits["time_limit"] = _for_the_search(domain, network, limits["time_limit"])
        found = worst_violation(network, domain, engine=engine, threads=threads, **limits)
    if isinstance(network, FunctionGraph):
        return _report_graph(model, domain, found, as_json=as_json)
    deadline = Deadline.after(common.remaining(time_limit))
    return _report_midpoint(model, network, domain, output, found, deadline, as_json=as_json)


def _for_the_search(domain: Domain, network: ReluNetwork, time_limit: float | None) -> float | None:
    """Return the seconds that are left for the search when the range of f has had its own."""
    if time_limit is None or domain.box_sides(network.input_size) is None:
        return time_limit
    return time_limit - min(2 * RANGE_SECONDS, RANGE_SHARE * time_limit)


def _reporter(status: Status, text: str, name: str) -> Callable[[Progress], None]:
    def progress(state: Progress) -> None:
        lower = 0.0 if state.objective is None else state.objective
        bounds = f"{lower:.4g} <= {name} <= {state.bound:.4g}"
        gap = f"gap {100 * (state.bound / lower - 1):.3g} %" if lower > 0 else "gap open"
        line = f"{text}: {bounds}, {gap}, {counted(state.nodes, 'node')}, {state.seconds:.0f} s"
        status.update(common.as_text(line))

    return progress


def _code(found: Violation | JumpViolation) -> int:
    exact = found.exact_lower if isinstance(found, Violation) else found.exact_squared
    if exact > 0:
        return 1
    return 0 if found.upper <= (found.tolerance or 0.0) else 3


# --------------------------------------------------------------------------- midpoint


def _report_midpoint(
    model: str,
    network: ReluNetwork,
    domain: Domain,
    output: int,
    found: Violation,
    deadline: Deadline,
    *,
    as_json: bool,
) -> int:
    bounds = found.lower, found.upper
    asked: dict[str, Any] = {"output": output, "concave": found.concave, "deadline": deadline}
    scale = magnitude(network, domain, found.x, found.y, bounds, **asked)
    rate = None
    if found.status == UNBOUNDED:
        scalar = network.select_output(output)
        scalar = scalar.negated() if found.concave else scalar
        rate = to_double(growth_rate(scalar, found.x, found.y))
    if as_json:
        record: dict[str, Any] = {"model": printable(model), "measure": "midpoint"}
        record["domain"] = domain.to_json()
        record |= found.to_json() | scale.to_json()
        record["unbounded"] = found.status == UNBOUNDED
        record["growth_rate"] = rate
        click.echo(common.to_json(record))
    else:
        _show_midpoint(found, scale, rate, common.stdout_console())
    return _code(found)


def _report_graph(model: str, domain: Domain, found: Violation, *, as_json: bool) -> int:
    """Report on a graph with other functions: what is proved of it is less."""
    if as_json:
        record = {"model": printable(model), "measure": "midpoint", "domain": domain.to_json()}
        click.echo(common.to_json(record | found.to_json()))
    else:
        console = common.stdout_console()
        first, *rest = str(found).splitlines()
        console.print(first, style="bold", soft_wrap=True)
        for line in rest:
            console.print(line, soft_wrap=True)
    return _code(found)


def _show_midpoint(
    found: Violation, scale: Magnitude, rate: float | None, console: Console
) -> None:
    name = found.name
    if rate is None:
        bounds = f"{found.lower:.6g} <= worst {name} <= {found.upper:.6g}"
        console.print(bounds, style="bold")
        console.print(f"  {_trust(found)}")
        if found.status == ON_BOXES:
            console.print(
                "  the pair is the worst one of growing boxes; the upper bound holds on all "
                "of R^n, and is what the biases can do at most",
                soft_wrap=True,
            )
    else:
        claim = "concavity" if found.concave else "convexity"
        console.print(f"the {name} is unbounded", style="bold")
        console.print(
            f"  exact: the pair (s x, s y) violates {claim} by {rate:.6g} s less a constant"
        )
    if found.lower > 0:
        _show_pair(found, scale, console)
    if scale.range is not None:
        _show_range(scale, console)
    seconds = ", ".join(f"{stage} {spent:.2f} s" for stage, spent in found.times.items())
    console.print(f"  {found.status}; {counted(found.nodes, 'node')}; {seconds}", style="dim")


def _trust(found: Violation | JumpViolation) -> str:
    if found.tolerance is None:
        return "both bounds hold in real arithmetic"
    return f"the lower bound is exact, the upper one up to {found.tolerance:g}"


def _show_pair(found: Violation, scale: Magnitude, console: Console) -> None:
    middle = [(a + b) / 2 for a, b in zip(found.x, found.y, strict=True)]
    points = (("x", found.x), ("y", found.y), ("m", middle))
    texts = {name: point(map(to_double, values)) for name, values in points}
    width = max(map(len, texts.values()))
    difference = "(f(x)+f(y))/2 - f(m)" if found.concave else "f(m) - (f(x)+f(y))/2"
    values = {"x": scale.at_x, "y": scale.at_y, "m": scale.at_middle}
    for name, text in texts.items():
        label = "m = (x+y)/2" if name == "m" else name
        console.print(
            f"  {label:<11} = {text:<{width}}   f({name}) = {values[name]:.6g}", soft_wrap=True
        )
    console.print(
        f"  {difference} = {to_double(found.exact_lower):.6g} at |x-y| = "
        f"{scale.distance:.6g}: {scale.per_distance or 0.0:.4g} per unit of length"
    )


def _show_range(scale: Magnitude, console: Console) -> None:
    assert scale.range is not None
    low, high = scale.range.attained
    below, above = scale.range.proved
    console.print(
        f"  f takes values from {low:.6g} to {high:.6g}, and none outside "
        f"[{below:.6g}, {above:.6g}]",
        soft_wrap=True,
    )
    if scale.share is not None:
        least, most = scale.share
        console.print(f"  the worst violation is {_percent(least, most)} of the range of f")


def _percent(least: float, most: float) -> str:
    if most <= 0:
        return "0 %"
    if least <= 0:
        return f"at most {100 * most:.3g} %"
    texts = f"{100 * least:.3g}", f"{100 * most:.3g}"
    return f"{texts[0]} %" if texts[0] == texts[1] else f"between {texts[0]} % and {texts[1]} %"


# ------------------------------------------------------------------------------- jump


def _report_jump(model: str, found: JumpViolation, *, as_json: bool) -> int:
    if as_json:
        click.echo(common.to_json({"model": printable(model), **found.to_json()}))
    else:
        _show_jump(found, common.stdout_console())
    return _code(found)


def _show_jump(found: JumpViolation, console: Console) -> None:
    console.print(f"{found.lower:.6g} <= {found.name} <= {found.upper:.6g}", style="bold")
    console.print(f"  {_trust(found)}")
    if found.point is not None and found.slopes is not None:
        before, after = found.slopes
        console.print(
            f"  at {point(map(to_double, found.point))}, across the facet with unit "
            f"normal {point(found.normal)}",
            soft_wrap=True,
        )
        moves = "rises" if found.concave else "falls"
        console.print(
            f"  the slope along the normal {moves} from {before:.6g} to {after:.6g} there"
        )
        names = ", ".join(f"{printable(block)}[{index}]" for block, index in found.neurons)
        console.print(f"  kink of {names}", soft_wrap=True)
    seconds = ", ".join(f"{stage} {spent:.2f} s" for stage, spent in found.times.items())
    search = f"{counted(found.nodes, 'node')}, {counted(found.lps, 'LP')}"
    console.print(f"  {found.status}; {search}; {seconds}", style="dim")
