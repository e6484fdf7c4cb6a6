"""The bytes of the state: a small index entry for each key, and one record for each revision.

``keys``     user's key -> KeyMeta: where its newest record is, and what a write must know without reading that
``records``  revision (u64), sub number (u32) -> Record; each points back to the key's record before it
``applied``  one value about the whole: AppliedState
``configuration``  the members of the cluster, if an entry ever changed them
``cluster version``  by whose rules the next entry is applied, if an entry ever raised it
``format``   of all of it; the one value without a checksum, since every version must be able to read it

A deleted key keeps its index entry with version 0, since older revisions of it can still be read; compaction
removes both.

Each of them ends with a CRC-32C over its place in the table and its own bytes, so that one that
stands in a wrong place is as damaged as one with a flipped bit. It is checked whenever one is taken apart. (A record's
place is what the CRC starts from: that spares a copy of the value.)
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import google_crc32c

from zraft.errors import CorruptState
from zraft.protocol import codec
from zraft.protocol.entries import Configuration, EntryId
from zraft.protocol.responses import KeyValue

APPLIED = b"applied"
"""The name of the ``AppliedState``."""
CONFIGURATION = b"configuration"
"""The name of the configuration that was applied last."""
CLUSTER_VERSION = b"cluster version"
"""The name of the cluster version."""
FORMAT = b"format"
"""The name of the format: one byte."""

_APPLIED = struct.Struct(">QQQQQQ")
_CHECKED_APPLIED = struct.Struct(">QQQQQQ4x")
_CHECKED_VERSION = struct.Struct(">I4x")
_META = struct.Struct(">QIQQQ")
_CHECKED_META = struct.Struct(">QIQQQ4x")
_RECORD = struct.Struct(">QQQIQH")
_LINKS = struct.Struct(">8xQQI")
_PREVIOUS = struct.Struct(">QI")
_PREVIOUS_OFFSET = 16
_AT = struct.Struct(">QI")
_CHECKSUM = struct.Struct("<I")
_SOUND = 0x48674BC7
"""The CRC-32C of any bytes with their own CRC-32C, little-endian, behind them."""
_U32_MASK = (1 << 32) - 1
U64_MASK = (1 << 64) - 1
_MIX = 0x9E3779B9

record_key = _AT.pack
"""(revision, sub number) -> the key of a record."""

read_record_key = _AT.unpack
"""The other way."""

_value = google_crc32c.value
_extend = google_crc32c.extend


class AppliedState(NamedTuple):
    """What the state says of itself: the entry that it has applied, and what came of the history until then.

    ``compacted``: the oldest revision that can be read. ``swept``: up to here the records that nobody can read any
    more are gone. ``digest``: of all records that are there (see ``digest_of``); equal on all replicas.
    """

    applied: EntryId
    revision: int
    compacted: int
    swept: int
    digest: int


KeyMeta = tuple[int, int, int, int, int]
"""Where a key stands: (mod, sub, create, version, lease). ``version`` 0: it was deleted at ``mod``.

A plain tuple: one is made for every write on every node, and a named one costs twice as much.
"""


class Record(NamedTuple):
    """One revision of one key; ``version`` 0 is a deletion. (previous, previous_sub) is the key's record before."""

    create: int
    version: int
    previous: int
    previous_sub: int
    lease: int
    key: bytes
    value: bytes


def read_applied(data: bytes | None) -> AppliedState:
    """The value of ``APPLIED``; that of an empty state if there is none.

    Raises:
        CorruptState: it does not match its checksum.
    """
    if data is None:
        return AppliedState(EntryId(0, 0), 0, 0, 0, 0)
    if _value(data) != _SOUND or len(data) != _CHECKED_APPLIED.size:
        raise CorruptState("what the state says of itself does not match its checksum")
    index, term, *others = _CHECKED_APPLIED.unpack(data)
    return AppliedState(EntryId(index, term), *others)


def pack_applied(state: AppliedState) -> bytes:
    """The bytes of it; the digest is taken modulo 2^64."""
    applied, revision, compacted, swept, digest = state
    return _checked(_APPLIED.pack(applied.index, applied.term, revision, compacted, swept, digest & U64_MASK))


def read_configuration(data: bytes | None) -> Configuration | None:
    """The value of ``CONFIGURATION``; None in a state whose cluster has the members that it began with.

    Raises:
        CorruptState: it does not match its checksum.
    """
    if not data:
        return None
    if _value(data) != _SOUND:
        raise CorruptState("the configuration in the state does not match its checksum")
    return codec.configuration.decode(data[:-4])


def pack_configuration(configuration: Configuration) -> bytes:
    """The bytes of it."""
    return _checked(codec.encode(configuration))


def read_cluster_version(data: bytes | None) -> int:
    """The value of ``CLUSTER_VERSION``; 1 in a state whose cluster was never raised.

    Raises:
        CorruptState: it does not match its checksum.
    """
    if data is None:
        return 1
    if _value(data) != _SOUND or len(data) != _CHECKED_VERSION.size:
        raise CorruptState("the cluster version in the state does not match its checksum")
    version: int = _CHECKED_VERSION.unpack(data)[0]
    return version


def pack_cluster_version(version: int) -> bytes:
    """The bytes of it."""
    return _checked(version.to_bytes(4, "big"))


def unpack_meta(key: bytes, data: bytes) -> KeyMeta:
    """What the index entry of ``key`` says.

    Raises:
        CorruptState: it does not match its checksum.
    """
    if _value(key + data) != _SOUND:
        raise CorruptState(f"the index entry of key {key!r} does not match its checksum")
    return _CHECKED_META.unpack(data)


def pack_write(
    revision: int, create: int, version: int, previous: int, previous_sub: int, lease: int, key: bytes, value: bytes
) -> tuple[bytes, bytes, int]:
    """What a write at ``revision`` leaves behind: (index entry, record, what the record adds to the digest).

    The entry is that of ``key`` from now on, the record is to stand at (revision, 0). No ``Record`` is made of the
    fields, and both are packed by one call: this is the hot path of apply.
    """
    meta = _META.pack(revision, 0, create, version, lease)
    data = _RECORD.pack(create, version, previous, previous_sub, lease, len(key)) + key + value
    checksum: int = _extend(revision & _U32_MASK, data)
    return meta + _CHECKSUM.pack(_value(key + meta)), data + _CHECKSUM.pack(checksum), digest_of(revision, checksum)


def unpack_record(revision: int, sub: int, data: bytes) -> Record:
    """The record that stands at (revision, sub).

    Raises:
        CorruptState: it does not match its checksum.
    """
    check_record(revision, sub, data)
    create, version, previous, previous_sub, lease, length = _RECORD.unpack_from(data)
    start, end = _RECORD.size, _RECORD.size + length
    return Record(create, version, previous, previous_sub, lease, data[start:end], data[end:-4])


def previous_of(data: bytes) -> tuple[int, int]:
    """Where the key's record before this one stands, or stood; zeros: there was none."""
    return _PREVIOUS.unpack_from(data, _PREVIOUS_OFFSET)


def links_of(revision: int, sub: int, data: bytes) -> tuple[int, int, int]:
    """(version, previous, previous_sub) of the record at (revision, sub): all that a sweep needs of most.

    Raises:
        CorruptState: the record does not match its checksum.
    """
    if _extend((revision + sub * _MIX) & _U32_MASK, data) != _SOUND:
        raise _damaged(revision, sub)
    return _LINKS.unpack_from(data)


def check_record(revision: int, sub: int, data: bytes) -> int:
    """The checksum of the record that stands at (revision, sub).

    Raises:
        CorruptState: the record does not match it.
    """
    if _extend((revision + sub * _MIX) & _U32_MASK, data) != _SOUND:
        raise _damaged(revision, sub)
    return int.from_bytes(data[-4:], "little")


def _checked(data: bytes) -> bytes:
    """With its checksum behind it."""
    return data + _CHECKSUM.pack(_value(data))


def _damaged(revision: int, sub: int) -> CorruptState:
    return CorruptState(f"the record of revision {revision}/{sub} does not match its checksum")


def digest_of(revision: int, checksum: int) -> int:
    """What a record with this checksum adds to the state's digest, which is the sum modulo 2^64.

    A product, no sum: else what one record has too much, another one could have too little.
    """
    return (checksum + revision) * (checksum ^ _MIX)


def key_value(mod: int, record: Record) -> KeyValue:
    """What a client sees of a record that is no deletion."""
    return KeyValue(record.key, record.value, record.create, mod, record.version, record.lease)
