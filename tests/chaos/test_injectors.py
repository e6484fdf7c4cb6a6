"""The tools of the nemesis do what they say: a fault that is none proves nothing."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.chaos import namespaces, wallclock
from tests.chaos.namespaces import Route, Router
from tests.chaos.proxy import HOST, Proxies, Proxy

pytestmark = pytest.mark.chaos

SHORT_S, LONG_S = 0.3, 10.0


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((HOST, 0)) as server:
        server.settimeout(LONG_S)
        yield server


@contextlib.contextmanager
def connected(wire: Proxy, listener: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection through the wire."""
    with socket.create_connection((HOST, wire.port), LONG_S) as here:
        there, _ = listener.accept()
        with there:
            there.settimeout(LONG_S)
            yield here, there


def wire_to(listener: socket.socket) -> Proxy:
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    return Proxy("node-1", "node-2", "data", port, listener.getsockname())


def test_a_cut_holds_bytes_back_until_it_is_healed(listener: socket.socket) -> None:
    wire = wire_to(listener)
    with Proxies([wire]) as network, connected(wire, listener) as (here, there):
        here.sendall(b"1")
        assert there.recv(9) == b"1"
        with network.cut([wire], back=False):
            here.sendall(b"2")
            there.sendall(b"3")
            assert here.recv(9) == b"3"  # one way only
            there.settimeout(SHORT_S)
            with pytest.raises(TimeoutError):
                there.recv(9)
        there.settimeout(LONG_S)
        assert there.recv(9) == b"2"


def test_a_refusal_closes_what_is_open_and_lets_nothing_in(listener: socket.socket) -> None:
    wire = wire_to(listener)
    with Proxies([wire]) as network:
        with connected(wire, listener) as (here, _), network.refuse([wire]):
            with pytest.raises(ConnectionResetError):
                here.recv(9)
            # Perhaps so early that it is told by the connect.
            with pytest.raises(ConnectionResetError), socket.create_connection((HOST, wire.port), LONG_S) as again:
                again.recv(9)
        with connected(wire, listener) as (here, there):
            there.sendall(b"1")
            assert here.recv(9) == b"1"


def test_what_is_late_or_lost_arrives_all_the_same(listener: socket.socket) -> None:
    wire = wire_to(listener)
    with (
        Proxies([wire]) as network,
        connected(wire, listener) as (here, there),
        network.delay([wire], 0.01),
        network.lose([wire], 0.5),
    ):
        for byte in (b"1", b"2", b"3"):
            here.sendall(byte)
            assert there.recv(9) == byte


def test_a_bit_of_what_is_damaged_is_another_one(listener: socket.socket) -> None:
    wire = wire_to(listener)
    with Proxies([wire]) as network, connected(wire, listener) as (here, there), network.damage([wire], 1.0):
        for sender, receiver in ((here, there), (there, here)):
            sender.sendall(b"\0")
            assert receiver.recv(9)[0].bit_count() == 1


PORT = 7000


@pytest.fixture
def router() -> Iterator[Router]:
    if reason := namespaces.available():
        pytest.skip(reason)
    with Router(["node-1", "node-2"]) as router:
        yield router


def route(router: Router) -> Route:
    return Route("node-1", "node-2", "data", router.address("node-1"), router.address("node-2"), PORT)


@contextlib.contextmanager
def routed(router: Router) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection from the one node's namespace to the other's."""
    with router.inside("node-2"):
        server = socket.create_server((router.address("node-2"), PORT))
    with server:
        with router.inside("node-1"):
            here = socket.create_connection((router.address("node-2"), PORT), LONG_S)
        with here:
            there, _ = server.accept()
            with there:
                there.settimeout(LONG_S)
                yield here, there


def test_packets_are_dropped_one_way_until_the_cut_is_healed(router: Router) -> None:
    with routed(router) as (here, there):
        here.sendall(b"1")
        assert there.recv(9) == b"1"
        with router.cut([route(router)], there=False):
            here.sendall(b"2")
            assert there.recv(9) == b"2"  # though no acknowledgement of it comes back
            there.sendall(b"3")
            here.settimeout(SHORT_S)
            with pytest.raises(TimeoutError):
                here.recv(9)
        here.settimeout(LONG_S)
        assert here.recv(9) == b"3"


def test_packets_are_answered_with_a_reset(router: Router) -> None:
    with routed(router) as (here, _), router.refuse([route(router)]):
        here.sendall(b"1")
        with pytest.raises(ConnectionResetError):
            here.recv(9)
        with router.inside("node-1"), pytest.raises(ConnectionRefusedError):
            socket.create_connection((router.address("node-2"), PORT), LONG_S)


def test_packets_are_lost_and_sent_again(router: Router) -> None:
    with routed(router) as (here, there), router.lose([route(router)], 0.3):
        for byte in (b"1", b"2", b"3"):
            here.sendall(byte)
            assert there.recv(9) == byte


def test_nothing_is_left_of_a_router(router: Router) -> None:
    def spaces() -> str:
        return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout

    before, home = spaces(), os.readlink("/proc/thread-self/ns/net")
    with Router(["node-1"]) as another:
        assert len(spaces().splitlines()) == len(before.splitlines()) + 2
        with another.inside("node-1"):
            assert os.readlink("/proc/thread-self/ns/net") != home
    assert sorted(spaces().splitlines()) == sorted(before.splitlines())
    assert os.readlink("/proc/thread-self/ns/net") == home


def test_a_wall_clock_jumps_and_no_other_clock() -> None:
    if reason := wallclock.available():
        pytest.skip(reason)
    script = "import time; print(time.time(), time.monotonic(), sep='\\n')"
    with wallclock.jumping_clocks() as clocks:
        found = []
        for seconds in (0, 1_000_000):
            clocks.set_off(os.getsid(0), seconds)
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
            found.append([float(line) for line in done.stdout.split()])
    (wall, steady), (later_wall, later_steady) = found
    assert 1_000_000 <= later_wall - wall < 1_100_000
    assert 0 <= later_steady - steady < 100_000
