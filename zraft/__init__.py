"""zraft: a replicated, linearizable key-value store with a client that feels native to Python.

``from zraft import Client`` is all that a program needs; errors are in ``zraft.errors``.
"""

from zraft.client import Client
from zraft.errors import (
    ClientClosed,
    Compacted,
    InvalidArgument,
    NotExecuted,
    NotLeader,
    PreconditionFailed,
    ProtocolError,
    Rejected,
    ResourceExhausted,
    Unavailable,
    Unknown,
    ZraftError,
)

__version__ = "0.2.0.dev0"

__all__ = [
    "Client",
    "ClientClosed",
    "Compacted",
    "InvalidArgument",
    "NotExecuted",
    "NotLeader",
    "PreconditionFailed",
    "ProtocolError",
    "Rejected",
    "ResourceExhausted",
    "Unavailable",
    "Unknown",
    "ZraftError",
]
