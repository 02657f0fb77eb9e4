"""Networks that are no files of their own: from a program, or from a file of stacked arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jensen.batch.case import Case
from jensen.batch.member import StackMember
from jensen.domains.domain import Domain, Everywhere
from jensen.errors import JensenError, ModelFileError, NetworkError, OptionError
from jensen.graphs.function_graph import FunctionGraph
from jensen.loaders import load
from jensen.many import settle_many
from jensen.network.checks import as_count
from jensen.network.relu_network import ReluNetwork
from jensen.network.stack import NetworkStack
from jensen.prover.question import check_domain, merged_options
from jensen.text import shown
from jensen.verdicts.options import Options
from jensen.verdicts.verdict import Verdict


def cases_of(
    networks: Iterable[ReluNetwork | FunctionGraph] | NetworkStack,
    domain: Domain | None = None,
    *,
    name: str = "network",
    options: Options | None = None,
    output: int | None = None,
) -> list[Case]:
    """Return the cases of networks that a program made, for :func:`jensen.batch.run_batch`.

    Parameters
    ----------
    networks : iterable of ReluNetwork or FunctionGraph, or NetworkStack
        A generator is read to its end.
    domain : Domain, optional
        Default: ``Everywhere()``.
    name : str
        The cases are called ``name[0]``, ``name[1]``, and so on.
    options : Options, optional
    output : int, optional

    Returns
    -------
    list of Case

    Raises
    ------
    NetworkError
        For what is no network, or no list of networks.

    Examples
    --------
    >>> nets = (ReluNetwork.from_layers([[[s]], [[1]]], [[0], [0]]) for s in (1, 2))
    >>> [case.name for case in cases_of(nets)]
    ['network[0]', 'network[1]']
    """
    if not isinstance(name, str):
        raise OptionError(f"name {shown(name)}: text is needed")
    if domain is not None:
        check_domain(domain)
    options = merged_options(options, {})
    if output is not None:
        as_count(output, "output")
    base = Case(Path(name), name, domain or Everywhere(), options, output)
    if isinstance(networks, NetworkStack):
        return _members(base, networks)
    if not isinstance(networks, Iterable):
        raise NetworkError(f"{type(networks).__name__} where a list of networks is needed")
    listed = list(networks)
    for network in listed:
        if not isinstance(network, ReluNetwork | FunctionGraph):
            raise NetworkError(
                f"{type(network).__name__} where a network is needed; files are found by find_cases"
            )
    return [
        replace(base, name=f"{name}[{number}]", network=network)
        for number, network in enumerate(listed)
    ]


def expanded(case: Case) -> list[Case]:
    """Return a case per network where a file holds a stack, the case itself otherwise.

    What cannot be read stays one case, which will be one row with its error.
    """
    if not holds_stack(case.path):
        return [case]
    try:
        return _members(case, NetworkStack.load(case.path))
    except JensenError:
        return [case]


def network_of(case: Case) -> ReluNetwork | FunctionGraph:
    """Read or build the network of a case.

    Raises
    ------
    ModelFileError, NetworkError
        As :func:`jensen.load`.
    """
    if isinstance(case.network, StackMember):
        return case.network.network
    if case.network is not None:
        return case.network
    if holds_stack(case.path):
        stack = NetworkStack.load(case.path)
        number = case.name.rpartition("[")[2].removesuffix("]")
        if number.isdecimal() and int(number) < len(stack):  # as it was stored
            return stack[int(number)]
        raise ModelFileError(f"{case.path}: a stack of {len(stack)} networks, not one")
    _check_reachable(case.path)
    return load(case.path)


def _check_reachable(path: Path) -> None:
    """Say why a link or a folder of a batch leads to nothing."""
    try:
        if path.is_dir():
            next(path.iterdir(), None)
        elif path.is_symlink():
            path.stat()
    except OSError as error:
        what = "a link, " if path.is_symlink() else ""
        raise ModelFileError(f"{path}: {what}{error.strerror}") from None


def holds_stack(path: Path) -> bool:
    """Return whether a file is an archive of stacked arrays."""
    try:
        if path.suffix.lower() != ".npz" or not path.is_file():
            return False
        with zipfile.ZipFile(path) as archive:
            return "W0.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def settled(
    cases: Sequence[tuple[int, Case]],
) -> Iterator[tuple[int, ReluNetwork | FunctionGraph, Verdict]]:
    """Yield what is settled together among the networks in memory (:mod:`jensen.many`).

    Parameters
    ----------
    cases : sequence of (number, Case)
    """
    groups: dict[tuple[Any, ...], list[tuple[int, Case]]] = {}
    for number, case in cases:
        if isinstance(case.network, ReluNetwork | StackMember):  # graphs are looked at one by one
            stack = id(case.network.stack) if isinstance(case.network, StackMember) else None
            groups.setdefault((case.question, stack), []).append((number, case))
    for group in groups.values():
        first = group[0][1]
        try:
            found = settle_many(
                _together([case for _, case in group]),
                first.domain,
                output=first.output,
                options=first.options,
            )
        except JensenError:
            continue  # every job says so in its row
        for k, verdict in found.items():
            number, case = group[k]
            yield number, network_of(case), verdict


def _together(cases: Sequence[Case]) -> list[ReluNetwork] | NetworkStack:
    members = [case.network for case in cases if isinstance(case.network, StackMember)]
    if members:
        return members[0].stack.take([member.index for member in members])
    return [case.network for case in cases if isinstance(case.network, ReluNetwork)]


def _members(case: Case, stack: NetworkStack) -> list[Case]:
    return [
        replace(case, name=f"{case.name}[{index}]", network=StackMember(stack, index))
        for index in range(len(stack))
    ]
