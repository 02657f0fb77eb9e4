"""Pictures of a network: along a segment, and over one or two inputs.

Pictures are drawn in floating point and prove nothing. They need matplotlib, which is
imported only here and only when something is drawn (extra ``plot``).
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jensen.errors import MissingExtraError, OptionError
from jensen.network import FloatArray, ReluNetwork

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# one dark ink, so that a page can replace it by its own text colour
INK = "#1b2733"
# blue, vermilion and green of Okabe and Ito, which all kinds of colour vision tell apart;
# kinks that bend down are also thicker, and their marks point down
UP, DOWN, CHORD = "#0072b2", "#d55e00", "#009e73"
KINDS = ((1, UP, "^", "bends up"), (-1, DOWN, "v", "bends down"))
BEYOND = 0.35  # how far the line goes on beyond the pair, in units of its length
FORMATS = (".svg", ".png", ".pdf")


@dataclass(frozen=True)
class Segment:
    """A function on a line through two points.

    Attributes
    ----------
    t : array of shape (n,)
        Position: 0 is x, 1 is y.
    values : array of shape (n,)
    kinks : array of shape (k,)
        Positions where the slope changes.
    changes : array of shape (k,)
        By how much; negative ones break convexity.
    """

    t: FloatArray
    values: FloatArray
    kinks: FloatArray
    changes: FloatArray


def sample_segment(
    network: ReluNetwork,
    x: ArrayLike,
    y: ArrayLike,
    *,
    output: int = 0,
    before: float = 0.5,
    beyond: float = 0.5,
    points: int = 2001,
) -> Segment:
    """Evaluate an output on the line through x and y, with its kinks.

    Parameters
    ----------
    network : ReluNetwork
    x, y : array of shape (inputs,)
    output : int
    before, beyond : float
        How far the line goes on beyond x and y, in units of their distance.
    points : int
        Evenly spaced positions; between two of them at most one kink per neuron is seen.
    """
    start, end = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    t = np.linspace(-before, 1 + beyond, points)

    def at(positions: FloatArray) -> dict[str, FloatArray]:
        return network.pre_activations(start + positions[:, None] * (end - start))

    z = at(t)
    found = [t]
    for block in network.blocks:
        if block.is_relu:
            left, right = z[block.name][:-1], z[block.name][1:]
            rows, neurons = np.nonzero((left < 0) != (right < 0))
            a, b = left[rows, neurons], right[rows, neurons]
            found.append(t[rows] + (t[rows + 1] - t[rows]) * a / (a - b))
    positions = _apart(np.concatenate(found), 1e-9 * (1 + before + beyond))
    values = at(positions)["output"][:, output]
    slopes = np.diff(values) / np.diff(positions)
    changes = np.diff(slopes)
    scale = max(float(np.abs(slopes).max(initial=0.0)), 1e-300)
    bends = np.abs(changes) > 1e-6 * scale
    return Segment(positions, values, positions[1:-1][bends], changes[bends])


def draw_segment(
    axes: Axes,
    network: ReluNetwork,
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
    network : ReluNetwork
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
    axes.plot(
        [0, 1], at_ends, "--o", color=CHORD, markersize=5, zorder=4, label="chord from x to y"
    )
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
    for sign, colour, marker, label in KINDS:
        chosen = np.sign(line.changes) == sign
        if chosen.any():
            axes.plot(
                at[chosen],
                heights[chosen],
                marker,
                color=colour,
                markersize=5,
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
    drawn.legend(
        entries.values(),
        entries.keys(),
        loc="outside lower center",
        ncols=len(entries) if len(drawn.axes) > 1 else 2,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
    )


def draw_function(
    axes: Axes,
    network: ReluNetwork,
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
    network : ReluNetwork
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
    network: ReluNetwork,
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
        axes.plot(
            pair[:, 0],
            values,
            "--o",
            color=CHORD,
            markersize=5,
            zorder=4,
            label="chord from x to y",
        )
        _name_ends(axes, np.column_stack([pair[:, 0], values]))
    axes.set_xlabel("input 0")
    axes.set_ylabel("f")


def _name_ends(axes: Axes, ends: FloatArray) -> None:
    """Write x and y beside two points, on the sides where they are away from each other."""
    apart = ends[1] - ends[0]
    size = np.array([np.diff(axes.get_xlim())[0], np.diff(axes.get_ylim())[0]])
    direction = apart / np.where(size > 0, size, 1.0)
    direction /= max(float(np.linalg.norm(direction)), 1e-300)
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
    network: ReluNetwork,
    low: FloatArray,
    high: FloatArray,
    output: int,
    pair: FloatArray | None,
    points: int = 201,
) -> None:
    first, second = (np.linspace(low[i], high[i], points) for i in range(2))
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
    lines = _kink_lines(network, first, second, z, output)
    for (sign, colour, _, label), width in zip(KINDS, (0.8, 2.2), strict=True):
        chosen = [piece for piece, bend in lines if bend == sign]
        if chosen:
            axes.add_collection(
                LineCollection(chosen, colors=colour, linewidths=width, label=f"kink that {label}")
            )
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    if pair is not None:
        axes.plot(
            pair[:, 0],
            pair[:, 1],
            "--o",
            color=CHORD,
            markeredgecolor=INK,
            markersize=5,
            linewidth=2,
            zorder=5,
            label="chord from x to y",
        )
        _name_ends(axes, pair)
    axes.set_xlabel("input 0")
    axes.set_ylabel("input 1")


def _kink_lines(
    network: ReluNetwork,
    first: FloatArray,
    second: FloatArray,
    z: dict[str, FloatArray],
    output: int,
) -> list[tuple[FloatArray, int]]:
    """Return stretches of the kinks, each with the sign of the slope's change across it."""
    from contourpy import contour_generator  # noqa: PLC0415  (comes with matplotlib)

    shape = (len(second), len(first))
    lines: list[FloatArray] = []
    for block in network.blocks:
        if block.is_relu:
            for values in z[block.name].T:
                if values.min() < 0 < values.max():
                    contours = contour_generator(first, second, values.reshape(shape))
                    lines += [np.asarray(line) for line in contours.lines(0.0)]
    lines = [line for line in (_distinct(line) for line in lines) if len(line) > 1]
    if not lines:
        return []
    starts, ends = np.vstack([n[:-1] for n in lines]), np.vstack([n[1:] for n in lines])
    along = ends - starts
    normal = np.column_stack([-along[:, 1], along[:, 0]])
    normal /= np.linalg.norm(along, axis=1)[:, None]
    cell = float(min(first[1] - first[0], second[1] - second[0]))
    change = _second_difference(
        lambda P: network(P)[:, output], (starts + ends) / 2, normal, 0.25 * cell
    )
    scale = max(float(np.abs(change).max()), 1e-300)
    signs = np.where(np.abs(change) > 1e-4 * scale, np.sign(change), 0).astype(int)
    stretches = []
    done = 0
    for line in lines:
        stretches += _runs(line, signs[done : done + len(line) - 1], 1e-3 * cell)
        done += len(line) - 1
    return stretches


def _distinct(line: FloatArray) -> FloatArray:
    """Drop points that equal the one before."""
    moved = np.any(np.diff(line, axis=0) != 0, axis=1)
    distinct: FloatArray = line[np.concatenate([[True], moved])]
    return distinct


def _runs(line: FloatArray, signs: NDArray[np.int_], width: float) -> list[tuple[FloatArray, int]]:
    """Split a line where the sign changes; leave out points that lie on straight stretches."""
    cuts = [0, *(np.flatnonzero(np.diff(signs)) + 1), len(signs)]
    return [
        (_straightened(line[start : stop + 1], width), int(signs[start]))
        for start, stop in itertools.pairwise(cuts)
        if signs[start]
    ]


def _straightened(line: FloatArray, width: float) -> FloatArray:
    """Keep the ends and those points that the line through their neighbours misses."""
    before, here, after = line[:-2], line[1:-1], line[2:]
    along, aside = after - before, here - before
    area = np.abs(along[:, 0] * aside[:, 1] - along[:, 1] * aside[:, 0])
    bent = area > width * np.maximum(np.linalg.norm(along, axis=1), 1e-300)
    kept: FloatArray = line[np.concatenate([[True], bent, [True]])]
    return kept


def _second_difference(
    f: Callable[[FloatArray], FloatArray], at: FloatArray, direction: FloatArray, step: float
) -> FloatArray:
    return f(at + step * direction) + f(at - step * direction) - 2 * f(at)


def figure(
    network: ReluNetwork,
    pair: ArrayLike,
    *,
    bounds: tuple[ArrayLike, ArrayLike] | None = None,
    output: int = 0,
    mark_pair: bool = True,
    title: str = "",
    inside: bool = False,
) -> Figure:
    """Return a figure: the function where it has one or two inputs, and the segment.

    Parameters
    ----------
    network : ReluNetwork
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
        from matplotlib.figure import Figure  # noqa: PLC0415  (an extra)
    except ImportError:
        raise MissingExtraError("pictures need matplotlib: pip install 'jensen[plot]'") from None
    both = bounds is not None and network.input_size <= 2
    drawn = Figure(figsize=(9.6, 4.3) if both else (5.4, 4.0), layout="constrained")
    panels = drawn.subplots(1, 2 if both else 1, squeeze=False)[0]
    if both and bounds is not None:
        draw_function(panels[0], network, *bounds, output=output, pair=pair if mark_pair else None)
    x, y = np.asarray(pair, dtype=np.float64)
    draw_segment(panels[-1], network, x, y, output=output, bounds=bounds if inside else None)
    for axes in panels:
        _plain(axes)
    _legend(drawn)
    if title:
        drawn.suptitle(title, color=INK, fontsize=11)
    return drawn


def save(drawn: Figure, path: str | Path) -> None:
    """Write a figure as ``.svg``, ``.png`` or ``.pdf``.

    Raises
    ------
    OptionError
        For another ending.
    """
    file = Path(path)
    if file.suffix.lower() not in FORMATS:
        raise OptionError(f"{file}: pictures are written as {', '.join(FORMATS)}")
    drawn.savefig(file, dpi=160)


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
    text = stream.getvalue()
    text = re.sub(r' id="[A-Za-z.]+[0-9A-Za-z]*_[0-9]+"', "", text[text.index("<svg") :])
    return text.replace(INK, "currentColor")


def _plain(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(INK)
    axes.tick_params(colors=INK, labelsize=9)
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_color(INK)


def _apart(positions: FloatArray, distance: float) -> FloatArray:
    """Return sorted positions of which no two are closer than a distance."""
    ordered = np.sort(positions)
    keep = np.concatenate([[True], np.diff(ordered) > distance])
    apart: FloatArray = ordered[keep]
    return apart
