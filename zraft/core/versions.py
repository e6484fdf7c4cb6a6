"""The cluster version: the rules that all members apply by, whatever code each of them runs.

::

    1  what 0.1.0 applies by. It announces nothing, and that counts as 1
    2  entries of the kind CLUSTER_VERSION; a checkpoint covers members and cluster version, not the records alone;
       a Compact looks at 256 records, where it looked at 2,016

Each storage announces, with its answers to Appends, up to which version its code knows the rules. Once every member of
the configuration, learners too, has announced a higher version than that of the cluster, the leader appends an entry
that raises it. To apply that entry is what switches the rules: so all members change them at the same entry. A cluster
version is never lowered, since what was applied by it can't be taken back.

So does a new command, or a new field of one: code that can't read a command of an entry applies none of the entry, and
its state would be another one than that of those who can. A gateway refuses it, as ``Unavailable``, until its own
storage has applied the entry that raises the version: what it proposes from then on stands behind that in every log.

An entry that raises the version goes to nobody who does not know that version: code that is older applies nothing
wrongly, it is left behind, and told of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from zraft.errors import IdentityRefused
from zraft.protocol.codec import cluster_version_of
from zraft.protocol.entries import Configuration, Entry, EntryKind, decode_entry, entry_kind, kinds_of

FIRST = 1
"""Of a cluster that was never raised, and of a member that announces nothing."""
CHECKPOINTS_OF_ALL = 2
"""From this version on a checkpoint covers all that replicas must agree on."""
SMALL_SWEEPS = 2
"""From this version on a Compact looks at fewer records."""
JOURNALS = 2
"""From this version on a log may keep its newest entries in a journal, where 0.1.0 would not look for them."""
SUPPORTED = 2
"""The newest version whose rules this code knows."""

PROPOSED_KINDS = frozenset({EntryKind.COMMANDS, EntryKind.CONFIGURATION})
"""What gateways may ask a leader for. One of newer code may ask for more."""
TOO_NEW = "not proposed: zraft on the leader's node is older than what was asked for. Upgrade it"


class LeftBehind(msgspec.Struct, frozen=True):
    """``member`` is sent no more entries: the next one needs cluster version ``needed``, and its code knows less."""

    member: int
    announced: int
    needed: int


class Versions:
    """What one leader knows of the versions of its members, in its term."""

    def __init__(self, supported: int) -> None:
        self._supported = supported
        self._announced: dict[int, int] = {}
        self._raised = FIRST  # by an entry that the own storage has applied, or that was appended in this term
        self._left_behind: set[int] = set()

    def announced(self, member: int, version: int) -> None:
        """So far does the code of a member's storage go, as it has just told: it may be older than that of before."""
        if version != self._announced.get(member):
            self._left_behind.discard(member)
        self._announced[member] = version

    def raised(self, version: int) -> None:
        """The cluster is at that version, or the entry that raises it is appended."""
        self._raised = max(self._raised, version)

    def due(self, members: Iterable[int]) -> int:
        """The version to which the cluster is to be raised now; 0: it stays as it is."""
        lowest = min([self._supported, *(self._announced.get(member, FIRST) for member in members)])
        return lowest if lowest > self._raised else 0

    def is_left_behind(self, member: int) -> bool:
        """Whether nothing can be sent to a member before its code is upgraded."""
        return member in self._left_behind

    def fault_of_snapshot(self, member: int) -> LeftBehind | None:
        """Why no snapshot of the own state may be sent to a member: its code could apply nothing behind it."""
        announced = self._announced.get(member, FIRST)
        return self._leave(member, announced, self._raised) if announced < self._raised else None

    def known_to(self, member: int, entries: tuple[bytes, ...]) -> tuple[tuple[bytes, ...], LeftBehind | None]:
        """The part of these entries that may be sent to a member, and whether it is left behind by that."""
        if kinds_of(entries) <= _OLD_KINDS:  # nearly always, and this is on the path of every write
            return entries, None
        announced = self._announced.get(member, FIRST)
        for position, data in enumerate(entries):
            needed = _needed(data)
            if needed > announced:
                if position:
                    return entries[:position], None
                return (), self._leave(member, announced, needed)
        return entries, None

    def _leave(self, member: int, announced: int, needed: int) -> LeftBehind:
        self._left_behind.add(member)
        return LeftBehind(member, announced, needed)


def storage_format(version: int) -> int:
    """The format of a log with an entry that raises to that version, and of a state that has applied it.

    Whoever does not know the version does not know the format, which is looked at before all else: 0.1.0 too, which
    has never heard of versions, refuses a log, a state and a snapshot that it would apply wrongly.
    """
    return version + 1


def format_needed(entries: Sequence[bytes]) -> int:
    """The format of a log that holds these entries; 0: no other one than it has."""
    if kinds_of(entries) <= _OLD_KINDS:
        return 0
    return max(storage_format(_needed(data)) for data in entries)


def fault_of_format(found: int, what: str) -> str:
    """Why a store of that format can't be used by this code; empty when it can. ``what`` begins the sentence."""
    first, newest = storage_format(FIRST), storage_format(SUPPORTED)
    if first <= found <= newest:
        return ""
    if found < first:
        return (
            f"{what} is of format {found}, and this version of zraft knows only {first} to {newest}: start the "
            "version of zraft that wrote it"
        )
    return (
        f"{what} is of format {found}, that of cluster version {found - 1}, and this version of zraft knows only up to "
        f"{SUPPORTED}. Nothing is lost: start the version of zraft that wrote it, or a newer one"
    )


def fingerprint(digest: int, version: int, members: Configuration | None) -> int:
    """64 bits of all that replicas must agree on: the digest of the records, the cluster version, the members.

    What is hashed is spelled out here, since a field that a later version adds to a member must not change it.
    """
    each = [(one.id, one.name, one.voter, one.address) for one in members.members] if members else []
    whole = digest, version, members.index if members else 0, each
    return int.from_bytes(hashlib.sha256(msgspec.msgpack.encode(whole)).digest()[:8], "big")


def raised_by(entry: Entry, supported: int) -> int:
    """The version to which an entry raises the cluster.

    Raises:
        IdentityRefused: this code does not know the rules from there on, and must apply nothing more.
    """
    version = cluster_version_of(entry)
    if version is None or version > supported:
        needed = "of another version of zraft" if version is None else f"version {version}"
        raise IdentityRefused(
            f"entry {entry.index} of the log raises the cluster to {needed}, and this version of zraft knows only up "
            f"to {supported}. Nothing is lost: upgrade zraft on this node"
        )
    return version


def require_known(entry: Entry) -> None:
    """An entry of a kind that this code has never heard of must not be passed over.

    Raises:
        IdentityRefused: it is of such a kind.
    """
    if entry.kind not in _KINDS:
        raise IdentityRefused(
            f"entry {entry.index} of the log is of kind {entry.kind}, which this version of zraft does not know. "
            "Nothing is lost: upgrade zraft on this node"
        )


_KINDS = frozenset(int(kind) for kind in EntryKind)
_OLD_KINDS = _KINDS - {int(EntryKind.CLUSTER_VERSION)}


def _needed(data: bytes) -> int:
    """The version that a member must know, to be sent an entry; above all that are known, if it is of the future."""
    if entry_kind(data) in _OLD_KINDS:
        return FIRST
    return (entry_kind(data) in _KINDS and cluster_version_of(decode_entry(0, data))) or SUPPORTED + 1
