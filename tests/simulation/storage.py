"""The simulated storage actor: takes, commits the log once, answers, applies a slice."""

import math
from collections import deque
from typing import TYPE_CHECKING, cast

from tests.simulation.actors import Actor, Died
from tests.simulation.gateway import GATEWAY
from tests.simulation.invariants import require
from tests.simulation.keeping import Keeper
from tests.simulation.network import Plane
from tests.simulation.snapshots import entry_of, version_of
from zraft.core.acceptor import Acceptor, Reply
from zraft.core.answers import Answers
from zraft.core.applier import Applier, Outcome
from zraft.core.audience import Audience
from zraft.core.belonging import Told
from zraft.core.effects import Answer, Ignored
from zraft.core.installation import Discard, Effect, Install, Installation, Stage, Verify, WriteChunk
from zraft.core.records import CONFIGURATION, read_configuration
from zraft.core.room import EXHAUSTED, Room
from zraft.errors import OutOfSpace, StateDiverged
from zraft.protocol.local import (
    CampaignAnswer,
    Keep,
    Ping,
    Pong,
    Read,
    ReadAnswer,
    Register,
    Results,
    StorageToGateway,
    VoteQueryAnswer,
    WaitApplied,
)
from zraft.protocol.peer import Append, AppendAnswer, Checkpoint, Diverged, InstallAnswer, InstallSnapshot, SnapshotId

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.trio import Trio


Destination = tuple[int, int]
"""(sender, incarnation) of what is answered; sender 0: an actor of this node."""
OUT_OF_SPACE_SECONDS = 1.0
FORGETTING = 0.000_5
"""So often the gateway's queue is full, and what is told to it gets lost until it registers again."""
SLOW_SLICES = 0.3
SLICE_SECONDS_MAX = 0.02
CHECKPOINT_ENTRIES = 8
"""A run is short: with a real node's distance few would reach any checkpoint."""


class _Acceptor(Acceptor):
    """Tells of a state that went wrong."""

    def __init__(self, node: "Node", applied: int) -> None:
        super().__init__(node.log, applied, node.supported)
        self._node = node

    def note_checkpoint(self, checkpoint: Checkpoint) -> None:
        super().note_checkpoint(Checkpoint(checkpoint.index, checkpoint.digest ^ self._node.wrong))


class StorageActor(Actor):
    """The acceptor and the state machine: takes, commits the log once, answers, applies a slice."""

    def __init__(self, node: "Node", trio: "Trio") -> None:
        super().__init__(node.world, node.clock, f"{node.id} storage")
        self._node = node
        self._trio = trio
        self._urgent: deque[object] = deque()
        self._inbox: deque[tuple[object, int, int]] = deque()
        self._staged = Answers[Destination]()
        self._audience = Audience[str]()
        self.syncing = False
        self._installation = Installation()
        self._sender = (0, 0)  # of the snapshot that is on its way in
        self._verdict: bool | None = None  # what came of checking it
        self._installing: SnapshotId | None = None  # its log transaction is being made durable
        self._keeper = Keeper(node, self.name)
        self._room = Room()
        self._blocked_until = -math.inf  # apply has no room, and tries again then
        self._acceptor = _Acceptor(node, node.applied().index)
        self._acceptor.offer = node.snapshots.newest()
        self._applier = Applier(node.log, node.state, self._acceptor, CHECKPOINT_ENTRIES)
        self._told = Told(self._acceptor)

    def receive(self, message: object, sender: int, incarnation: int = 0) -> None:
        """From replication (sender 0) or, for another incarnation of its own, from a peer's."""
        self._inbox.append((message, sender, incarnation))
        self.met()

    def receive_urgent(self, message: object) -> None:
        """From election, which never waits behind bulk data."""
        self._urgent.append(message)
        self.met()

    def on_death(self) -> None:
        self._node.actor_died(self._trio)

    def idle(self) -> bool:
        can_apply = self._applier.pending() and self.clock.now() >= self._blocked_until
        return not (self._urgent or self._inbox or self.syncing or can_apply or self._verdict is not None)

    def deadline(self) -> float | None:
        return self._blocked_until if self._applier.pending() else None

    def turn(self) -> None:
        if self.syncing:
            self._answer()
            return
        if self._verdict is not None:
            self._on_verdict()
        if self._installing is None:
            self._take()
        self.syncing = self._node.log.dirty
        if self.syncing:
            self.busy(self._node.sync_takes())
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
                self._staged.add((0, 0), self._applier.pong(message, self._room.starved))
            else:
                self._step(message, 0, 0)
        for _ in range(min(len(self._inbox), self.world.random.randint(1, 8))):
            message, sender, incarnation = self._inbox.popleft()
            if isinstance(message, Register | WaitApplied):
                self._meet_gateway(message)
            elif isinstance(message, Keep):
                self._keeper.keeping.hold(message.index, self.clock.now())
            elif isinstance(message, InstallSnapshot):
                self._on_chunk(message, sender, incarnation)
            else:
                if (
                    isinstance(message, Read)
                    and self._acceptor.offer
                    and message.damaged == self._acceptor.offer.checksum
                ):
                    self._keeper.keeping.lost(self.clock.now())
                    self._acceptor.offer = self._keeper.take(self._acceptor.offer)
                self._step(message, sender, incarnation)

    def _step(self, message: object, sender: int, incarnation: int) -> None:
        node = self._node
        self.world.note(self.name, message)
        if isinstance(message, Append):
            admitted = self._room.admit(message, node.space == EXHAUSTED, node.log)
            if admitted is None:
                self.world.note(self.name, "  refused: no room")
                self._staged.add((sender, incarnation), self._acceptor.alive())
                return
            message = admitted
        before = self._acceptor.commit
        try:
            effect = self._acceptor.step(message, sender or node.id)  # type: ignore[arg-type]
        except StateDiverged:
            node.condemn(cast(Diverged, message))
            raise Died from None
        self._acceptor.check_invariants()
        node.cluster.invariants.followed(node.id, before, self._acceptor.commit)
        if isinstance(effect, Ignored):
            self.world.note(self.name, f"  ignored: {effect.reason}")
        elif effect is not None:
            node.cluster.invariants.decided(node.id, effect.message)
            self._staged.add((sender, incarnation), effect.message)

    def _answer(self) -> None:
        """Everything that was staged is durable: it may be told."""
        node = self._node
        self.survive()
        if self.syncing and node.disk_fails:
            node.halt()
            raise Died
        self.syncing = False
        node.log.commit()
        if self._installing is not None:
            self._swap(self._installing)
        staged = self._staged.take()
        for (sender, incarnation), answer in staged:
            self.survive()
            self._send(sender, incarnation, answer)
            self._note_grant(answer)
        matches = [answer for _, answer in staged if isinstance(answer, AppendAnswer) and answer.success]
        if matches and matches[-1].match > node.cluster.invariants.commit:
            old = node.log.term_at(matches[-1].match) != matches[-1].term
            node.cluster.happened("caught up" if old else "stored", node)
        self._apply()
        self._follow_members()

    def _send(self, sender: int, incarnation: int, answer: Reply | Pong) -> None:
        if not isinstance(answer, Pong):
            self.world.note(self.name, answer)
        if sender:
            self._node.send(Plane.DATA, sender, answer, incarnation)
        elif isinstance(answer, AppendAnswer | ReadAnswer):
            self._trio.storage_to_replication.send(answer)
        else:
            self._trio.storage_to_election.send(answer)

    def _note_grant(self, answer: Reply | Pong) -> None:
        node = self._node
        if isinstance(answer, VoteQueryAnswer) and answer.durable and answer.granted:
            node.cluster.invariants.granted(node.id, answer.term, answer.candidate)
            node.cluster.happened("granted", node)
        elif isinstance(answer, CampaignAnswer) and answer.granted:
            node.cluster.invariants.granted(node.id, answer.term, node.id)
            node.cluster.happened("granted", node)

    # --- snapshots

    def _on_chunk(self, message: InstallSnapshot, sender: int, incarnation: int) -> None:
        self.world.note(self.name, message)
        to = sender, incarnation
        refused = self._acceptor.admit(message, sender, self._node.space == EXHAUSTED)
        self._acceptor.check_invariants()
        if refused is not None:
            self._staged.add(to, refused.message)
            return
        self._sender = to
        answers = self._install_effects(self._installation.on_chunk(message, self._acceptor.term))
        for answer in self._acceptor.answers_to(message, answers):
            self._staged.add(to, answer)

    def _install_effects(self, effects: list[Effect]) -> list[InstallAnswer]:
        """Carry them out; returns what they answer."""
        node, term, answers = self._node, self._acceptor.term, list[InstallAnswer]()
        for effect in effects:
            self.survive()
            match effect:
                case Answer(answer):
                    answers.append(answer)
                case Ignored(reason):
                    self.world.note(self.name, f"  ignored: {reason}")
                case Stage() if node.space == EXHAUSTED:
                    self._installation = Installation()  # asked again, it tries again
                    break
                case Stage(snapshot):
                    held = node.snapshots.stage(snapshot)
                    answers += self._install_effects(self._installation.staged(held, term))
                case WriteChunk(offset, data):
                    node.snapshots.write(offset, data)
                    node.cluster.happened("staging", node)
                case Verify(snapshot):
                    self.world.after(self.world.seldom_long(0.003, 0.3), self._verify, snapshot)
                case Discard():
                    node.snapshots.discard()
                case Install(snapshot):
                    self._install(snapshot)
                    answers.append(InstallAnswer(self._acceptor.term, snapshot, snapshot.size, installed=True))
        return answers

    def _verify(self, snapshot: SnapshotId) -> None:
        """The thread, at its end."""
        if not self.alive or self._node.trio is not self._trio:
            return
        snapshots = self._node.snapshots
        sound = snapshots.sound(snapshot)
        if sound and version_of(bytes(snapshots.bytes)) > self._node.supported:
            self.world.note(self.name, "gives the snapshot up: its code does not know the version")
            self._installation = Installation()
            return
        self._verdict = sound
        self.wake()

    def _on_verdict(self) -> None:
        sound, self._verdict = bool(self._verdict), None
        self.world.note(self.name, f"the snapshot is {'sound' if sound else 'damaged'}")
        for answer in self._install_effects(self._installation.verified(sound, self._acceptor.term)):
            self._staged.add(self._sender, answer)

    def _install(self, snapshot: SnapshotId) -> None:
        node = self._node
        if snapshot.index > self._acceptor.commit:  # else it has caught up by Appends in the meantime
            self.survive()
            node.prepare()
            node.cluster.happened("installing", node)
            self.survive()
            node.snapshots.adopt(snapshot)
            self.survive()
            state = node.next_state
            configuration = read_configuration(state.meta(CONFIGURATION)) if state else None
            self._acceptor.install(entry_of(snapshot), node.generation + 1, configuration)
            self._installing = snapshot

    def _swap(self, snapshot: SnapshotId) -> None:
        """The log begins behind the snapshot, durably."""
        node = self._node
        self.survive()
        self._installing = None
        node.open_next_state()
        node.wrong = 0  # it was the state that went
        node.snapshots.remove_older(snapshot)
        self._room = Room()
        self._applier = Applier(node.log, node.state, self._acceptor, CHECKPOINT_ENTRIES, self._applier.done)
        self._acceptor.offer = snapshot
        self._keeper.keeping.installed(snapshot.index)
        self.world.note(self.name, f"has installed the snapshot of {snapshot.index}")
        node.cluster.invariants.applied(node.id, node.applied_state(), self._acceptor.cluster_version)
        node.cluster.installs += 1
        node.cluster.happened("installed", node)
        self.survive()
        self._tell_gateway(self._audience.skipped())
        self._tell_gateway(self._audience.tell([], self._acceptor.applied))

    def _follow_members(self) -> None:
        news = self._told.news()
        if news is not None:
            self._trio.storage_to_election.send(news)

    def _apply(self) -> None:
        newest = self._acceptor.offer
        is_news = newest is None or self._node.applied().index > newest.index  # as core.log_keeping has it
        if is_news and not self.syncing and self.world.chance(self._node.snapshot_chance):
            self._acceptor.offer = self._keeper.take(self._acceptor.offer)
        if not self.syncing:
            self._keeper.cut()
        if not self._applier.pending() or self.clock.now() < self._blocked_until:
            return
        steps, seconds = self._pace(self.world.random.randint(1, 20))
        left = iter(range(steps))
        try:
            outcomes = self._applier.work(lambda: next(left, None) is None)
        except OutOfSpace as error:
            self._applier.forget()
            self._blocked_until = self.clock.now() + OUT_OF_SPACE_SECONDS
            self.world.note(self.name, f"  apply waits: {error}")
            return
        self.busy(seconds)
        node = self._node
        node.cluster.invariants.applied(node.id, node.applied_state(), self._acceptor.cluster_version)
        self.survive()
        self._tell(outcomes)

    def _pace(self, steps: int) -> tuple[int, float]:
        """(steps, seconds) of one slice of work; a slow one, where reads begin at any time, ends after its first."""
        reads = self._node.cluster.reads
        if self._node.cluster.reads_at_any_time and reads.random() < SLOW_SLICES:
            return 1, reads.uniform(0, SLICE_SECONDS_MAX)
        return steps, steps * 0.000_02

    def _tell(self, outcomes: list[Outcome]) -> None:
        if self.world.chance(FORGETTING):
            self._audience.forget(GATEWAY)
            self.world.note(self.name, "forgets the gateway, whose queue is full")
        applied = self._acceptor.applied
        for outcome in outcomes:
            self.world.note(self.name, outcome)
            if isinstance(outcome, Results):
                index, published = outcome.index, self._node.applied().index
                require(index <= published, "S10: results of what is published", index=index, applied=published)
                self._node.cluster.invariants.answered(index, outcome.results)
        self._tell_gateway(self._audience.tell(outcomes, applied))

    def _meet_gateway(self, message: Register | WaitApplied) -> None:
        if isinstance(message, Register):
            self._tell_gateway(self._audience.register(self.name, message))
        else:
            self._tell_gateway(self._audience.wait(self.name, message, self._acceptor.applied))

    def _tell_gateway(self, told: list[tuple[int, StorageToGateway]]) -> None:
        for _, message in told:
            self._trio.storage_to_gateway.send(message)
