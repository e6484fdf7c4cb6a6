"""What clients ask of gateways, and how the two talk.

A message between them is a header frame and then one or more pairs of frames, (request id, body)::

    client  -> gateway   [empty] [RequestHeader]  ([request id] [request]) ...
    gateway -> client    [empty] [ResponseHeader] ([request id] [response]) ...

The request id is opaque, up to 16 bytes, and comes back as it was. A REQ client sends one pair and gets one pair.
A DEALER client with several requests outstanding may send several pairs in one message, and may get answers in any
order and any grouping: what travels together costs less.

Structs are arrays led by an integer tag; fields are only ever appended, with defaults.
"""

from __future__ import annotations

from typing import Literal

import msgspec

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


class RequestHeader(msgspec.Struct, array_like=True, frozen=True):
    """First frame of every request message.

    ``cluster``: 16 bytes, the cluster that the client expects, or empty for any. ``timeout_ms``: how long the node may
    try, 0 for the node's default.
    """

    version: int
    cluster: bytes = b""
    timeout_ms: int = 0


class _Request(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A request. A field that this version does not know is an error: it might change what the request means."""


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
