"""A node whose disk was wiped: the real formation, which must refuse it under its old name (trap 36)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.simulation.invariants import Violation
from tests.simulation.memory import MemoryLog
from tests.simulation.network import Plane
from zraft.core.acceptor import Acceptor
from zraft.core.effects import ToStorage
from zraft.core.formation import Effect, Formation, Formed, Own, SayHello
from zraft.protocol.peer import Hello

if TYPE_CHECKING:
    from tests.simulation.node import Node

TICK_SECONDS = 0.1
NEW_MEMBERS = 1_000
"""A new directory has a new id: the old one and this."""


def formation_of(node: "Node", log: MemoryLog) -> Formation:
    """As the node's election has it at its start."""
    record = node.cluster.record
    names = tuple(member.name for member in record.members)
    own = Own(f"node-{node.id}", names, record.election_timeout_min_ms)
    return Formation(own, Acceptor(log).status(), node.world.now)


class Newcomer:
    """An empty directory under the name of ``node``: it says hello to all, and gets no further."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._log = MemoryLog(node.id + NEW_MEMBERS)
        self._formation = formation_of(node, self._log)
        self._do(self._formation.begin())
        self._tick()

    def receive(self, message: Hello) -> None:
        effects, _ = self._formation.on_hello(message)
        self._do(effects)

    def _tick(self) -> None:
        world = self._node.world
        self._do(self._formation.tick(world.now))
        world.after(TICK_SECONDS, self._tick)

    def _do(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case SayHello(name, message):
                    self._node.send(Plane.CONTROL, int(name.removeprefix("node-")), message)
                case ToStorage(message):
                    Acceptor(self._log).step(message, self._log.member)
                    self._log.commit()
                    self._do(self._formation.on_stored(Acceptor(self._log).status()))
                case Formed():
                    raise Violation(f"a wiped disk takes no part (trap 36): node={self._node.id}")
