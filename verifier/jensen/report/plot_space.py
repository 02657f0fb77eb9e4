"""Facets of a network of three inputs as polygons in space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jensen.errors import OptionError
from jensen.linear_regions.regions import Regions
from jensen.report.colours import DOWN, INK, UP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FAINT, CLEAR = 0.10, 0.65  # opacity: what bends down is seen through what bends up


def draw_in_space(drawn: Figure, found: Regions, names: list[int]) -> None:
    """Draw the facets that bend: faint and blue upwards, clear and vermilion downwards.

    Parameters
    ----------
    drawn : matplotlib Figure
        An empty one.
    found : Regions
        Of three inputs, on a bounded domain.
    names : list of int
        Which inputs vary.

    Raises
    ------
    OptionError
        Where facets reach to infinity.
    """
    from matplotlib.patches import Patch  # noqa: PLC0415  (an extra)
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection  # noqa: PLC0415  (an extra)

    if found.at_infinity.any():
        raise OptionError("pictures in space need a bounded domain: pass a Box")
    panel: Any = drawn.add_subplot(projection="3d")
    panel.computed_zorder = False  # what bends down is looked for, and drawn last
    handles = []
    for sign, colour, opacity, label in (
        (1, UP, FAINT, "facet that bends up"),
        (-1, DOWN, CLEAR, "facet that bends down"),
    ):
        sheets = [
            found.vertices[list(facet.vertices)]
            for facet in found.facets
            if np.sign(facet.jump) == sign
        ]
        if sheets:
            panel.add_collection3d(
                Poly3DCollection(
                    sheets, facecolors=colour, edgecolors=INK, linewidths=0.25, alpha=opacity
                )
            )
            handles.append(Patch(color=colour, alpha=max(opacity, 0.3), label=label))
    low, high = found.vertices.min(axis=0), found.vertices.max(axis=0)
    for axis, lower, upper, name in zip("xyz", low, high, names, strict=True):
        getattr(panel, f"set_{axis}lim")(lower, upper)
        getattr(panel, f"set_{axis}label")(f"input {name}")
    if handles:
        panel.legend(handles=handles, fontsize=8, frameon=False, labelcolor=INK)
    panel.view_init(elev=24, azim=-55)
