"""Which answer belongs to which request: their tags don't tell."""

from __future__ import annotations

from zraft.protocol.requests import (
    Batch,
    ChangeMember,
    ClusterStatus,
    Compact,
    Delete,
    Get,
    ListMembers,
    Put,
    Range,
    ReadBackup,
    Request,
    TransferLeadership,
)
from zraft.protocol.responses import (
    BackupChunk,
    BatchResult,
    CompactResult,
    DeleteResult,
    GetResult,
    MembersResult,
    PutResult,
    RangeResult,
    Response,
    StatusResult,
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
