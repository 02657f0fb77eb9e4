"""What a notebook shows of a network."""

from __future__ import annotations

from collections.abc import Iterable

from jensen.network.block import INPUT, Block
from jensen.text import html_table, markup

MOST_ROWS = 24


def network_table(title: str, input_size: int, blocks: Iterable[Block]) -> str:
    """Return the layers as an HTML table: names, sizes, what they read, how many weights.

    Parameters
    ----------
    title : str
    input_size : int
    blocks : iterable of Block
        In topological order.
    """
    rows = [[INPUT, f"{input_size:,}", "", "", ""]]
    for block in blocks:
        weights = sum(int(w.size) for w in block.weights.values())  # of sparse ones the stored
        activation = str(block.activation)
        rows.append(
            [block.name, f"{block.size:,}", activation, ", ".join(block.weights), f"{weights:,}"]
        )
    if len(rows) > MOST_ROWS:
        left_out = f"{len(rows) - MOST_ROWS} more"
        rows = [*rows[: MOST_ROWS - 1], ["...", left_out, "", "", ""], rows[-1]]
    header = ["block", "neurons", "activation", "reads", "weights"]
    return f"<div>{markup(title)}{html_table(header, rows)}</div>"
