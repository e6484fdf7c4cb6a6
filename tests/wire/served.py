"""A real node, and a stranger's socket to it: hand-made bytes out, plain msgpack arrays in."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import zmq

from tests.cluster.nodes import Node, http, started
from tests.cluster.running import free_ports, own_runtime
from tests.waiting import wait_until
from zraft.actors.roster import Roster
from zraft.config import Settings
from zraft.core.restarts import TRIO
from zraft.store.directory import runtime_directory

WAIT_S, WAIT_MS = 20.0, 20_000
VERSION_1 = b"\x91\x01"
"""The shortest header: an array of one number."""
PUT, DELETE, BATCH, GET, RANGE, STATUS, ERROR = 1, 2, 3, 4, 5, 6, 7
Pair = tuple[bytes, Any]


class Served:
    """One node that is a cluster of its own."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.endpoint = f"tcp://127.0.0.1:{node.settings.port}"

    def roster(self) -> Roster:
        def whole() -> Roster | None:
            found = Roster.read(runtime_directory(self.node.settings.data_path()))
            return found if found and found.incarnation and len(found.actors) == len(TRIO) + 1 else None

        return wait_until(whole, WAIT_S, "all processes of the node")

    @contextlib.contextmanager
    def paused_trio(self) -> Iterator[None]:
        """Election, replication and storage stand still: no leader can answer."""
        pids = [self.roster().actors[actor] for actor in TRIO]
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def wait_until_ready(self) -> None:
        wait_until(lambda: http(self.node.settings, "/health/ready")[0] == 200, WAIT_S, "the node to be ready")


@contextlib.contextmanager
def serve(home: Path, **settings: Any) -> Iterator[Served]:
    """A node while the context lasts; its gateway must have lived through all of it."""
    ports = free_ports(1)
    chosen = Settings(
        port=ports.client, http_port=ports.http, peer_port=ports.peer, data_dir=str(home / "data"), **settings
    )
    with own_runtime(), started(chosen, home) as node:
        served = Served(node)
        served.wait_until_ready()
        gateway = served.roster().actors["gateway"]
        yield served
        assert served.roster().actors["gateway"] == gateway, "the gateway died"


class Stranger:
    """A client that knows nothing but the wire."""

    def __init__(self, served: Served, kind: int = zmq.DEALER, **options: int) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(kind)
        self.socket.setsockopt(zmq.LINGER, 0)
        for name, value in options.items():
            self.socket.setsockopt(getattr(zmq, name), value)
        self.socket.connect(served.endpoint)
        self.header: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.destroy(0)

    def send(self, *requests: Any, header: bytes = VERSION_1, first: int = 1) -> None:
        """Requests (bytes, or arrays to pack) as pairs of one message, named 1, 2, ..."""
        frames = []
        for number, request in enumerate(requests, first):
            frames += [b"%d" % number, request if isinstance(request, bytes) else pack(request)]
        self.send_frames(b"", header, *frames)

    def send_frames(self, *frames: bytes) -> None:
        self.socket.send_multipart(frames)

    def receive(self) -> list[Pair]:
        """(request id, answer) of the next message."""
        assert self.socket.poll(WAIT_MS), "silence"
        frames = self.socket.recv_multipart()
        if self.socket.type == zmq.DEALER:
            assert frames.pop(0) == b""
        self.header = msgspec.msgpack.decode(frames.pop(0))
        assert frames
        assert len(frames) % 2 == 0
        return [(name, msgspec.msgpack.decode(body)) for name, body in zip(frames[::2], frames[1::2], strict=True)]

    def receive_all(self, count: int) -> list[Pair]:
        """So many answers, in whatever messages, sorted by the number that names them."""
        answers: list[Pair] = []
        while len(answers) < count:
            answers += self.receive()
        return sorted(answers, key=lambda pair: int(pair[0]))

    def ask(self, request: Any, header: bytes = VERSION_1) -> Any:
        """The answer to one request."""
        self.send(request, header=header)
        ((name, answer),) = self.receive()
        assert name == b"1"
        return answer


def pack(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


def error_code(answer: Any) -> str:
    """The code of an error answer; its message is for people."""
    kind, code, message = answer
    assert kind == ERROR
    assert message
    return str(code)
