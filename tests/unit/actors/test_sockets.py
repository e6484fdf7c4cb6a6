"""What an actor finds in its queues when it looks."""

from contextlib import closing
from pathlib import Path

import pytest
import zmq

from tests.ports import free_port
from tests.unit.actors.kept import KeptSockets
from tests.waiting import wait_until
from zraft.actors.sockets import drain, send, taken

WAIT_MS = 10_000


def test_what_was_taken_since_the_last_question_is_counted(tmp_path: Path) -> None:
    with closing(KeptSockets()) as sockets:
        here = sockets.bind_local(f"ipc://{tmp_path}/link")
        there = sockets.connect_local(f"ipc://{tmp_path}/link")
        for _ in range(5):
            send(there, [b"message"])
        taken()  # of other tests in this process
        found: list[bytes] = []

        def all_came() -> bool:
            found.extend(frame for (frame,) in drain(here, most=2))
            return len(found) == 5

        wait_until(all_came, 10, "five messages")
        assert taken() == 5
        assert list(drain(here, most=2)) == []
        assert taken() == 0


def test_a_frame_beyond_the_bound_ends_its_connection_and_no_other(tmp_path: Path) -> None:  # trap 62
    endpoint = f"ipc://{tmp_path}/port"
    with closing(KeptSockets()) as sockets:
        port = sockets.bind_router(endpoint, queue=8, bytes_max=1000)
        stranger, other = sockets.connect_local(endpoint), sockets.connect_local(endpoint)
        monitor = stranger.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        stranger.send(bytes(1001))
        assert monitor.poll(WAIT_MS), "the connection goes on"
        stranger.disable_monitor()
        other.send(bytes(1000))
        assert port.poll(WAIT_MS)
        assert port.recv_multipart()[1:] == [bytes(1000)]


def test_an_answer_beyond_the_bound_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:  # trap 62
    monkeypatch.setattr("zraft.actors.sockets.MESSAGE_BYTES_MAX", 1000)
    port = free_port()
    with closing(KeptSockets()) as sockets:
        peer = sockets.bind_router(f"tcp://127.0.0.1:{port}", queue=8)
        connection = sockets.connect_peer(("127.0.0.1", port))
        wait_until(lambda: connection.look() or connection.is_open, 10, "the connection")
        send(connection.socket, [b"question"])
        assert peer.poll(WAIT_MS)
        route, _ = peer.recv_multipart()
        peer.send_multipart([route, bytes(1001)])
        wait_until(connection.look, 10, "the end of the connection")
        assert list(drain(connection.socket, most=2)) == []
