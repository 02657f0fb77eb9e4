"""The checker's node as the producer of certificates uses it: it remembers forms."""

from __future__ import annotations

from jensen.certificate.checker import Form, Network, Node, add


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

    def form(self, unit: int) -> Form:
        """Return zeta of a unit on the hyperplane of the group."""
        while len(self._forms) <= unit:
            self._forms.append(self.expand(self.net.units[len(self._forms)].form))
        return self._forms[unit]

    def expand(self, form: Form) -> Form:
        """Write a form in the inputs, and in max(zeta_h, 0) of units that are not fixed."""
        total: Form = {}
        for key, factor in form.items():
            if key >= 0:
                add(total, factor, self.form(key))
            elif -key not in self.fixed:
                add(total, factor, {key: 1})
            elif self.fixed[-key]:
                add(total, factor, self.form(-key))
        return total
