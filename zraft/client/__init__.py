"""The client: ``Client``, the operations that a batch is made of, and what its methods return."""

from zraft.client.arguments import Consistency
from zraft.client.client import Client
from zraft.client.listing import Listing
from zraft.client.pipeline import Pipeline
from zraft.protocol.client import (
    BatchResult,
    CompactResult,
    Delete,
    DeleteResult,
    ErrorInfo,
    Get,
    GetResult,
    KeyValue,
    MemberInfo,
    MembersResult,
    Put,
    PutResult,
    StatusResult,
    TransferResult,
)

__all__ = [
    "BatchResult",
    "Client",
    "CompactResult",
    "Consistency",
    "Delete",
    "DeleteResult",
    "ErrorInfo",
    "Get",
    "GetResult",
    "KeyValue",
    "Listing",
    "MemberInfo",
    "MembersResult",
    "Pipeline",
    "Put",
    "PutResult",
    "StatusResult",
    "TransferResult",
]
