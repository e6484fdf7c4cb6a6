"""zraft: a replicated, linearizable key-value store with a client that feels native to Python.

A program needs ``Client``, the operations of which a batch is made, and the errors.
"""

from zraft.client import Client, Delete, Get, Put
from zraft.errors import (
    ClientClosed,
    Compacted,
    InvalidArgument,
    MembershipRefused,
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
from zraft.version import __version__

__all__ = [
    "Client",
    "ClientClosed",
    "Compacted",
    "Delete",
    "Get",
    "InvalidArgument",
    "MembershipRefused",
    "NotExecuted",
    "NotLeader",
    "PreconditionFailed",
    "ProtocolError",
    "Put",
    "Rejected",
    "ResourceExhausted",
    "Unavailable",
    "Unknown",
    "ZraftError",
    "__version__",
]
