"""Connections that break between two frames of a message: nobody may be taken along who is at the other end.

libzmq 4.3.5 aborts a process that reads a message while the connection breaks, if its socket has certain options
(``zraft/connection.py`` says which, and how). A node that is killed breaks its connections so, and any stranger can.
"""

import contextlib
import functools
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.nodes import started
from tests.cluster.running import free_ports, own_runtime
from tests.waiting import wait_until
from tests.wire.reader_of_torn import WAIT_S
from tests.wire.served import STATUS, Served, Stranger
from tests.wire.zmtp import FRAMES, MESSAGES, greet, message, receive, tear, torn
from zraft import Client
from zraft.config import Settings
from zraft.errors import ZraftError

ROOT = Path(__file__).parents[2]
TIMES = 20
Handle = Callable[[socket.socket], None]


KINDS = {"REQ": -1, "DEALER": 0, "peer": 0, "router": 1, "local-bound": 0, "local-connected": 0}
"""Every kind of socket that a client or a node has, and how many frames it adds to those of the wire."""


def read(kind: str, what: str) -> tuple[int, str, str]:
    """What became of a process that reads from such a socket: libzmq would abort this one."""
    command = [sys.executable, "-m", "tests.wire.reader_of_torn", kind, what]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return found.returncode, found.stdout, found.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_can_be_read_to_its_end_while_its_connection_breaks(kind: str) -> None:
    assert read(kind, "torn") == (0, f"{1 + FRAMES + KINDS[kind]} 1\n", "")


@pytest.mark.parametrize("kind", KINDS)
def test_what_waits_to_be_read_when_its_connection_breaks_can_be_read(kind: str) -> None:
    assert read(kind, "flood") == (0, f"{4 + KINDS[kind]} {1 if kind == 'REQ' else MESSAGES}\n", "")


@pytest.mark.parametrize("port", ["client", "control", "data", "gateways"])
def test_a_stranger_that_hangs_up_between_two_frames_stops_no_process(
    served: Served, stranger: Stranger, port: str
) -> None:
    before = served.roster()
    node = served.node.settings
    ports = {"client": node.port, "control": node.peer_port, "data": node.peer_port + 1, "gateways": node.peer_port + 2}
    for number in range(TIMES):
        conn = socket.create_connection(("127.0.0.1", ports[port]))
        greet(conn, (b"DEALER", b"REQ")[number % 2])
        conn.sendall(torn() if number % 4 < 2 else torn()[:-1])
        tear(conn)
    assert stranger.ask([STATUS])[0] == STATUS
    assert served.roster() == before


@contextlib.contextmanager
def listening(handle: Handle, port: int = 0) -> Iterator[int]:
    """A peer made by hand at a port: ``handle`` gets each connection."""
    listener = socket.create_server(("127.0.0.1", port))

    def serve() -> None:
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError, AssertionError):
                handle(conn)
            tear(conn)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_a_client_lives_on_when_its_nodes_hang_up_between_two_frames() -> None:
    def handle(conn: socket.socket) -> None:
        greet(conn, b"ROUTER")
        receive(conn, 2)  # a request has come
        conn.sendall(torn())

    with listening(handle) as port, Client(f"127.0.0.1:{port}", timeout=2.0) as client:
        for _ in range(5):
            with pytest.raises(ZraftError):
                client.put(b"k", b"v")


def test_a_node_lives_on_when_its_peers_hang_up_between_two_frames(tmp_path: Path) -> None:
    """They accept its connections on all planes, send messages of many frames and a half one, and are gone."""
    torn_links = [0, 0, 0]

    def handle(plane: int, conn: socket.socket) -> None:
        greet(conn, b"ROUTER")
        conn.sendall(message(b"header", b"body") * 200 + torn())
        torn_links[plane] += 1

    ports, peers = free_ports(1), free_ports(1)
    node = Settings(
        port=ports.client,
        http_port=ports.http,
        peer_port=ports.peer,
        data_dir=str(tmp_path / "data"),
        peers={"node-2": f"127.0.0.1:{peers.peer}"},
    )
    with own_runtime(), contextlib.ExitStack() as stack:
        for plane in range(3):
            stack.enter_context(listening(functools.partial(handle, plane), peers.peer + plane))
        served = Served(stack.enter_context(started(node, tmp_path)))
        before = served.roster()
        wait_until(lambda: min(torn_links) > TIMES, WAIT_S, "the links to be torn")
        assert served.roster() == before
