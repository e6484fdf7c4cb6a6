"""The gateway's side of its clients, and some clients, for tests."""

from collections.abc import Callable

import zmq

from tests.unit.actors.kept import KeptSockets
from tests.waiting import wait_until
from zraft.actors.clients import Ask, Clients
from zraft.actors.logs import Log
from zraft.core.admission import Limits
from zraft.protocol.codec import encode, response
from zraft.protocol.requests import PROTOCOL_VERSION, Get, RequestHeader
from zraft.protocol.responses import ErrorResult

WAIT_S, WAIT_MS = 10.0, 10_000
HEADER = encode(RequestHeader(PROTOCOL_VERSION))
CLUSTER = b"0123456789abcdef"
LIMITS = Limits(client_requests=8, client_bytes=1 << 20, gateway_requests=100, gateway_bytes=1 << 30)
TIMEOUT_S = 5.0
GET = encode(Get(b"k"))
Pair = tuple[bytes, bytes]


class Gateway:
    """All of a gateway but its work: requests end up in ``asked``."""

    def __init__(self) -> None:
        self.asked: list[Ask] = []
        self.sockets = KeptSockets()
        self.clients = Clients(
            self.sockets, ("127.0.0.1", 0), LIMITS, TIMEOUT_S, self.asked.append, Log("node-1", "gateway")
        )
        self.endpoint = self.clients.socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._context = zmq.Context()
        self._kept: list[zmq.Socket[bytes]] = []  # closed at the end, by the context

    def connect(self, kind: int = zmq.DEALER, **options: int) -> zmq.Socket[bytes]:
        client = self._context.socket(kind)
        self._kept.append(client)
        for name, value in options.items():
            client.setsockopt(getattr(zmq, name), value)
        client.connect(self.endpoint)
        return client

    def turn(self, now: float = 0.0, answer: bytes | None = None) -> bool:
        """Take what has come, answer it, send what can be sent; whether something had to be kept."""
        self.clients.take({self.clients.socket: zmq.POLLIN, self.clients.monitor: zmq.POLLIN}, now)
        if answer is not None:
            for ask in self.asked:
                self.clients.tell(ask.caller, answer, now)
            self.asked.clear()
        return self.clients.flush(lambda: b"header", now)

    def turns_until(self, condition: Callable[[], object], what: str) -> None:
        def try_again() -> object:
            self.turn()
            return condition()

        wait_until(try_again, WAIT_S, what)

    def close(self) -> None:
        self._context.destroy(0)
        self.clients.close()
        self.sockets.close()


def ask(client: zmq.Socket[bytes], *pairs: Pair, header: bytes = HEADER) -> None:
    client.send_multipart([b"", header, *(frame for pair in pairs for frame in pair)])


def receive(client: zmq.Socket[bytes]) -> list[Pair]:
    """The pairs of one message."""
    assert client.poll(WAIT_MS), "no answer"
    empty, header, *frames = client.recv_multipart()
    assert (empty, header) == (b"", b"header")
    return list(zip(frames[::2], frames[1::2], strict=True))


def error(body: bytes) -> ErrorResult:
    result = response.decode(body)
    assert isinstance(result, ErrorResult)
    return result


def connections(gateway: Gateway) -> int:
    return len(gateway.clients._connections)
