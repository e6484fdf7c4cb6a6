"""What a nemesis can do to the network between nodes, whatever that is made of."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

PLANES = ("control", "data", "gateways")
"""By their offset from the peer port."""


@dataclass(eq=False)
class Wire:
    """The connections that ``source`` makes to one plane of ``target``; they carry bytes both ways."""

    source: str
    target: str
    plane: str


W = TypeVar("W", bound=Wire)


class Network(Protocol[W]):
    """All wires of a cluster. What is done to some of them lasts as long as the context."""

    @property
    def wires(self) -> Sequence[W]:
        """One for each ordered pair of nodes and each plane."""

    @property
    def missing(self) -> dict[str, str]:
        """The faults that this network can't have, by the names of the methods here, and why."""

    def cut(self, wires: Sequence[W], there: bool = True, back: bool = True) -> AbstractContextManager[None]:
        """Nothing arrives of what the connecting side sends (``there``), the connected one (``back``), or both."""

    def refuse(self, wires: Sequence[W]) -> AbstractContextManager[None]:
        """Connections are reset, and no new ones are made."""

    def delay(self, wires: Sequence[W], seconds: float) -> AbstractContextManager[None]:
        """Bytes come late, both ways."""

    def lose(self, wires: Sequence[W], share: float) -> AbstractContextManager[None]:
        """A share of what is sent is lost, and sent again by TCP, both ways."""

    def damage(self, wires: Sequence[W], share: float) -> AbstractContextManager[None]:
        """A bit is flipped here and there, and TCP does not tell."""
