"""Whether a whole state is what was applied: each checksum, each link between keys and records, the digest of all."""

from __future__ import annotations

from zraft.core.durable import Tables
from zraft.core.records import (
    APPLIED,
    AppliedState,
    check_record,
    digest_of,
    read_applied,
    read_record_key,
    record_key,
    unpack_meta,
    unpack_record,
)
from zraft.errors import CorruptState

_U64 = (1 << 64) - 1


def verify_state(tables: Tables) -> AppliedState:
    """Read all of a state: a few seconds for each million revisions.

    Returns:
        What the state says of itself.

    Raises:
        CorruptState: a record or an index entry is damaged, missing or one too many.
    """
    said = read_applied(tables.meta(APPLIED))
    digest = 0
    for at, data in tables.records_from(b""):
        revision, sub = read_record_key(at)
        digest += digest_of(revision, check_record(revision, sub, data))
        key = unpack_record(revision, sub, data).key
        entry = tables.key(key)
        if entry is None or unpack_meta(key, entry)[0] < revision:
            raise CorruptState(f"the index does not lead to revision {revision} of key {key!r}")
    if digest & _U64 != said.digest:
        raise CorruptState("the records do not match the digest of the state: one is missing, or was brought back")
    for key, entry in tables.keys_from(b""):
        mod, sub, create, version, _ = unpack_meta(key, entry)
        found = tables.record(record_key(mod, sub))
        if found is None:
            raise CorruptState(f"the index entry of key {key!r} leads to revision {mod}, which is missing")
        record = unpack_record(mod, sub, found)
        if (record.key, record.create, record.version) != (key, create, version):
            raise CorruptState(f"the index entry of key {key!r} leads to revision {mod}, which is of {record.key!r}")
    return said
