"""Heat maps of what the counting experiment has in its store, for docs/paper.md.

python -m benchmarks.paper.pictures [--store paper.jsonl] [--folder docs/pictures]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt
from benchmarks.paper.__main__ import read
from benchmarks.paper.experiment import DEPTHS, GRID, Cell, Result

COUNTS = {
    "convex_box": "convex on the box",
    "convex_everywhere": "convex on R^n",
    "icnn": "input-convex as they stand",
}


def shares(
    rows: Sequence[Result], cells: Sequence[Cell], places: Sequence[tuple[int, int]], count: str
) -> tuple[list[int], list[int], np.ndarray]:
    """Return the rows and columns of a picture, and the percentages; NaN where nothing is known."""
    down, across = (sorted({place[i] for place in places}) for i in (0, 1))
    found = np.full((len(down), len(across)), np.nan)
    for cell, (r, c) in zip(cells, places, strict=True):
        own = [row for row in rows if row.cell == cell.name]
        networks = sum(row.networks for row in own)
        if networks:
            share = 100 * sum(getattr(row, count) for row in own) / networks
            found[down.index(r), across.index(c)] = share
    return down, across, found


def draw(
    rows: Sequence[Result],
    cells: Sequence[Cell],
    places: Sequence[tuple[int, int]],
    axes: tuple[str, str],
    path: Path,
) -> None:
    """Draw three maps on one scale."""
    figure, panels = plt.subplots(1, 3, figsize=(10, 3.3), layout="constrained")
    for panel, (count, title) in zip(panels, COUNTS.items(), strict=True):
        down, across, found = shares(rows, cells, places, count)
        image = panel.imshow(found, cmap="cividis", vmin=0, vmax=100, origin="lower", aspect="auto")
        for (i, j), share in np.ndenumerate(found):
            if np.isfinite(share):
                colour = "black" if share > 55 else "white"
                panel.text(j, i, written(share), ha="center", va="center", size=7, color=colour)
        panel.set_xticks(range(len(across)), across)
        panel.set_yticks(range(len(down)), down)
        panel.set_xlabel(axes[1])
        panel.set_title(title, fontsize=10)
    panels[0].set_ylabel(axes[0])
    figure.colorbar(image, ax=panels, label="% of the networks")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def written(share: float) -> str:
    """Return a percentage with two digits; what is not 0 is not written as 0."""
    if share == 0 or share >= 10:
        return f"{share:.0f}"
    return f"{share:.1f}" if share >= 0.05 else "<.1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, default=Path("paper.jsonl"))
    parser.add_argument("--folder", type=Path, default=Path("docs/pictures"))
    arguments = parser.parse_args()
    rows = list(read(arguments.store).values())
    plane = [(cell.widths[0], cell.widths[1]) for cell in GRID]
    draw(rows, GRID, plane, ("first layer", "second layer"), arguments.folder / "paper-plane.png")
    deep = [(cell.widths[0], len(cell.widths)) for cell in DEPTHS]
    draw(rows, DEPTHS, deep, ("width", "hidden layers"), arguments.folder / "paper-depth.png")


if __name__ == "__main__":
    main()
