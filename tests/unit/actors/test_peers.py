"""Links to peers: addresses that change, names that do not resolve, peers that are down."""

import socket
import threading
from collections.abc import Callable, Iterator

import msgspec
import pytest
import zmq

from tests.unit.actors.kept import KeptSockets
from tests.waiting import wait_until
from zraft.actors import peers
from zraft.actors.gateway_peers import GatewayPeers
from zraft.actors.logs import Logger
from zraft.actors.peers import PATIENCE_SECONDS, PeerLinks, Resolver, differing_addresses, peers_of
from zraft.actors.sockets import PEER_MESSAGES_MAX, Frames, Sockets, poll
from zraft.config import GIVEN, Settings
from zraft.connection import look_up, tcp
from zraft.errors import ConfigurationError
from zraft.protocol.entries import Configuration, Member

WAIT_S, WAIT_MS = 10.0, 10_000
HERE, THERE = "127.0.0.1", "127.0.0.2"


@pytest.fixture(autouse=True)
def resolve_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "RESOLVE_SECONDS", 0.01)


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    kept = KeptSockets()
    yield kept
    kept.close()


class Names:
    """A name server as the test wants it, with addresses between spaces; other names get no answer before the end."""

    def __init__(self, **addresses: str | None) -> None:
        self.addresses = addresses
        self.asked: set[str] = set()
        self._released = threading.Event()

    def look_up(self, host: str) -> tuple[str, ...]:
        self.asked.add(host)
        if host not in self.addresses:
            self._released.wait(10 * WAIT_S)
            return ()
        return tuple((self.addresses[host] or "").split())

    def release(self) -> None:
        self._released.set()


ODD = ("a:1", "h" * 20_000 + ":2", "[fe80::1%a b]:3", "d:4")
"""Addresses of four members, two of which no version of today takes."""

MakeResolver = Callable[..., tuple[Resolver, Names]]


@pytest.fixture
def make_resolver() -> Iterator[MakeResolver]:
    made: list[tuple[Resolver, Names]] = []

    def make(*hosts: str, **addresses: str | None) -> tuple[Resolver, Names]:
        names = Names(**addresses)
        made.append((Resolver(hosts, names.look_up), names))
        return made[-1]

    yield make
    for resolver, names in made:
        resolver.close()
        names.release()


class Node:
    """The data plane of a peer at one address."""

    def __init__(self, sockets: Sockets, host: str, port: int = 0) -> None:
        self.socket = sockets.bind_router(tcp(host, port).replace(":0", ":*"), PEER_MESSAGES_MAX)
        self.port = int(self.socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])

    def heard(self) -> list[Frames]:
        messages: list[Frames] = []
        while self.socket.poll(0):
            messages.append(self.socket.recv_multipart()[1:])
        return messages


# --- names


def test_numeric_hosts_are_not_looked_up(make_resolver: MakeResolver) -> None:
    resolver, names = make_resolver("127.0.0.1", "::0001")
    assert [resolver.addresses(host) for host in ("127.0.0.1", "::0001", "other")] == [("127.0.0.1",), ("::1",), ()]
    assert names.asked == set()


def test_a_name_follows_its_address(make_resolver: MakeResolver) -> None:  # trap 61
    resolver, names = make_resolver("node-2", **{"node-2": HERE})
    wait_until(lambda: resolver.addresses("node-2") == (HERE,), WAIT_S, "the first address")
    names.addresses["node-2"] = THERE
    wait_until(lambda: resolver.addresses("node-2") == (THERE,), WAIT_S, "the second address")


def test_a_name_that_does_not_resolve_for_a_moment_keeps_its_last_address(make_resolver: MakeResolver) -> None:
    resolver, names = make_resolver("node-2", "marker", **{"node-2": HERE, "marker": None})
    wait_until(lambda: resolver.addresses("node-2") == (HERE,), WAIT_S, "the address")
    names.addresses["node-2"] = None
    names.asked.clear()
    wait_until(lambda: "node-2" in names.asked, WAIT_S, "another question")
    assert resolver.addresses("node-2") == (HERE,)


def test_a_name_server_that_does_not_answer_holds_up_no_other_name(make_resolver: MakeResolver) -> None:
    hosts = [f"node-{number}" for number in range(2, 8)]
    resolver, names = make_resolver("silent", *hosts, **dict.fromkeys(hosts, HERE))
    wait_until(lambda: "silent" in names.asked, WAIT_S, "the question that hangs")
    wait_until(lambda: all(resolver.addresses(host) == (HERE,) for host in hosts), WAIT_S, "all other names")
    names.addresses["node-7"] = THERE
    wait_until(lambda: resolver.addresses("node-7") == (THERE,), WAIT_S, "a changed address")
    assert resolver.addresses("silent") == ()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 64, ".", "a\0b"])
def test_what_is_no_name_has_no_address(host: str) -> None:
    assert look_up(host) == ()


def test_ipv4_is_preferred_as_nodes_bind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: list(found))
    assert look_up("localhost") == ("127.0.0.1", "::1")
    found.pop()
    assert look_up("localhost") == ("::1",)


# --- links


class Pumped:
    """Links in the turns of an actor: each of them looks at what has happened, and then sends."""

    def __init__(self, links: PeerLinks, poller: zmq.Poller) -> None:
        self.links, self.poller = links, poller
        self.now = 0.0

    def turn(self, seconds: float = 0.0) -> list[tuple[str, Frames]]:
        self.now += 0.01
        self.links.refresh(self.now)
        return self.links.arrived(poll(self.poller, seconds))

    def send(self, name: str, frames: Frames) -> bool:
        self.turn()
        return self.links.send(name, frames)


def links_to(sockets: Sockets, resolver: Resolver, **nodes: tuple[str, int]) -> Pumped:
    poller = zmq.Poller()
    links = PeerLinks(sockets, poller, {name: (host, port - 1) for name, (host, port) in nodes.items()}, 1, resolver)
    links.refresh(0.0)
    return Pumped(links, poller)


def test_a_message_goes_to_the_planes_port_and_answers_come_back_by_name(
    sockets: Sockets, make_resolver: MakeResolver
) -> None:
    node = Node(sockets, HERE)
    links = links_to(sockets, make_resolver(HERE)[0], b=(HERE, node.port))
    wait_until(lambda: links.send("b", [b"header", b"hello"]), WAIT_S, "the connection")
    assert node.socket.poll(WAIT_MS)
    route, *frames = node.socket.recv_multipart()
    assert frames == [b"header", b"hello"]
    node.socket.send_multipart([route, b"header", b"answer"])
    assert links.turn(WAIT_S) == [("b", [b"header", b"answer"])]
    assert links.turn() == []


def test_a_changed_address_closes_the_link_and_makes_another(sockets: Sockets, make_resolver: MakeResolver) -> None:
    """Trap 61: the pod comes back elsewhere, under the same name and port."""
    old = Node(sockets, HERE)
    new = Node(sockets, THERE, old.port)
    resolver, names = make_resolver("node-2", **{"node-2": HERE})
    wait_until(lambda: resolver.addresses("node-2"), WAIT_S, "the address")
    links = links_to(sockets, resolver, b=("node-2", old.port))
    wait_until(lambda: links.send("b", [b"1"]), WAIT_S, "the first connection")
    wait_until(old.heard, WAIT_S, "the message at the old address")
    first, _ = [link for link, _ in links.poller.sockets]
    names.addresses["node-2"] = THERE
    wait_until(lambda: resolver.addresses("node-2") == (THERE,), WAIT_S, "the new address")
    links.links.refresh(1_000.0)
    second, _ = [link for link, _ in links.poller.sockets]
    assert (first.closed, second.closed) == (True, False)
    wait_until(lambda: links.send("b", [b"2"]), WAIT_S, "the second connection")
    assert wait_until(new.heard, WAIT_S, "the message at the new address") == [[b"2"]]
    assert old.heard() == []


def test_an_address_that_stays_keeps_its_link(sockets: Sockets, make_resolver: MakeResolver) -> None:
    links = links_to(sockets, make_resolver(HERE)[0], b=(HERE, 1))
    before = list(links.poller.sockets)
    assert links.links.refresh(1_000.0) > 1_000.0
    assert links.poller.sockets == before


def test_addresses_that_are_told_in_another_order_leave_the_link_alone(
    sockets: Sockets, make_resolver: MakeResolver
) -> None:
    node = Node(sockets, HERE)
    resolver, names = make_resolver("node-2", **{"node-2": f"{HERE} {THERE}"})
    wait_until(lambda: resolver.addresses("node-2"), WAIT_S, "the addresses")
    links = links_to(sockets, resolver, b=("node-2", node.port))
    wait_until(lambda: links.send("b", [b"1"]), WAIT_S, "the connection")
    before = list(links.poller.sockets)
    names.addresses["node-2"] = f"{THERE} {HERE}"
    wait_until(lambda: resolver.addresses("node-2") == (THERE, HERE), WAIT_S, "the other order")
    links.links.refresh(1_000.0)
    assert links.poller.sockets == before


def test_an_address_that_takes_no_connection_gives_way_to_the_next(
    sockets: Sockets, make_resolver: MakeResolver
) -> None:
    node = Node(sockets, THERE)
    resolver, _ = make_resolver("node-2", **{"node-2": f"{HERE} {THERE}"})
    wait_until(lambda: resolver.addresses("node-2"), WAIT_S, "the addresses")
    links = links_to(sockets, resolver, b=("node-2", node.port))
    assert not links.send("b", [b"0"])
    links.now += PATIENCE_SECONDS
    wait_until(lambda: links.send("b", [b"1"]), WAIT_S, "the connection to the other address")
    assert wait_until(node.heard, WAIT_S, "the message") == [[b"1"]]


def test_an_address_that_libzmq_refuses_ends_nobody(sockets: Sockets, make_resolver: MakeResolver) -> None:
    node = Node(sockets, HERE)
    resolver, _ = make_resolver("odd", HERE, odd="no address")
    wait_until(lambda: resolver.addresses("odd"), WAIT_S, "the addresses")
    links = links_to(sockets, resolver, a=("odd", 7), b=(HERE, node.port))
    wait_until(lambda: links.send("b", [b"1"]), WAIT_S, "the healthy peer's connection")
    assert not links.send("a", [b"1"])
    assert wait_until(node.heard, WAIT_S, "the message") == [[b"1"]]


def test_a_name_that_does_not_resolve_blocks_nobody(sockets: Sockets, make_resolver: MakeResolver) -> None:
    node = Node(sockets, HERE)
    links = links_to(sockets, make_resolver("silent", HERE)[0], a=("silent", 7), b=(HERE, node.port))
    wait_until(lambda: links.send("b", [b"1"]), WAIT_S, "the healthy peer's connection")
    assert not links.send("a", [b"1"])
    assert not links.send("nobody", [b"1"])
    assert wait_until(node.heard, WAIT_S, "the message") == [[b"1"]]


def test_an_address_found_late_is_not_waited_for_long(sockets: Sockets, make_resolver: MakeResolver) -> None:
    resolver, _ = make_resolver("silent")
    links = links_to(sockets, resolver, a=("silent", 7))
    assert links.links.refresh(100.0) <= 100.0 + 0.05


def test_nothing_is_kept_for_a_peer_that_is_down(sockets: Sockets, make_resolver: MakeResolver) -> None:
    node = Node(sockets, HERE)
    links = links_to(sockets, make_resolver(HERE)[0], b=(HERE, node.port))
    wait_until(lambda: links.send("b", [b"before"]), WAIT_S, "the connection")
    wait_until(node.heard, WAIT_S, "a message")
    node.socket.close(0)
    wait_until(lambda: not links.send("b", [b"lost"]), WAIT_S, "the end of the connection")
    for _ in range(1_000):
        assert not links.send("b", [b"lost"])
    again = Node(sockets, HERE, node.port)
    wait_until(lambda: links.send("b", [b"after"]), WAIT_S, "the connection to come back")
    assert wait_until(again.heard, WAIT_S, "a message") == [[b"after"]]


def test_a_link_that_broke_is_replaced_but_not_too_often(sockets: Sockets, make_resolver: MakeResolver) -> None:
    """A peer that accepts and hangs up at once does not keep its correspondents busy."""
    node = Node(sockets, HERE)
    links = links_to(sockets, make_resolver(HERE)[0], b=(HERE, node.port))
    wait_until(lambda: links.send("b", [b"1"]), WAIT_S, "the connection")
    first = links.poller.sockets[0][0]
    node.socket.close(0)
    links.links.arrived(poll(links.poller, WAIT_S))
    assert first.closed
    assert links.links.refresh(peers.REMAKE_SECONDS / 2) <= peers.REMAKE_SECONDS
    assert links.poller.sockets == []
    links.links.refresh(peers.REMAKE_SECONDS)
    assert len(links.poller.sockets) == 2


def test_what_came_before_the_connection_broke_is_read(sockets: Sockets, make_resolver: MakeResolver) -> None:
    node = Node(sockets, HERE)
    links = links_to(sockets, make_resolver(HERE)[0], b=(HERE, node.port))
    wait_until(lambda: links.send("b", [b"1"]), WAIT_S, "the connection")
    assert node.socket.poll(WAIT_MS)
    route, _ = node.socket.recv_multipart()
    node.socket.setsockopt(zmq.LINGER, WAIT_MS)
    node.socket.send_multipart([route, b"header", b"answer"])
    node.socket.close()
    (_, monitor) = [socket for socket, _ in links.poller.sockets]
    assert monitor.poll(WAIT_MS)
    assert links.links.arrived({monitor: zmq.POLLIN}) == [("b", [b"header", b"answer"])]


def test_a_peer_that_reads_nothing_has_a_bounded_queue(sockets: Sockets, make_resolver: MakeResolver) -> None:
    node = Node(sockets, HERE)
    links = links_to(sockets, make_resolver(HERE)[0], b=(HERE, node.port))
    wait_until(lambda: links.send("b", [b"1"]), WAIT_S, "the connection")
    message = [bytes(1 << 16)]
    assert not all(links.send("b", message) for _ in range(10 * PEER_MESSAGES_MAX))


# --- addresses of either family


def test_peers_meet_over_ipv6(sockets: Sockets, make_resolver: MakeResolver) -> None:
    try:
        node = Node(sockets, "::1")
    except ConfigurationError:
        pytest.skip("this machine has no IPv6")
    links = links_to(sockets, make_resolver("::1")[0], b=("::1", node.port))
    wait_until(lambda: links.send("b", [b"1"]), WAIT_S, "the connection")
    assert wait_until(node.heard, WAIT_S, "the message") == [[b"1"]]


def test_a_port_that_is_taken_is_named_and_the_setting_whose_it_is(sockets: Sockets) -> None:
    node = Node(sockets, HERE)
    settings = Settings(id="node-1", host=HERE, peer_port=node.port - 2)
    with pytest.raises(ConfigurationError) as caught:
        GatewayPeers(sockets, zmq.Poller(), settings, 1, Logger("node-1", "gateway"))
    where = f"peer_port + 2 (gateways): can't listen on tcp://{HERE}:{node.port}"
    assert str(caught.value) == f"{where}: Address already in use; choose another port"


def test_the_addresses_that_the_cluster_has_stored_count_unless_it_is_told_otherwise() -> None:
    members = (Member(1, "node-1"), Member(2, "node-2", True, "old:1"), Member(3, "node-3", True, "old:2"))
    settings = Settings(id="node-1", peers={"node-2": "new:7080"})
    assert peers_of(settings, Configuration(5, members)) == {"node-2": ("old", 1), "node-3": ("old", 2)}
    moved = msgspec.structs.replace(settings, addresses_of=GIVEN)
    assert peers_of(moved, Configuration(5, members)) == {"node-2": ("new", 7080), "node-3": ("old", 2)}
    assert differing_addresses(settings, Configuration(5, members)) == "node-2=old:1"
    assert differing_addresses(moved, Configuration(5, members)) == ""
    assert differing_addresses(msgspec.structs.replace(settings, peers={}), Configuration(5, members)) == ""


def test_an_address_that_another_version_let_pass_is_left_out() -> None:
    members = tuple(Member(number, f"node-{number}", True, address) for number, address in enumerate(ODD, start=1))
    settings = Settings(id="node-1", peers={"node-2": "known:7080", "node-1": "own:7080"})
    assert peers_of(settings, Configuration(5, members)) == {"node-2": ("known", 7080), "node-4": ("d", 4)}
