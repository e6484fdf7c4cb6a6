"""One node on the stage: it decides with the product's cores, and does nothing that the script does not say."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import google_crc32c

from tests.simulation.describe import describe
from tests.simulation.memory import MemoryLog
from zraft.core.acceptor import Acceptor
from zraft.core.belonging import Told
from zraft.core.effects import Answer, Ignored, Send, ToGateway, ToReplication, ToStorage
from zraft.core.election import Election
from zraft.core.installation import (
    Effect as InstallEffect,
    Install,
    Installation,
    Stage as StageSnapshot,
    Verify,
    WriteChunk,
)
from zraft.core.lease import PublishLease
from zraft.core.replication import Effect as ReplicationEffect, PublishCommit, Refuse, Replication, ToElection
from zraft.core.roles import Effect as ElectionEffect, PublishRole, Timing
from zraft.core.streaming import SendChunk
from zraft.core.versions import FIRST
from zraft.protocol.entries import ClusterRecord, EntryId, EntryKind, encode_entry
from zraft.protocol.local import Keep, LeaseGroup, Ping, ReadAnswer
from zraft.protocol.peer import Append, AppendAnswer, Commit, InstallAnswer, InstallSnapshot

if TYPE_CHECKING:
    from tests.conformance.stage import Stage

HEARTBEAT, SHORTEST, LONGEST = 0.050, 0.150, 0.250
"""Seconds. All members wait for 0.2 s before they campaign: the script says who is first."""


class Player:
    """One node: its three cores, its log, and the messages that wait for its storage."""

    def __init__(self, stage: Stage, member: int, record: ClusterRecord, terms: list[int]) -> None:
        self._stage = stage
        self.id = member
        self.log = MemoryLog(member)
        self.log.set_record(record, formed=True)
        self.log.append(1, [encode_entry(i, term, EntryKind.COMMANDS) for i, term in enumerate(terms, 1)])
        self.log.set_term(stage.term, 0)
        self.log.commit()
        self._start(started=0.0)

    def _start(self, started: float, applied: int = 0) -> None:
        stage = self._stage
        timing = Timing(HEARTBEAT, SHORTEST, LONGEST, stall_limit=1e9, lease=stage.lease)
        self.acceptor = Acceptor(self.log, applied)
        self._durable = applied  # what a crash leaves of what was applied: an install counts only when it is synced
        self._told = Told(self.acceptor)
        self.installation = Installation()
        self.replication = Replication(self.id, (stage.window, 32 << 20), supported=FIRST)  # no script tells of it
        self.election = Election(self.id, self.acceptor.status(), timing, started, stage.now, lambda: 0.5)
        self.election.tick(stage.now)  # the first pings; the next ones are due much later than any script ends
        self.waiting: deque[tuple[object, int]] = deque()
        self.staged: list[tuple[object, int]] = []

    def crash(self) -> None:
        """Lose what was not durable, and start again."""
        self.log.crash()
        self._start(started=self._stage.now, applied=self._durable)

    # --- storage

    def take(self) -> None:
        """Storage takes in all that waits for it; it says nothing yet."""
        while self.waiting:
            message, sender = self.waiting.popleft()
            if isinstance(message, Keep):
                self._stage.say(f"{self.id} takes {describe(message)}")  # the script itself says when a log is cut
                continue
            if isinstance(message, InstallSnapshot):
                self._stage.say(f"{self.id} takes {describe(message)}")
                self._take_piece(message, sender)
                continue
            effect = self.acceptor.step(message, sender or self.id)  # type: ignore[arg-type]
            self.acceptor.check_invariants()
            self._stage.say(f"{self.id} takes {describe(message)}")
            match effect:
                case Ignored(reason):
                    self._stage.say(f"  ignored: {reason}")
                case Answer(answer):
                    self.staged.append((answer, sender))

    def _take_piece(self, message: InstallSnapshot, sender: int) -> None:
        refused = self.acceptor.admit(message, sender, exhausted=False)
        if refused is not None:
            self.staged.append((refused.message, sender))
            return
        self._install(self.installation.on_chunk(message, self.acceptor.term), sender)

    def _install(self, effects: list[InstallEffect], sender: int) -> None:
        """What installation wants: nothing was staged before, and every snapshot is sound."""
        for effect in effects:
            match effect:
                case Answer(answer):
                    self.staged.append((answer, sender))
                case Ignored(reason):
                    self._stage.say(f"  ignored: {reason}")
                case StageSnapshot():
                    self._install(self.installation.staged(0, self.acceptor.term), sender)
                case WriteChunk(offset, data):
                    self._stage.say(f"  stages {len(data)} bytes at {offset}")
                case Verify():
                    self._install(self.installation.verified(True, self.acceptor.term), sender)
                case Install(snapshot):
                    last = EntryId(snapshot.index, snapshot.term)
                    self.acceptor.install(last, self.log.generation + 1, self._stage.configurations[snapshot])
                    self._stage.say(f"  installs the snapshot of {snapshot.index}/{snapshot.term}")
                    done = InstallAnswer(self.acceptor.term, snapshot, snapshot.size, installed=True)
                    self.staged.append((done, sender))

    def sync(self) -> None:
        """What was taken is durable: storage answers it, and applies what is committed."""
        self.log.commit()
        staged, self.staged = self.staged, []
        for answer, sender in staged:
            if sender and sender != self.id:
                self._stage.send(self.id, sender, answer)
            elif isinstance(answer, AppendAnswer | ReadAnswer):
                self._stage.say(f"{self.id}.storage->replication {describe(answer)}")
                self.replicate(self.replication.step(answer, self._stage.now, self.id))
            else:
                self._stage.say(f"{self.id}.storage->election {describe(answer)}")
                self.elect(self.election.step(answer, self._stage.now))  # type: ignore[arg-type]
        self._follow_members()
        if self.acceptor.commit > self.acceptor.applied:
            self.acceptor.applied_to(self.acceptor.commit)
            self._stage.say(f"{self.id} applies up to {self.acceptor.applied}")
        self._durable = self.acceptor.applied

    def _follow_members(self) -> None:
        status = self._told.news()
        if status is not None:
            configuration = status.configuration
            known = "committed" if configuration.index <= status.commit else "stored"
            named = (f"{member.id}{'' if member.voter else ' (learner)'}" for member in configuration.members)
            self._stage.say(f"{self.id}.storage->election members {', '.join(named)}: {known}")
            effects = self.election.step(status, self._stage.now)
            self.elect([effect for effect in effects if not isinstance(effect, Ignored)])  # no ballot waits for it

    # --- what comes from other nodes, and what the cores want

    def receive(self, message: object, sender: int) -> None:
        if isinstance(message, Append | Commit | InstallSnapshot):
            self.waiting.append((message, sender))
        elif isinstance(message, AppendAnswer | InstallAnswer):
            self.replicate(self.replication.step(message, self._stage.now, sender))
        else:
            self.elect(self.election.step(message, self._stage.now, sender))  # type: ignore[arg-type]

    def replicate(self, effects: list[ReplicationEffect]) -> None:
        """Do what a step of replication wants and, as the actor does, flush it."""
        for effect in (*effects, *self.replication.flush(self._stage.now)):
            match effect:
                case Send(to, message):
                    self._stage.send(self.id, to, message)
                case SendChunk(to, term, snapshot, offset, size):
                    data = bytes(size)
                    piece = InstallSnapshot(term, snapshot, offset, google_crc32c.value(data), data)
                    self._stage.send(self.id, to, piece)
                case ToStorage(message):
                    self._stage.say(f"{self.id}->storage {describe(message)}")
                    self.waiting.append((message, self.id))
                case PublishCommit(group):
                    self._stage.say(f"{self.id} publishes commit {group.commit} of t{group.term}")
                case ToElection(message):
                    self._stage.say(f"{self.id}.replication->election {describe(message)}")
                    self.elect(self.election.step(message, self._stage.now))
                case Refuse(message):
                    self._stage.say(f"{self.id} refuses #{message.origin.number}: {message.code}")
                case Ignored(reason):
                    self._stage.say(f"{self.id} ignores: {reason}")

    def elect(self, effects: list[ElectionEffect]) -> None:
        """Do what election wants; pings are left out, everybody is well."""
        for effect in effects:
            match effect:
                case ToStorage(Ping()) | ToReplication(Ping()):
                    pass
                case Send(to, message):
                    self._stage.send(self.id, to, message)
                case ToStorage(message):
                    self._stage.say(f"{self.id}->storage {describe(message)}")
                    self.waiting.append((message, 0))
                case ToReplication(message):
                    self._stage.say(f"{self.id}->replication {describe(message)}")
                    self.replicate(self.replication.step(message, self._stage.now, self.id))  # type: ignore[arg-type]
                case ToGateway(_, message):
                    self._stage.say(f"{self.id}->gateway {describe(message)}")
                case PublishRole(role, why):
                    self._stage.say(f"{self.id} is {describe(role)}: {why}")
                case PublishLease(None):
                    self._stage.say(f"{self.id} clears its lease")
                case PublishLease(LeaseGroup() as lease):
                    left = round((lease.end - self._stage.now) * 1000)
                    self._stage.say(f"{self.id} holds a lease of t{lease.term} for {left} ms")
                case Ignored(reason):
                    self._stage.say(f"{self.id} ignores: {reason}")
