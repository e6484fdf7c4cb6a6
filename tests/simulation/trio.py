"""Election, replication and storage of one incarnation of a node: the real cores in simulated processes."""

from collections import deque
from typing import TYPE_CHECKING

from tests.simulation.actors import DRIFT, Actor, Pipe
from tests.simulation.network import Plane
from zraft.core import election, replication
from zraft.core.acceptor import Acceptor, Question, Reply
from zraft.core.applier import Applier, Outcome
from zraft.core.effects import Ignored, Send, ToGateway, ToReplication, ToStorage
from zraft.core.election import LEADER, REPLICATION, STORAGE, Election, PublishRole
from zraft.core.replication import PublishCommit, Refuse, Replication, ToElection
from zraft.protocol import codec
from zraft.protocol.local import (
    Applied,
    AppliedTerm,
    CampaignAnswer,
    CommitGroup,
    Lead,
    Ping,
    Pong,
    Register,
    Registered,
    Results,
    StatusQuery,
    StorageStatus,
    VoteQueryAnswer,
    WaitApplied,
)
from zraft.protocol.peer import Append, AppendAnswer, Commit, HeartbeatAnswer, PreVoteAnswer, VoteAnswer

if TYPE_CHECKING:
    from tests.simulation.node import Node

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

    def receive(self, message: object, sender: int, incarnation: int = 0) -> None:
        self._inbox.append((message, sender, incarnation))
        self.wake()

    def idle(self) -> bool:
        return not self._inbox

    def deadline(self) -> float | None:
        return self._core.next_deadline() if self._core else None

    def turn(self) -> None:
        while self._inbox:
            self._handle(*self._inbox.popleft())
        now = self.clock.now()
        if self._core is not None and now >= self._core.next_deadline():
            self._do(self._core.tick(now))
        self._note_lease()

    def _note_lease(self) -> None:
        """What a leader lease would rest on: the newest round that a majority answered."""
        rounds = self._core._rounds if self._core else None
        if rounds is not None and rounds.confirmed:
            lasts = self._node.timing.election_min * (1 - DRIFT) / (1 + DRIFT)
            until = self.clock.world_time(rounds.confirmed_sent + lasts)
            self._node.cluster.invariants.leased(rounds.term, until)

    def _handle(self, message: object, sender: int, incarnation: int) -> None:
        now = self.clock.now()
        core = self._core
        if core is None:
            if isinstance(message, StorageStatus):
                node = self._node
                self._core = Election(node.id, message, node.timing, self._started, now, self.world.random.random)
            return  # what comes before is neither granted nor acknowledged (S7)
        if isinstance(message, Pong):
            self._do(core.pong(REPLICATION if sender else STORAGE, message, now))
            return
        if incarnation:
            self._routes[sender] = incarnation
        self.world.note(self.name, message)
        self._do(core.step(message, now, sender))  # type: ignore[arg-type]  # whatever the control plane may carry

    def _do(self, effects: list[election.Effect]) -> None:
        node, trio = self._node, self._trio
        for effect in effects:
            match effect:
                case Send(to, message):
                    answers = self._routes.get(to, 0) if isinstance(message, ANSWERS) else None
                    node.send(Plane.CONTROL, to, message, answers)
                case ToStorage(message):
                    trio.election_to_storage.send(message)
                case ToReplication(message):
                    if isinstance(message, Lead):
                        node.cluster.on_elected(node, message)
                    trio.election_to_replication.send(message)
                case ToGateway(_, message):
                    trio.election_to_gateway.send(message)
                case PublishRole(role, why):
                    self.world.note(self.name, f"{role.role} t{role.term} leader {role.leader}: {why}")
                    node.page.role = role
                    if role.role == LEADER:
                        node.cluster.invariants.elected(node.id, role.term, self.world.now)
                case Ignored(reason):
                    self.world.note(self.name, f"  ignored: {reason}")


class ReplicationActor(Actor):
    """The data plane towards every storage."""

    def __init__(self, node: "Node", trio: "Trio") -> None:
        super().__init__(node.world, node.clock, f"{node.id} replication")
        self._node = node
        self._trio = trio
        self._inbox: deque[tuple[object, int]] = deque()
        self._core = Replication(node.id, node.window)
        self._before = 0

    def receive(self, message: object, sender: int) -> None:
        self._inbox.append((message, sender))
        self.wake()

    def idle(self) -> bool:
        return not self._inbox

    def deadline(self) -> float | None:
        return self._core.next_deadline()

    def turn(self) -> None:
        now = self.clock.now()
        while self._inbox:
            message, sender = self._inbox.popleft()
            if isinstance(message, Ping):
                self._trio.replication_to_election.send(Pong(message.number, 0, False, self._core.term))
                continue
            if isinstance(message, Lead):
                self._before = message.last.index
            self.world.note(self.name, message)
            self._do(self._core.step(message, now, sender))  # type: ignore[arg-type]
        self._do(self._core.tick(now))
        self._do(self._core.flush(now))

    def _do(self, effects: list[replication.Effect]) -> None:
        node, trio = self._node, self._trio
        for effect in effects:
            match effect:
                case Send(to, message):
                    self._check_told(message)
                    node.send(Plane.DATA, to, message)
                case ToStorage(message):
                    self._check_told(message)
                    trio.replication_to_storage.send(message)
                case PublishCommit(group):
                    self.world.note(self.name, group)
                    node.cluster.invariants.committed(node.id, group.term, self._before, group.commit)
                    node.page.commit = group
                    node.cluster.happened("committed", node)
                case ToElection(message):
                    trio.replication_to_election.send(message)
                case Refuse(message):
                    trio.replication_to_gateway.send(message)
                case Ignored(reason):
                    self.world.note(self.name, f"  ignored: {reason}")

    def _check_told(self, message: object) -> None:
        if isinstance(message, Append | Commit):
            page = self._node.page.commit or CommitGroup(0, 0)
            commit = message.commit if isinstance(message, Append) else message.index
            self._node.cluster.invariants.told(message.term, commit, (page.term, page.commit))


class StorageActor(Actor):
    """The acceptor and the state machine: takes, commits the log once, answers, applies a slice."""

    def __init__(self, node: "Node", trio: "Trio") -> None:
        super().__init__(node.world, node.clock, f"{node.id} storage")
        self._node = node
        self._trio = trio
        self._urgent: deque[object] = deque()
        self._inbox: deque[tuple[object, int, int]] = deque()
        self._staged: list[tuple[int, int, Reply | Pong]] = []
        self._gateway = 0  # the nonce of the one that registered
        self._waits: list[int] = []
        self.syncing = False
        self._acceptor = Acceptor(node.log, node.applied().index)
        self._applier = Applier(node.log, node.state, self._acceptor)

    def receive(self, message: object, sender: int, incarnation: int = 0) -> None:
        """From replication (sender 0) or, for another incarnation of its own, from a peer's."""
        self._inbox.append((message, sender, incarnation))
        self.wake()

    def receive_urgent(self, message: object) -> None:
        """From election, which never waits behind bulk data."""
        self._urgent.append(message)
        self.wake()

    def idle(self) -> bool:
        return not (self._urgent or self._inbox or self.syncing or self._applier.pending())

    def deadline(self) -> float | None:
        return None

    def turn(self) -> None:
        if self.syncing:
            self._answer()
            return
        self._take()
        self.syncing = self._node.log.dirty
        if self.syncing:
            self.busy(self.world.seldom_long(self._node.sync_seconds, 0.1, 0.01))
        else:
            self._answer()

    def crash(self) -> None:
        """The process dies; the disk may just have done what it was asked to."""
        self.alive = False
        if self.syncing and self.world.chance(0.5):
            self._node.log.commit()

    def _take(self) -> None:
        while self._urgent:
            message = self._urgent.popleft()
            if isinstance(message, Ping):
                pong = Pong(message.number, self._applier.done, self._applier.pending(), self._acceptor.term)
                self._staged.append((0, 0, pong))
            else:
                self._step(message, 0, 0)
        for _ in range(min(len(self._inbox), self.world.random.randint(1, 8))):
            message, sender, incarnation = self._inbox.popleft()
            if isinstance(message, Register | WaitApplied):
                self._meet_gateway(message)
            else:
                self._step(message, sender, incarnation)

    def _step(self, message: object, sender: int, incarnation: int) -> None:
        node = self._node
        self.world.note(self.name, message)
        effect = self._acceptor.step(message, sender or node.id)  # type: ignore[arg-type]
        self._acceptor.check_invariants()
        node.cluster.invariants.followed(node.id, self._acceptor.commit)
        if isinstance(effect, Ignored):
            self.world.note(self.name, f"  ignored: {effect.reason}")
        else:
            self._staged.append((sender, incarnation, effect.message))

    def _answer(self) -> None:
        """Everything that was staged is durable: it may be told."""
        node = self._node
        self.syncing = False
        node.log.commit()
        staged, self._staged = self._staged, []
        for sender, incarnation, answer in staged:
            if not isinstance(answer, Pong):
                self.world.note(self.name, answer)
            self._note_grant(answer)
            if sender:
                node.send(Plane.DATA, sender, answer, incarnation)
            elif isinstance(answer, AppendAnswer) or not isinstance(answer, Pong | StorageStatus | CampaignAnswer):
                self._to_own(answer)
            else:
                self._trio.storage_to_election.send(answer)
        self._apply()
        matches = [answer for _, _, answer in staged if isinstance(answer, AppendAnswer) and answer.success]
        if matches and matches[-1].match > node.cluster.invariants.commit:
            old = node.log.term_at(matches[-1].match) != matches[-1].term
            node.cluster.happened("caught up" if old else "stored", node)

    def _to_own(self, answer: Reply | Pong) -> None:
        pipes = self._trio
        (pipes.storage_to_election if isinstance(answer, VoteQueryAnswer) else pipes.storage_to_replication).send(answer)

    def _note_grant(self, answer: Reply | Pong) -> None:
        node = self._node
        if isinstance(answer, VoteQueryAnswer) and answer.durable and answer.granted:
            node.cluster.invariants.granted(node.id, answer.term, answer.candidate)
            node.cluster.happened("granted", node)
        elif isinstance(answer, CampaignAnswer) and answer.granted:
            node.cluster.invariants.granted(node.id, answer.term, node.id)
            node.cluster.happened("granted", node)

    def _apply(self) -> None:
        if not self._applier.pending():
            return
        steps = self.world.random.randint(1, 20)
        left = iter(range(steps))
        outcomes = self._applier.work(lambda: next(left, None) is None)
        self.busy(steps * 0.000_02)
        node = self._node
        node.cluster.invariants.applied(node.id, self._acceptor.applied, node.applied_revision())
        self._tell(outcomes)

    def _tell(self, outcomes: list[Outcome]) -> None:
        pipe = self._trio.storage_to_gateway
        for outcome in outcomes:
            self.world.note(self.name, outcome)
            if isinstance(outcome, AppliedTerm):
                if self._gateway:
                    pipe.send(outcome)
                continue
            self._node.cluster.invariants.answered(outcome.index, outcome.results)
            if isinstance(outcome, Results) and outcome.origin.nonce == self._gateway:
                pipe.send(outcome)
        self._tell_applied()

    def _meet_gateway(self, message: Register | WaitApplied) -> None:
        if isinstance(message, WaitApplied):
            self._waits.append(message.index)
            self._tell_applied()
        else:
            fresh = self._gateway != message.nonce
            self._gateway = message.nonce
            self._trio.storage_to_gateway.send(Registered(fresh))

    def _tell_applied(self) -> None:
        applied = self._acceptor.applied
        if any(index <= applied for index in self._waits):
            self._waits = [index for index in self._waits if index > applied]
            self._trio.storage_to_gateway.send(Applied(applied))


class Trio:
    """The three actors of one incarnation, and the pipes between them and to the gateway."""

    def __init__(self, node: "Node", incarnation: int) -> None:
        self.incarnation = incarnation
        self._node = node
        self.election = election = ElectionActor(node, self)
        self.replication = replication = ReplicationActor(node, self)
        self.storage = storage = StorageActor(node, self)
        world = node.world
        self.election_to_storage = Pipe(world, codec.election_to_storage, storage.receive_urgent)
        self.storage_to_election = Pipe(world, codec.storage_to_election, lambda m: election.receive(m, 0))
        self.election_to_replication = Pipe(
            world, codec.election_to_replication, lambda m: replication.receive(m, node.id)
        )
        self.replication_to_election = Pipe(
            world, codec.replication_to_election, lambda m: election.receive(m, node.id)
        )
        self.replication_to_storage = Pipe(world, codec.replication_to_storage, lambda m: storage.receive(m, 0))
        self.storage_to_replication = Pipe(
            world, codec.storage_to_replication, lambda m: replication.receive(m, node.id)
        )
        self.gateway_to_replication = Pipe(
            world, codec.gateway_to_replication, lambda m: replication.receive(m, node.id)
        )
        self.gateway_to_election = Pipe(world, codec.gateway_to_election, lambda m: election.receive(m, 0))
        self.gateway_to_storage = Pipe(world, codec.gateway_to_storage, lambda m: storage.receive(m, 0))
        self.replication_to_gateway = Pipe(world, codec.replication_to_gateway, self._to_gateway)
        self.election_to_gateway = Pipe(world, codec.election_to_gateway, self._to_gateway)
        self.storage_to_gateway = Pipe(world, codec.storage_to_gateway, self._to_gateway)
        self.election_to_storage.send(StatusQuery())

    def actors(self) -> tuple[Actor, Actor, Actor]:
        return self.election, self.replication, self.storage

    def crash(self) -> None:
        self.storage.crash()
        for actor in self.actors():
            actor.alive = False

    def _to_gateway(self, message: object) -> None:
        # The gateway outlives us: what we said before we died may reach it after our successors have started (S1).
        self._node.gateway.receive(message, self.incarnation)
