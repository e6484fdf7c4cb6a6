"""Which answer belongs to which request: their tags don't tell."""

from __future__ import annotations

from zraft.protocol.client import (
    BackupChunk,
    Batch,
    BatchResult,
    ChangeMember,
    ClusterStatus,
    Compact,
    CompactResult,
    Delete,
    DeleteResult,
    Get,
    GetResult,
    ListMembers,
    MembersResult,
    Put,
    PutResult,
    Range,
    RangeResult,
    ReadBackup,
    Request,
    Response,
    StatusResult,
    TransferLeadership,
    TransferResult,
)

ANSWERS: dict[type[Request], type[Response]] = {
    Put: PutResult,
    Delete: DeleteResult,
    Batch: BatchResult,
    Get: GetResult,
    Range: RangeResult,
    ClusterStatus: StatusResult,
    Compact: CompactResult,
    ReadBackup: BackupChunk,
    TransferLeadership: TransferResult,
    ChangeMember: MembersResult,
    ListMembers: MembersResult,
}
"""What a request is answered with, unless it is an ``ErrorResult``. The client names it with each request; a test holds
this against all of them."""
