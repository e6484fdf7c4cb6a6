"""Compaction's second half: the records that nobody can read any more are removed, a bounded number at a time.

Once a revision C is compacted, reads go no further back than C. So of each key the newest record at or below C is
kept, and all behind it are garbage: each of them is the ``previous`` of a record that is at or below C itself, where
the sweep meets it. A deletion below C is garbage as well, with the key's index entry if that still points to it. One
*at* C stays until the next compaction: who watches from C on must see it (trap 50).

What is removed depends on nothing but the state (trap 56), and no record that stays is written (trap 23).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from zraft.core.durable import WritableTables
from zraft.core.records import (
    check_record,
    digest_of,
    links_of,
    read_record_key,
    record_key,
    unpack_meta,
    unpack_record,
)
from zraft.core.versions import SMALL_SWEEPS

RECORDS_PER_STEP = 32
"""The sweep lets its caller look around after so many records."""
SWEEP_RECORDS_MAX = 256
FIRST_SWEEP_RECORDS_MAX = 2_000
"""One Compact looks at no more records, nor goes on behind so many bytes of them: apply has other work. The larger
number is the rule of the first cluster version: a write that came behind it waited for 10 ms."""
SWEEP_BYTES_MAX = 16 << 20


def sweep_records_max(version: int) -> int:
    """How many records one Compact looks at, by the rules of that cluster version."""
    return SWEEP_RECORDS_MAX if version >= SMALL_SWEEPS else FIRST_SWEEP_RECORDS_MAX


class Sweep:
    """Sweeps from ``swept`` on, for as much as one command may. ``removed`` is what the state's digest loses by it."""

    def __init__(self, tables: WritableTables, swept: int, compacted: int, version: int) -> None:
        self._tables = tables
        self._records_max = sweep_records_max(version)
        self._compacted = compacted
        self.swept = swept
        self.removed = 0

    def work(self) -> Iterator[None]:
        """Do it, pausing every ``RECORDS_PER_STEP`` records.

        Raises:
            CorruptState: a record, or an index entry, does not match its checksum.
        """
        records = size = 0
        # The record at ``swept`` once more: it may be a deletion that was kept when it stood at the end.
        start = record_key(self.swept, 0)
        while records < self._records_max and size < SWEEP_BYTES_MAX:
            found = list(islice(self._tables.records_from(start), RECORDS_PER_STEP))
            for at, data in found:
                revision, sub = read_record_key(at)
                if revision > self._compacted:
                    self.swept = self._compacted
                    return
                self._visit(revision, sub, data)
                self.swept = revision
                size += len(data)
            if len(found) < RECORDS_PER_STEP:
                self.swept = self._compacted
                return
            records += len(found)
            start = found[-1][0] + b"\0"
            yield

    def _visit(self, revision: int, sub: int, data: bytes) -> None:
        version, previous, previous_sub = links_of(revision, sub, data)
        if previous:
            self._remove(previous, previous_sub)
        if version or revision == self._compacted:
            return
        key = unpack_record(revision, sub, data).key
        self._remove(revision, sub)
        entry = self._tables.key(key)
        if entry is not None and unpack_meta(key, entry)[:2] == (revision, sub):
            self._tables.delete_key(key)

    def _remove(self, revision: int, sub: int) -> None:
        data = self._tables.delete_record(record_key(revision, sub))
        # None: it went with an earlier sweep, as a deletion, or as what the record at ``swept`` points to.
        if data is not None:
            self.removed += digest_of(revision, check_record(revision, sub, data))
