"""A figure that notebooks display; imported where something is drawn, since it needs matplotlib."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

DPI = 100


class ShownFigure(Figure):
    """A matplotlib figure that notebooks display without ``%matplotlib inline`` or pyplot."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png", dpi=DPI)
        return stream.getvalue()
