"""Connections to a node's client port: what the links have in common."""

from __future__ import annotations

import os

import zmq

from zraft.connection import Connection

HEARTBEAT_MS = 1_000
"""A peer that vanished without a word is noticed after two of these."""

SOCKETS_MAX = 16_384
"""A call takes three while it is under way, its monitor's two ends among them: for 5,000 threads at once."""

_OPTIONS = {
    int(zmq.IPV6): 1,
    int(zmq.HEARTBEAT_IVL): HEARTBEAT_MS,
    int(zmq.HEARTBEAT_TIMEOUT): 2 * HEARTBEAT_MS,
}


def context() -> zmq.Context[zmq.Socket[bytes]]:
    """A context with room for all that a client's threads do at once; libzmq's own default is 1,023 sockets."""
    made: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made.set(zmq.MAX_SOCKETS, SOCKETS_MAX)
    return made


def end(context: zmq.Context[zmq.Socket[bytes]], connections: set[Connection], pid: int) -> None:
    """What becomes of a link that nobody closed and nobody can reach any more: called by ``weakref.finalize``.

    pyzmq's own way waits for ever when link and sockets are found together, in a cycle: the context is ended first,
    and waits for sockets that are only closed after it.
    """
    if os.getpid() != pid:
        return  # a forked child has the parent's sockets, and must not touch them
    for connection in list(connections):
        connection.close()
    context.term()


class NodeConnection(Connection):
    """A connection that is tried once: the core decides where to go when it fails.

    Args:
        context: whose socket it is.
        kind: ``zmq.REQ`` or ``zmq.DEALER``.
        address: numeric, as libzmq wants it.

    Raises:
        zmq.ZMQError: libzmq refuses it.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], kind: int, address: str) -> None:
        super().__init__(context, kind, address, None, _OPTIONS)
