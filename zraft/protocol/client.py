"""What clients and gateways say to each other.

A message between them is a header frame and then one or more pairs of frames, (request id, body)::

    client  -> gateway   [empty] [RequestHeader]  ([request id] [request]) ...
    gateway -> client    [empty] [ResponseHeader] ([request id] [response]) ...

The request id is opaque, up to 16 bytes, and comes back as it was. A REQ client sends one pair and gets one pair.
A DEALER client with several requests outstanding may send several pairs in one message, and may get answers in any
order and any grouping: what travels together costs less.

Structs are arrays led by an integer tag; fields are only ever appended, with defaults.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import msgspec

from zraft.errors import ZraftError, from_code

PROTOCOL_VERSION = 1
REQUEST_ID_BYTES_MAX = 16
REQUEST_BYTES_MAX = 3 << 19
"""1.5 MiB: the largest body of a request, as etcd's."""
KEY_BYTES_MAX = 400
"""LMDB takes keys of 511 bytes; the rest is room for what zraft may put around a key."""
BATCH_OPERATIONS_MAX = 10_000
RANGE_ITEMS_MAX = 10_000
MEMBER_NAME_BYTES_MAX = 63
BACKUP_NAME_BYTES_MAX = 16
BACKUP_CHUNK_BYTES = 1 << 20
REPLY_BYTES_MAX = 4 << 20
"""A Range stops and offers its continuation, and a batch of Gets answers ResourceExhausted, beyond this."""


class RequestHeader(msgspec.Struct, array_like=True, frozen=True):
    """First frame of every request message.

    ``cluster``: 16 bytes, the cluster that the client expects, or empty for any. ``timeout_ms``: how long the node may
    try, 0 for the node's default.
    """

    version: int
    cluster: bytes = b""
    timeout_ms: int = 0


class ResponseHeader(msgspec.Struct, array_like=True, frozen=True):
    """First frame of every response message; ``leader`` and ``leader_endpoint`` are empty when none is known."""

    version: int
    cluster: bytes
    node: str
    leader: str
    leader_endpoint: str
    term: int


class ErrorInfo(msgspec.Struct, array_like=True, frozen=True):
    """An error as data: the name of a class of ``zraft.errors``, and a sentence."""

    code: str
    message: str


class KeyValue(msgspec.Struct, array_like=True, frozen=True):
    """A key with its value and its revisions, as etcd has them. ``version`` counts from 1 since the key was created."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0


class _Request(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A request. A field that this version does not know is an error: it might change what the request means."""


# --- requests


class Put(_Request, tag=1, frozen=True):
    """Set a key. ``expected_revision``: the key's mod revision must be this one (0: the key must be absent).

    ``session``, ``sequence`` and ``lease`` are reserved: anything but 0 is refused by this version.
    """

    key: bytes
    value: bytes
    expected_revision: int | None = None
    return_previous: bool = False
    session: int = 0
    sequence: int = 0
    lease: int = 0


class Delete(_Request, tag=2, frozen=True):
    """Remove a key; an absent key is no error (``found`` is then false)."""

    key: bytes
    expected_revision: int | None = None
    return_previous: bool = False
    session: int = 0
    sequence: int = 0


class Get(_Request, tag=4, frozen=True):
    """Read one key. ``serializable``: from the node's own state, at once, perhaps behind the leader.

    ``revision`` above 0 reads the key as it was at that revision.
    """

    key: bytes
    serializable: bool = False
    revision: int = 0


class Batch(_Request, tag=3, frozen=True):
    """Up to 10,000 operations in one message, each with its own result: all of them writes, or all of them Gets.

    It is no transaction: writes take effect in order, each with a revision of its own.
    """

    operations: tuple[Put | Delete | Get, ...]


class Range(_Request, tag=5, frozen=True):
    """Keys in order: those that begin with ``prefix`` and lie in [start, end); ``end`` None is open.

    ``limit`` 0 means the most that one answer holds. To go on, repeat the request with ``start`` set to the
    answer's ``next_key`` and ``revision`` to its ``revision``: the whole is then one consistent view.
    """

    prefix: bytes = b""
    start: bytes = b""
    end: bytes | None = None
    limit: int = 0
    revision: int = 0
    serializable: bool = False
    keys_only: bool = False


class ClusterStatus(_Request, tag=6, frozen=True):
    """Ask a node what it knows of the cluster and of itself."""


class Compact(_Request, tag=8, frozen=True):
    """Drop the history before ``revision``: reads at an older one are then ``Compacted``, one at it still works.

    Only that the history can't be read any more is done at once. What it held is removed by parts, by this command
    and by further ones, which the leader's node proposes by itself. With ``resume`` a revision that is compacted
    already is no error, and the removal goes on.
    """

    revision: int
    resume: bool = False


class ReadBackup(_Request, tag=9, frozen=True):
    """Read a fresh snapshot of the node that is asked, from ``offset`` on; ask the same node until all is read.

    ``backup``: 1 to 16 random bytes that the client chose. The first request with a name begins a backup of that name,
    a copy of the node's own state at that moment; it ends when nobody asked for it for a minute.
    """

    backup: bytes
    offset: int = 0


class TransferLeadership(_Request, tag=10, frozen=True):
    """Have the leader hand over to the member named ``to``; empty: to one that is ready. Only the leader takes it."""

    to: str = ""


class ChangeMember(_Request, tag=11, frozen=True):
    """Change the members of the cluster by one: ``add`` a learner, ``promote`` it to a voter, or ``remove`` a member.

    A node that was started to join adds itself, with its ``member`` id and the ``host:port`` of its peer port; without
    an id, an ``add`` confirms that the member is there already. A learner that has caught up is promoted without being
    asked for. ``force`` takes a change that would leave no majority of voters that answer.
    """

    action: Literal["add", "promote", "remove"]
    name: str
    member: int = 0
    address: str = ""
    force: bool = False


class ListMembers(_Request, tag=12, frozen=True):
    """Ask a node for the members of its cluster, as it knows them, and for what a new one must store first."""


Request = (
    Put
    | Delete
    | Batch
    | Get
    | Range
    | ClusterStatus
    | Compact
    | ReadBackup
    | TransferLeadership
    | ChangeMember
    | ListMembers
)
Command = Put | Delete | Batch | Compact
"""What may stand in the log."""

# --- responses


class _Answer(msgspec.Struct, array_like=True, frozen=True):
    """An answer. Fields of a later version are passed over, so that old clients go on working."""


class PutResult(_Answer, tag=1, frozen=True):
    """``index``: of the log; ``revision``: of the store after the command; ``mod_revision``: the key's own.

    When the precondition failed, ``success`` is false and ``mod_revision`` tells the key's current one (0: absent).
    """

    success: bool
    error: ErrorInfo | None
    index: int
    revision: int
    mod_revision: int = 0
    previous: KeyValue | None = None


class DeleteResult(_Answer, tag=2, frozen=True):
    """As ``PutResult``; ``found`` tells whether there was a key to delete."""

    success: bool
    error: ErrorInfo | None
    index: int
    revision: int
    mod_revision: int = 0
    found: bool = False
    previous: KeyValue | None = None


class GetResult(_Answer, tag=4, frozen=True):
    """``revision`` is the store's at the read, the others are the key's; ``value`` is None where there is no key."""

    found: bool
    value: bytes | None
    error: ErrorInfo | None
    revision: int = 0
    create_revision: int = 0
    mod_revision: int = 0
    version: int = 0
    lease: int = 0


class BatchResult(_Answer, tag=3, frozen=True, dict=True):
    """One result for each operation, in order. ``index`` is 0 for a batch of Gets."""

    results: tuple[PutResult | DeleteResult | GetResult, ...]
    index: int
    revision: int

    @cached_property
    def outcomes(self) -> tuple[PutResult | DeleteResult | GetResult | ZraftError, ...]:
        """Of each operation, in order, its result, or the error that it had."""
        return tuple(
            from_code(one.error.code, one.error.message, one.mod_revision) if one.error else one for one in self.results
        )


class RangeResult(_Answer, tag=5, frozen=True):
    """``more``: the range may go on at ``next_key``, to be read at ``revision``; ``items`` may be few, or none."""

    items: tuple[KeyValue, ...]
    more: bool
    next_key: bytes
    revision: int


class PeerInfo(msgspec.Struct, array_like=True, frozen=True):
    """A member as others know it: its name, id in hex, peer address and (when known) client endpoint."""

    node_id: str
    member_id: str
    peer_address: str
    client_endpoint: str
    voter: bool = True


class StatusResult(_Answer, tag=6, frozen=True):
    """A node's own view. ``node_id`` and ``leader_id`` are names, ``member_id`` and ``cluster_id`` are hex.

    ``state`` is follower, candidate or leader; ``notice`` says in words why a node is not ready, if it is not.
    ``compacted_revision``: older revisions than this one can't be read; ``swept_revision``: up to it what they held is
    removed. ``snapshot_index``: the last log index in the newest snapshot; 0: none. Bytes are those in use, in files
    that may be larger. While the node receives a snapshot, it has ``installing_held_bytes`` of ``installing_bytes``.
    ``cluster_version``: by whose rules its state is applied; ``supported_version``: the newest one that its code knows.
    """

    node_id: str
    state: str
    current_term: int
    leader_id: str
    peers: tuple[PeerInfo, ...]
    commit_index: int
    last_applied: int
    member_id: str
    cluster_id: str
    first_log_index: int
    last_log_index: int
    revision: int
    notice: str = ""
    compacted_revision: int = 0
    snapshot_index: int = 0
    log_bytes: int = 0
    state_bytes: int = 0
    snapshots_bytes: int = 0
    installing_held_bytes: int = 0
    installing_bytes: int = 0
    cluster_version: int = 1
    supported_version: int = 1
    swept_revision: int = 0


class ErrorResult(_Answer, tag=7, frozen=True):
    """The request as a whole failed; the code names the class, and so what may be concluded."""

    code: str
    message: str


class CompactResult(_Answer, tag=8, frozen=True):
    """``compacted`` is the oldest revision that can be read; up to ``swept`` what it held is removed."""

    index: int
    revision: int
    compacted: int
    swept: int


class BackupChunk(_Answer, tag=9, frozen=True):
    """A part of a snapshot file: ``size`` is the whole's in bytes, and 0 while it is still being made: ask again.

    ``data`` is up to 1 MiB, and empty from the end on.
    """

    offset: int
    size: int
    data: bytes


class TransferResult(_Answer, tag=10, frozen=True):
    """The member named ``leader`` leads now, in ``term``."""

    leader: str
    term: int


class MemberInfo(msgspec.Struct, array_like=True, frozen=True):
    """A member of the cluster. What is not known is empty."""

    name: str
    member: int
    voter: bool
    peer_address: str
    client_endpoint: str = ""


class MembersResult(_Answer, tag=11, frozen=True):
    """The members from the log entry at ``index`` on (0: since the cluster was formed).

    ``record``: the index-0 record that the cluster began with, as msgpack; the answer to a change leaves it empty, and
    ``cluster_version`` alone: the one that a node must know to join.
    """

    index: int
    members: tuple[MemberInfo, ...]
    record: bytes = b""
    cluster_version: int = 1


Response = (
    PutResult
    | DeleteResult
    | BatchResult
    | GetResult
    | RangeResult
    | StatusResult
    | ErrorResult
    | CompactResult
    | BackupChunk
    | TransferResult
    | MembersResult
)
