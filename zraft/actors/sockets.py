"""ZeroMQ sockets as zraft uses them: every option that matters is set here, each for a reason."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

import zmq

from zraft.config import not_bound
from zraft.connection import Connection, received, send_frames, tcp
from zraft.errors import ConfigurationError
from zraft.protocol.peer import MESSAGE_BYTES_MAX

LOCAL_MESSAGES_MAX = 100_000
"""Bound of a queue inside a node: the windows of replication and gateways keep far below it."""
PEER_MESSAGES_MAX = 256
"""Bound of a queue to one peer: beyond it messages are lost, which the protocol expects."""
ARRIVED_MESSAGES_MAX = 10_000
"""Bound of what has come from one peer and was not looked at: more than all windows together (``zraft.connection``)."""
HEARTBEAT_MS = 2_000
"""A connection whose other end vanished without a word is closed after this time without a pong."""
CONNECT_MS = 2_000
RECONNECT_MS = (10, 100)
"""A peer that comes back must be reached before the next leader dies: it may be the one vote that is missing."""

Frames = list[bytes]

_taken = 0


class Sockets:
    """The context and the sockets of one actor; closing it closes them all without lingering."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, 4096)

    def bind_router(
        self, endpoint: str, queue: int, bytes_max: int = MESSAGE_BYTES_MAX, setting: str = ""
    ) -> zmq.Socket[bytes]:
        """A ROUTER that tells when a message can't be sent, instead of dropping it silently.

        Args:
            endpoint: where to listen.
            queue: bound of the messages that wait, to each of those who connect.
            bytes_max: of one frame; a longer one ends its connection.
            setting: whose port it is, as an error names it; empty: a link within the node.

        Raises:
            ConfigurationError: the address can't be bound, with the reason.
        """
        socket = self._make(zmq.ROUTER, queue)
        socket.setsockopt(zmq.RCVHWM, max(queue, ARRIVED_MESSAGES_MAX))
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, bytes_max)  # trap 62: no unbounded read from a port
        socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_MS)
        return self._bind(socket, endpoint, setting)

    def bind_local(self, endpoint: str) -> zmq.Socket[bytes]:
        """One end of a link between two actors of one incarnation."""
        return self._bind(self._make(zmq.DEALER, LOCAL_MESSAGES_MAX), endpoint)

    def connect_local(self, endpoint: str) -> zmq.Socket[bytes]:
        """The other end, or a gateway's link to one of the trio's ROUTERs."""
        socket = self._make(zmq.DEALER, LOCAL_MESSAGES_MAX)
        socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS[0])
        socket.connect(endpoint)
        return socket

    def connect_peer(self, address: tuple[str, int]) -> Connection:
        """A DEALER to a peer at a numeric address, which goes on trying until there is a connection."""
        endpoint = tcp(*address)
        options = {
            int(zmq.SNDHWM): PEER_MESSAGES_MAX,
            int(zmq.CONNECT_TIMEOUT): CONNECT_MS,
            int(zmq.MAXMSGSIZE): MESSAGE_BYTES_MAX,
            int(zmq.HEARTBEAT_IVL): HEARTBEAT_MS,
            int(zmq.HEARTBEAT_TIMEOUT): HEARTBEAT_MS,
            int(zmq.IPV6): _is_ipv6(endpoint),
        }
        return Connection(self._context, zmq.DEALER, endpoint, RECONNECT_MS, options)

    def close(self) -> None:
        """Close everything; messages that have not left are dropped."""
        self._context.destroy(linger=0)

    def _make(self, kind: int, queue: int) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, queue)
        socket.setsockopt(zmq.RCVHWM, queue)
        return socket

    def _bind(self, socket: zmq.Socket[bytes], endpoint: str, setting: str = "") -> zmq.Socket[bytes]:
        socket.setsockopt(zmq.IPV6, _is_ipv6(endpoint))
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            socket.close(0)
            number = error.errno or 0
            reason = os.strerror(number)
            if setting:
                raise not_bound(setting, endpoint, number, reason) from None
            raise ConfigurationError(f"can't listen on {endpoint}: {reason}") from None
        return socket


def _is_ipv6(endpoint: str) -> bool:
    return endpoint.startswith("tcp://[")


def send(socket: zmq.Socket[bytes], frames: Frames) -> bool:
    """Send without blocking; False when the queue is full, the peer is not connected, or unknown to a ROUTER."""
    try:
        send_frames(socket, frames)
    except zmq.Again:
        return False
    except zmq.ZMQError as error:
        if error.errno == zmq.EHOSTUNREACH:
            return False
        raise
    return True


def drain(socket: zmq.Socket[bytes], most: int) -> Iterator[Frames]:
    """What has arrived, up to ``most`` messages, without blocking."""
    global _taken
    for frames in received(socket, most):
        _taken += 1
        yield frames


def taken() -> int:
    """How many messages this process has drained since this was asked last.

    ZeroMQ does not tell the length of its queues. But an actor takes all that has come while it was busy, up to its
    bounds, in its next turn: what a turn takes is what had queued up.
    """
    global _taken
    count, _taken = _taken, 0
    return count


def poll(poller: zmq.Poller, seconds: float) -> dict[object, int]:
    """What is ready, after at most ``seconds``; a deadline is never met early, which would only poll again."""
    return dict(poller.poll(max(0, math.ceil(seconds * 1000))))
