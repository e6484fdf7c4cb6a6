"""The synchronous link: drives calls over REQ sockets, each closed and made anew once it failed (Lazy Pirate).

That a node dies in the middle of an answer harms no REQ socket that was made as ``zraft.connection`` says.

A connection is used by one call at a time and then kept for the next, so threads share a link without waiting for one
another. No policy lives here: ``zraft.client.core`` says what to send, to whom, and until when.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Iterator
from typing import TypeVar

import zmq

from zraft.client.connections import NodeConnection, context, end
from zraft.client.core import Call
from zraft.client.names import Names
from zraft.client.steps import Answered, Event, Fail, Go, NotAnswered, NotSent, Pause, Return, Send
from zraft.connection import Connection, receive_frames, send_frames
from zraft.errors import ClientClosed
from zraft.protocol.client import Response

IDLE_CONNECTIONS_MAX = 16

R = TypeVar("R", bound=Response)


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
        with self.calling() as process:
            return self._run(process, call)

    @contextlib.contextmanager
    def calling(self) -> Iterator[_Process]:
        """This thread is in a call while the context lasts: to close the link meanwhile is to leave that to another."""
        process, me = self._current(), threading.get_ident()
        is_outer = me not in process.callers  # or a signal's handler calls in the midst of a call
        process.callers.add(me)
        try:
            yield process
        finally:
            if is_outer:
                process.callers.discard(me)

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
                    process.closed.wait(max(0.0, until - time.monotonic()))
                    event = Go()
                case Send():
                    event = self._exchange(process, call, instruction)

    def _exchange(self, process: _Process, call: Call[R], send: Send) -> Event:
        try:
            return process.exchange(send)
        except ClientClosed as error:  # just now
            if call.end is None:
                raise
            return NotSent(str(error))

    @property
    def lock(self) -> threading.Lock:
        """Held while a call takes a step: the calls of all threads share their core.

        Raises:
            ClientClosed: the link is closed.
        """
        process = self._current()
        process.require_open()
        return process.lock

    @property
    def closed(self) -> threading.Event:
        """Set when the link is closed."""
        return self._current().closed

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
            if inherited.closed.is_set():
                process.close()
            self._process = process
        return process


class _Process:
    """What a link holds in one process: the context, and the connections that no call is using."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.closed = threading.Event()
        self.callers: set[int] = set()
        """The threads that are in a call."""
        self._context = context()
        self._names = Names()
        self._idle: list[_Connection] = []
        self._open: set[Connection] = set()  # those and the ones in use
        weakref.finalize(self, end, self._context, self._open, self.pid).atexit = False

    def require_open(self) -> None:
        """Raises ``ClientClosed`` if it was closed."""
        if self.closed.is_set():
            raise ClientClosed("this client was closed: make another one")

    def exchange(self, send: Send) -> Event:
        """One request and its answer, or why there is none."""
        connection = self._take(send.endpoint)
        if connection is None:
            address = self._names.address(send.endpoint, send.connect_by)
            if not address:
                return NotSent("its name can't be resolved")
            try:
                connection = _Connection(self._context, send.endpoint, address)
            except zmq.ZMQError as error:
                return NotSent(f"can't connect: {error}")
            self._open.add(connection)
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
                self._close(connection)

    def close(self) -> None:
        """Closes what is idle; what is in use ends by the context's end, and is closed by its user."""
        if threading.get_ident() in self.callers:
            # In a signal's handler: the call that it interrupted holds what would be waited for here, for ever.
            threading.Thread(target=self._end, name="closing", daemon=True).start()
        else:
            self._end()

    def _end(self) -> None:
        with self.lock:
            if self.closed.is_set():
                return
            self.closed.set()
            idle, self._idle = self._idle, []
        for connection in idle:
            self._close(connection)
        self._context.term()

    def _close(self, connection: _Connection) -> None:
        connection.close()
        self._open.discard(connection)

    def _take(self, endpoint: str) -> _Connection | None:
        with self.lock:
            self.require_open()
            found = next((connection for connection in self._idle if connection.endpoint == endpoint), None)
            if found is not None:
                self._idle.remove(found)
        if found is not None and found.look():
            self._close(found)
            return None
        return found

    def _keep(self, connection: _Connection) -> bool:
        with self.lock:
            if self.closed.is_set():
                return False
            self._idle.append(connection)
            oldest = self._idle.pop(0) if len(self._idle) > IDLE_CONNECTIONS_MAX else None
        if oldest is not None:
            self._close(oldest)
        return True


class _Connection(NodeConnection):
    """A REQ connection: one request at a time."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, address: str) -> None:
        super().__init__(context, zmq.REQ, address)
        self.endpoint, self.address = endpoint, address

    def exchange(self, send: Send) -> Event:
        """One request and its answer, or why there is none."""
        try:
            while not self.is_open:
                if self.is_lost or not _wait([self.monitor], send.connect_by):
                    return NotSent("no connection")
                self.look()
            send_frames(self.socket, send.frames)
        except zmq.ZMQError as error:
            return NotSent(f"no connection: {error}")
        try:
            if not self._is_answered(send.answer_by):
                return NotAnswered("the connection broke" if self.is_lost else "no answer in time")
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
