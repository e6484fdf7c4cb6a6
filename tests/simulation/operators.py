"""Operators who change the members of the cluster: nodes join, are promoted, and leave, while the storm goes on.

Not in every run. What they choose is drawn from a generator of their own: a run without them is the same run as ever.
"""

import random
from typing import TYPE_CHECKING

from tests.simulation.invariants import require
from zraft.core.admission import Caller
from zraft.core.proposals import Waiting
from zraft.errors import NotExecuted, Rejected, Unknown, from_code
from zraft.protocol.codec import encode, response
from zraft.protocol.entries import EntryKind
from zraft.protocol.requests import ChangeMember
from zraft.protocol.responses import ErrorResult, MembersResult

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.node import Node

SHARE = 0.35
"""Of the runs."""
SPARES = (1, 2, 3)
EVEN = (4, 4, 6)
REQUEST_SECONDS = 1.0
CLIENT = b"operator"


def size_with(seed: int, size: int) -> int:
    """The size of the cluster: operators like even ones, where two changes that don't know of each other do harm."""
    draw = random.Random(f"size {seed}")
    return draw.choice(EVEN) if _is_active(seed) and draw.random() < 0.5 else size


def _is_active(seed: int) -> bool:
    return random.Random(f"operators {seed}").random() < SHARE


class Operators:
    """``active`` is whether there are any in this run; ``spares`` are nodes that wait to join."""

    def __init__(self, cluster: "Cluster", size: int) -> None:
        self._cluster = cluster
        self._random = random.Random(f"operators {cluster.world.seed}")
        self._random.random()
        self.active = _is_active(cluster.world.seed)
        count = self._random.choice(SPARES) if self.active else 0
        self.spares = list(range(size + 1, size + 1 + count))
        self._interval = self._random.choice((0.1, 0.3, 1.0))
        self._number = 0
        self._on = self.active
        self.lull = False
        """Somebody else chooses for a while."""
        self.changes = 0
        """How many were acknowledged."""

    def begin(self) -> None:
        if self.active:
            self._later()

    def stop(self) -> None:
        """Change nothing more."""
        self._on = False

    def told(self, body: bytes) -> None:
        """The answer to a change."""
        answer = response.decode(body)
        self._cluster.world.note(CLIENT.decode(), f"is told {answer}")
        if isinstance(answer, ErrorResult):
            error = from_code(answer.code, answer.message)
            known = isinstance(error, NotExecuted | Rejected | Unknown)
            require(known, "an error says what may be concluded", error=repr(error))
        else:
            require(isinstance(answer, MembersResult), "a change is answered by the members", answer=answer)
            self.changes += 1

    def change_somewhere(self, among: "list[Node]", change: ChangeMember | None = None) -> None:
        """One change of members, or this one, asked of one of these nodes."""
        if self._on and among:
            self._ask(change or self._choose(), self._random.choice(among))

    def invite(self, joining: int) -> ChangeMember:
        """The change that lets this node join, which runs from now on."""
        if joining in self.spares:
            self.spares.remove(joining)
            self._cluster.nodes[joining].start()
        return ChangeMember("add", f"node-{joining}", joining, f"host-{joining}:1")

    def _later(self) -> None:
        self._cluster.world.after(self._random.uniform(0, 2 * self._interval), self._go)

    def _go(self) -> None:
        if self._on:
            if not self.lull:
                self.change_somewhere(self._cluster.members())
            self._later()

    def _choose(self) -> ChangeMember:
        random, cluster = self._random, self._cluster
        members = cluster.invariants.configuration.members
        kind = random.random()
        if kind < 0.45 and self.spares:
            return self.invite(self.spares[-1])
        who = random.choice(members)
        if kind < (0.75 if len(cluster.invariants.configuration.voters()) > 2 else 0.5):
            return ChangeMember("remove", who.name)
        if kind < 0.9:
            return ChangeMember("promote", who.name)
        return ChangeMember("add", who.name, who.id, f"host-{random.randint(1, 9)}:1")

    def _ask(self, change: ChangeMember, node: "Node") -> None:
        self._number += 1
        world = self._cluster.world
        world.note(CLIENT.decode(), f"asks {node.id}: {change}")
        caller = Caller(CLIENT, b"%d" % -self._number, 0)
        deadline = node.clock.now() + REQUEST_SECONDS
        node.gateway.submit(Waiting(caller, encode(change), False, deadline, kind=EntryKind.CONFIGURATION))
