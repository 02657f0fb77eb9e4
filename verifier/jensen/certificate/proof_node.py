"""The checker's node as the producer of certificates uses it: it remembers forms."""

from __future__ import annotations

from typing import Any

from jensen.certificate.checker import Form, Network, Node


class ProofNode(Node):
    """The checker's node; it remembers forms as long as the units in front of them stay fixed."""

    def __init__(self, net: Network, group: int) -> None:
        super().__init__(net, group, {group: False} if group else {})
        self._forms: list[Form] = [{unit: 1} for unit in range(net.inputs)]

    def fix(self, unit: int, side: bool | None) -> None:
        """Fix or free a unit and forget what depended on it."""
        self.fixed.pop(unit, None)
        if side is not None:
            self.fixed[unit] = side
        del self._forms[unit + 1 :]

    def on_face(self, face: int) -> None:
        """Restrict the root to a face of the cube around the origin."""
        self.face, self.local[abs(face)] = face, (1, 1) if face > 0 else (-1, -1)

    @property
    def branched(self) -> list[int]:
        """The units that are fixed by branching, and not by their bounds."""
        decided = {unit for unit, (low, high) in self.local.items() if low > 0 or high < 0}
        return [unit for unit in self.fixed if unit not in decided and unit != self.group]

    def narrow(self, unit: int, lower: Any, upper: Any) -> None:
        """Bound a unit on the hyperplane."""
        super().narrow(unit, lower, upper)
        del self._forms[unit + 1 :]

    def form(self, unit: int) -> Form:
        """Return zeta of a unit on the hyperplane of the group."""
        while len(self._forms) <= unit:
            self._forms.append(self.expand(self.net.units[len(self._forms)].form))
        return self._forms[unit]
