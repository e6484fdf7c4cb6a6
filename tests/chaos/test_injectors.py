"""The tools of the nemesis do what they say: a fault that is none proves nothing."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.chaos import wallclock
from tests.chaos.proxy import HOST, Network, Wire

pytestmark = pytest.mark.chaos

SHORT_S, LONG_S = 0.3, 10.0


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((HOST, 0)) as server:
        server.settimeout(LONG_S)
        yield server


@contextlib.contextmanager
def connected(wire: Wire, listener: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection through the wire."""
    with socket.create_connection((HOST, wire.port), LONG_S) as here:
        there, _ = listener.accept()
        with there:
            there.settimeout(LONG_S)
            yield here, there


def wire_to(listener: socket.socket) -> Wire:
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    return Wire("node-1", "node-2", "data", port, listener.getsockname())


def test_a_cut_holds_bytes_back_until_it_is_healed(listener: socket.socket) -> None:
    wire = wire_to(listener)
    with Network([wire]) as network, connected(wire, listener) as (here, there):
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
    with Network([wire]) as network:
        with connected(wire, listener) as (here, _), network.refused([wire]):
            with pytest.raises(ConnectionResetError):
                here.recv(9)
            with socket.create_connection((HOST, wire.port), LONG_S) as again, pytest.raises(ConnectionResetError):
                again.recv(9)
        with connected(wire, listener) as (here, there):
            there.sendall(b"1")
            assert here.recv(9) == b"1"


def test_what_is_late_or_lost_arrives_all_the_same(listener: socket.socket) -> None:
    wire = wire_to(listener)
    with Network([wire]) as network, connected(wire, listener) as (here, there), network.bad([wire], 0.01, 0.5):
        for byte in (b"1", b"2", b"3"):
            here.sendall(byte)
            assert there.recv(9) == byte


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
