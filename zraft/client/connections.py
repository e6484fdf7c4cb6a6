"""Connections to a node's client port: what the links have in common."""

from __future__ import annotations

import zmq

from zraft.connection import Connection

HEARTBEAT_MS = 1_000
"""A peer that vanished without a word is noticed after two of these."""

_OPTIONS = {
    int(zmq.IPV6): 1,
    int(zmq.HEARTBEAT_IVL): HEARTBEAT_MS,
    int(zmq.HEARTBEAT_TIMEOUT): 2 * HEARTBEAT_MS,
}


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
