"""Log entries: their kinds, their bytes, and the index-0 record that a cluster is made of.

An entry has one form everywhere: the bytes that the leader made are the bytes that travel, and the bytes
that every log stores. All numbers are big-endian::

    crc32c u32 | term u64 | kind u8 | origin: member u64, gateway u16, nonce u64, number u64 | payload

The CRC-32C covers the entry's index (u64) and everything behind the checksum itself, so that an entry that
stands in a wrong place is as damaged as one with a flipped bit.
"""

from __future__ import annotations

import enum
import hashlib
import struct
from collections.abc import Iterable
from typing import Annotated, NamedTuple

import google_crc32c
import msgspec

_HEAD = struct.Struct(">IQBQHQQ")
_U64 = struct.Struct(">Q")
_KIND_OFFSET = 12
HEAD_BYTES = _HEAD.size
RECORD_VERSION = 1

NUMBER_MAX = (1 << 62) - 1
Number = Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)]
"""A term, an index, a count. What others send is refused beyond the bound, so that whoever counts on from it, or adds
two of them, never leaves the 64 bits in which they are stored."""
U64 = Annotated[int, msgspec.Meta(ge=0)]
"""64 random bits, or a digest: nobody counts on from it."""


class EntryKind(enum.IntEnum):
    """What an entry's payload means. Kinds last for ever: a number is never given a second meaning."""

    EMPTY = 0
    """The entry that a new leader appends at once ([R] section 8). No payload."""
    COMMANDS = 1
    """A msgpack array of client commands, each as its client sent it."""
    CONFIGURATION = 2
    """A msgpack array of the cluster's members, in force from this entry on ([D] 4.1)."""
    CLUSTER_VERSION = 3
    """A msgpack integer: the version by whose rules entries behind this one are applied. Unknown to 0.1.0."""


class EntryId(msgspec.Struct, array_like=True, frozen=True):
    """The (index, term) pair that identifies an entry ([R] 5.3, log matching)."""

    index: Number
    term: Number

    def up_to_date_as(self, other: EntryId) -> bool:
        """Whether a log that ends here is at least as up to date as one that ends at ``other`` ([R] 5.4.1)."""
        return (self.term, self.index) >= (other.term, other.index)

    def __str__(self) -> str:
        return f"{self.index}/{self.term}"


class Origin(NamedTuple):
    """Where a proposal comes from: who waits for its results, and what makes a second copy of it recognisable (S9).

    ``nonce`` is 64 random bits made at each start of the gateway; ``number`` counts its proposals from 1.
    """

    member: U64
    gateway: Annotated[int, msgspec.Meta(ge=0, le=(1 << 16) - 1)]
    nonce: U64
    number: U64


NO_ORIGIN = Origin(0, 0, 0, 0)


class Entry(msgspec.Struct, frozen=True):
    """An entry taken apart, for whoever applies it."""

    index: int
    term: int
    kind: int
    origin: Origin
    payload: bytes


def encode_entry(index: int, term: int, kind: EntryKind, origin: Origin = NO_ORIGIN, payload: bytes = b"") -> bytes:
    """The one form of an entry in bytes; ``index`` goes into the checksum only."""
    head = _HEAD.pack(0, term, kind, *origin)
    return _checksum(index, head, payload).to_bytes(4, "big") + head[4:] + payload


def entry_term(data: bytes) -> int:
    """The term of an encoded entry."""
    term: int = _U64.unpack_from(data, 4)[0]
    return term


def entry_kind(data: bytes) -> int:
    """The kind of an encoded entry."""
    return data[_KIND_OFFSET]


def kinds_of(entries: Iterable[bytes]) -> set[int]:
    """The kinds of encoded entries."""
    return {data[_KIND_OFFSET] for data in entries}


def entry_is_sound(index: int, data: bytes) -> bool:
    """Whether the bytes are a whole entry, made for this index."""
    if len(data) < HEAD_BYTES:
        return False
    return int.from_bytes(data[:4], "big") == _checksum(index, data)


def decode_entry(index: int, data: bytes) -> Entry:
    """Take sound bytes apart (see ``entry_is_sound``)."""
    _, term, kind, member, gateway, nonce, number = _HEAD.unpack_from(data)
    return Entry(index, term, kind, Origin(member, gateway, nonce, number), data[HEAD_BYTES:])


def _checksum(index: int, data: bytes, payload: bytes = b"") -> int:
    crc = google_crc32c.extend(google_crc32c.value(_U64.pack(index)), data[4:])
    return int(google_crc32c.extend(crc, payload) if payload else crc)


class Member(msgspec.Struct, array_like=True, frozen=True):
    """One member of a configuration. ``id`` is 64 random bits, made with its data directory, never used again.

    A member that is no ``voter`` is a learner: it gets all entries and counts nowhere. ``address``: ``host:port`` of
    its peer port; empty while the others know it only from their own settings.
    """

    id: U64
    name: str
    voter: bool = True
    address: str = ""


class Configuration(msgspec.Struct, array_like=True, frozen=True):
    """Who votes and who holds copies, in force from the entry at ``index`` on (0: the index-0 record)."""

    index: Number
    members: tuple[Member, ...]

    def voters(self) -> frozenset[int]:
        """The ids that count for elections and for commitment."""
        return frozenset(member.id for member in self.members if member.voter)

    def others(self, me: int) -> list[int]:
        """The ids of all members but ``me``."""
        return [member.id for member in self.members if member.id != me]

    def name_of(self, member_id: int) -> str:
        """The member's name, or its id in hex when it is none of ours."""
        member = self.member(member_id)
        return member.name if member else f"{member_id:016x}"

    def member(self, member_id: int) -> Member | None:
        """The member of that id, if it is one of ours."""
        return next((member for member in self.members if member.id == member_id), None)

    def named(self, name: str) -> Member | None:
        """The member of that name, if there is one."""
        return next((member for member in self.members if member.name == name), None)

    def addresses(self) -> dict[str, str]:
        """``host:port`` of the members' peer ports, by name, as far as the configuration tells them."""
        return {member.name: member.address for member in self.members if member.address}


class ClusterRecord(msgspec.Struct, array_like=True, frozen=True):
    """The index-0 record: what all first members agreed on, stored once in a node's life.

    ``members`` is sorted by name. ``election_timeout_min_ms`` is here because the promise that reads and
    leases rest on holds only if it is the same everywhere (S7). ``initial_state`` is the checksum of the state
    that the cluster began with; empty for an empty one.
    """

    members: tuple[Member, ...]
    election_timeout_min_ms: Number
    initial_state: bytes = b""

    def cluster_id(self) -> bytes:
        """16 bytes that name the cluster: a digest of the whole record, so another record is another cluster.

        What is hashed is spelled out here, since a field that a later version adds must not change the id.
        """
        members = [(member.name, member.id) for member in self.members]
        whole = (RECORD_VERSION, members, self.election_timeout_min_ms, self.initial_state)
        return hashlib.sha256(msgspec.msgpack.encode(whole)).digest()[:16]

    def configuration(self) -> Configuration:
        """The configuration that the record stands for."""
        return Configuration(0, self.members)
