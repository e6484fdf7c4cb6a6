"""Sockets for a test, closed at its end."""

import zmq

from zraft.actors.sockets import Sockets
from zraft.connection import Connection


class KeptSockets(Sockets):
    """They live until ``close``, even if those who used them are gone by then."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[zmq.Socket[bytes]] = []

    def _make(self, kind: int, queue: int) -> zmq.Socket[bytes]:
        self._kept.append(super()._make(kind, queue))
        return self._kept[-1]

    def connect_peer(self, address: tuple[str, int]) -> Connection:
        connection = super().connect_peer(address)
        self._kept += [connection.socket, connection.monitor]
        return connection
