"""The stores in plain memory, for the simulator: the same contracts as on LMDB, with crashes at will."""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from zraft.errors import CorruptLog, InvariantViolated
from zraft.protocol.entries import ClusterRecord, Configuration, EntryId, entry_is_sound, entry_term


class _HardState(NamedTuple):
    term: int = 0
    vote: int = 0
    record: ClusterRecord | None = None
    formed: bool = False
    base: EntryId = EntryId(0, 0)
    generation: int = 0
    configurations: tuple[Configuration, ...] = ()


class MemoryLog:
    """A ``Log`` whose disk is memory: it stands for the directory, and outlives the node that uses it."""

    def __init__(self, member: int) -> None:
        self._member = member
        self._hard = self._durable = _HardState()
        self._entries: list[bytes] = []
        # Durable are those that were cut since the last commit, the first `_kept` of the entries, and then those that
        # were removed since.
        self._cut: list[bytes] = []
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
    def initial_state(self) -> bytes:
        return b""

    @property
    def base(self) -> EntryId:
        return self._hard.base

    @property
    def first_index(self) -> int:
        return self.base.index + 1

    @property
    def last(self) -> EntryId:
        if not self._entries:
            return self.base
        return EntryId(self.base.index + len(self._entries), entry_term(self._entries[-1]))

    @property
    def generation(self) -> int:
        return self._hard.generation

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        return self._hard.configurations

    def keep_configurations(self, configurations: tuple[Configuration, ...]) -> None:
        self._hard = self._hard._replace(configurations=configurations)

    def set_term(self, term: int, vote: int) -> None:
        self._hard = self._hard._replace(term=term, vote=vote)

    def set_record(self, record: ClusterRecord, formed: bool) -> None:
        self._hard = self._hard._replace(record=record, formed=formed)

    def term_at(self, index: int) -> int | None:
        at = index - self.first_index
        if at == -1:
            return self.base.term
        return entry_term(self._entries[at]) if 0 <= at < len(self._entries) else None

    def append(self, first: int, entries: Sequence[bytes]) -> None:
        if first != self.last.index + 1:
            raise InvariantViolated("append at last + 1", first=first, last=self.last)
        self._entries.extend(entries)

    def truncate(self, first: int) -> None:
        at = first - self.first_index
        if not 0 <= at <= len(self._entries):
            raise InvariantViolated("truncation within the log", first=first, last=self.last)
        if at < self._kept:
            self._removed[:0] = self._entries[at : self._kept]
            self._kept = at
        del self._entries[at:]

    def cut(self, to: int) -> None:
        count = to - self.base.index
        if count <= 0:
            return
        term = self.term_at(to)
        if term is None:
            raise InvariantViolated("cut within the log", to=to, last=self.last)
        durable = min(count, self._kept)
        self._cut += self._entries[:durable]
        self._kept -= durable
        del self._entries[:count]
        self._hard = self._hard._replace(base=EntryId(to, term))

    def install(self, snapshot: EntryId, generation: int) -> None:
        if snapshot.index < self.base.index:
            raise InvariantViolated("a snapshot does not lie before the log", snapshot=snapshot, base=self.base)
        if self.term_at(snapshot.index) != snapshot.term:
            self._removed[:0] = self._entries[: self._kept]
            self._kept = 0
            self._entries.clear()
            self._hard = self._hard._replace(base=snapshot)
        self._hard = self._hard._replace(generation=generation)

    def entries(self, first: int, bytes_max: int) -> list[bytes]:
        found: list[bytes] = []
        if first < self.first_index:
            return found
        for index in range(first, self.last.index + 1):
            data = self._entries[index - self.first_index]
            if not entry_is_sound(index, data):
                raise CorruptLog(f"entry {index} does not match its checksum")
            bytes_max -= len(data)
            if found and bytes_max < 0:
                break
            found.append(data)
        return found

    @property
    def durable_base(self) -> int:
        """Index of the entry that a crash right now would have the log begin behind."""
        return self._durable.base.index

    def durable_term_at(self, index: int) -> int | None:
        """The term of the entry that a crash right now would leave at ``index``."""
        at = index - self._durable.base.index - 1
        if at == -1:
            return self._durable.base.term
        sizes = len(self._cut), self._kept, len(self._removed)
        for part, size in zip((self._cut, self._entries, self._removed), sizes, strict=True):
            if 0 <= at < size:
                return entry_term(part[at])
            at -= size
        return None

    def commit(self) -> None:
        self._durable = self._hard
        self._kept = len(self._entries)
        self._cut.clear()
        self._removed.clear()

    def crash(self) -> None:
        """Keep what was committed, and lose the rest: the power failed, or the process died before its commit."""
        self._hard = self._durable
        self._entries = self._cut + self._entries[: self._kept] + self._removed
        self.commit()

    def damage(self, index: int) -> None:
        """Flip a bit of the last byte of an entry, as a bad disk does."""
        at = index - self.first_index
        data = self._entries[at]
        self._entries[at] = data[:-1] + bytes([data[-1] ^ 1])


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

    def tables(self) -> tuple[dict[bytes, bytes], ...]:
        """All that is in it: index entries, records, meta."""
        return self._keys, self._records, self._meta

    def fill(self, tables: tuple[dict[bytes, bytes], ...]) -> None:
        """Be what another state was (see ``tables``)."""
        self._keys, self._records, self._meta = (dict(table) for table in tables)
        self._order, self._revisions = sorted(self._keys), sorted(self._records)
        self._forget()

    def key(self, key: bytes) -> bytes | None:
        return self._keys.get(key)

    def entries_of(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self._keys.get(key) for key in keys]

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

    def set_keys(self, entries: Sequence[tuple[bytes, bytes]]) -> None:
        for key, entry in entries:
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

    def committed(self) -> "MemoryState":
        """What a reader sees that begins now: all that the last commit left, and nothing that came behind it."""
        found = MemoryState()
        found.fill(self.tables())
        found._keys_before, found._meta_before = self._keys_before, self._meta_before
        found._records_before = self._records_before
        found.abort()
        return found

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
