"""One network of a stack, as a case of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jensen.network.relu_network import ReluNetwork
from jensen.network.stack import NetworkStack


@dataclass(frozen=True, eq=False)
class StackMember:
    """One network of a stack: built when it is asked for, sent without the others."""

    stack: NetworkStack
    index: int

    @cached_property
    def network(self) -> ReluNetwork:
        """The network."""
        return self.stack[self.index]

    @property
    def digest(self) -> str:
        """The network's digest."""
        return self.network.digest

    def __reduce__(self) -> tuple[Any, ...]:
        return StackMember, (self.stack[self.index : self.index + 1], 0)
