"""Models for other solvers, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jensen.errors import OptionError
from jensen.outputs import check_output, path_of
from jensen.surrogate.handle import GUARD, Formulation
from jensen.surrogate.solving import check

SUFFIXES = (".lp", ".mps")


def write_program(model: Any, path: str | Path) -> None:
    """Write a model with networks in it as ``.lp`` or ``.mps``, for any solver.

    Parameters
    ----------
    model : pyomo ConcreteModel
    path : str or Path
        Ends in ``.mps`` or ``.lp``.

    Raises
    ------
    OptionError
        For another ending; if a formulation would be wrong in this model; and for ``cuts``,
        whose rows are found while solving: use epigraph or big_m in a file.
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> import jensen, pathlib, tempfile
    >>> import pyomo.environ as pyo
    >>> net = jensen.ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])  # |x|
    >>> model = pyo.ConcreteModel()
    >>> model.x = pyo.Var([0], bounds=(1, 2))
    >>> model.cost = pyo.Objective(expr=jensen.surrogate.add_network(model, net, model.x).output)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_program(model, pathlib.Path(folder, "model.lp"))
    """
    file = path_of(path)
    if file.suffix not in SUFFIXES:
        raise OptionError(f"{file}: the name of a program ends in {' or '.join(SUFFIXES)}")
    check_output(file)
    parts = [part for handle in check(model) for part in handle.parts]
    for part in parts:
        if part.formulation is Formulation.CUTS:
            raise OptionError(
                f"{part.variable.name} is known by cuts, which are found while solving: "
                "add the network with formulation epigraph or big_m for a file"
            )
    guards = [guard for part in parts if (guard := getattr(part.block, GUARD, None)) is not None]
    for guard in guards:
        guard.deactivate()
    try:
        model.write(str(file), io_options={"symbolic_solver_labels": True})
    finally:
        for guard in guards:
            guard.activate()
