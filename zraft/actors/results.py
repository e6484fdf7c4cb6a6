"""Storage's links to the gateways of its node: results of their proposals, and news of what has been applied.

Nothing here waits for a gateway: one whose queue is full is forgotten (``core.audience``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import zmq

from zraft.actors.sockets import drain, send
from zraft.core.applier import Outcome
from zraft.core.audience import Audience
from zraft.protocol import codec
from zraft.protocol.local import Register, StorageToGateway

DRAIN_MESSAGES = 1024


class ResultLinks:
    """The ROUTER to which this node's gateways connect."""

    def __init__(self, socket: zmq.Socket[bytes], incarnation: bytes) -> None:
        self._socket = socket
        self._incarnation = incarnation
        self._audience = Audience[bytes]()

    def take(self, events: Mapping[object, int], applied: int) -> None:
        """Registrations and waits that have come."""
        if self._socket not in events:
            return
        for route, incarnation, frame in drain(self._socket, DRAIN_MESSAGES):
            if incarnation != self._incarnation:
                continue  # S1
            message = codec.gateway_to_storage.decode(frame)
            if isinstance(message, Register):
                self._send(self._audience.register(route, message))
            else:
                self._send(self._audience.wait(route, message, applied))

    def tell(self, outcomes: Sequence[Outcome], applied: int) -> None:
        """Results to the gateway that proposed, new terms to all, and to each who waits for it: ``applied``."""
        self._send(self._audience.tell(outcomes, applied))

    def skipped(self) -> None:
        """A snapshot took the place of entries: all gateways are told, before anything that comes behind them."""
        self._send(self._audience.skipped())

    def _send(self, told: list[tuple[int, StorageToGateway]]) -> None:
        for gateway, message in told:
            route = self._audience.place(gateway)
            if route is not None and not send(self._socket, [route, self._incarnation, codec.encode(message)]):
                self._audience.forget(gateway)
