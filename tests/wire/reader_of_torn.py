"""A process that reads what came over a connection that breaks: libzmq would abort it if a socket were made otherwise.

Its arguments name the socket, and what comes: ``torn`` is a message of many frames, of which it reads the first before
the connection breaks, and half a one; ``flood`` is many messages, of which it reads none before. It prints how many
frames the first message had, and how many messages came in all.
"""

from __future__ import annotations

import socket
import sys
import tempfile
from pathlib import Path

import zmq

from tests.waiting import wait_until
from tests.wire.zmtp import flood, greet, tear, torn
from zraft.actors.sockets import Sockets
from zraft.client.connections import Connections, NodeConnection
from zraft.connection import Connection, receive_frames, send_frames, tcp

WAIT_S, WAIT_MS = 10.0, 10_000


def main(kind: str, what: str, directory: Path) -> None:
    """Let the connection break, and read all that has come."""
    sockets, connections = Sockets(), Connections()
    connection: Connection | None = None
    if kind in ("router", "local-bound"):
        ipc = f"ipc://{directory}/bound"
        ours = sockets.bind_router(tcp("127.0.0.1", 0).replace(":0", ":*"), 9) if kind == "router" else None
        ours = ours or sockets.bind_local(ipc)
        theirs = connect(ours)
        greet(theirs, b"DEALER")
    else:
        listener = listen(kind, directory)
        if kind == "local-connected":
            ours = sockets.connect_local(f"ipc://{directory}/listener")
        else:
            port = listener.getsockname()[1]
            connection = (
                sockets.connect_peer(("127.0.0.1", port))
                if kind == "peer"
                else NodeConnection(connections, getattr(zmq, kind), f"tcp://127.0.0.1:{port}")
            )
            ours = connection.socket
        theirs, _ = listener.accept()
        listener.close()
        greet(theirs, b"ROUTER" if kind != "local-connected" else b"DEALER")
        if connection is not None:
            wait_until(lambda: not connection.look() and connection.is_open, WAIT_S, "the connection")
        if kind == "REQ":
            send_frames(ours, [b"header", b"id", b"request"])
    theirs.sendall(torn() if what == "torn" else flood())
    assert ours.poll(WAIT_MS)
    # The routing id and the empty frame, as far as this kind shows them.
    first = [ours.recv() for _ in range(2 if kind == "router" else 1)] if what == "torn" else []
    watch = ours.get_monitor_socket(zmq.EVENT_DISCONNECTED) if connection is None else connection.monitor
    tear(theirs)
    assert watch.poll(WAIT_MS)
    # libzmq's thread tells this before it acts on it; by the time when it has served another one, it has done so.
    other = Connection(ours.context, zmq.DEALER, "tcp://127.0.0.1:1", None, {})
    wait_until(other.look, WAIT_S, "a refused connection")
    other.close()
    messages = [first + receive_frames(ours)]
    while ours.poll(200) and kind != "REQ":
        messages.append(receive_frames(ours))
    print(len(messages[0]), len(messages))


def listen(kind: str, directory: Path) -> socket.socket:
    """Where ``kind`` will connect to."""
    if kind != "local-connected":
        return socket.create_server(("127.0.0.1", 0))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{directory}/listener")
    listener.listen()
    return listener


def connect(ours: zmq.Socket[bytes]) -> socket.socket:
    """A connection to a socket that is bound."""
    endpoint = ours.getsockopt_string(zmq.LAST_ENDPOINT)
    if endpoint.startswith("tcp://"):
        return socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2])))
    theirs = socket.socket(socket.AF_UNIX)
    theirs.connect(endpoint.removeprefix("ipc://"))
    return theirs


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        main(sys.argv[1], sys.argv[2], Path(directory))
