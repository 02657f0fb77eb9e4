"""The checker's node as the producer of certificates uses it: it remembers forms."""

from __future__ import annotations

from typing import Any

from jensen.certificate.checker import Form, Network, Node


class ProofNode(Node):
    """The checker's node; it remembers forms as long as the units in front of them stay fixed.

    Parameters
    ----------
    net : Network
    group : int
        A unit, or ONE for the whole domain.
    face : int
        Of the cube around the origin; 0 for the whole domain.
    """

    def __init__(self, net: Network, group: int, face: int = 0) -> None:
        super().__init__(net, group, {group: False} if group else {}, face)
        self._forms: list[Form] = [{unit: 1} for unit in range(net.inputs)]
        self._later: list[tuple[int, Any, Any]] = []

    def fix(self, unit: int, side: bool | None) -> None:
        """Fix or free a unit and forget what depended on it."""
        self.fixed.pop(unit, None)
        if side is not None:
            self.fixed[unit] = side
        del self._forms[unit + 1 :]

    @property
    def branched(self) -> list[int]:
        """The units that are fixed by branching, and not by their bounds."""
        return [unit for unit in self.fixed if unit not in self.root]

    def narrow(self, unit: int, lower: Any, upper: Any) -> None:
        """Bound a unit on the hyperplane."""
        super().narrow(unit, lower, upper)
        del self._forms[unit + 1 :]

    def narrow_later(self, unit: int, lower: Any, upper: Any, state: bool | None) -> None:
        """Bound a unit whose state is known to follow; see :meth:`settle`."""
        self._later.append((unit, lower, upper))
        if state is not None:
            self.fixed[unit] = self.root[unit] = state

    def settle(self) -> None:
        """Compute the bounds that were put off, which the rules need."""
        if not self._later:
            return
        fixed, self.fixed, self.root = self.fixed, {self.group: False}, {self.group: False}
        for unit, lower, upper in self._later:
            self.narrow(unit, lower, upper)
        self._later, self.fixed, self.jumps = [], fixed, {}
        del self._forms[self.net.inputs :]

    def form(self, unit: int) -> Form:
        """Return zeta of a unit on the hyperplane of the group."""
        while len(self._forms) <= unit:
            self._forms.append(self.expand(self.net.units[len(self._forms)].form))
        return self._forms[unit]
