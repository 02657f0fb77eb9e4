"""The weights of a network as the checker of certificates reads them (docs/FORMAT.md)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jensen.arithmetic.rational import fraction
from jensen.certificate.checker import MODEL_FORMAT, QUADRATIC_FORMAT, text_of
from jensen.certificate.weight_texts import json_text, rows_text
from jensen.composition.piecewise_quadratic import split
from jensen.composition.quadratic import is_quadratic
from jensen.errors import CertificateError
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import Function
from jensen.network.relu_network import Block, ReluNetwork
from jensen.outputs import write_whole
from jensen.text import printable


def export_json(network: ReluNetwork | FunctionGraph, path: str | Path) -> None:
    """Write a network for the checker: the same bytes for the same network.

    Parameters
    ----------
    network : ReluNetwork or FunctionGraph
    path : str or Path
        Must end in ``.json``.

    Raises
    ------
    CertificateError
        For another ending, and for a graph that the checker has no rules for.
    """
    file = Path(path)
    if file.suffix != ".json":
        raise CertificateError(f"{file}: the name of an export must end in .json")
    write_whole(file, export_bytes(network))


def export_bytes(network: ReluNetwork | FunctionGraph) -> bytes:
    """Return a network as JSON, doubles as exact hexadecimal strings.

    Raises
    ------
    CertificateError
        For a graph that is no ReLU network plus quadratic functions of the inputs.
    """
    if not isinstance(network, FunctionGraph):
        return _written(network, MODEL_FORMAT).encode()
    parts = split(network)
    if parts is None:
        raise CertificateError(_not_exported(network))
    outputs = range(network.output_size)
    terms = json_text([_terms(parts.polynomial(k)) for k in outputs])
    return _written(parts.piecewise, QUADRATIC_FORMAT, f',"quadratic":{terms}').encode()


def _not_exported(graph: FunctionGraph) -> str:
    """Say which function the checker has no rules for."""
    known = {Function.IDENTITY, Function.RELU}
    others = [node for node in graph.nodes if node.function not in known]
    smooth = [node for node in others if not is_quadratic(node)]
    node = (smooth or others or [graph.output])[0]
    inside = " that is read by a ReLU, or of what is not affine" if is_quadratic(node) else ""
    return (
        "the checker of certificates knows piecewise-linear networks, to which quadratic functions "
        f"of the inputs may be added; node {printable(node.name)!r} is {node.function}{inside}"
    )


def _terms(polynomial: Mapping[tuple[int, int], Any]) -> list[list[Any]]:
    """Return ``[i, j, factor]`` with 0 for 1 and i + 1 for input i."""
    return [[i + 1, j + 1, text_of(fraction(v))] for (i, j), v in polynomial.items()]


def _written(network: ReluNetwork, form: str, more: str = "") -> str:
    """Return a network as JSON; ``more`` is what follows the blocks."""
    blocks = ",".join(map(_block, network.blocks))
    head = f'{{"format":{json_text(form)},"inputs":{network.input_size}'
    return f'{head},"blocks":[{blocks}]{more}}}\n'


def _block(block: Block) -> str:
    """Return one block as JSON."""
    bias = json_text([b.hex() for b in (block.bias + 0.0).tolist()])  # no -0
    rows = (f"{json_text(source)}:{rows_text(weight)}" for source, weight in block.weights.items())
    head = f'{{"name":{json_text(block.name)},"relu":{json_text(bool(block.is_relu))},"bias":{bias}'
    return f'{head},"weights":{{{",".join(rows)}}}}}'
