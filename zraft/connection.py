"""Sockets that connect, to a node's client port or to its peer ports, and to which addresses: for clients and nodes.

They are made so that no peer can abort the process by hanging up, whether it was killed or means to. libzmq 4.3.5 does
abort in two cases, with REQ, DEALER and ROUTER alike, and the options that would seem natural here lead to them:

- With ``ZMQ_IMMEDIATE``, or a reconnect interval of -1, the pipe is taken away when the connection breaks, and with it
  the messages that have come over it. ``recv`` looks for such commands in every hundredth call, also between two frames
  of one message, and then the next frame is missing (``!_more``, fq.cpp). Without them a pipe lives as long as its
  socket, and only whole messages enter it. So here a monitor tells whether there is a connection, and nothing is sent
  without one; one that broke is closed, with its socket.
- With a bound of what waits to be received (``ZMQ_RCVHWM``), reading from the network stops when it is reached. If the
  connection breaks then, a heartbeat (our timer's, or a PING that is still in the buffer) is answered over the dead
  connection (``!_io_error``, stream_engine_base.cpp), and after a reconnection reading resumes where it had not stopped
  (``_input_stopped``). So there is no such bound: what comes is what was asked for.

A socket that is bound keeps the pipe of a broken connection until it has been read, so the first can't happen there.
The bound of what it receives lies beyond what correct peers have under way.
"""

from __future__ import annotations

import contextlib
import itertools
import socket as sockets
import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import zmq

_FAILED = (
    zmq.EVENT_CLOSED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
_TAKEN, _OPENED, _BROKEN = (
    int(event) for event in (zmq.EVENT_CONNECTED, zmq.EVENT_HANDSHAKE_SUCCEEDED, zmq.EVENT_DISCONNECTED)
)
_EVENT = struct.Struct("=HI")  # number, value
_IN = int(zmq.POLLIN)
_NEVER_MS = 86_400_000
"""A day: by then the socket has been closed, or the monitor is asked first."""

_LAST, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
_send = zmq.backend.Socket.send
_ASKED_TIMES = 3
_numbers = itertools.count()


class Connection:
    """A socket with one connection in its life, and a monitor that tells how that fares.

    Args:
        context: whose socket it is.
        kind: ``zmq.REQ`` or ``zmq.DEALER``.
        address: numeric, as libzmq wants it.
        retry_ms: at which intervals attempts to connect are repeated, the first and the longest; None: one attempt,
            and the connection counts as lost when it fails.
        options: of the socket, by number.
        among: all that are open, this one included, from before it has a socket until it was closed: so an exception of
            a signal's handler, at whatever moment, leaves none that nobody knows.

    Attributes:
        socket: to receive from, and to be polled. What has come can be read until ``close``, also when it is lost.
        monitor: to be polled: ``look`` when there is something.
        is_mute: whether the other side took the TCP connection, and has not spoken as a node does; as of the last
            ``look``, and only of a connection that is tried once.
        is_open: whether messages can be sent; likewise.
        is_lost: whether the connection broke, or could not be made, and this one is of no use any more; likewise.

    Raises:
        zmq.ZMQError: libzmq refuses the address or an option.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        kind: int,
        address: str,
        retry_ms: tuple[int, int] | None,
        options: Mapping[int, int],
        among: set[Connection] | None = None,
    ) -> None:
        self.is_mute = self.is_open = self.is_lost = False
        # Ours before they are open: ``context.socket`` may be interrupted with one in hand, which stays open as long as
        # the traceback refers to it.
        self.socket: zmq.Socket[bytes] = zmq.Socket.__new__(zmq.Socket)
        self.monitor: zmq.Socket[bytes] = zmq.Socket.__new__(zmq.Socket)
        self._among = set[Connection]() if among is None else among
        self._among.add(self)
        try:
            context.socket(kind, partial(_open, self.socket))
            context.socket(zmq.PAIR, partial(_open, self.monitor))
            self.socket.setsockopt(zmq.LINGER, 0)
            self.socket.setsockopt(zmq.RCVHWM, 0)
            for option, value in options.items():
                self.socket.setsockopt(option, value)
            self.socket.setsockopt(zmq.RECONNECT_IVL, retry_ms[0] if retry_ms else _NEVER_MS)
            self.socket.setsockopt(zmq.RECONNECT_IVL_MAX, retry_ms[1] if retry_ms else 0)
            events = f"inproc://monitor-{next(_numbers)}"
            self.socket.monitor(events, _OPENED | _BROKEN | (0 if retry_ms else _FAILED | _TAKEN))
            self.monitor.connect(events)
            self.socket.connect(address)
        except BaseException:  # Ctrl-C as well: the context's end would wait for it
            self.close()
            raise

    def look(self) -> bool:
        """Take in what the monitor has to tell; whether the connection is lost."""
        while zmq.zmq_poll([(self.monitor, _IN)], 0):
            event, _ = _EVENT.unpack(self.monitor.recv_multipart(_LAST)[0])
            self.is_mute = event == _TAKEN or (self.is_mute and event != _OPENED)
            self.is_lost = self.is_lost or event not in (_TAKEN, _OPENED)
            self.is_open = not self.is_lost and (self.is_open or event == _OPENED)
        return self.is_lost

    def close(self) -> None:
        """Close the socket; what it has not sent yet is dropped. Closing again closes what an interrupt has left."""
        # First of all: libzmq's thread waits until it can tell an event, for ever when nobody listens any more.
        with contextlib.suppress(zmq.ZMQError):  # the context ended, and it waits no more; or this was done before
            self.socket.monitor(None, 0)
        self.socket.close(0)
        self.monitor.close(0)
        self._among.discard(self)


def _open(
    made: zmq.Socket[bytes], context: zmq.Context[zmq.Socket[bytes]], kind: int, **options: Any
) -> zmq.Socket[bytes]:
    zmq.Socket.__init__(made, context, kind, **options)
    return made


def tcp(host: str, port: int) -> str:
    """The ZeroMQ endpoint of a TCP address."""
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def look_up(host: str) -> tuple[str, ...]:
    """The numeric addresses of a name, none twice; empty while it has none. It may take long: see who calls it."""
    try:
        found = sockets.getaddrinfo(host, None, type=sockets.SOCK_STREAM)
    except (OSError, ValueError):  # what no name may hold is a ValueError
        return ()
    # A node binds IPv4 unless told otherwise, and "localhost" often means ::1 first.
    found.sort(key=lambda info: info[0] != sockets.AF_INET)
    return tuple(dict.fromkeys(str(info[4][0]) for info in found))


# Not send_multipart and recv_multipart: what they do with enums and options for each frame costs as much again. Nor the
# send of zmq.Socket, which looks for arguments that we don't have: 1.0, 0.38 and 0.20 us a frame.


def send_frames(socket: zmq.Socket[bytes], frames: Sequence[bytes]) -> None:
    """Send one message without blocking.

    Raises:
        zmq.ZMQError: it can't be sent (now); nothing of it was.
    """
    for frame in frames[:-1]:
        _send(socket, frame, _MORE)
    _send(socket, frames[-1], _LAST)


def receive_frames(socket: zmq.Socket[bytes]) -> list[bytes]:
    """One message that has come, without blocking.

    Raises:
        zmq.ZMQError: there is none.
    """
    frame = socket.recv(_LAST, copy=False)
    frames = [frame.bytes]
    while frame.more:  # else each frame would cost a question, an enum and half as much again
        frame = socket.recv(_LAST, copy=False)
        frames.append(frame.bytes)
    return frames


def received(socket: zmq.Socket[bytes], most: int) -> Iterator[list[bytes]]:
    """The messages that have come to a socket that is ready, up to ``most``, without blocking."""
    for count in range(most):
        # Mostly there is one. To hear of the end by an exception costs 7 us, to ask 2; where many wait we don't ask.
        if 0 < count <= _ASKED_TIMES and not zmq.zmq_poll([(socket, _IN)], 0):
            return
        try:
            frames = receive_frames(socket)
        except zmq.Again:
            return
        yield frames
