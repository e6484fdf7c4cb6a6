"""The stores in plain memory, for the simulator: the same contracts as on LMDB, with crashes at will."""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from zraft.errors import CorruptLog, InvariantViolated
from zraft.protocol.entries import ClusterRecord, EntryId, entry_is_sound, entry_term


class _HardState(NamedTuple):
    term: int = 0
    vote: int = 0
    record: ClusterRecord | None = None
    formed: bool = False


class MemoryLog:
    """A ``Log`` whose disk is memory: it stands for the directory, and outlives the node that uses it."""

    def __init__(self, member: int) -> None:
        self._member = member
        self._hard = self._durable = _HardState()
        self._entries: list[bytes] = []
        # Durable are the first `_kept` of the entries, and then those that were removed since the last commit.
        self._kept = 0
        self._removed: list[bytes] = []

    @property
    def member(self) -> int:
        return self._member

    @property
    def term(self) -> int:
        return self._hard.term

    @property
    def vote(self) -> int:
        return self._hard.vote

    @property
    def record(self) -> ClusterRecord | None:
        return self._hard.record

    @property
    def formed(self) -> bool:
        return self._hard.formed

    @property
    def first_index(self) -> int:
        return 1

    @property
    def last(self) -> EntryId:
        return EntryId(len(self._entries), entry_term(self._entries[-1]) if self._entries else 0)

    def set_term(self, term: int, vote: int) -> None:
        self._hard = self._hard._replace(term=term, vote=vote)

    def set_record(self, record: ClusterRecord, formed: bool) -> None:
        self._hard = self._hard._replace(record=record, formed=formed)

    def term_at(self, index: int) -> int | None:
        if index == 0:
            return 0
        return entry_term(self._entries[index - 1]) if 1 <= index <= len(self._entries) else None

    def append(self, first: int, entries: Sequence[bytes]) -> None:
        if first != len(self._entries) + 1:
            raise InvariantViolated("append at last + 1", first=first, last=self.last)
        self._entries.extend(entries)

    def truncate(self, first: int) -> None:
        if not 1 <= first <= len(self._entries) + 1:
            raise InvariantViolated("truncation within the log", first=first, last=self.last)
        cut = first - 1
        if cut < self._kept:
            self._removed[:0] = self._entries[cut : self._kept]
            self._kept = cut
        del self._entries[cut:]

    def entries(self, first: int, bytes_max: int) -> list[bytes]:
        found: list[bytes] = []
        if first < 1:
            return found
        for index in range(first, len(self._entries) + 1):
            data = self._entries[index - 1]
            if not entry_is_sound(index, data):
                raise CorruptLog(f"entry {index} does not match its checksum")
            bytes_max -= len(data)
            if found and bytes_max < 0:
                break
            found.append(data)
        return found

    def commit(self) -> None:
        self._durable = self._hard
        self._kept = len(self._entries)
        self._removed.clear()

    def crash(self) -> None:
        """Keep what was committed, and lose the rest: the power failed, or the process died before its commit."""
        self._hard = self._durable
        del self._entries[self._kept :]
        self._entries += self._removed
        self.commit()

    def damage(self, index: int) -> None:
        """Flip a bit of the last byte of an entry, as a bad disk does."""
        data = self._entries[index - 1]
        self._entries[index - 1] = data[:-1] + bytes([data[-1] ^ 1])


class MemoryState:
    """``WritableTables`` in memory."""

    def __init__(self) -> None:
        self.lose()

    def lose(self) -> None:
        """The power failed: the state is derived, never synced, and all of it may be gone."""
        self._keys: dict[bytes, bytes] = {}
        self._order: list[bytes] = []
        self._records: dict[bytes, bytes] = {}
        self._revisions: list[bytes] = []
        self._meta: dict[bytes, bytes] = {}
        self._forget()

    def key(self, key: bytes) -> bytes | None:
        return self._keys.get(key)

    def keys_from(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        order = self._order
        for at in range(bisect_left(order, start), len(order)):
            yield order[at], self._keys[order[at]]

    def record(self, at: bytes) -> bytes | None:
        return self._records.get(at)

    def records_from(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        revisions = self._revisions
        for at in range(bisect_left(revisions, start), len(revisions)):
            yield revisions[at], self._records[revisions[at]]

    def meta(self, name: bytes) -> bytes | None:
        return self._meta.get(name)

    def set_key(self, key: bytes, entry: bytes) -> None:
        before = self._keys.get(key)
        self._keys_before.setdefault(key, before)
        if before is None:
            insort(self._order, key)
        self._keys[key] = entry

    def append_records(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        for at, record in records:
            if self._revisions and at <= self._revisions[-1]:
                raise InvariantViolated("records ascend", last=self._revisions[-1], new=at)
            self._records_before.setdefault(at, None)
            self._revisions.append(at)
            self._records[at] = record

    def delete_key(self, key: bytes) -> None:
        if key in self._keys:
            self._keys_before.setdefault(key, self._keys.pop(key))
            del self._order[bisect_left(self._order, key)]

    def delete_record(self, at: bytes) -> bytes | None:
        record = self._records.pop(at, None)
        if record is not None:
            self._records_before.setdefault(at, record)
            del self._revisions[bisect_left(self._revisions, at)]
        return record

    def set_meta(self, name: bytes, value: bytes) -> None:
        self._meta_before.setdefault(name, self._meta.get(name))
        self._meta[name] = value

    def commit(self) -> None:
        self._forget()

    def abort(self) -> None:
        _restore(self._keys, self._order, self._keys_before)
        _restore(self._records, self._revisions, self._records_before)
        for name, value in self._meta_before.items():
            if value is not None:
                self._meta[name] = value
            else:
                del self._meta[name]
        self._forget()

    def crash(self) -> None:
        """The process died: what it had committed lives on in the page cache."""
        self.abort()

    def _forget(self) -> None:
        # What the last commit left, as far as it was changed since; None for what was not there.
        self._keys_before: dict[bytes, bytes | None] = {}
        self._meta_before: dict[bytes, bytes | None] = {}
        self._records_before: dict[bytes, bytes | None] = {}


def _restore(table: dict[bytes, bytes], order: list[bytes], before: dict[bytes, bytes | None]) -> None:
    for key, value in before.items():
        if key in table and value is None:
            del table[key], order[bisect_left(order, key)]
        elif key not in table and value is not None:
            insort(order, key)
        if value is not None:
            table[key] = value
