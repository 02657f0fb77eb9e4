"""How far a function lies above its chord: visible where the violation is tiny beside f."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from jensen.graphs.function_graph import FunctionGraph
from jensen.network.relu_network import ReluNetwork
from jensen.report.colours import CHORD, DOWN, INK, UP
from jensen.report.plot_segment import sample_segment

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_gap(
    axes: Axes,
    network: ReluNetwork | FunctionGraph,
    x: ArrayLike,
    y: ArrayLike,
    *,
    output: int = 0,
    like: Axes | None = None,
) -> None:
    """Draw f minus the chord from x to y, shaded by its sign.

    Parameters
    ----------
    axes : matplotlib Axes
    network : ReluNetwork or FunctionGraph
    x, y : array of shape (inputs,)
    output : int
    like : matplotlib Axes, optional
        A picture of the same segment above, whose positions and label are taken over.
    """
    line = sample_segment(network, x, y, output=output, before=0.0, beyond=0.0)
    gap = line.values - np.interp(line.t, [0, 1], line.values[[0, -1]])
    axes.axhline(0, color=CHORD, linestyle="--", linewidth=1.2)
    axes.plot(line.t, gap, color=INK, linewidth=1.6)
    axes.fill_between(line.t, gap, 0, where=gap > 0, color=DOWN, alpha=0.35, linewidth=0)
    axes.fill_between(line.t, gap, 0, where=gap < 0, color=UP, alpha=0.25, linewidth=0)
    if like is not None:
        axes.set_xlim(*like.get_xlim())
        axes.set_xlabel(like.get_xlabel())
        like.set_xlabel("")
    axes.set_xticks([0, 0.5, 1], ["x", "(x+y)/2", "y"])
    axes.set_ylabel("f minus chord")
