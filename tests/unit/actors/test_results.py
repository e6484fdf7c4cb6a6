"""Storage's links to its gateways: in order, within an incarnation, and what becomes of one that does not listen."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from tests.unit.actors.kept import KeptSockets
from tests.waiting import wait_until
from zraft.actors.results import ResultLinks
from zraft.actors.sockets import poll
from zraft.protocol import codec
from zraft.protocol.entries import Origin
from zraft.protocol.local import (
    Applied,
    AppliedTerm,
    Register,
    Registered,
    Results,
    StorageToGateway,
    WaitApplied,
)

WAIT_S, WAIT_MS = 10.0, 10_000
OURS, THEIRS = codec.incarnation_frame(1), codec.incarnation_frame(2)
NONCE = 77
QUEUE = 64


class Storage:
    """The links, with a queue of ``QUEUE`` messages to each gateway."""

    def __init__(self, sockets: KeptSockets, endpoint: str) -> None:
        self.sockets, self.endpoint = sockets, endpoint
        self.socket = sockets.bind_router(endpoint, QUEUE)
        self.links = ResultLinks(self.socket, OURS)
        self._poller = zmq.Poller()
        self._poller.register(self.socket, zmq.POLLIN)

    def take(self, applied: int = 0) -> None:
        """Take what has come; something has been sent."""
        events = poll(self._poller, WAIT_S)
        assert self.socket in events
        self.links.take(events, applied)


class Gateway:
    """A gateway's DEALER."""

    def __init__(self, storage: Storage, number: int = 0, nonce: int = NONCE) -> None:
        self.number, self.nonce = number, nonce
        self.storage = storage
        self.socket = storage.sockets.connect_local(storage.endpoint)

    def say(self, message: Register | WaitApplied, applied: int = 0, incarnation: bytes = OURS) -> None:
        self.socket.send_multipart([incarnation, codec.encode(message)])
        self.storage.take(applied)

    def register(self, nonce: int = 0) -> None:
        self.say(Register(self.number, nonce or self.nonce))

    def next(self) -> StorageToGateway:
        assert self.socket.poll(WAIT_MS), "no message"
        incarnation, frame = self.socket.recv_multipart()
        assert incarnation == OURS
        return codec.storage_to_gateway.decode(frame)

    def is_told_nothing_else(self) -> bool:
        """By a marker that would come behind it."""
        self.register()
        return self.next() == Registered(False)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    sockets = KeptSockets()
    yield Storage(sockets, f"ipc://{tmp_path}/storage")
    sockets.close()


@pytest.fixture
def gateway(storage: Storage) -> Gateway:
    """Registered, and told so."""
    gateway = Gateway(storage)
    gateway.register()
    assert gateway.next() == Registered(True)
    return gateway


def results(number: int, gateway: int = 0, nonce: int = NONCE) -> Results:
    return Results(Origin(1, gateway, nonce, number), number, b"\x90")


def test_another_incarnations_message_is_dropped(storage: Storage, gateway: Gateway) -> None:  # S1
    gateway.say(Register(0, NONCE + 1), incarnation=THEIRS)
    gateway.say(WaitApplied(1), applied=5, incarnation=THEIRS)
    assert gateway.is_told_nothing_else()


def test_what_a_snapshot_skipped_is_told_before_anything_that_comes_behind_it(
    storage: Storage, gateway: Gateway
) -> None:
    # Else a gateway takes a later term for proof that its proposal was never executed, and has it executed twice.
    other = Gateway(storage, number=1)
    other.register()
    assert other.next() == Registered(True)
    storage.links.skipped()
    storage.links.tell([AppliedTerm(4), results(9)], 9)
    assert [gateway.next() for _ in range(3)] == [Registered(True), AppliedTerm(4), results(9)]
    assert [other.next(), other.next()] == [Registered(True), AppliedTerm(4)]


def test_a_slow_gateway_is_forgotten_and_told_so_when_it_registers_again(storage: Storage, gateway: Gateway) -> None:
    """It may conclude nothing from a term that it is told: results before it may have been dropped."""
    gateway.say(WaitApplied(10**9), applied=0)
    large = Results(Origin(1, 0, NONCE, 1), 1, bytes(1 << 20))
    told = 0
    while storage.links._audience.place(0):
        storage.links.tell([large], 1)
        told += 1
        assert told < 1_000
    storage.links.tell([AppliedTerm(9)], 2)  # nobody hears it, and nothing waits
    gateway.socket.send_multipart([OURS, codec.encode(Register(0, NONCE))])
    heard: list[StorageToGateway] = []

    def is_told_fresh() -> bool:
        storage.links.take({storage.socket: zmq.POLLIN}, 3)
        while gateway.socket.poll(0):
            heard.append(gateway.next())
        if Registered(True) not in heard:
            gateway.socket.send_multipart([OURS, codec.encode(Register(0, NONCE))])
        return Registered(True) in heard

    wait_until(is_told_fresh, WAIT_S, "the gateway to be known again")
    assert AppliedTerm(9) not in heard
    assert heard.index(Registered(True)) < told, "what was in its queue, then the news that more is missing"
    storage.links.tell([results(2)], 10**9)
    storage.links.tell([results(3)], 10**9)
    rest = [gateway.next()]
    while rest[-1] != results(3):
        rest.append(gateway.next())
    assert results(2) in rest
    assert not any(isinstance(message, Applied) for message in rest), "its waits were forgotten with it"
