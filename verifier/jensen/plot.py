"""Pictures of networks: linear regions, kinks coloured by how they bend, surfaces, pairs.

Every function returns a matplotlib figure, which notebooks display, and takes axes to draw on
instead. Pictures are drawn from rounded numbers and prove nothing. They need matplotlib (extra
``plot``).

>>> import jensen
>>> net = jensen.ReluNetwork.from_layers([[[1.0, 0.0], [0.0, 1.0]], [[1.0, -1.0]]], [[0, 0], [0]])
>>> drawn = jensen.plot.regions(net, jensen.Box(-1, 1))
>>> len(drawn.axes)
2
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from jensen.arguments import checked_flag
from jensen.domains.domain import Domain
from jensen.errors import MissingExtraError, OptionError
from jensen.graphs.function_graph import FunctionGraph
from jensen.linear_regions.regions import Regions
from jensen.linear_regions.regions import regions as linear_regions
from jensen.loaders import opened
from jensen.network.checks import first_output
from jensen.network.relu_network import ReluNetwork
from jensen.report.colours import DOWN, INK, UP
from jensen.report.plot import draw_segment, save
from jensen.report.plot_gap import draw_gap
from jensen.report.plot_kinks import kink_widths
from jensen.report.plot_space import draw_in_space
from jensen.text import counted, shown
from jensen.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["pair", "regions", "save", "surface"]

MARGIN = 0.25  # beyond the finite vertices of an unbounded domain, in units of their spread
MOST_LABELS = 200
THICK = 2.4  # points, in space
FALLS = "kink that bends down"


def regions(
    network: ReluNetwork | FunctionGraph | str | Path,
    domain: Domain | None = None,
    *,
    output: int | None = None,
    fixed: Mapping[int, float] | None = None,
    labels: bool = False,
    axes: Axes | None = None,
) -> Figure:
    """Draw the linear regions of two or three inputs: cells by the value of f, kinks by their jump.

    Kinks that bend f up are thin and blue, kinks that bend it down thick and orange; the deeper
    the colour, the larger the jump. Of three inputs the facets that bend are drawn in space, on a
    bounded domain.

    Parameters
    ----------
    network : ReluNetwork or path
    domain : Box, Polyhedron or Everywhere
        Default: ``Everywhere()``; of an unbounded one the part where the vertices are is drawn.
    output : int, optional
        Which output is f; the first, with a warning where there are several.
    fixed : mapping from input to its value, optional
        See :func:`jensen.regions`.
    labels : bool
        Write on every kink which neurons bend there, and the jump; of two inputs only.
    axes : matplotlib Axes, optional
        Draw here and not on a new figure; of two inputs only.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    OptionError
        Unless two or three inputs vary, for more labels than can be read, and in space for
        labels, axes and facets that reach to infinity.
    MissingExtraError
        Without matplotlib.

    Examples
    --------
    >>> import jensen
    >>> bend = jensen.ReluNetwork.from_layers([[[1.0, 1.0]], [[1.0]]], [[0], [0]])
    >>> bool(jensen.plot.regions(bend, jensen.Box(-1, 1)).axes)
    True
    """
    network = opened(network)
    checked_flag(labels, "labels")
    found = linear_regions(network, domain, output=output, fixed=fixed)
    if found.network.input_size not in (2, 3):
        raise OptionError("pictures of regions need two inputs that vary, or three: fix the others")
    names = _free_inputs(network.input_size, fixed)
    down = int((found.jumps < 0).sum())
    cells, facets = counted(len(found.cells), "cell"), counted(len(found.facets), "facet")
    title = f"{cells}, {facets}, {down:,} bend{'s' * (down == 1)} down"
    if found.network.input_size == 3:
        if labels or axes is not None:
            raise OptionError("labels and axes are for pictures of two inputs")
        whole = _figure((6.4, 5.6))
        draw_in_space(whole, found, names)
        whole.suptitle(title, fontsize=10, color=INK)
        return whole
    if labels and len(found.facets) > MOST_LABELS:
        raise OptionError(f"{len(found.facets)} kinks: labels of at most {MOST_LABELS} can be read")
    low, high = _window(found)
    drawn, panel = _panel(axes)
    _fill(panel, found, low, high)
    _draw_facets(panel, found, low, high)
    if labels:
        _write_labels(panel, found, low, high)
    panel.set_xlim(low[0], high[0])
    panel.set_ylim(low[1], high[1])
    panel.set_xlabel(f"input {names[0]}")
    panel.set_ylabel(f"input {names[1]}")
    panel.set_title(title, fontsize=10, color=INK)
    return drawn


def pair(
    network: ReluNetwork | FunctionGraph | str | Path,
    x: ArrayLike | Sequence[Fraction],
    y: ArrayLike | Sequence[Fraction],
    *,
    output: int | None = None,
) -> Figure:
    """Draw f on the line through two points with its chord, and below f minus the chord.

    The lower panel shows a violation that is small beside f: where it is above 0 between x and
    y, f lies above its chord.

    Parameters
    ----------
    network : ReluNetwork, FunctionGraph or path
    x, y : array of shape (inputs,)
        Such as the points of a :class:`~jensen.Counterexample` or :class:`~jensen.Violation`.
    output : int, optional
        Which output is f; the first, with a warning where there are several.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    OptionError
        If a point is not made of finite numbers, or has another size than the network's input.

    Examples
    --------
    >>> import jensen
    >>> cap = jensen.ReluNetwork.from_layers([[[1.0]], [[-1.0]]], [[0], [0]])  # -relu(x)
    >>> len(jensen.plot.pair(cap, [-1.0], [1.0]).axes)
    2
    """
    network = opened(network)
    network = network.select_output(first_output(network.output_size, output))
    start, end = _point(x, "x", network.input_size), _point(y, "y", network.input_size)
    drawn = _figure((5.6, 6.0))
    above, below = drawn.subplots(2, 1, height_ratios=(3, 2))
    draw_segment(above, network, start, end)
    draw_gap(below, network, start, end, like=above)
    for panel in (above, below):
        _plain(panel)
    above.legend(fontsize=8, frameon=False, labelcolor=INK)
    return drawn


def surface(
    network: ReluNetwork | FunctionGraph | str | Path,
    box: Domain,
    *,
    output: int | None = None,
    fixed: Mapping[int, float] | None = None,
) -> Figure:
    """Draw f over two inputs as a surface of its affine pieces, edges that bend down thick.

    Parameters
    ----------
    network : ReluNetwork or path
    box : Box or bounded Polyhedron
    output : int, optional
        Which output is f; the first, with a warning where there are several.
    fixed : mapping from input to its value, optional

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    OptionError
        If other than two inputs are free, or the domain is not bounded.

    Examples
    --------
    >>> import jensen
    >>> bend = jensen.ReluNetwork.from_layers([[[1.0, 1.0]], [[1.0]]], [[0], [0]])
    >>> bool(jensen.plot.surface(bend, jensen.Box(-1, 1)).axes)
    True
    """
    network = opened(network)
    found = linear_regions(network, box, output=output, fixed=fixed)
    if found.network.input_size != 2:
        raise OptionError("surfaces need two inputs that vary: fix the others")
    if found.at_infinity.any():
        raise OptionError("surfaces need a bounded domain: pass a Box")
    drawn = _figure((6.4, 5.4))
    from matplotlib import colormaps  # noqa: PLC0415  (an extra)
    from mpl_toolkits.mplot3d import art3d  # noqa: PLC0415  (an extra)

    panel: Any = drawn.add_subplot(projection="3d")
    corners = found.vertices
    heights = found.network(corners)[:, 0]
    points = np.column_stack([corners, heights])
    sheets = [points[list(cell.vertices)] for cell in found.cells]
    middle = np.array([sheet[:, 2].mean() for sheet in sheets])
    span = max(float(np.ptp(middle)), 1e-300)
    shades = colormaps["cividis"](0.15 + 0.8 * (middle - middle.min()) / span)
    panel.add_collection3d(
        art3d.Poly3DCollection(sheets, facecolors=shades, edgecolors=INK, linewidths=0.25)
    )
    down = [points[list(facet.vertices)] for facet in found.facets if facet.jump < 0]
    if down:
        # not hidden by sheets: they are what is looked for
        panel.computed_zorder = False
        panel.add_collection3d(
            art3d.Line3DCollection(down, colors=DOWN, linewidths=THICK, label=FALLS, zorder=10)
        )
        panel.legend(fontsize=8, frameon=False, labelcolor=INK)
    low, high = corners.min(axis=0), corners.max(axis=0)
    panel.set_xlim(low[0], high[0])
    panel.set_ylim(low[1], high[1])
    panel.set_zlim(float(heights.min()), float(max(heights.max(), heights.min() + 1e-12)))
    names = _free_inputs(network.input_size, fixed)
    panel.set_xlabel(f"input {names[0]}")
    panel.set_ylabel(f"input {names[1]}")
    panel.set_zlabel("f")
    panel.view_init(elev=28, azim=-130)
    return drawn


# -------------------------------------------------------------------------------- parts


def _figure(size: tuple[float, float]) -> Figure:
    try:
        from jensen.report.shown_figure import ShownFigure  # noqa: PLC0415  (an extra)
    except ImportError:
        raise MissingExtraError("pictures need matplotlib: pip install 'jensen[plot]'") from None
    return ShownFigure(figsize=size, layout="constrained")


def _point(given: Any, name: str, inputs: int) -> FloatArray:
    """Return a point in doubles, rounded to nearest."""
    try:
        point = np.ma.filled(np.ma.asarray(given, dtype=np.float64), np.nan).ravel()
    except (TypeError, ValueError, OverflowError):
        point = np.empty(0)
    if point.size != inputs or not np.isfinite(point).all():
        raise OptionError(f"point {name}: {counted(inputs, 'finite number')} needed")
    return point


def _free_inputs(inputs: int, fixed: Mapping[int, float] | None) -> list[int]:
    return [i for i in range(inputs) if i not in (fixed or {})]


def _panel(axes: Axes | None) -> tuple[Figure, Axes]:
    if axes is not None:
        if not callable(getattr(axes, "add_patch", None)):
            raise OptionError(f"axes {shown(axes)}: the axes of a figure of matplotlib are needed")
        whole: Any = axes.figure
        return whole, axes
    drawn = _figure((6.2, 5.2))
    panel = drawn.subplots()
    _plain(panel)
    return drawn, panel


def _plain(panel: Axes) -> None:
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    panel.tick_params(colors=INK, labelsize=9)


def _window(found: Regions) -> tuple[FloatArray, FloatArray]:
    """Return the sides of what is drawn: the domain if it is a box, else around the vertices."""
    sides = found.domain.box_sides(2)
    if sides is not None:
        return sides
    finite = found.vertices[~found.at_infinity]
    if not len(finite):
        finite = np.concatenate([found.inner_points - 1, found.inner_points + 1])
    low, high = np.quantile(finite, [0.02, 0.98], axis=0)
    spread = np.maximum(high - low, 1e-9 + 0.5 * float((high - low).max()))
    spread = np.where(spread > 1e-8, spread, 1.0)
    return low - MARGIN * spread, high + MARGIN * spread


def _fill(panel: Axes, found: Regions, low: FloatArray, high: FloatArray) -> None:
    """Shade the cells by f, on a grid: piecewise affine, so contours are straight in each."""
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415  (an extra)

    first, second = (np.linspace(low[i], high[i], 240) for i in range(2))
    X, Y = np.meshgrid(first, second)
    points = np.column_stack([X.ravel(), Y.ravel()])
    values = found.network(points)[:, 0]
    A, b = found.domain.inequalities(2)
    values = np.where((points @ A.T <= b).all(axis=1), values, np.nan)
    shades = LinearSegmentedColormap.from_list("pale", ["#fdfcf7", "#ccd7de", "#8398a8"])
    filled = panel.contourf(X, Y, values.reshape(X.shape), levels=14, cmap=shades)
    bar = panel.figure.colorbar(filled, ax=panel, shrink=0.85)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=INK, labelsize=9)
    bar.set_label("f", color=INK)


def _ends(found: Regions, low: FloatArray, high: FloatArray) -> FloatArray:
    """Return the ends of all facets, those at infinity moved beyond the window."""
    far = 4 * float(np.linalg.norm(high - low)) + float(np.abs([low, high]).max())
    ends = []
    for facet in found.facets:
        points = [found.vertices[v] for v in facet.vertices]
        inner = found.exact_middle(facet.index)
        assert inner is not None  # facets at infinity are none
        middle = np.array([float(v) for v in inner])
        for k, v in enumerate(facet.vertices):
            if found.at_infinity[v]:
                step = points[k] / np.linalg.norm(points[k])
                points[k] = middle + far * step
        ends.append(points)
    return np.array(ends).reshape(-1, 2, 2)


def _draw_facets(panel: Axes, found: Regions, low: FloatArray, high: FloatArray) -> None:
    from matplotlib.collections import LineCollection  # noqa: PLC0415  (an extra)
    from matplotlib.colors import to_rgba  # noqa: PLC0415  (an extra)

    jumps = found.jumps
    ends = _ends(found, low, high)
    largest = max(float(np.abs(jumps).max(initial=0.0)), 1e-300)
    lines = zip(np.clip(ends, low, high), np.sign(jumps).astype(int).tolist(), strict=True)
    thin, thick = kink_widths(lines, low, high)
    for colour, width, chosen, label in (
        (UP, thin, jumps > 0, "kink that bends up"),
        (DOWN, thick, jumps < 0, FALLS),
    ):
        if chosen.any():
            # equal steps of colour for equal factors: jumps differ by orders of magnitude
            depth = np.clip(1 + np.log10(np.abs(jumps[chosen]) / largest) / 4, 0.15, 1.0)
            colours = [to_rgba(colour, float(v)) for v in depth]
            kinks = LineCollection(list(ends[chosen]), colors=colours, linewidths=width)
            panel.add_collection(kinks)
            panel.plot([], [], color=colour, linewidth=width, label=label)
    if (jumps != 0).any():
        panel.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.12),
            ncols=2,
            fontsize=8,
            frameon=False,
            labelcolor=INK,
        )


def _write_labels(panel: Axes, found: Regions, low: FloatArray, high: FloatArray) -> None:
    for facet, ends in zip(found.facets, _ends(found, low, high), strict=True):
        if not facet.jump:
            continue
        at = np.clip(ends, low, high).mean(axis=0)
        names = " ".join(f"{block}[{index}]" for block, index in facet.neurons)
        panel.annotate(
            f"{names}\n{facet.jump:.3g}",
            at,
            ha="center",
            va="center",
            fontsize=6.5,
            color=INK,
            clip_on=True,
            bbox={
                "boxstyle": "round,pad=0.15",
                "facecolor": "white",
                "edgecolor": "none",
                "alpha": 0.8,
            },
        )
