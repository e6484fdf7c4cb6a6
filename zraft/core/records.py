"""The bytes of the state: a small index entry for each key, and one record for each revision.

``keys``     user's key -> KeyMeta: where its newest record is, and what a write must know without reading that
``records``  revision (u64), sub number (u32) -> Record, append-only; each points back to the key's record before it

A deleted key keeps its index entry with version 0, since older revisions of it can still be read; compaction
removes both.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from zraft.protocol.client import KeyValue

_META = struct.Struct(">QIQQQ")
_RECORD = struct.Struct(">QQQIQH")
_AT = struct.Struct(">QI")

record_key = _AT.pack
"""(revision, sub number) -> the key of a record."""


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


pack_meta = _META.pack


def unpack_meta(data: bytes) -> KeyMeta:
    """The index entry in ``data``."""
    return _META.unpack(data)


def pack_record(
    create: int, version: int, previous: int, previous_sub: int, lease: int, key: bytes, value: bytes
) -> bytes:
    """The bytes of a ``Record`` of these fields: on the hot path of apply, no such object is made."""
    return _RECORD.pack(create, version, previous, previous_sub, lease, len(key)) + key + value


def unpack_record(data: bytes) -> Record:
    """The record in ``data``."""
    create, version, previous, previous_sub, lease, length = _RECORD.unpack_from(data)
    start = _RECORD.size
    return Record(create, version, previous, previous_sub, lease, data[start : start + length], data[start + length :])


def key_value(mod: int, record: Record) -> KeyValue:
    """What a client sees of a record that is no deletion."""
    return KeyValue(record.key, record.value, record.create, mod, record.version, record.lease)
