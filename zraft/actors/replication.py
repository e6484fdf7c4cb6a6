"""The replication actor: the data plane towards every storage, around ``core.replication``."""

from __future__ import annotations

import contextlib

import zmq

from zraft.actors import metrics
from zraft.actors.beat import Beat
from zraft.actors.clock import clock
from zraft.actors.identity import Identity, seal
from zraft.actors.launch import Launch, StopSignal
from zraft.actors.logs import Logger
from zraft.actors.peers import MESSAGES_PER_DRAIN, PeerLinks, peers_of
from zraft.actors.snapshot_source import SnapshotSource
from zraft.actors.sockets import LOCAL_MESSAGES_MAX, Frames, Sockets, drain, poll, send, taken
from zraft.core.audit import Divergence
from zraft.core.effects import Ignored, Send, ToStorage
from zraft.core.progress import Forgot
from zraft.core.replication import Effect, Message, PublishCommit, Refuse, Replication, ToElection
from zraft.core.streaming import SendChunk
from zraft.core.terms import require_near
from zraft.core.versions import LeftBehind
from zraft.errors import CorruptSnapshot, ProtocolError
from zraft.protocol import codec
from zraft.protocol.entries import Configuration, Member
from zraft.protocol.local import Lead, Members, Ping
from zraft.protocol.peer import Append, AppendAnswer, Commit, Diverged, InstallAnswer, InstallSnapshot
from zraft.store.directory import DataDirectory
from zraft.store.page import Group


def run(launch: Launch, stop: StopSignal, logger: Logger) -> None:
    """The body of the replication process."""
    with contextlib.closing(ReplicationActor(launch, logger)) as actor:
        actor.run(stop)


class ReplicationActor:
    """Polls, decodes, steps the core, flushes it once for all that came, carries out its effects."""

    def __init__(self, launch: Launch, logger: Logger) -> None:
        settings = launch.settings
        self._logger = logger
        self._window = (settings.window_entries, settings.window_bytes)
        self._incarnation = launch.incarnation
        self._local = codec.incarnation_frame(launch.incarnation)
        self._page = launch.open_page()
        self._beat = Beat(self._page, "replication")
        self._depth = metrics.queue_depth("replication", "messages")
        self._appends = metrics.queue_depth("replication", "appends")
        self._page.clear(Group.COMMIT)
        self._sockets = Sockets()
        self._poller = zmq.Poller()
        self._election = self._sockets.bind_local(launch.endpoint("replication.election"))
        self._storage = self._sockets.connect_local(launch.endpoint("storage.replication"))
        self._gateways = self._sockets.bind_router(launch.endpoint("replication.gateways"), LOCAL_MESSAGES_MAX)
        for socket in (self._election, self._storage, self._gateways):
            self._poller.register(socket, zmq.POLLIN)
        self._settings = settings
        self._links = PeerLinks(self._sockets, self._poller, settings.peer_addresses(), 1)
        self._rate = settings.snapshot_rate_mib << 20
        self._core = Replication(0, self._window, self._rate)
        self._members: tuple[Member, ...] = ()  # to whom the links lead
        self._source = SnapshotSource(DataDirectory(settings.data_path()).snapshots_path)
        self._identity: Identity | None = None
        self._proposer = b""
        self._linked_at = -1  # which publication of the members the links follow

    def run(self, stop: StopSignal) -> None:
        """Work until asked to stop."""
        self._poller.register(stop.fileno(), zmq.POLLIN)
        while not stop.requested:
            wake = self._links.refresh(clock())
            deadline = self._core.next_deadline()
            wake = wake if deadline is None else min(wake, deadline)
            events = poll(self._poller, wake - clock())
            self._take(events)
            now = clock()
            self._do(self._core.tick(now))
            effects = self._core.flush(now)
            if effects:
                self._do(effects)
                self._appends.see(self._core.in_flight)
            if self._source.is_open:
                self._source.keep(self._core.streamed())
            if not self._core.term:
                self._link_ahead()
            self._depth.see(taken())
            metrics.reporter.tick(now)
            self._beat.tick(now)

    def close(self) -> None:
        """Close all sockets."""
        self._links.close()
        self._source.keep(set())
        self._sockets.close()

    def _take(self, events: dict[object, int]) -> None:
        if self._election in events:
            for incarnation, frame in drain(self._election, MESSAGES_PER_DRAIN):
                if incarnation == self._local:
                    self._on_election(frame)
        now = clock()
        if self._storage in events:
            for incarnation, frame in drain(self._storage, MESSAGES_PER_DRAIN):
                if incarnation == self._local:
                    self._step(codec.storage_to_replication.decode(frame), now, self._core.me)
        for _, frames in self._links.arrived(events):
            self._on_answer(frames, now)
        if self._gateways in events:
            for route, incarnation, frame in drain(self._gateways, MESSAGES_PER_DRAIN):
                if incarnation == self._local:
                    self._proposer = route
                    self._step(codec.gateway_to_replication.decode(frame), now, self._core.me)

    def _on_election(self, frame: bytes) -> None:
        message = codec.election_to_replication.decode(frame)
        if isinstance(message, Ping):
            send(self._election, [self._local, codec.encode(self._core.pong(message, clock()))])
            return
        if isinstance(message, Lead):
            if self._identity is None:
                self._meet_cluster(message)
            self._members = ()
            self._meet_members(message.configuration)
        self._step(message, clock(), self._core.me)

    def _meet_members(self, configuration: Configuration) -> None:
        """Follow a change of members. Those of before are still linked to: who was removed is to hear of it."""
        if self._identity is None:
            return
        stay = [one for one in self._members if not (configuration.member(one.id) or configuration.named(one.name))]
        linked = Configuration(configuration.index, (*configuration.members, *stay))
        self._members = configuration.members
        self._identity.meet(linked)
        self._links.follow(peers_of(self._settings, linked))

    def _link_ahead(self) -> None:
        """While another node leads: be linked to all members, so that the first Appends of a leader arrive."""
        sequence = self._page.sequence(Group.IDENTITY)
        if sequence != self._linked_at and (page := self._page.load(Group.IDENTITY)) is not None:
            self._linked_at = sequence
            self._links.follow(peers_of(self._settings, codec.identity_group.decode(page).configuration))

    def _meet_cluster(self, message: Lead) -> None:
        """Who this node is stands on the page since storage opened the log; a leader has been through that."""
        page = self._page.load(Group.IDENTITY)
        if page is None:
            raise ProtocolError("elected before storage published who this node is")
        identity = codec.identity_group.decode(page)
        self._identity = Identity(identity.member, identity.cluster, message.configuration, self._incarnation)
        addresses = self._settings.member_addresses()
        # What was refused before is not to be made now (S9).
        self._core = Replication(identity.member, self._window, self._rate, addresses, seen=self._core.seen)

    def _on_answer(self, frames: Frames, now: float) -> None:
        try:
            head, frame = frames
            if self._identity is None:
                return
            sender = self._identity.check_answer(head, frame).sender
            message = codec.data.decode(frame)
            if not isinstance(message, AppendAnswer | InstallAnswer):
                return
            require_near(message, self._core.term)
        except (ProtocolError, ValueError) as error:
            self._logger.every(10, "answer dropped", reason=str(error))
            return
        self._step(message, now, sender)

    def _step(self, message: Message, now: float, sender: int) -> None:
        self._do(self._core.step(message, now, sender))

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    self._send(effect.to, effect.message)
                case SendChunk():
                    self._send_chunk(effect)
                case ToStorage():
                    send(self._storage, [self._local, codec.encode(effect.message)])
                case PublishCommit():
                    self._page.publish(Group.COMMIT, codec.encode(effect.group))
                case Refuse():
                    send(self._gateways, [self._proposer, self._local, codec.encode(effect.message)])
                case ToElection():
                    if isinstance(effect.message, Members):
                        self._meet_members(effect.message.configuration)
                    send(self._election, [self._local, codec.encode(effect.message)])
                case Divergence():
                    self._alarm(effect)
                case LeftBehind():
                    self._tell_of(effect)
                case Forgot():
                    self._tell_of_loss(effect)
                case Ignored():
                    pass

    def _alarm(self, found: Divergence) -> None:
        """Replicas differ: an operator must look, before more is written on top of it."""
        metrics.divergences.inc()
        digests = {self._name_of(member): f"{digest:016x}" for member, digest in found.digests}
        if found.majority is None:
            self._logger.error("replicas differ, and no majority agrees", index=found.index, digests=digests)
            return
        differ = [self._name_of(member) for member in found.members]
        self._logger.error("replicas differ from the majority", index=found.index, differ=differ, digests=digests)

    def _tell_of(self, left: LeftBehind) -> None:
        """A member gets no more entries: only an operator can help, and the member's old code can't even say so."""
        name = self._name_of(left.member)
        self._logger.every(10, f"{name} is left behind: upgrade zraft on it", knows=left.announced, needs=left.needed)

    def _tell_of_loss(self, lost: Forgot) -> None:
        """Its copies were counted, and may have made a majority: what it acknowledged may be on too few disks now."""
        name = self._name_of(lost.member)
        text = f"{name} lost entries that it had acknowledged: was its disk taken back? Stop it, and replace it"
        self._logger.every(10, text, acknowledged=lost.acknowledged, has=lost.has)

    def _name_of(self, member: int) -> str:
        return self._identity.name_of(member) if self._identity else f"{member:016x}"

    def _send_chunk(self, chunk: SendChunk) -> None:
        """A piece of a snapshot, read and checked now; one that can't be is never sent (trap 30)."""
        try:
            message = self._source.message(chunk)
        except (CorruptSnapshot, OSError) as error:
            self._logger.every(10, "a snapshot can't be sent, and another one is asked for", why=str(error))
            self._core.on_damaged(chunk.to, chunk.snapshot.checksum)
            return
        self._send(chunk.to, message)

    def _send(self, member: int, message: Append | Commit | InstallSnapshot | Diverged) -> None:
        identity = self._identity
        if identity is None:
            return
        if isinstance(message, Append):
            metrics.append_entries.inc()
        self._links.send(identity.name_of(member), seal(identity.header_to(member), codec.encode(message)))
