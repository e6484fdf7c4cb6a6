"""The gateway plane: two gateways of a cluster, and what a stranger may say to them."""

from collections.abc import Callable, Iterator

import pytest
import zmq

from tests.ports import free_port
from tests.unit.actors.kept import KeptSockets
from tests.waiting import wait_until
from zraft.actors.gateway_peers import ENDPOINT_CHARACTERS_MAX, GREET_SECONDS, UNHEARD_SECONDS, GatewayPeers
from zraft.actors.identity import Identity, seal
from zraft.actors.logs import Logger
from zraft.actors.sockets import poll
from zraft.config import Settings
from zraft.connection import tcp
from zraft.core.room import ENOUGH, RESERVE
from zraft.protocol.codec import encode
from zraft.protocol.entries import Configuration, Member, Origin
from zraft.protocol.local import IdentityGroup, RoleGroup
from zraft.protocol.peer import Forward, GatewayMessage, Greeting, NotProposed, ReadIndex

WAIT_S = 10.0
A, B, STRANGER = 0xA, 0xB, 0xC
CLUSTER = b"0123456789abcdef"
MEMBERS = Configuration(0, (Member(A, "node-1"), Member(B, "node-2")))


class Gateway:
    """The gateway plane of one node; time goes on with each look at it."""

    def __init__(self, sockets: KeptSockets, settings: Settings) -> None:
        self._poller = zmq.Poller()
        self.peers = GatewayPeers(sockets, self._poller, settings, 1, Logger(settings.id, "gateway"))
        self._now = 0.0
        self.level = ENOUGH

    def meet(self, me: int, members: Configuration = MEMBERS) -> None:
        self.peers.meet(IdentityGroup(me, CLUSTER, members))

    def successor(self, leader: int) -> str:
        return self.peers.successor(RoleGroup(5, "leader", leader), self._now)

    def arrived(self) -> list[tuple[int, GatewayMessage]]:
        self._now += GREET_SECONDS
        self.peers.tick(self._now, self.level)
        return self.peers.arrived(poll(self._poller, 0.01), self._now)


Pair = tuple[Gateway, Gateway, tuple[int, int]]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two gateways whose nodes have not formed a cluster yet, and the ports of their plane."""
    sockets = KeptSockets()
    ports = free_port(), free_port()
    peers = {f"node-{number}": f"127.0.0.1:{port - 2}" for number, port in enumerate(ports, 1)}
    first, second = (
        Gateway(sockets, Settings(id=name, port=7000 + port % 1000, peer_port=port - 2, peers=peers, priority=priority))
        for priority, (name, port) in enumerate(zip(peers, ports, strict=True), 1)
    )
    yield first, second, ports
    first.peers.close()
    second.peers.close()
    sockets.close()


def gather(gateway: Gateway, other: Gateway, enough: Callable[[list[GatewayMessage]], bool]) -> list[GatewayMessage]:
    """What arrives at ``gateway`` from member A until it is enough."""
    messages: list[GatewayMessage] = []

    def is_enough() -> bool:
        other.arrived()
        for sender, message in gateway.arrived():
            assert sender == A
            messages.append(message)
        return enough(messages)

    wait_until(is_enough, WAIT_S, "messages")
    return messages


def test_messages_reach_the_member_that_they_are_for(pair: Pair) -> None:
    first, second, _ = pair
    first.meet(A)
    second.meet(B)
    wait_until(lambda: first.arrived() == [] and first.peers.send(B, ReadIndex(1)), WAIT_S, "the connection")
    forward = Forward(3, Origin(A, 0, 7, 1), True, b"payload")
    assert first.peers.send(B, forward)
    assert gather(second, first, lambda messages: len(messages) == 2) == [ReadIndex(1), forward]
    assert not first.peers.send(STRANGER, forward)


def test_a_leader_hears_who_is_preferred(pair: Pair) -> None:
    first, second, _ = pair
    first.meet(A)
    second.meet(B)

    def is_calm() -> bool:
        assert first.arrived() == second.arrived() == []
        assert second.successor(B) == first.successor(B) == ""  # neither the preferred one, nor who does not lead
        return second.peers.successor(None, 0.0) == "" and len(second.peers.endpoints) == 2

    wait_until(is_calm, WAIT_S, "the greetings")
    wait_until(lambda: first.arrived() == second.arrived() and first.successor(A) == "node-2", WAIT_S, "a calm while")


def test_a_leader_without_room_on_its_disk_hands_over_to_any_other(pair: Pair) -> None:
    first, second, _ = pair
    first.meet(A)
    second.meet(B)
    second.level = RESERVE  # and is the preferred one otherwise

    def hands_over() -> bool:
        assert first.arrived() == second.arrived() == []
        assert first.successor(A) == ""
        return second.successor(B) == "node-1"

    wait_until(hands_over, WAIT_S, "a calm while")


def test_a_greeting_that_did_not_leave_is_tried_again_soon(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _, _ = pair
    first.meet(A)
    greeted: list[float] = []
    now = 0.0

    def has_link(member: int, message: GatewayMessage) -> bool:
        assert (member, isinstance(message, Greeting)) == (B, True)
        greeted.append(now)
        return now >= 2 * UNHEARD_SECONDS

    monkeypatch.setattr(first.peers, "send", has_link)
    for now in (0.0, UNHEARD_SECONDS / 2, UNHEARD_SECONDS, 2 * UNHEARD_SECONDS, GREET_SECONDS, 2 * GREET_SECONDS):
        first.peers.tick(now, ENOUGH)
    assert greeted == [0.0, UNHEARD_SECONDS, 2 * UNHEARD_SECONDS, 2 * GREET_SECONDS]


def test_gateways_tell_each_other_where_their_clients_connect(pair: Pair) -> None:
    first, second, _ = pair
    first.meet(A)
    second.meet(B)

    def are_told() -> bool:
        assert first.arrived() == second.arrived() == []
        return len(first.peers.endpoints) == len(second.peers.endpoints) == 2

    wait_until(are_told, WAIT_S, "the greetings")
    assert first.peers.endpoints == second.peers.endpoints
    assert set(first.peers.endpoints) == {"node-1", "node-2"}


def test_a_removed_member_is_not_heard_under_the_name_of_its_successor(pair: Pair) -> None:
    """It was cut off when it was removed, so it never hears of it, and greets on."""
    first, _, ports = pair
    members = Configuration(7, (Member(A, "node-1"), Member(B, "node-2")))
    first.meet(A, members)
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 1000)
        dealer.connect(tcp("127.0.0.1", ports[0]))

        def greet(sender: int, endpoint: str, priority: int) -> None:
            header = Identity(sender, CLUSTER, members, 1).header_to(A)
            dealer.send_multipart(seal(header, encode(Greeting("node-2", endpoint, priority))))

        greet(B, "new:1", 1)
        greet(STRANGER, "old:1", 5)
        dealer.send_multipart(seal(Identity(STRANGER, CLUSTER, members, 1).header_to(A), encode(ReadIndex(9))))
        wait_until(lambda: (STRANGER, ReadIndex(9)) in first.arrived(), WAIT_S, "what came behind the greetings")
    assert first.peers.endpoints["node-2"] == "new:1"
    assert first.successor(A) == ""  # nor does its priority count


def test_an_endpoint_that_is_none_is_not_told_to_clients(pair: Pair) -> None:
    first, _, ports = pair
    first.meet(A)
    header = Identity(B, CLUSTER, MEMBERS, 1).header_to(A)
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 1000)
        dealer.connect(tcp("127.0.0.1", ports[0]))
        for length in (ENDPOINT_CHARACTERS_MAX, ENDPOINT_CHARACTERS_MAX + 1):
            dealer.send_multipart(seal(header, encode(Greeting("node-2", "h" * length))))
        dealer.send_multipart(seal(header, encode(ReadIndex(9))))
        wait_until(lambda: (B, ReadIndex(9)) in first.arrived(), WAIT_S, "what came behind the greetings")
    assert first.peers.endpoints["node-2"] == "h" * ENDPOINT_CHARACTERS_MAX


def test_before_the_cluster_has_formed_nothing_is_said_or_heard(pair: Pair) -> None:
    first, second, _ = pair
    first.meet(A)
    wait_until(lambda: first.arrived() == [] and first.peers.send(B, ReadIndex(1)), WAIT_S, "the connection")
    assert not second.peers.send(A, ReadIndex(2))
    for _ in range(20):
        assert second.arrived() == []
    second.meet(B)
    assert first.peers.send(B, ReadIndex(3))
    assert ReadIndex(1) not in gather(second, first, lambda messages: ReadIndex(3) in messages)


@pytest.mark.parametrize("flaw", ["target", "cluster", "garbage", "frames"])
def test_a_stranger_is_not_heard(pair: Pair, flaw: str) -> None:
    first, second, ports = pair
    first.meet(A)
    second.meet(B)
    stranger = Identity(A, b"x" * 16 if flaw == "cluster" else CLUSTER, MEMBERS, 1)
    refusal = encode(NotProposed(Origin(B, 0, 1, 1), "NotLeader", ""))
    frames = seal(stranger.header_to(A if flaw == "target" else B), b"\xc1" if flaw == "garbage" else refusal)
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 1000)
        dealer.connect(tcp("127.0.0.1", ports[1]))
        dealer.send_multipart(frames * 2 if flaw == "frames" else frames)
        dealer.send_multipart(seal(Identity(A, CLUSTER, MEMBERS, 1).header_to(B), encode(ReadIndex(9))))
        heard = gather(second, first, lambda messages: ReadIndex(9) in messages)
    assert heard == [ReadIndex(9)]
