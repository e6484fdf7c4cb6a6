"""The synchronous link: drives calls over REQ sockets, each closed and made anew once it failed (Lazy Pirate).

That a node dies in the middle of an answer harms no REQ socket that was made as ``zraft.connection`` says.

A connection is used by one call at a time and then kept for the next, so threads share a link without waiting for one
another. No policy lives here: ``zraft.client.core`` says what to send, to whom, and until when.

Signals' handlers run between any two steps of the main thread's Python code, and may raise an exception there (Ctrl-C
does), call, or close. So:

1. Each connection says whose it is, from before it has a socket: of a call, or of nobody, when it is idle. It passes
   from one to the other by one assignment, which nothing comes between.
2. Each call is in ``calls`` while it lasts, and no longer. A connection of a call that is not there is lost: it is
   closed before another one is made, and by the end, which therefore waits only for those of calls that go on.
3. Locks are such that a call within a call of the same thread passes, and what they guard bears that.
4. Threads are started by one step, as ``threading.Thread.start`` waits, perhaps for what the interrupted code holds.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import zmq

from zraft.client.connections import CLOSED_S, Connections, NodeConnection
from zraft.client.core import Call
from zraft.client.names import Names
from zraft.client.steps import NO_ANSWER, Answered, Event, Fail, Go, NotAnswered, NotSent, Pause, Return, Send
from zraft.connection import receive_frames, send_frames
from zraft.errors import ClientClosed
from zraft.protocol.responses import Response

IDLE_CONNECTIONS_MAX = 16

R = TypeVar("R", bound=Response)
T = TypeVar("T")


class Link:
    """Runs calls, from any number of threads; a forked child begins with connections of its own."""

    def __init__(self) -> None:
        self._process = _Process()
        self._inherited: list[_Process] = []

    def run(self, call: Call[R]) -> R:
        """Runs a call to its end and returns the answer.

        Raises:
            ZraftError: what the call failed with; ``ClientClosed`` if the link is closed.
        """
        process = self._current()
        # No context manager, nor a return within: an interrupt where those end would leave the call there.
        try:
            process.calls[call] = threading.get_ident()
            response = self._run(process, call)
        finally:
            process.calls.pop(call, None)
        return response

    def calling(self, act: Callable[[], T]) -> T:
        """Does what is a call as well: a signal's handler that closes the link meanwhile leaves that to a thread."""
        calls = self._current().calls
        try:
            calls[act] = threading.get_ident()
            result = act()
        finally:
            calls.pop(act, None)
        return result

    def _run(self, process: _Process, call: Call[R]) -> R:
        event: Event = Go()
        while True:
            with process.lock:
                instruction = call.step(event, time.monotonic())
            match instruction:
                case Return(response):
                    return response
                case Fail():
                    raise instruction.exception()
                case Pause(until):
                    while not process.is_closed and (left := until - time.monotonic()) > 0:
                        time.sleep(min(left, CLOSED_S))
                    event = Go()
                case Send():
                    event = self._exchange(process, call, instruction)

    def _exchange(self, process: _Process, call: Call[R], send: Send) -> Event:
        try:
            return process.exchange(send, call)
        except ClientClosed as error:  # just now
            if call.end is None:
                raise
            return NotSent(str(error))

    @property
    def lock(self) -> threading.RLock:
        """Held while a call takes a step: the calls of all threads share their core.

        Raises:
            ClientClosed: the link is closed.
        """
        process = self._current()
        process.require_open()
        return process.lock

    def is_closed(self) -> bool:
        """Whether the link is closed."""
        return self._current().is_closed

    def close(self) -> None:
        """Closes all connections; calls in flight end at once. Closing again does nothing.

        A signal's handler may close it in the midst of a call of its own thread: that call ends when the handler has.
        """
        self._current().close()

    def _current(self) -> _Process:
        # Sockets, and a lock that another thread held at that moment, do not survive a fork. The parent's are kept and
        # never closed: that is the parent's to do. Two threads that find it out together may each run on their own.
        process = self._process
        if process.pid != os.getpid():
            inherited, process = process, _Process()
            self._inherited.append(inherited)
            if inherited.is_closed:
                process.close()
            self._process = process
        return process


class _Process:
    """What a link holds in one process: the connections, and those of them that no call is using."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.RLock()
        self.is_closed = False
        self.calls: dict[object, int] = {}
        """The calls under way, and the threads that they are in."""
        self._connections = Connections()
        self._names = Names()
        self._idle: list[_Connection] = []

    def require_open(self) -> None:
        """Raises ``ClientClosed`` if it was closed."""
        if self.is_closed:
            raise ClientClosed("this client was closed: make another one")

    def exchange(self, send: Send, call: object) -> Event:
        """One request of this call, and its answer, or why there is none."""
        connection = self._take(send.endpoint, call)
        if connection is None:
            address = self._names.address(send.endpoint, send.connect_by, lambda: self.is_closed)
            if not address:
                return NotSent("its name can't be resolved")
            if len(self._connections.open) >= len(self.calls) + len(self._idle):  # each call has one, this one none
                self._close_left()
            try:
                connection = _Connection(self._connections, send.endpoint, address, call)
            except zmq.ZMQError as error:
                return NotSent(f"can't connect: {error}")
        is_whole = False
        try:
            event = connection.exchange(send)
            if isinstance(event, NotSent):
                self._names.doubt(connection.endpoint, connection.address)
            is_whole = isinstance(event, Answered)
            return event
        finally:
            # Also after an exception in the middle: a REQ socket that waits for an answer takes no other request.
            if not (is_whole and self._keep(connection)):
                connection.close()

    def close(self) -> None:
        """Closes what no call uses; what is in use ends by the context's end, and is closed by its user."""
        me = threading.get_ident()
        if me in self.calls.values():
            # In a signal's handler: the call that it interrupted holds what would be waited for here, for ever.
            self.is_closed = True
            with contextlib.suppress(RuntimeError):  # no room for a thread: calls are refused all the same
                _thread.start_new_thread(self.close, ())
            return
        closing = object()
        try:
            self.calls[closing] = me  # so that this is not closed in the midst of it, either
            self._end()
        finally:
            self.calls.pop(closing, None)

    def _end(self) -> None:
        if sys.is_finalizing():  # whoever holds the lock goes on no more
            self.is_closed = True
            return
        with self.lock:
            self.is_closed = True
        self._close_left(also_idle=True)
        self._connections.end(partial(self._close_left, also_idle=True))

    def _close_left(self, also_idle: bool = False) -> None:
        """Closes the connections of calls that are over: interrupted ones."""
        for connection in list(self._connections.open):
            user = connection.user if isinstance(connection, _Connection) else None
            if user not in self.calls and (also_idle or user is not None):
                connection.close()

    def _take(self, endpoint: str, call: object) -> _Connection | None:
        with self.lock:
            self.require_open()
            for found in self._idle:
                if found.endpoint == endpoint and found.user is None:
                    found.user = call
                    self._idle.remove(found)
                    break
            else:
                return None
        try:
            if not found.look():
                return found
        except zmq.ZMQError:  # closed just now
            pass
        found.close()
        return None

    def _keep(self, connection: _Connection) -> bool:
        with self.lock:
            if self.is_closed:
                return False
            oldest = self._idle[0] if len(self._idle) >= IDLE_CONNECTIONS_MAX else None
            if oldest is not None:
                oldest.user = connection.user
                self._idle.remove(oldest)
            connection.user = None
            self._idle.append(connection)
        if oldest is not None:
            oldest.close()
        return True


class _Connection(NodeConnection):
    """A REQ connection: one request at a time.

    Attributes:
        user: the call whose it is; None: it is idle.
    """

    def __init__(self, connections: Connections, endpoint: str, address: str, user: object) -> None:
        self.endpoint, self.address, self.user = endpoint, address, user
        super().__init__(connections, zmq.REQ, address)

    def exchange(self, send: Send) -> Event:
        """One request and its answer, or why there is none."""
        try:
            while not self.is_open:
                if self.is_lost or not _wait([self.monitor], send.connect_by):
                    return NotSent(self.trouble)
                self.look()
            send_frames(self.socket, send.frames)
        except zmq.ZMQError as error:
            return NotSent(f"no connection: {error}")
        try:
            if not self._is_answered(send.answer_by):
                return NotAnswered("the connection broke" if self.is_lost else NO_ANSWER)
            return Answered(tuple(receive_frames(self.socket)))
        except zmq.ZMQError as error:
            return NotAnswered(str(error))

    def _is_answered(self, until: float) -> bool:
        """Waits for an answer; false when the time is up, or the connection is lost."""
        ready = _wait([self.socket, self.monitor], until)
        if self.monitor in ready:
            self.look()
        # What came just before the end can be read all the same.
        return self.socket in ready or (self.is_lost and bool(_wait([self.socket], 0.0)))


def _wait(sockets: list[zmq.Socket[bytes]], until: float) -> dict[object, int]:
    """Those that have something to receive, as soon as one has, or when the time is up."""
    timeout_ms = max(0, round((until - time.monotonic()) * 1000))
    return dict(zmq.zmq_poll([(socket, zmq.POLLIN) for socket in sockets], timeout_ms))
