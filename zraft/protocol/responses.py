"""What gateways answer to clients; ``requests`` tells how a message is laid out.

Structs are arrays led by an integer tag; fields are only ever appended, with defaults.
"""

from __future__ import annotations

from functools import cached_property

import msgspec

from zraft.errors import ZraftError, from_code

BACKUP_CHUNK_BYTES = 1 << 20
REPLY_BYTES_MAX = 4 << 20
"""A Range stops and offers its continuation, and a batch of Gets answers ResourceExhausted, beyond this."""


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
    """A key with its value and its revisions, as etcd has them: those at which it was created and last changed.

    ``version`` counts the puts since it was created, from 1; ``lease`` is reserved, and 0.
    """

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0


class _Answer(msgspec.Struct, array_like=True, frozen=True):
    """An answer. Fields of a later version are passed over, so that old clients go on working."""


class PutResult(_Answer, tag=1, frozen=True):
    """``index``: of the log; ``revision``: of the store after the command; ``mod_revision``: the key's own.

    ``previous``: what was there before, if that was asked for, and if there was anything.
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
