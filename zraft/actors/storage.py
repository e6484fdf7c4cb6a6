"""The storage actor: the acceptor and the state machine of a node, around ``core.acceptor`` and ``core.applier``.

One turn: election's questions first, then a bounded number of Appends, one commit of the log for all of them (group
commit, S13), the answers, then a slice of apply. A vote never waits for bulk data, and its commit goes to ``log/``
while a transaction of ``state/`` may be open.
"""

from __future__ import annotations

import zmq

from zraft.actors import metrics
from zraft.actors.beat import Beat
from zraft.actors.clock import clock
from zraft.actors.holdings import Inventory
from zraft.actors.identity import Identity, seal
from zraft.actors.installing import Installing, Outcome, Prepared, remove_replaced
from zraft.actors.launch import Launch, StopSignal
from zraft.actors.logs import Logger
from zraft.actors.opening import open_for
from zraft.actors.results import ResultLinks
from zraft.actors.snapshots import Snapshots
from zraft.actors.sockets import LOCAL_MESSAGES_MAX, PEER_MESSAGES_MAX, Frames, Sockets, drain, poll, send, taken
from zraft.connection import tcp
from zraft.core.acceptor import Acceptor, Question
from zraft.core.answers import Answers
from zraft.core.applier import Applier
from zraft.core.belonging import Told
from zraft.core.catching_up import CatchingUp
from zraft.core.effects import Ignored
from zraft.core.room import ENOUGH, EXHAUSTED, LACKS, Room
from zraft.core.terms import require_leader, require_near
from zraft.errors import CorruptState, OutOfSpace, ProtocolError, StateDiverged
from zraft.protocol import codec
from zraft.protocol.local import IdentityGroup, Keep, Ping, Read, StorageGroup
from zraft.protocol.peer import Append, AppendAnswer, Commit, InstallAnswer, InstallSnapshot
from zraft.store.ahead import BlocksAhead
from zraft.store.directory import DataDirectory
from zraft.store.fault import record_divergence
from zraft.store.page import Group
from zraft.store.space import Space, Use

SLICE_SECONDS = 0.005
DRAIN_MESSAGES = 64
DRAIN_BYTES = 8 << 20
OUT_OF_SPACE_SECONDS = 1.0
READER_CHECK_SECONDS = 30.0
IDLE_SECONDS = 1.0

Destination = tuple[str, bytes, bytes]
"""(link, route, header): where an answer goes."""


def run(launch: Launch, stop: StopSignal, logger: Logger) -> None:
    """The body of the storage process."""
    actor = StorageActor(launch, logger)
    actor.run(stop)
    # Only now: to wait, after a failure, for a thread that prepares a snapshot would keep a failed sync from being told
    # (S13). The process ends at once instead, and the thread and the lock with it.
    actor.close()


class StorageActor:
    """Polls, decodes, steps the acceptor, commits, answers, applies."""

    def __init__(self, launch: Launch, logger: Logger) -> None:
        settings = launch.settings
        self._logger = logger
        self._local = codec.incarnation_frame(launch.incarnation)
        self._incarnation = launch.incarnation
        self._page = launch.open_page()
        self._beat = Beat(self._page, "storage")
        self._depth = metrics.queue_depth("storage", "messages")
        self._page.clear(Group.STORAGE)
        self._page.clear(Group.IDENTITY)
        self._sockets = Sockets()
        self._poller = zmq.Poller()
        # Bound before the stores are opened: a port that is taken is found out at once.
        self._data = self._sockets.bind_router(
            tcp(settings.host, settings.peer_port + 1), PEER_MESSAGES_MAX, setting="peer_port + 1 (data)"
        )
        self._election = self._sockets.bind_local(launch.endpoint("storage.election"))
        self._replication = self._sockets.bind_local(launch.endpoint("storage.replication"))
        gateways = self._sockets.bind_router(launch.endpoint("storage.gateways"), LOCAL_MESSAGES_MAX)
        for socket in (self._data, self._election, self._replication, gateways):
            self._poller.register(socket, zmq.POLLIN)
        self._gateways = ResultLinks(gateways, self._local)
        self._directory = directory = DataDirectory(settings.data_path())
        self._map_size = settings.map_size_gib << 30
        self._stores = open_for(launch, directory, logger)
        self._log, self._state = self._stores.log, self._stores.state
        applied = self._stores.applied.index
        self._acceptor = Acceptor(self._log, applied)
        self._applier = Applier(self._log, self._state, self._acceptor)
        self._installing = Installing(directory, logger)
        self._poller.register(self._installing.fileno(), zmq.POLLIN)
        self._sender: Destination = ("", b"", b"")  # of the snapshot that is on its way in
        self._ahead = BlocksAhead(directory.log_path)
        self._space = Space(directory.path, self._map_size, self._use)
        self._snapshots = Snapshots(launch, self._log, logger, self._poller)
        self._inventory = Inventory(
            self._log,
            self._state,
            self._snapshots.held,
            lambda: self._installing.progress(self._acceptor.applied),
        )
        self._catching_up = CatchingUp()
        self._identity: Identity | None = None
        self._told: Told | None = None  # none while there is nothing to tell
        self._published: tuple[object, ...] = ()
        self._room = Room()
        self._level = ENOUGH
        self._blocked_until = 0.0
        self._lacks_room = False  # apply found none
        self._next_reader_check = clock() + READER_CHECK_SECONDS

    def run(self, stop: StopSignal) -> None:
        """Work until asked to stop, then leave the state clean."""
        self._poller.register(stop.fileno(), zmq.POLLIN)
        self._meet_members()
        self._publish()
        while not stop.requested:
            events = poll(self._poller, self._patience())
            if self._snapshots.turn(self._state, self._acceptor.applied):
                self._installing.tidy(self._acceptor.applied)
            self._answer_all(events)
            if self._installing.fileno() in events:
                self._on_prepared(self._installing.finished(self._acceptor.term))
            self._gateways.take(events, self._acceptor.applied)
            self._apply()
            self._follow_members()
            self._publish()
            self._look_after_readers()
            self._depth.see(taken())
            now = clock()
            metrics.reporter.tick(now, self._measure)
            self._beat.tick(now)
        self._snapshots.close()
        self._stores.close_cleanly()

    def close(self) -> None:
        """Close the sockets; stores that were not closed cleanly stay marked as dirty."""
        self._installing.close()
        self._sockets.close()

    def _patience(self) -> float:
        if self._snapshots.cutting:
            return 0.0
        if not self._applier.pending():
            return IDLE_SECONDS
        return max(0.0, self._blocked_until - clock())

    # --- the acceptor's turn

    def _answer_all(self, events: dict[object, int]) -> None:
        """Step the acceptor through what has come, commit once, and only then answer (group commit)."""
        answers = Answers[Destination]()
        if self._election in events:
            for incarnation, frame in drain(self._election, DRAIN_MESSAGES):
                if incarnation == self._local:  # another incarnation's message is dropped (S1)
                    self._on_election(frame, answers)
        room = DRAIN_BYTES
        if self._replication in events:
            for incarnation, frame in drain(self._replication, DRAIN_MESSAGES):
                if incarnation == self._local:
                    message = codec.replication_to_storage.decode(frame)
                    room -= len(frame)
                    if isinstance(message, Keep):
                        self._snapshots.keeping.hold(message.index, clock())
                        continue
                    if isinstance(message, Read):
                        self._acceptor.offer = self._snapshots.offer_for(message)
                    self._step(message, self._log.member, ("replication", b"", b""), answers)
                    if room < 0:
                        break
        if self._data in events:
            for route, *frames in drain(self._data, DRAIN_MESSAGES):
                self._on_peer(route, frames, answers)
                room -= len(frames[-1]) if frames else 0
                if room < 0:
                    break
        if answers:
            self._commit_and_send(answers)

    def _on_election(self, frame: bytes, answers: Answers[Destination]) -> None:
        message = codec.election_to_storage.decode(frame)
        destination = ("election", b"", b"")
        if isinstance(message, Ping):
            answers.add(destination, self._applier.pong(message, self._room.starved))
            return
        self._step(message, self._log.member, destination, answers)
        if self._identity is None:
            self._meet_members()

    def _on_peer(self, route: bytes, frames: Frames, answers: Answers[Destination]) -> None:
        try:
            head, frame = frames
            if self._identity is None:
                return  # the cluster has not formed: there is no leader to follow
            header = self._identity.check(head, frame)
            message = codec.data.decode(frame)
            require_near(message, self._acceptor.term)
            require_leader(message, header.sender, (self._acceptor.term, self._acceptor.leader))
        except (ProtocolError, ValueError) as error:
            self._logger.every(10, "data message dropped", reason=str(error))
            return
        if isinstance(message, AppendAnswer | InstallAnswer):
            return
        to = ("data", route, self._identity.header_to(header.sender, header.incarnation))
        if isinstance(message, InstallSnapshot):
            self._on_chunk(message, header.sender, to, answers)
        else:
            self._step(message, header.sender, to, answers)

    def _step(self, message: Question, sender: int, to: Destination, answers: Answers[Destination]) -> None:
        if isinstance(message, Append) and message.entries:
            admitted = self._room.admit(message, self._space.exhausted(), self._log)
            if admitted is not message:
                self._logger.every(10, "append refused", reason=LACKS[EXHAUSTED])
            if admitted is None:
                answers.add(to, self._acceptor.alive())
                return
            message = admitted
        try:
            effect = self._acceptor.step(message, sender)
        except StateDiverged as error:
            raise self._condemned(error) from error
        if isinstance(effect, Ignored):
            if isinstance(message, Append):
                self._logger.every(10, "append ignored", reason=effect.reason)
            return
        if self._catching_up.lasts and isinstance(message, Append | Commit):
            self._catching_up.told(message.commit if isinstance(message, Append) else message.index)
        if effect is not None:
            answers.add(to, effect.message)

    def _condemned(self, error: StateDiverged) -> StateDiverged:
        """The node is to stay down with this state: put it on record, since each checksum of it is right."""
        try:
            record_divergence(self._directory, str(error))
        except OSError as failure:  # at the next start it will be told again
            self._logger.error("the divergence can't be put on record", why=str(failure))
        return error.within(self._directory.path)

    def _commit_and_send(self, answers: Answers[Destination]) -> None:
        self._log.commit()
        for (link, route, header), answer in answers.take():
            frame = codec.encode(answer)
            if link == "data":
                send(self._data, [route, *seal(header, frame)])
            else:
                send(self._election if link == "election" else self._replication, [self._local, frame])

    # --- a snapshot from the leader

    def _on_chunk(self, message: InstallSnapshot, sender: int, to: Destination, answers: Answers[Destination]) -> None:
        refused = self._acceptor.admit(message, sender, self._space.exhausted())
        if refused is not None:
            if isinstance(refused.message, AppendAnswer):  # it says no more than that this storage lives
                self._logger.every(10, "snapshot refused", reason="the disk's reserve is used up: make room")
            answers.add(to, refused.message)
            return
        self._sender = to
        outcome = self._installing.on_chunk(message, self._acceptor.term, self._stores.generation, self._log.record)
        for answer in self._acceptor.answers_to(message, outcome.answers):
            answers.add(to, answer)

    def _on_prepared(self, outcome: Outcome) -> None:
        """The thread is done with a snapshot: install it, if it was sound."""
        answers = Answers[Destination]()
        for answer in outcome.answers:
            answers.add(self._sender, answer)
        if outcome.ready is not None:
            self._install(outcome.ready)
            snapshot = outcome.ready.snapshot
            done = InstallAnswer(self._acceptor.term, snapshot, snapshot.size, installed=True)
            answers.add(self._sender, done)
        self._commit_and_send(answers)

    def _install(self, prepared: Prepared) -> None:
        """Go on from the snapshot; all that rests on the old state goes.

        The state is published before anybody is told that it is there, and whoever waits for results learns that they
        are lost before anything that comes behind them.
        """
        snapshot, old = prepared.snapshot, self._stores
        stores = self._installing.take_over(old, self._acceptor, prepared, self._map_size)
        if stores is None:
            return
        self._stores = stores
        self._room = Room()
        self._state = self._inventory.state = stores.state
        self._applier = Applier(self._log, stores.state, self._acceptor, done=self._applier.done)
        self._snapshots.installed(snapshot)
        self._publish()
        self._gateways.skipped()
        self._gateways.tell([], snapshot.index)
        self._logger.warning("the leader's snapshot is installed", index=snapshot.index, bytes=snapshot.size)
        remove_replaced(self._directory, old.generation, snapshot)

    # --- apply

    def _apply(self) -> None:
        """A slice of apply: so long, and no longer, does a vote wait for it."""
        now = clock()
        if not self._applier.pending() or now < self._blocked_until:
            return
        end = now + SLICE_SECONDS
        before = self._acceptor.applied
        try:
            outcomes = self._applier.work(lambda: clock() >= end)
        except OutOfSpace as error:
            # Lack of space blocks apply, it never changes it: an entry is applied whole, later.
            self._applier.forget()
            if self._lacks_room:  # the first time the state may have grown since
                self._blocked_until = clock() + OUT_OF_SPACE_SECONDS
                self._logger.every(10, "apply waits for space", reason=str(error))
            self._lacks_room = True
            return
        except CorruptState as error:
            raise error.within(self._directory.path) from error
        self._gateways.tell(outcomes, self._acceptor.applied)
        self._lacks_room = False
        metrics.apply_seconds.observe(clock() - now)
        metrics.committed_entries.inc(self._acceptor.applied - before)

    # --- what others may know

    def _meet_members(self) -> None:
        record = self._log.record
        if record is None:
            return
        configuration = self._acceptor.configuration()
        self._told = Told(self._acceptor)
        self._identity = Identity(self._log.member, record.cluster_id(), configuration, self._incarnation)
        group = IdentityGroup(self._log.member, record.cluster_id(), configuration, record)
        self._page.publish(Group.IDENTITY, codec.encode(group))

    def _follow_members(self) -> None:
        """A configuration was appended, committed or truncated: the other actors must hear of it."""
        news = self._told.news() if self._told else None
        if news is not None:
            self._meet_members()
            send(self._election, [self._local, codec.encode(news)])

    def _publish(self) -> None:
        log, acceptor = self._log, self._acceptor
        revision, compacted, swept = self._applier.revisions
        now = (log.term, log.first_index, log.last.index, acceptor.commit, acceptor.applied, revision)
        # What is not applied has no result: while apply waits for room, no write is taken, whatever the disk says.
        level = EXHAUSTED if self._blocked_until > clock() else self._space.level()
        if level != self._level:
            self._level = level
            self._logger.warning("room on the disk", reason=LACKS[level] or "there is enough again")
        known = (*now, level, compacted, swept)
        rest = self._inventory.taken(), acceptor.cluster_version, self._catching_up.look(acceptor.applied, clock())
        if (known, rest) != self._published:
            self._published = known, rest
            self._logger.term = log.term
            self._page.publish(Group.STORAGE, codec.encode(StorageGroup(self._stores.generation, *known, *rest)))

    def _measure(self) -> None:
        log, acceptor = self._log, self._acceptor
        metrics.last_log_index.set(log.last.index)
        metrics.commit_index.set(acceptor.commit)
        metrics.applied_index.set(acceptor.applied)
        metrics.commit_lag.set(log.last.index - acceptor.commit)
        metrics.apply_lag.set(acceptor.commit - acceptor.applied)
        metrics.cluster_version.set(acceptor.cluster_version)
        metrics.space_level.set(self._level)
        revision, compacted, _ = self._applier.revisions
        metrics.revision.set(revision)
        metrics.compacted_revision.set(compacted)

    def _use(self) -> Use:
        self._ahead.renew()  # now and then, as the room is looked at; and at first before anything is answered
        return Use(self._log.size_bytes, self._state.size_bytes, self._state.map_used_bytes)

    def _look_after_readers(self) -> None:
        now = clock()
        if now >= self._next_reader_check:
            self._next_reader_check = now + READER_CHECK_SECONDS
            self._state.reader_check()
