"""``jensen info``: what is in a model file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from jensen.cli.common import stdout_console, to_json
from jensen.cli.completion import file_names
from jensen.cli.once import OnceCommand
from jensen.graphs.drawing import function_text, graph_lines
from jensen.graphs.function_graph import FunctionGraph
from jensen.loaders import load
from jensen.network.layer_graph import draw_layer_graph
from jensen.network.order import path_count
from jensen.network.relu_network import INPUT, ReluNetwork
from jensen.network.simplify.simplify import simplify
from jensen.text import printable

_MOST_ROUNDINGS = 10
_MOST_PATHS = 100


@click.command("info", cls=OnceCommand)
@click.argument("model", shell_complete=file_names)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(model: str, as_json: bool) -> int:
    """Show inputs, outputs, layer graph, parameters and ReLUs of MODEL.

    \b
    jensen info model.onnx
    jensen info model.onnx --json
    """  # noqa: D301  (\b keeps click from folding the examples)
    stored = load(model, simplify=False)
    if isinstance(stored, FunctionGraph):
        return _show_graph(model, stored, as_json=as_json)
    # a .npz file is the network that a certificate speaks of: it is shown as it is
    network = stored if Path(model).suffix.lower() == ".npz" else simplify(stored)
    console = stdout_console()
    before = {"relus": stored.relu_count, "parameters": stored.parameter_count}
    if as_json:
        record = {"model": printable(model), **describe(network), "before_simplification": before}
        click.echo(to_json(record))
        return 0
    console.print(printable(model), style="bold")
    facts = describe(network)
    for name in ("inputs", "outputs", "relus", "parameters", "layer_paths"):
        shape = facts.get(f"{name[:-1]}_shape", ())
        note = f"  shape {tuple(shape)}" if len(shape) > 1 else ""
        if before.get(name, facts[name]) != facts[name]:
            note = f"  ({before[name]:,} before simplification)"
        label = name.replace("_", " ")
        console.print(f"  {label:<11}{facts[name]:>10,}{note}")
    console.print(f"  {'digest':<11}{facts['digest'][:16]}")
    _show_end(console, network.roundings, draw_layer_graph(network))
    return 0


def _show_end(console: Console, roundings: Sequence[str], graph: Sequence[str]) -> None:
    """Show what was rounded, and the layers."""
    if roundings:
        console.print(f"  {'rounded':<11}{len(roundings):>10,}  (no double holds them)")
        for line in roundings[:_MOST_ROUNDINGS]:
            console.print(f"    {printable(line)}", soft_wrap=True)
        if len(roundings) > _MOST_ROUNDINGS:
            console.print("    ...")
    console.print()
    for line in graph:
        console.print(f"  {line}", soft_wrap=True)


def _show_graph(model: str, graph: FunctionGraph, *, as_json: bool) -> int:
    """Show a network that has other functions than ReLUs."""
    facts = {
        "inputs": graph.input_size,
        "outputs": graph.output_size,
        "parameters": graph.parameter_count,
        "functions": graph.function_counts,
        "digest": graph.digest,
        "roundings": list(graph.roundings),
        "nodes": [
            {
                "name": node.name,
                "function": function_text(node),
                "size": node.size,
                "from": list(node.weights),
            }
            for node in graph.nodes
        ],
    }
    if as_json:
        click.echo(to_json({"model": printable(model), **facts}))
        return 0
    console = stdout_console()
    console.print(printable(model), style="bold")
    for name in ("inputs", "outputs", "parameters"):
        console.print(f"  {name:<11}{facts[name]:>10,}")
    for function, count in graph.function_counts.items():
        console.print(f"  {function:<11}{count:>10,}")
    console.print(f"  {'digest':<11}{graph.digest[:16]}")
    _show_end(console, graph.roundings, graph_lines(graph))
    return 0


def describe(network: ReluNetwork) -> dict[str, Any]:
    """Return the facts that ``info`` shows, JSON-ready."""
    return {
        "inputs": network.input_size,
        "input_shape": list(network.input_shape),
        "outputs": network.output_size,
        "output_shape": list(network.output_shape),
        "relus": network.relu_count,
        "parameters": network.parameter_count,
        "layer_paths": path_count(network.graph, INPUT),
        # each is a product of matrices in the slopes (docs/theory.md, section 2)
        "paths": [list(path) for path in islice(network.layer_paths(INPUT), _MOST_PATHS)],
        "digest": network.digest,
        "roundings": list(network.roundings),
        "layer_graph": [
            {
                "name": block.name,
                "activation": str(block.activation),
                "size": block.size,
                "from": list(block.weights),
            }
            for block in network.blocks
        ],
    }
