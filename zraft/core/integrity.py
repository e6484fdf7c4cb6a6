"""Whether a whole state is what was applied: each checksum, each link between keys and records, the digest of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from zraft.core.durable import Tables
from zraft.core.records import (
    APPLIED,
    U64_MASK,
    AppliedState,
    check_record,
    digest_of,
    previous_of,
    read_applied,
    read_record_key,
    record_key,
    unpack_meta,
    unpack_record,
)
from zraft.errors import CorruptState
from zraft.protocol.entries import EntryId

ITEMS_PER_REPORT = 4_096


class StateFacts(msgspec.Struct, frozen=True):
    """What a sound state holds."""

    applied: EntryId
    revision: int
    compacted: int
    records: int
    keys: int
    digest: int


class _Heads(NamedTuple):
    """Records that are to be the newest of their keys: how many, and the sum of their revisions.

    That is enough: an index entry of another record than the newest one has a lower revision.
    """

    number: int
    sum: int


def verify_state(tables: Tables, report: Callable[[int], None] = lambda items: None) -> StateFacts:
    """Read all of a state: three seconds for each million revisions.

    Args:
        tables: the state.
        report: is told now and then how many records and index entries have been looked at.

    Raises:
        CorruptState: a record or an index entry is damaged, missing or one too many.
    """
    state = read_applied(tables.meta(APPLIED))
    records, newest = _scan_records(tables, state, report)
    found = _scan_keys(tables, lambda items: report(records + items))
    if found.number != newest.number:
        raise CorruptState(f"the records are of {newest.number} keys, and there are {found.number} index entries")
    if found != newest:
        raise CorruptState("an index entry is out of date: it does not point to the newest record of its key")
    return StateFacts(state.applied, state.revision, state.compacted, records, found.number, state.digest)


def verify_checksums(tables: Tables) -> AppliedState:
    """Read all of a state, and check each item by itself and the digest of all: half of the work, for a copy of it.

    Raises:
        CorruptState: a record or an index entry is damaged, or a record is missing or one too many.
    """
    state = read_applied(tables.meta(APPLIED))
    digest = 0
    for at, data in tables.records_from(b""):
        revision, sub = read_record_key(at)
        digest += digest_of(revision, check_record(revision, sub, data))
    _check_digest(digest, state)
    for key, data in tables.keys_from(b""):
        unpack_meta(key, data)
    return state


def _scan_records(tables: Tables, state: AppliedState, report: Callable[[int], None]) -> tuple[int, _Heads]:
    """How many records there are, and those among them that no other one has in its ``previous``."""
    records = heads = total = digest = revision = 0
    swept = state.swept
    for at, data in tables.records_from(b""):
        revision, sub = read_record_key(at)
        digest += digest_of(revision, check_record(revision, sub, data))
        records += 1
        heads += 1
        total += revision
        previous, previous_sub = previous_of(data)
        # What was swept lost the record before it. Of what was not that is still there, or it was swept itself.
        if previous and revision > swept and (previous > swept or _is_there(tables, previous, previous_sub)):
            heads -= 1
            total -= previous
        if records % ITEMS_PER_REPORT == 0:
            report(records)
    _check_digest(digest, state)
    if revision > state.revision:
        raise CorruptState(f"there is a record of revision {revision}, and the state is at {state.revision}")
    return records, _Heads(heads, total)


def _scan_keys(tables: Tables, report: Callable[[int], None]) -> _Heads:
    """The records to which the index entries lead."""
    number = total = 0
    for key, data in tables.keys_from(b""):
        mod, sub, *others = unpack_meta(key, data)
        stored = tables.record(record_key(mod, sub))
        if stored is None:
            raise CorruptState(f"the index entry of key {key!r} leads to revision {mod}/{sub}, which is missing")
        record = unpack_record(mod, sub, stored)
        if record.key != key or [record.create, record.version, record.lease] != others:
            raise CorruptState(f"the index entry of key {key!r} is not that of revision {mod}/{sub}, to which it leads")
        number += 1
        total += mod
        if number % ITEMS_PER_REPORT == 0:
            report(number)
    return _Heads(number, total)


def _check_digest(digest: int, state: AppliedState) -> None:
    if digest & U64_MASK != state.digest:
        raise CorruptState("the records do not match the digest of the state: one is missing, or was brought back")


def _is_there(tables: Tables, revision: int, sub: int) -> bool:
    return tables.record(record_key(revision, sub)) is not None
