"""The simulated election actor: timers and the control plane around the real core."""

from collections import deque
from typing import TYPE_CHECKING

from tests.simulation.actors import Actor
from tests.simulation.invariants import require
from tests.simulation.network import Plane
from zraft.core.effects import Ignored, Notice, Send, ToGateway, ToReplication, ToStorage
from zraft.core.election import Election
from zraft.core.lease import PublishLease
from zraft.core.roles import LEADER, Effect, PublishRole
from zraft.core.vitality import GATEWAY, REPLICATION, SIGN_OF_LIFE, STORAGE
from zraft.protocol.local import (
    Campaign,
    CampaignAnswer,
    Lead,
    LeaseGroup,
    Pong,
    StorageStatus,
    VoteQuery,
    VoteQueryAnswer,
)
from zraft.protocol.peer import HeartbeatAnswer, PreVote, PreVoteAnswer, TimeoutNow, Vote, VoteAnswer

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.trio import Trio

BEAT_SECONDS = 0.5
ANSWERS = (HeartbeatAnswer, PreVoteAnswer, VoteAnswer)


class ElectionActor(Actor):
    """Timers and the control plane."""

    def __init__(self, node: "Node", trio: "Trio") -> None:
        super().__init__(node.world, node.clock, f"{node.id} election")
        self._node = node
        self._trio = trio
        self._started = self.clock.now()
        self._inbox: deque[tuple[object, int, int]] = deque()
        self._routes: dict[int, int] = {}  # member -> the incarnation that asked last
        self._core: Election | None = None
        self._told = "", 0
        self._granted: list[tuple[int, int]] = []  # (term, candidate) of each request that storage may yet grant

    def receive(self, message: object, sender: int, incarnation: int = 0) -> None:
        self._inbox.append((message, sender, incarnation))
        self.met()

    def on_death(self) -> None:
        self._node.actor_died(self._trio)

    def idle(self) -> bool:
        return not self._inbox

    def deadline(self) -> float | None:
        return self._core.next_deadline() if self._core else None

    def turn(self) -> None:
        while self._inbox:
            self._handle(*self._inbox.popleft())
        now = self.clock.now()
        gateway = self._node.gateway
        if self._core is not None and gateway.alive and gateway.free_at <= self.world.now + BEAT_SECONDS:
            self._core.pong(GATEWAY, SIGN_OF_LIFE, now)
        if self._core is not None and now >= self._core.next_deadline():
            self._do(self._core.tick(now))

    def _publish_lease(self, lease: LeaseGroup | None) -> None:
        if lease is not None:
            self._node.cluster.invariants.leased(lease.term, self.clock.world_time(lease.end))
        self._node.page.lease = lease

    def in_round(self) -> bool:
        """Whether it leads and waits for answers to its heartbeats."""
        rounds = self._core._office.rounds if self._core and self._core._office else None
        return rounds is not None and rounds.confirmed < rounds.number

    def _handle(self, message: object, sender: int, incarnation: int) -> None:
        now = self.clock.now()
        core = self._core
        if core is None:
            if isinstance(message, StorageStatus):
                node = self._node
                self._core = Election(node.id, message, node.timing, self._started, now, self.world.random.random)
            return  # what comes before is neither granted nor acknowledged (S7)
        if isinstance(message, Pong):
            core.pong(REPLICATION if sender else STORAGE, message, now)
            return
        if incarnation:
            self._routes[sender] = incarnation
        self.world.note(self.name, message)
        self._note_decision(message)
        self._do(core.step(message, now, sender))  # type: ignore[arg-type]  # whatever the control plane may carry

    def _tell_of_ballot(self, message: object) -> None:
        """The adversary hears once of each ballot, and once of its votes."""
        if isinstance(message, PreVote | Vote):
            what = "campaigning" if isinstance(message, PreVote) else "asking"
            if self._told != (what, message.ballot):
                self._told = what, message.ballot
                self._node.cluster.happened(what, self._node)

    def _check_transfer(self, to: int, message: object) -> None:
        node, invariants = self._node, self._node.cluster.invariants
        if isinstance(message, TimeoutNow):
            require(node.page.lease is None, "S8: who hands over has cleared its lease", node=node.id)
            invariants.handed_over(message.term, to)
            node.successor = to
            node.cluster.happened("handing over", node)
        elif isinstance(message, Vote) and message.transfer:
            invariants.asked_by_transfer(node.id, message.term)

    def _note_decision(self, message: object) -> None:
        """Only a refusal takes a grant back (S7)."""
        match message:
            case VoteQueryAnswer(term, candidate, granted=False, durable=True):
                grant = term, candidate
            case CampaignAnswer(term, granted=False):
                grant = term, self._node.id
            case _:
                return
        if grant in self._granted:
            self._granted.remove(grant)

    def _do(self, effects: list[Effect]) -> None:
        node, trio = self._node, self._trio
        for effect in effects:
            self.survive()
            match effect:
                case Send(to, message):
                    self._tell_of_ballot(message)
                    self._check_transfer(to, message)
                    answers = self._routes.get(to, 0) if isinstance(message, ANSWERS) else None
                    node.send(Plane.CONTROL, to, message, answers)
                case ToStorage(message):
                    if isinstance(message, Campaign) or (isinstance(message, VoteQuery) and message.durable):
                        require(node.page.lease is None, "S7: who grants has cleared its lease", node=node.id)
                        candidate = message.candidate if isinstance(message, VoteQuery) else node.id
                        self._granted.append((message.term, candidate))
                        node.cluster.happened("voting", node)
                    trio.election_to_storage.send(message)
                case ToReplication(message):
                    if isinstance(message, Lead):
                        node.cluster.on_elected(node)
                    trio.election_to_replication.send(message)
                case ToGateway(_, message):
                    trio.election_to_gateway.send(message)
                case PublishLease(lease):
                    self._publish_lease(lease)
                case PublishRole(role, why):
                    self.world.note(self.name, f"{role.role} t{role.term} leader {role.leader}: {why}")
                    node.page.role = role
                    if role.role == LEADER:
                        above = [grant for grant in self._granted if grant[0] > role.term]
                        require(not above, "S7: who leads has granted nothing above", term=role.term, granted=above)
                        node.cluster.invariants.elected(node.id, role.term, self.world.now)
                case Notice(text):
                    self.world.note(self.name, f"  tells: {text}")
                case Ignored(reason):
                    self.world.note(self.name, f"  ignored: {reason}")
