"""The simulated replication actor: the data plane towards every storage around the real core."""

from collections import deque
from typing import TYPE_CHECKING

import google_crc32c

from tests.simulation.actors import Actor
from tests.simulation.invariants import require
from tests.simulation.network import Plane
from zraft.core.audit import Divergence
from zraft.core.effects import Ignored, Send, ToStorage
from zraft.core.progress import Forgot
from zraft.core.replication import Effect, PublishCommit, Refuse, Replication, ToElection
from zraft.core.streaming import SendChunk
from zraft.core.versions import LeftBehind
from zraft.protocol.local import CommitGroup, Lead, Members, Ping
from zraft.protocol.peer import Append, AppendAnswer, Commit, InstallAnswer, InstallSnapshot, SnapshotId

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.trio import Trio


class ReplicationActor(Actor):
    """The data plane towards every storage."""

    def __init__(self, node: "Node", trio: "Trio") -> None:
        super().__init__(node.world, node.clock, f"{node.id} replication")
        self._node = node
        self._trio = trio
        self._inbox: deque[tuple[object, int]] = deque()
        self._core = Replication(node.id, node.window, supported=node.supported)
        self._before = 0
        self._open: dict[SnapshotId, bytes] = {}  # on their way: an open file can be read, whoever has removed it

    def receive(self, message: object, sender: int) -> None:
        self._inbox.append((message, sender))
        self.met()

    def on_death(self) -> None:
        self._node.actor_died(self._trio)

    def idle(self) -> bool:
        return not self._inbox

    def deadline(self) -> float | None:
        return self._core.next_deadline()

    def turn(self) -> None:
        now = self.clock.now()
        while self._inbox:
            message, sender = self._inbox.popleft()
            if isinstance(message, Ping):
                self._trio.replication_to_election.send(self._core.pong(message, now))
                continue
            if isinstance(message, Lead):
                self._before = message.last.index
            self.world.note(self.name, message)
            self._do(self._core.step(message, now, sender))  # type: ignore[arg-type]
            if isinstance(message, AppendAnswer | InstallAnswer):
                self._check_match(sender)
            if isinstance(message, AppendAnswer):
                self._node.cluster.invariants.checkpointed(
                    sender, message.checkpoint, sender in self._node.cluster.wrongs.ever
                )
        self._do(self._core.tick(now))
        self._do(self._core.flush(now))
        streamed = self._core.streamed()
        self._open = {snapshot: data for snapshot, data in self._open.items() if snapshot.index in streamed}

    def _do(self, effects: list[Effect]) -> None:
        node, trio = self._node, self._trio
        for effect in effects:
            self.survive()
            match effect:
                case Send(to, message):
                    self._check_told(message)
                    node.send(Plane.DATA, to, message)
                case SendChunk():
                    self._send_chunk(effect)
                case ToStorage(message):
                    self._check_told(message)
                    trio.replication_to_storage.send(message)
                case PublishCommit(group):
                    self.world.note(self.name, group)
                    lead = self._core._lead
                    voters = lead.membership.configuration.voters() if lead else frozenset()  # not what it counts by
                    node.cluster.invariants.committed(node.id, group.term, self._before, group.commit, voters)
                    node.page.commit = group
                    node.cluster.happened("committed", node)
                case ToElection(message):
                    self.world.note(self.name, message)
                    trio.replication_to_election.send(message)
                    if isinstance(message, Members):
                        node.cluster.invariants.in_force(message.configuration)
                        node.cluster.happened("configured", node)
                case Refuse(message):
                    trio.replication_to_gateway.send(message)
                case Divergence():
                    node.cluster.wrongs.found(effect)
                case LeftBehind():
                    self.world.note(self.name, effect)
                case Forgot(member, acknowledged, has):
                    require(False, "no storage forgets", node=member, acknowledged=acknowledged, has=has)
                case Ignored(reason):
                    self.world.note(self.name, f"  ignored: {reason}")

    def _send_chunk(self, chunk: SendChunk) -> None:
        data = b""
        if chunk.size:
            whole = self._open.get(chunk.snapshot) or self._node.snapshots.read(chunk.snapshot)
            if whole is None:
                self._core.on_damaged(chunk.to, chunk.snapshot.checksum)
                return
            self._open[chunk.snapshot] = whole
            data = whole[chunk.offset : chunk.offset + chunk.size]
        message = InstallSnapshot(chunk.term, chunk.snapshot, chunk.offset, google_crc32c.value(data), data)
        self._node.send(Plane.DATA, chunk.to, message)

    def _check_match(self, member: int) -> None:
        lead = self._core._lead
        if lead is not None and member in lead.progress:
            match = lead.progress[member].match
            self._node.cluster.invariants.matched(self._node.id, lead.term, lead.before, member, match)

    def _check_told(self, message: object) -> None:
        if isinstance(message, Append | Commit):
            page = self._node.page.commit or CommitGroup(0, 0)
            commit = message.commit if isinstance(message, Append) else message.index
            self._node.cluster.invariants.told(message.term, commit, (page.term, page.commit))
