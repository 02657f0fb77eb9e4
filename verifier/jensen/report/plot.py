"""Pictures of a network: along a segment, and over one or two inputs.

Pictures are drawn in floating point and prove nothing. They need matplotlib, which is
imported only here and only when something is drawn (extra ``plot``).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from jensen.errors import MissingExtraError, OptionError
from jensen.graphs.function_graph import FunctionGraph
from jensen.network.relu_network import ReluNetwork
from jensen.outputs import Extra, check_output, replacing
from jensen.report.colours import CHORD, DOWN, INK, UP
from jensen.report.plot_gap import draw_gap
from jensen.report.plot_kinks import grid_side, kink_lines, kink_widths
from jensen.report.plot_segment import Segment, sample_segment
from jensen.text import printable
from jensen.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ((1, UP, "^", "bends up"), (-1, DOWN, "v", "bends down"))
PAIR = "chord from x to y"
WIDE = 8.0  # inches, on which the whole legend stands in one line
BEYOND = 0.35  # how far the line goes on beyond the pair, in units of its length
FORMATS = (".svg", ".png", ".pdf")
_MISSING = "pictures need matplotlib: pip install 'jensen[plot]'"
_EXTRAS = dict.fromkeys(FORMATS, Extra(("matplotlib",), _MISSING))


def draw_segment(
    axes: Axes,
    network: ReluNetwork | FunctionGraph,
    x: ArrayLike,
    y: ArrayLike,
    *,
    output: int = 0,
    bounds: tuple[ArrayLike, ArrayLike] | None = None,
) -> None:
    """Draw f along the segment through x and y, its kinks, and the chord between them.

    Parameters
    ----------
    axes : matplotlib Axes
    network : ReluNetwork or FunctionGraph
    x, y : array of shape (inputs,)
    output : int
    bounds : (lower, upper), optional
        A box that the line does not leave.
    """
    ends = np.asarray([x, y], dtype=np.float64)
    before, beyond = _room(ends, bounds)
    line = sample_segment(network, x, y, output=output, before=before, beyond=beyond)
    at_ends = network(ends)[:, output]
    middle = float(network(ends.mean(axis=0)[None])[0, output])
    chord = float(at_ends.mean())
    axes.plot(line.t, line.values, color=INK, linewidth=1.6, zorder=2, label="f")
    heights = np.interp(line.kinks, line.t, line.values)
    _draw_kinks(axes, line, line.kinks, heights)
    axes.plot([0, 1], at_ends, "--o", color=CHORD, markersize=5, zorder=4, label=PAIR)
    gap = middle - chord
    axes.plot(
        [0.5, 0.5], [chord, middle], color=DOWN if gap > 0 else UP, linewidth=3, zorder=4, alpha=0.8
    )
    axes.set_xticks([0, 0.5, 1], ["x", "(x+y)/2", "y"])
    length = float(np.linalg.norm(ends[1] - ends[0]))
    axes.set_xlabel(f"along the segment, |x - y| = {length:.3g}")
    axes.set_ylabel("f")
    axes.set_title(f"f((x+y)/2) - (f(x)+f(y))/2 = {gap:.3g}", fontsize=10)


def _room(ends: FloatArray, bounds: tuple[ArrayLike, ArrayLike] | None) -> tuple[float, float]:
    """Return how far the line may go on before x and beyond y without leaving a box."""
    if bounds is None:
        return BEYOND, BEYOND
    lower, upper = (np.asarray(side, dtype=np.float64) for side in bounds)
    step = ends[1] - ends[0]
    room = []
    for point, direction in ((ends[0], -step), (ends[1], step)):
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            wall = np.where(direction > 0, upper - point, point - lower) / np.abs(direction)
        free = np.where(direction == 0, np.inf, wall).min(initial=np.inf)
        room.append(float(np.clip(free, 0.0, BEYOND)))
    return room[0], room[1]


def _draw_kinks(axes: Axes, line: Segment, at: FloatArray, heights: FloatArray) -> None:
    size = 5.0 * np.sqrt(min(1.0, 50 / max(1, len(at))))  # hundreds would hide the line
    for sign, colour, marker, label in KINDS:
        chosen = np.sign(line.changes) == sign
        if chosen.any():
            axes.plot(
                at[chosen],
                heights[chosen],
                marker,
                color=colour,
                markersize=size,
                zorder=3,
                label=f"kink that {label}",
            )


def _legend(drawn: Figure) -> None:
    """Put one legend for all panels below them, where it hides nothing."""
    entries: dict[str, Any] = {}
    for axes in drawn.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            # a line of kinks says more about both panels than a mark does
            entries.setdefault(label, handle)
    legend = drawn.legend(
        entries.values(),
        entries.keys(),
        loc="outside lower center",
        ncols=len(entries) if drawn.get_figwidth() > WIDE else 2,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
    )
    for line in legend.get_lines():  # lines that are many are thin in the picture
        line.set_linewidth(max(0.8, line.get_linewidth()))


def draw_function(
    axes: Axes,
    network: ReluNetwork | FunctionGraph,
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    output: int = 0,
    pair: ArrayLike | None = None,
) -> None:
    """Draw a function of one or two inputs on a box, its kinks coloured by how they bend.

    Parameters
    ----------
    axes : matplotlib Axes
    network : ReluNetwork or FunctionGraph
    lower, upper : array of shape (inputs,)
    output : int
    pair : array of shape (2, inputs), optional
        A pair of points to mark.

    Raises
    ------
    OptionError
        For more than two inputs.
    """
    low, high = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
    marked = None if pair is None else np.asarray(pair, dtype=np.float64)
    if network.input_size == 1:
        _draw_curve(axes, network, low, high, output, marked)
    elif network.input_size == 2:
        _draw_contours(axes, network, low, high, output, marked)
    else:
        raise OptionError(f"a function of {network.input_size} inputs: 1 or 2 can be drawn")


def _draw_curve(
    axes: Axes,
    network: ReluNetwork | FunctionGraph,
    low: FloatArray,
    high: FloatArray,
    output: int,
    pair: FloatArray | None,
) -> None:
    line = sample_segment(network, low, high, output=output, before=0.0, beyond=0.0)
    x = low[0] + line.t * (high[0] - low[0])
    axes.plot(x, line.values, color=INK, linewidth=1.6, label="f")
    heights = np.interp(line.kinks, line.t, line.values)
    _draw_kinks(axes, line, low[0] + line.kinks * (high[0] - low[0]), heights)
    if pair is not None:
        values = network(pair)[:, output]
        axes.plot(pair[:, 0], values, "--o", color=CHORD, markersize=5, zorder=4, label=PAIR)
        _name_ends(axes, np.column_stack([pair[:, 0], values]))
    axes.set_xlabel("input 0")
    axes.set_ylabel("f")


def _name_ends(axes: Axes, ends: FloatArray) -> None:
    """Write x and y beside two points, on the sides where they are away from each other."""
    apart = ends[1] - ends[0]
    size = np.array([np.diff(axes.get_xlim())[0], np.diff(axes.get_ylim())[0]])
    direction = apart / np.where(size > 0, size, 1.0)
    direction /= max(float(np.hypot(*direction)), 1e-300)  # squares of tiny lengths would vanish
    for name, point, sign in (("x", ends[0], -1.0), ("y", ends[1], 1.0)):
        axes.annotate(
            name,
            point,
            xytext=tuple(sign * 11 * direction),
            textcoords="offset points",
            ha="center",
            va="center",
            color=INK,
            fontsize=10,
            fontstyle="italic",
            fontweight="bold",
            zorder=7,
            bbox={
                "boxstyle": "round,pad=0.1",
                "facecolor": "white",
                "edgecolor": "none",
                "alpha": 0.75,
            },
        )


def _draw_contours(
    axes: Axes,
    network: ReluNetwork | FunctionGraph,
    low: FloatArray,
    high: FloatArray,
    output: int,
    pair: FloatArray | None,
) -> None:
    side = grid_side(network)
    first, second = (np.linspace(low[i], high[i], side) for i in range(2))
    X, Y = np.meshgrid(first, second)
    z = network.pre_activations(np.column_stack([X.ravel(), Y.ravel()]))
    from matplotlib.collections import LineCollection  # noqa: PLC0415  (an extra)
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415  (an extra)

    shades = LinearSegmentedColormap.from_list("pale", ["#fdfcf7", "#ccd7de", "#8398a8"])
    values = z["output"][:, output].reshape(X.shape)
    filled = axes.contourf(X, Y, values, levels=14, cmap=shades)
    colourbar = axes.figure.colorbar(filled, ax=axes, shrink=0.85)
    colourbar.outline.set_visible(False)
    colourbar.ax.tick_params(colors=INK, labelsize=9)
    colourbar.set_label("f", color=INK)
    lines = kink_lines(network, first, second, z, output)
    for (sign, colour, _, label), width in zip(KINDS, kink_widths(lines, low, high), strict=True):
        chosen = [piece for piece, bend in lines if bend == sign]
        if chosen:
            axes.add_collection(
                LineCollection(chosen, colors=colour, linewidths=width, label=f"kink that {label}")
            )
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    if pair is not None:
        axes.plot(
            *pair.T,
            "--o",
            color=CHORD,
            markeredgecolor=INK,
            markersize=5,
            linewidth=2,
            zorder=5,
            label=PAIR,
        )
        _name_ends(axes, pair)
    axes.set_xlabel("input 0")
    axes.set_ylabel("input 1")


def figure(
    network: ReluNetwork | FunctionGraph,
    pair: ArrayLike,
    *,
    bounds: tuple[ArrayLike, ArrayLike] | None = None,
    output: int = 0,
    mark_pair: bool = True,
    title: str = "",
    inside: bool = False,
) -> Figure:
    """Return a figure: the function of one or two inputs, the segment, and f minus its chord.

    Parameters
    ----------
    network : ReluNetwork or FunctionGraph
    pair : array of shape (2, inputs)
        Ends of the segment.
    bounds : (lower, upper), optional
        Where to draw a function of one or two inputs; it is left out without them.
    output : int
    mark_pair : bool
        Whether the pair stands for something, and is marked in the function's picture.
    title : str
        Heading of the whole figure.
    inside : bool
        Whether the bounds are the domain, which the segment's line then does not leave.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    try:
        from jensen.report.shown_figure import ShownFigure  # noqa: PLC0415  (an extra)
    except ImportError:
        raise MissingExtraError(_MISSING) from None
    # a box without width shows nothing that the segment does not
    both = bounds is not None and network.input_size <= 2 and bool(np.less(*bounds).all())
    drawn = ShownFigure(figsize=(10.0, 5.2) if both else (5.6, 5.6), layout="constrained")
    grid = drawn.add_gridspec(2, 2 if both else 1, height_ratios=(3, 2))
    with np.errstate(all="ignore"):  # where f is not defined, or overflows, nothing is drawn
        if both and bounds is not None:
            whole = drawn.add_subplot(grid[:, 0])
            draw_function(whole, network, *bounds, output=output, pair=pair if mark_pair else None)
        x, y = np.asarray(pair, dtype=np.float64)
        above, below = (drawn.add_subplot(grid[row, -1]) for row in range(2))
        draw_segment(above, network, x, y, output=output, bounds=bounds if inside else None)
        draw_gap(below, network, x, y, output=output, like=above)
    for axes in drawn.axes:
        _plain(axes)
    _legend(drawn)
    if title:
        drawn.suptitle(printable(title, lines=True), color=INK, fontsize=11, parse_math=False)
    return drawn


def save(drawn: Figure, path: str | Path) -> None:
    """Write a figure as ``.svg``, ``.png`` or ``.pdf``.

    Parameters
    ----------
    drawn : matplotlib Figure
    path : str or Path

    Raises
    ------
    OptionError, OutputError
        For no figure, another ending, or where the file cannot be written.

    Examples
    --------
    >>> import jensen, pathlib, tempfile
    >>> bend = jensen.ReluNetwork.from_layers([[[1.0, 1.0]], [[1.0]]], [[0], [0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     jensen.plot.save(jensen.plot.regions(bend, jensen.Box(-1, 1)), f"{folder}/r.svg")
    """
    file = check_output(path, endings=FORMATS)
    if not hasattr(drawn, "savefig"):
        raise OptionError(f"{printable(f'{drawn!r:.40}')}: a matplotlib figure is needed")
    with replacing(file) as stream:
        drawn.savefig(stream, format=file.suffix[1:].lower(), dpi=160)


def check_picture(path: str | Path, inputs: Iterable[str | Path] = ()) -> Path:
    """Refuse a picture that could not be written, before there is one.

    Parameters
    ----------
    path : str or Path
    inputs : iterable of str or Path
        Files that it may not take the place of.

    Raises
    ------
    OutputError
        For another ending, or a place that cannot be written to.
    MissingExtraError
        Without matplotlib.
    """
    return check_output(path, endings=FORMATS, inputs=inputs, extras=_EXTRAS)


def to_svg(drawn: Figure, *, salt: str = "jensen") -> str:
    """Return a figure as an SVG element whose ink is the page's text colour.

    Parameters
    ----------
    drawn : matplotlib Figure
    salt : str
        Makes the identifiers in the element its own among several on one page.
    """
    import matplotlib as mpl  # noqa: PLC0415  (an extra)

    stream = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        drawn.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    # six digits behind the point were a third of a page
    text = re.sub(r' d="[^"]*"', lambda d: re.sub(r"(\.\d\d)\d+", r"\1", d[0]), stream.getvalue())
    text = re.sub(r' id="[A-Za-z.]+[0-9A-Za-z]*_[0-9]+"', "", text[text.index("<svg") :])
    return text.replace(INK, "currentColor")


def _plain(axes: Axes) -> None:
    if axes.get_label() == "<colorbar>":
        return
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(INK)
    axes.tick_params(colors=INK, labelsize=9)
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_color(INK)
