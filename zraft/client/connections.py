"""Connections to a node's client port: what the links have in common."""

from __future__ import annotations

import _thread
import io
import os
import select
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial

import zmq

from zraft.connection import Connection

HEARTBEAT_MS = 1_000
"""A peer that vanished without a word is noticed after two of these."""

SOCKETS_MAX = 16_384
"""A call takes three while it is under way, its monitor's two ends among them: for 5,000 threads at once."""
DESCRIPTORS_MIN = 12
"""What a context takes (5), and its first connection (4), and some more for what happens at the same time."""
END_S, END_S_MAX = 0.001, 5.0
"""Whoever closes looks so often whether all is closed, and so long at most: it may be that another thread uses a
connection that waits for this one, and what goes on then ends by itself."""
CLOSED_S = 0.1
"""Whoever waits for the time to pass looks so often whether the link was closed."""

MUTE = "connected, but nobody speaks zraft there (is it a node's client port?)"
"""It is another kind of server, as a node's HTTP port; or the node stands still, and its machine takes connections."""

# An epoll is closed without a warning where a signal's handler raises. gevent takes it away, some systems have none.
_probe: Callable[[], select.epoll | io.FileIO] = getattr(select, "epoll", partial(io.FileIO, os.devnull))

_OPTIONS = {
    int(zmq.IPV6): 1,
    int(zmq.HEARTBEAT_IVL): HEARTBEAT_MS,
    int(zmq.HEARTBEAT_TIMEOUT): 2 * HEARTBEAT_MS,
}


class Connections:
    """What a link has open in one process: its connections, and the context that they live in.

    Attributes:
        pid: the process that they belong to.
        open: those that were not closed; ``NodeConnection`` enters itself.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.open: set[Connection] = set()
        self._contexts: list[zmq.Context[zmq.Socket[bytes]]] = []  # one, from the first connection to the end
        self.lock = threading.RLock()
        self._has_ended = False
        self._ending: list[zmq.Context[zmq.Socket[bytes]]] = []
        weakref.finalize(self, _end, self._contexts, self.open, self.pid).atexit = False

    @property
    def context(self) -> zmq.Context[zmq.Socket[bytes]]:
        """For a connection that is to be made.

        Raises:
            zmq.ZMQError: there are not enough descriptors, or this has ended.
        """
        with self.lock:
            if self._has_ended:
                raise zmq.ZMQError(zmq.ETERM)
            if not self._contexts:
                self._contexts.append(_context())
            return self._contexts[0]

    def end(self, close_left: Callable[[], None] = lambda: None) -> None:
        """Ends the context: whoever waits for one of its sockets is told so. Returns when all of them are closed.

        Args:
            close_left: called now and then, to close what nobody will.
        """
        if sys.is_finalizing():
            return  # threads in the midst of calls go on no more, nor close anything: the process's end does
        with self.lock:
            self._has_ended = True
        while self._contexts:
            context = self._contexts.pop()
            # pyzmq takes a context for ended when a signal comes while it waits, and libzmq keeps threads and
            # descriptors; signals come to the main thread.
            try:
                _thread.start_new_thread(context.term, ())
            except RuntimeError:  # no room for a thread
                context.term()
            self._ending.append(context)
        until = time.monotonic() + END_S_MAX
        while not all(context.closed for context in self._ending) and time.monotonic() < until:
            close_left()
            time.sleep(END_S)


def _context() -> zmq.Context[zmq.Socket[bytes]]:
    """A context with room for all that a client's threads do at once; libzmq's own default is 1,023 sockets."""
    probes: list[select.epoll | io.FileIO] = []
    try:
        # libzmq aborts the process if its threads can't have theirs.
        for _ in range(DESCRIPTORS_MIN):
            probes.append(_probe())
    except OSError as error:
        raise zmq.ZMQError(error.errno) from None
    finally:
        while probes:
            probes.pop().close()
    made: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made.set(zmq.MAX_SOCKETS, SOCKETS_MAX)
    return made


def _end(contexts: list[zmq.Context[zmq.Socket[bytes]]], connections: set[Connection], pid: int) -> None:
    """What becomes of a link that nobody closed and nobody can reach any more: called by ``weakref.finalize``.

    pyzmq's own way waits for ever when link and sockets are found together, in a cycle: the context is ended first,
    and waits for sockets that are only closed after it.
    """
    if os.getpid() != pid:
        return  # a forked child has the parent's sockets, and must not touch them
    for connection in list(connections):
        connection.close()
    while contexts:
        contexts.pop().term()


class NodeConnection(Connection):
    """A connection that is tried once: the core decides where to go when it fails.

    Args:
        connections: of which it is one.
        kind: ``zmq.REQ`` or ``zmq.DEALER``.
        address: numeric, as libzmq wants it.

    Raises:
        zmq.ZMQError: libzmq refuses it, or there are not enough descriptors.
    """

    def __init__(self, connections: Connections, kind: int, address: str) -> None:
        # pyzmq knows of a context's end only after libzmq has freed it, and asks what is freed for a socket.
        with connections.lock:
            super().__init__(connections.context, kind, address, None, _OPTIONS, connections.open)

    @property
    def trouble(self) -> str:
        """Why nothing could be sent over it."""
        return MUTE if self.is_mute else "no connection"
