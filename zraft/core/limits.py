"""What a request may be: the same checks at the gateway, with an error for the client, and at apply, for certainty."""

from __future__ import annotations

from collections.abc import Sequence

from zraft.config import NAME, split_address
from zraft.errors import ConfigurationError
from zraft.protocol.requests import (
    BACKUP_NAME_BYTES_MAX,
    BATCH_OPERATIONS_MAX,
    KEY_BYTES_MAX,
    MEMBER_NAME_BYTES_MAX,
    RANGE_ITEMS_MAX,
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

REVISION_MAX = (1 << 63) - 1


def fault_of(request: Request) -> str:
    """Why the request is invalid, with what to change; empty when it is fine. Depends on nothing but the request."""
    match request:
        case Put():
            return _fault_of_put(request)
        case Delete():
            return _fault_of_delete(request)
        case Compact():
            return _fault_of_revision(request.revision)
        case Get():
            return _fault_of_key(request.key) or _fault_of_revision(request.revision)
        case Batch():
            return _fault_of_batch(request)
        case Range():
            return _fault_of_range(request)
        case ReadBackup():
            return _fault_of_backup(request)
        case TransferLeadership():
            return _fault_of_name(request.to)
        case ChangeMember():
            return _fault_of_change(request)
        case ClusterStatus() | ListMembers():
            return ""


def plain_keys(operations: Sequence[Request]) -> list[bytes] | None:
    """The keys of operations all of which are valid puts that depend on nothing; None: there is another one.

    Nearly all writes are such, and are looked at by one expression: each node does so for each of them.
    """
    keys = [
        one.key
        for one in operations
        if type(one) is Put
        and 0 < len(one.key) <= KEY_BYTES_MAX
        and one.expected_revision is None
        and not (one.return_previous or one.session or one.sequence or one.lease)
    ]
    return keys if len(keys) == len(operations) else None


def is_write(request: Request) -> bool:
    """Whether the request must go through the log."""
    match request:
        case Put() | Delete() | Compact() | ChangeMember():
            return True
        case Batch():
            return not isinstance(request.operations[0], Get)
        # All others by name: a new one that nobody thought of here would be taken for a read, and never reach the log.
        case Get() | Range() | ClusterStatus() | ReadBackup() | TransferLeadership() | ListMembers():
            return False


def grows(request: Request) -> bool:
    """Whether the command may make the state larger: refused when the disk's reserve is reached."""
    match request:
        case Put():
            return True
        case Batch():
            return any(isinstance(operation, Put) for operation in request.operations)
        case Delete() | Compact() | ChangeMember():
            return False
        case Get() | Range() | ClusterStatus() | ReadBackup() | TransferLeadership() | ListMembers():
            return False


def is_serializable(request: Request) -> bool:
    """Whether a read is content with the own state, however old."""
    match request:
        case Get() | Range():
            return request.serializable
        case Batch():
            first = request.operations[0]
            return isinstance(first, Get) and first.serializable
    return False


def _fault_of_key(key: bytes) -> str:
    if 0 < len(key) <= KEY_BYTES_MAX:
        return ""
    return f"a key has 1 to {KEY_BYTES_MAX} bytes, this one has {len(key)}"


def _fault_of_revision(revision: int | None) -> str:
    if revision is None or 0 <= revision <= REVISION_MAX:
        return ""
    return f"a revision is within 0..2^63-1, this one is {revision}"


def _fault_of_put(put: Put) -> str:
    if put.session or put.sequence or put.lease:
        return "session, sequence and lease are reserved: this version takes only 0"
    fault = _fault_of_key(put.key)
    if fault or put.expected_revision is None:
        return fault
    return _fault_of_revision(put.expected_revision)


def _fault_of_delete(delete: Delete) -> str:
    if delete.session or delete.sequence:
        return "session and sequence are reserved: this version takes only 0"
    return _fault_of_key(delete.key) or _fault_of_revision(delete.expected_revision)


def _fault_of_batch(batch: Batch) -> str:
    operations = batch.operations
    if not 0 < len(operations) <= BATCH_OPERATIONS_MAX:
        return f"a batch has 1 to {BATCH_OPERATIONS_MAX} operations, this one has {len(operations)}"
    if plain_keys(operations) is not None:
        return ""
    reads = sum([isinstance(operation, Get) for operation in operations])
    if reads not in (0, len(operations)):
        return "a batch is all writes or all Gets: split this one"
    if reads and len({operation.serializable for operation in operations if isinstance(operation, Get)}) > 1:
        return "the Gets of a batch are all linearizable or all serializable: split this one"
    for number, operation in enumerate(operations):
        fault = _fault_of_put(operation) if isinstance(operation, Put) else fault_of(operation)
        if not fault and not isinstance(operation, Get) and operation.return_previous:
            fault = "the previous value is returned to single commands only: read it with a batch of Gets"
        if fault:
            return f"operation {number}: {fault}"
    return ""


def _fault_of_range(request: Range) -> str:
    if not 0 <= request.limit <= RANGE_ITEMS_MAX:
        return f"a range's limit is within 0..{RANGE_ITEMS_MAX}, this one is {request.limit}"
    if request.end == b"":
        return "an empty end selects nothing: leave it out (nil) for a range that goes on to the last key"
    for key in (request.prefix, request.start, request.end or b""):
        if len(key) > KEY_BYTES_MAX + 1:
            return f"the bounds of a range have up to {KEY_BYTES_MAX + 1} bytes, one here has {len(key)}"
    return _fault_of_revision(request.revision)


def _fault_of_name(name: str) -> str:
    if len(name.encode()) <= MEMBER_NAME_BYTES_MAX:
        return ""
    return f"the name of a member has up to {MEMBER_NAME_BYTES_MAX} bytes, this one has {len(name.encode())}"


def _fault_of_backup(request: ReadBackup) -> str:
    if not 0 < len(request.backup) <= BACKUP_NAME_BYTES_MAX:
        return f"the name of a backup has 1 to {BACKUP_NAME_BYTES_MAX} bytes, this one has {len(request.backup)}"
    if not 0 <= request.offset <= REVISION_MAX:
        return f"an offset is within 0..2^63-1, this one is {request.offset}"
    return ""


def _fault_of_change(change: ChangeMember) -> str:
    if not NAME.fullmatch(change.name):
        return f"a member's name is 1 to 63 letters, digits, '.', '_' or '-'; this one is {change.name!r}"
    if not 0 <= change.member < 1 << 64:
        return f"a member id is within 0..2^64-1, this one is {change.member}"
    if change.address:
        try:
            split_address(change.address)
        except ConfigurationError as error:
            return str(error)
    return ""
