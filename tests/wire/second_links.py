"""The second node's sockets: on each plane a ROUTER of its own, and a DEALER to each other node."""

from __future__ import annotations

from typing import Any

import google_crc32c
import msgspec
import zmq

PLANES = CONTROL, DATA, GATEWAYS = 0, 1, 2
Arrived = tuple[int, bytes | None, list[bytes]]
"""Plane, route for an answer (None: it is one itself), and frames."""


SEAL_BYTES = 5


def sealed(header: list[Any], message: list[Any]) -> list[bytes]:
    """The frames of a message, with the checksum as the header's last field."""
    head, frame = msgspec.msgpack.encode([*header, None])[:-1], msgspec.msgpack.encode(message)
    crc = google_crc32c.value(head + frame)
    return [head + b"\xce" + int(crc).to_bytes(4, "big"), frame]


def opened(frames: list[bytes]) -> list[Any]:
    """The header's fields, and the message. Real nodes seal each."""
    head, frame = frames
    *header, crc = msgspec.msgpack.decode(head)
    assert crc == google_crc32c.value(head[:-SEAL_BYTES] + frame)
    return [*header, msgspec.msgpack.decode(frame)]


class SecondLinks:
    """``port`` is the own control port, ``others`` are those of the others, by name."""

    def __init__(self, port: int, others: dict[str, int]) -> None:
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        self._routers = [self._bound(port + plane) for plane in PLANES]
        self._dealers = {(name, plane): self._connected(at + plane) for name, at in others.items() for plane in PLANES}

    def close(self) -> None:
        """Close them all."""
        self._context.destroy(0)

    def send(self, name: str, plane: int, frames: list[bytes]) -> None:
        """A request, or an answer on the gateways' plane."""
        self._dealers[name, plane].send_multipart(frames)

    def answer(self, plane: int, route: bytes, frames: list[bytes]) -> None:
        """An answer, the way that the request came."""
        self._routers[plane].send_multipart([route, *frames])

    def arrived(self, ms: int) -> list[Arrived]:
        """What comes within that time."""
        events = dict(self._poller.poll(ms))
        found: list[Arrived] = []
        for plane, router in enumerate(self._routers):
            while router in events and router.poll(0):
                route, *frames = router.recv_multipart()
                found.append((plane, route, frames))
        for (_, plane), dealer in self._dealers.items():
            while dealer in events and dealer.poll(0):
                found.append((plane, None, dealer.recv_multipart()))
        return found

    def _bound(self, port: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.ROUTER)
        socket.bind(f"tcp://127.0.0.1:{port}")
        self._poller.register(socket, zmq.POLLIN)
        return socket

    def _connected(self, port: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.RECONNECT_IVL, 10)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 100)
        socket.connect(f"tcp://127.0.0.1:{port}")
        self._poller.register(socket, zmq.POLLIN)
        return socket
