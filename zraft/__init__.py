"""zraft: a replicated, linearizable key-value store with a client that feels native to Python.

A program needs ``Client``, the operations of which a batch is made, and the errors; for its annotations there is what
methods take and return, and what that holds.
"""

from zraft.client import Client, Delete, Get, Put
from zraft.client.arguments import BytesOrText, Consistency
from zraft.client.listing import Listing
from zraft.client.pipeline import Outcome, Pipeline
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
from zraft.protocol.responses import (
    BatchResult,
    CompactResult,
    DeleteResult,
    ErrorInfo,
    GetResult,
    KeyValue,
    MemberInfo,
    MembersResult,
    PeerInfo,
    PutResult,
    StatusResult,
    TransferResult,
)
from zraft.store.manifest import Manifest
from zraft.version import __version__

__all__ = [
    "BatchResult",
    "BytesOrText",
    "Client",
    "ClientClosed",
    "CompactResult",
    "Compacted",
    "Consistency",
    "Delete",
    "DeleteResult",
    "ErrorInfo",
    "Get",
    "GetResult",
    "InvalidArgument",
    "KeyValue",
    "Listing",
    "Manifest",
    "MemberInfo",
    "MembersResult",
    "MembershipRefused",
    "NotExecuted",
    "NotLeader",
    "Outcome",
    "PeerInfo",
    "Pipeline",
    "PreconditionFailed",
    "ProtocolError",
    "Put",
    "PutResult",
    "Rejected",
    "ResourceExhausted",
    "StatusResult",
    "TransferResult",
    "Unavailable",
    "Unknown",
    "ZraftError",
    "__version__",
]
