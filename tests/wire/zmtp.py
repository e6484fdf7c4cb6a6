"""The other end of a ZeroMQ connection by hand: it sends what it likes, and hangs up when it likes."""

from __future__ import annotations

import socket
import struct

FRAMES = 300
"""libzmq looks for commands in every hundredth call of recv, so within a message of these in any case."""

MESSAGES = 5_000


def greet(conn: socket.socket, kind: bytes) -> None:
    """ZMTP 3.0's handshake with the mechanism NULL, as a socket of this kind."""
    conn.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))
    receive(conn, 64)
    ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
    conn.sendall(bytes([4, len(ready)]) + ready)
    receive(conn, receive(conn, 2)[1])


def receive(conn: socket.socket, count: int) -> bytes:
    """So many bytes."""
    data = b""
    while len(data) < count:
        more = conn.recv(count - len(data))
        assert more, "the connection ended"
        data += more
    return data


def frame(data: bytes, more: bool) -> bytes:
    """A short frame, on the wire."""
    return bytes([more, len(data)]) + data


def message(*frames: bytes) -> bytes:
    """A whole message, on the wire."""
    return b"".join(frame(data, number < len(frames)) for number, data in enumerate(frames, 1))


def torn() -> bytes:
    """A whole message of many frames behind an empty one, and the first two frames of another."""
    return message(b"", *[b"x"] * FRAMES) + frame(b"", more=True) + frame(b"header", more=True)


def flood() -> bytes:
    """More messages than most would let wait, and a PING behind them."""
    return message(b"", b"header", b"id", b"answer") * MESSAGES + b"\x04\x07\x04PING\0\0"


def tear(conn: socket.socket) -> None:
    """Hang up with a reset, as the kernel does for a process that was killed with data unread."""
    if conn.family != socket.AF_UNIX:
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()
