"""One connection to one endpoint: what the links have in common."""

from __future__ import annotations

import itertools

import zmq

HEARTBEAT_MS = 1_000
"""A peer that vanished without a word is noticed after two of these."""
LOST = (
    zmq.EVENT_CLOSED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)

_numbers = itertools.count()


class Connection:
    """A socket that connects once. Its monitor tells at once when that failed, or when the connection broke.

    Args:
        context: whose socket it is.
        kind: ``zmq.REQ`` or ``zmq.DEALER``.
        address: numeric, as libzmq wants it.

    Raises:
        zmq.ZMQError: libzmq refuses it.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], kind: int, address: str) -> None:
        self.socket = context.socket(kind)
        self.socket.linger = 0
        # Without IMMEDIATE a request waits in a queue for a peer that is not there, and "sent" means nothing.
        self.socket.immediate = True
        self.socket.ipv6 = True
        self.socket.reconnect_ivl = -1
        self.socket.heartbeat_ivl = HEARTBEAT_MS
        self.socket.heartbeat_timeout = 2 * HEARTBEAT_MS
        self.monitor = context.socket(zmq.PAIR)
        try:
            events = f"inproc://monitor-{next(_numbers)}"
            self.socket.monitor(events, LOST)
            self.monitor.connect(events)
            self.socket.connect(address)
        except zmq.ZMQError:
            self.close()
            raise

    def is_lost(self) -> bool:
        """Whether the connection could not be made, or is broken."""
        return bool(self.monitor.poll(0))

    def close(self) -> None:
        """Closes the socket; what it has not sent yet is dropped."""
        self.monitor.close(0)
        self.socket.close(0)
