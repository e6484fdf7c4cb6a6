"""The stage for tests of the trio's shells: each actor alone, turned by the test, and sockets that stand for others."""

from collections.abc import Callable
from pathlib import Path

import zmq

from tests.ports import free_port
from tests.unit.actors.kept import KeptSockets
from tests.waiting import wait_until
from zraft.actors.election import ElectionActor
from zraft.actors.launch import Launch, page_path
from zraft.actors.logs import Logger
from zraft.actors.replication import ReplicationActor
from zraft.actors.sockets import poll
from zraft.actors.storage import StorageActor
from zraft.config import Settings
from zraft.protocol import codec
from zraft.protocol.entries import ClusterRecord, EntryId, Member
from zraft.protocol.local import Ping, StorageStatus, StoreRecord
from zraft.protocol.peer import PEER_VERSION, PeerHeader
from zraft.store.directory import ipc_endpoint
from zraft.store.page import Page

WAIT_S = 10.0
OURS, THEIRS = 7, 8
ME, PEER = 0xA, 0xB
ALONE = ClusterRecord((Member(ME, "node-1"),), 150)
PAIR = ClusterRecord((Member(ME, "node-1"), Member(PEER, "node-2")), 150)


def status(term: int, record: ClusterRecord = ALONE) -> StorageStatus:
    """What the storage of a node holds whose cluster has formed."""
    return StorageStatus(ME, term, 0, EntryId(3, 2), record, True, record.configuration())


class Link:
    """The other end of a link of the actor that is tested."""

    def __init__(self, socket: zmq.Socket[bytes], hears: codec.Channel[object], turn: Callable[[], None]) -> None:
        self.socket = socket
        self._hears = hears
        self._turn = turn

    def say(self, message: object, incarnation: int = OURS) -> None:
        self.socket.send_multipart([codec.incarnation_frame(incarnation), codec.encode(message)])

    def hear(self) -> object:
        """The next message; pings, which come all the time, are left out."""
        while True:
            wait_until(self._has_come, WAIT_S, "a message")
            incarnation, frame = self.socket.recv_multipart()
            assert incarnation == codec.incarnation_frame(OURS)
            message = self._hears.decode(frame)
            if not isinstance(message, Ping):
                return message

    def _has_come(self) -> bool:
        self._turn()
        return bool(self.socket.poll(0))


class Stage:
    """A runtime directory with a page, and a data directory that is empty."""

    def __init__(self, home: Path, sockets: KeptSockets) -> None:
        self.home, self.sockets = home, sockets
        self.page = Page.create(page_path(home))
        self.settings = Settings(data_dir=str(home / "data"), port=free_port(), peer_port=free_port())
        self._launch = Launch(self.settings, home, OURS, 0, None)
        self._closing: list[Callable[[], None]] = [self.page.close]

    def election(self) -> ElectionActor:
        actor = ElectionActor(self._launch, Logger("node-1", "election"))
        self._closing.append(actor.close)
        return actor

    def replication(self) -> ReplicationActor:
        actor = ReplicationActor(self._launch, Logger("node-1", "replication"))
        self._closing.append(actor.close)
        return actor

    def storage(self) -> StorageActor:
        (self.home / "data").mkdir(mode=0o700)
        actor = StorageActor(self._launch, Logger("node-1", "storage"))
        self._closing.append(actor.close)
        return actor

    def bind(self, name: str, hears: codec.Channel[object], turn: Callable[[], None]) -> Link:
        """Stand for the actor that binds this link."""
        return Link(self.sockets.bind_local(self._endpoint(name)), hears, turn)

    def connect(self, name: str, hears: codec.Channel[object], turn: Callable[[], None]) -> Link:
        """Stand for the actor, or the gateway, that connects to this link."""
        return Link(self.sockets.connect_local(self._endpoint(name)), hears, turn)

    def close(self) -> None:
        for close in reversed(self._closing):
            close()

    def _endpoint(self, name: str) -> str:
        return ipc_endpoint(self.home, OURS, name)


class Others:
    """Members that speak to one port of the actor that is turned."""

    def __init__(self, stage: Stage, plane: int, me: int, record: ClusterRecord, turn: Callable[[], None]) -> None:
        self._link = stage.sockets.connect_local(f"tcp://127.0.0.1:{stage.settings.peer_port + plane}")
        self._me, self._cluster, self._turn = me, record.cluster_id(), turn

    def say(self, sender: int, message: object) -> None:
        header = codec.encode(PeerHeader(PEER_VERSION, self._cluster, sender, self._me, THEIRS))
        self._link.send_multipart([header, codec.encode(message)])

    def hear(self) -> tuple[PeerHeader, bytes]:
        """The next answer."""

        def has_come() -> bool:
            self._turn()
            return bool(self._link.poll(0))

        wait_until(has_come, WAIT_S, "an answer")
        head, frame = self._link.recv_multipart()
        return codec.peer_header.decode(head), frame


def turn_election(actor: ElectionActor) -> Callable[[], None]:
    """One turn of its loop."""

    def turn() -> None:
        actor._take(poll(actor._poller, 0.01))
        actor._tick()

    return turn


def turn_replication(actor: ReplicationActor) -> Callable[[], None]:
    return lambda: actor._take(poll(actor._poller, 0.01))


def turn_storage(actor: StorageActor) -> Callable[[], None]:
    return lambda: actor._answer_all(poll(actor._poller, 0.01))


def form(stage: Stage, *others: Member) -> tuple[StorageActor, Link]:
    """The storage of a node whose cluster, with these others, has formed; and election's link to it."""
    actor = stage.storage()
    election = stage.connect("storage.election", codec.storage_to_election, turn_storage(actor))
    election.say(StoreRecord(ClusterRecord((Member(actor._log.member, "node-1"), *others), 150), True))
    assert election.hear()
    return actor, election
