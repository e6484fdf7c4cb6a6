"""The applied state on LMDB: written by storage, read by every gateway of the node straight from the shared map.

``keys``     user's key -> index entry
``records``  revision and sub number -> record; appended, and deleted by compaction
``meta``     name -> value of the state about itself

The state is derived from the log, so a commit is not durable: it is seen by every process at once, and outlives a
killed one in the page cache (see ``store.dirty`` for the rest).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple, Self

import lmdb

from zraft.core.records import FORMAT
from zraft.core.versions import FIRST, fault_of_format, storage_format
from zraft.errors import CorruptState, IdentityRefused, InvariantViolated, StorageFault, Unavailable
from zraft.store.environment import map_used_bytes, open_read_only, tables_bytes, write_fault
from zraft.store.growing import GrowingMap


def check_format(found: bytes, path: Path) -> None:
    """Whether this version can read a state.

    Raises:
        IdentityRefused: it has another format.
    """
    if fault := fault_of_format(int.from_bytes(found, "big"), f"the state in {path}"):
        raise IdentityRefused(fault)


class _Handles(NamedTuple):
    keys: lmdb._Database
    records: lmdb._Database
    meta: lmdb._Database


TABLES = tuple(name.encode() for name in _Handles._fields)
"""The names of keys, records and meta within the environment."""


class Snapshot:
    """The tables as they were at one moment (``core.durable.Tables``); a context manager.

    It lives for less than 100 ms: the pages that it sees can't be used again before it ends. What it returns are
    copies, which outlive it; an iterator of it does not.
    """

    __slots__ = ("_get", "_handles", "_txn")

    def __init__(self, txn: lmdb.Transaction[bytes], handles: _Handles) -> None:
        self._txn = txn  # its default table is ``keys``
        self._get = txn.get
        self._handles = handles

    def key(self, key: bytes) -> bytes | None:
        """The index entry of a user's key (see ``core.records.KeyMeta``)."""
        return self._get(key)

    def keys_from(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(key, index entry) in order, from ``start`` on."""
        with self._txn.cursor() as cursor:
            if cursor.set_range(start):
                yield from cursor

    def record(self, at: bytes) -> bytes | None:
        """The record of a revision."""
        return self._get(at, None, self._handles.records)

    def records_from(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(where it stands, record) in the order of revisions, from ``start`` on."""
        with self._txn.cursor(self._handles.records) as cursor:
            if cursor.set_range(start):
                yield from cursor

    def meta(self, name: bytes) -> bytes | None:
        """A value of the state about itself: applied index and term, revision, configuration."""
        return self._get(name, None, self._handles.meta)

    def close(self) -> None:
        """End it."""
        self._txn.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._txn.abort()


class _Writing(Snapshot):
    """The open write transaction, and its methods looked up once: this is the hot path of apply."""

    __slots__ = ("append", "commit", "delete", "get", "pop", "put", "set_keys")

    def __init__(self, txn: lmdb.Transaction[bytes], handles: _Handles) -> None:
        super().__init__(txn, handles)
        self.get = txn.get
        self.put = txn.put
        self.delete = txn.delete
        self.pop = txn.pop
        self.append = txn.cursor(handles.records).putmulti
        self.set_keys = txn.cursor(handles.keys).putmulti
        self.commit = txn.commit


class LmdbState:
    """The tables for storage, with one write transaction that begins by itself (``core.durable.WritableTables``).

    A write, or the commit, raises ``OutOfSpace`` when there is no room, and another ``StorageFault`` when it failed
    otherwise. After either, ``abort`` brings back what the last commit left, and the same writes may be tried again.
    Reads and writes alike raise ``CorruptState`` when LMDB's own pages are damaged.

    Args:
        path: the directory of this generation of the state; made if it is missing.
        map_size: bytes of address space, the same in every process.

    Raises:
        IdentityRefused: the state has a format that this version does not know.
        StorageFault: the state can't be opened; ``OutOfSpace`` when it can't be made for lack of room.
    """

    def __init__(self, path: Path, map_size: int) -> None:
        self._path = path
        self._writing: _Writing | None = None
        self._map = GrowingMap(path, map_size)
        self._env = self._map.env
        try:
            self._handles = self._open()
        except BaseException:
            self.close()
            raise

    @property
    def size_bytes(self) -> int:
        """The bytes that the tables occupy."""
        with nullcontext(self._writing._txn) if self._writing else self._env.begin() as txn:
            return tables_bytes(txn, *self._handles)

    @property
    def map_used_bytes(self) -> int:
        """How much of the map has been used."""
        return map_used_bytes(self._env)

    def key(self, key: bytes) -> bytes | None:
        """The index entry of a user's key (see ``core.records.KeyMeta``)."""
        try:
            return self._current().get(key)
        except lmdb.Error as error:
            raise self._fault(error) from error

    def keys_from(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(key, index entry) in order, from ``start`` on; until the next commit or abort."""
        return self._iterating(self._current().keys_from(start))

    def record(self, at: bytes) -> bytes | None:
        """The record of a revision."""
        try:
            return self._current().record(at)
        except lmdb.Error as error:
            raise self._fault(error) from error

    def records_from(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(where it stands, record) in the order of revisions, from ``start`` on; until the next write."""
        return self._iterating(self._current().records_from(start))

    def meta(self, name: bytes) -> bytes | None:
        """A value of the state about itself: applied index and term, revision, configuration."""
        try:
            return self._current().meta(name)
        except lmdb.Error as error:
            raise self._fault(error) from error

    @property
    def format(self) -> int:
        """The number of its format, that of the newest cluster version that it has applied."""
        return int.from_bytes(self.meta(FORMAT) or b"", "big")

    def entries_of(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """What ``key`` says of each of them."""
        try:
            return list(map(self._current().get, keys))
        except lmdb.Error as error:
            raise self._fault(error) from error

    def set_keys(self, entries: Sequence[tuple[bytes, bytes]]) -> None:
        """Insert or overwrite index entries, (key, index entry) each; of a key that comes twice the last one stays."""
        try:
            self._current().set_keys(entries)
        except lmdb.Error as error:
            raise self._fault(error) from error

    def delete_key(self, key: bytes) -> None:
        """Remove an index entry, if there is one."""
        try:
            self._current().delete(key)
        except lmdb.Error as error:
            raise self._fault(error) from error

    def delete_record(self, at: bytes) -> bytes | None:
        """Remove the record of a revision and return it; None: there is none. No iterator may be in use."""
        try:
            return self._current().pop(at, self._handles.records)
        except lmdb.Error as error:
            raise self._fault(error) from error

    def append_records(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Add records behind all others.

        Raises:
            InvariantViolated: they are not in ascending order behind the last one.
        """
        try:
            consumed, added = self._current().append(records, append=True)
        except lmdb.Error as error:
            raise self._fault(error) from error
        # LMDB skips what is out of order, and says so only here.
        if not consumed == added == len(records):
            raise InvariantViolated("records ascend", first=records[0][0], consumed=consumed, added=added)

    def set_meta(self, name: bytes, value: bytes) -> None:
        """Insert or overwrite a value of the state about itself."""
        try:
            self._current().put(name, value, db=self._handles.meta)
        except lmdb.Error as error:
            raise self._fault(error) from error

    def commit(self) -> None:
        """Publish everything since the last commit as one step. It need not be durable: the state is derived."""
        writing, self._writing = self._writing, None
        if writing is not None:
            try:
                writing.commit()
            except lmdb.Error as error:
                raise self._fault(error) from error

    def abort(self) -> None:
        """Forget everything since the last commit."""
        if self._writing is not None:
            self._writing.close()
            self._writing = None

    def sync(self) -> None:
        """Make what was committed durable: for a clean stop.

        Raises:
            StorageFault: the disk refused. Nobody knows what it holds, so the dirty mark must stay.
        """
        try:
            self._env.sync(True)
        except lmdb.Error as error:
            raise StorageFault(f"the state in {self._path} could not be made durable: {error}") from error

    def reader_check(self) -> int:
        """Free what killed readers left behind, and with it the pages that they pinned. Returns how many there were."""
        return self._env.reader_check()

    def close(self) -> None:
        """Leave the environment; what was not committed is forgotten."""
        self._map.close()

    def _iterating(self, items: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        try:
            yield from items
        except lmdb.Error as error:
            raise self._fault(error) from error

    def _fault(self, error: lmdb.Error) -> StorageFault:
        if isinstance(error, lmdb.CorruptedError | lmdb.PageNotFoundError):
            return CorruptState(f"LMDB can't read it ({error})")
        if isinstance(error, lmdb.MapFullError):
            self._map.lacked()
        return write_fault(error, self._path)

    def _current(self) -> _Writing:
        return self._writing or self._begin()

    def _begin(self) -> _Writing:
        try:
            self._map.grow()
            txn = self._env.begin(self._handles.keys, write=True)
        except lmdb.Error as error:
            raise self._fault(error) from error
        self._writing = _Writing(txn, self._handles)
        return self._writing

    def _open(self) -> _Handles:
        try:
            with self._env.begin(write=True) as txn:
                handles = _Handles(*(self._env.open_db(name, txn=txn) for name in TABLES))
                found = txn.get(FORMAT, db=handles.meta)
                if found is None:
                    txn.put(FORMAT, bytes([storage_format(FIRST)]), db=handles.meta)
        except lmdb.Error as error:
            raise self._fault(error) from error
        if found is not None:
            check_format(found, self._path)
        return handles


class StateView:
    """A state as a gateway reads it: another process writes it. One a process and generation.

    Args:
        path: the directory of the generation that the page names.
        map_size: bytes of address space, the same in every process.

    Raises:
        Unavailable: it is not there, or not any more: look at the page again.
    """

    def __init__(self, path: Path, map_size: int) -> None:
        try:
            self._env = open_read_only(path, map_size)
        except StorageFault as error:
            raise Unavailable(str(error)) from error
        try:
            # Without a transaction of ours: the end of a read transaction would take the handles with it.
            self._handles = _Handles(*(self._env.open_db(name, create=False) for name in TABLES))
        except lmdb.Error as error:
            self._env.close()
            raise Unavailable(f"the state in {path} can't be read yet: {error}") from error

    def begin(self) -> Snapshot:
        """The state as of now. The caller closes it, within 100 ms.

        Raises:
            Unavailable: too many processes read at once.
        """
        try:
            return Snapshot(self._env.begin(self._handles.keys), self._handles)
        except lmdb.ReadersFullError as error:
            raise Unavailable(f"no more readers: {error}") from error

    def close(self) -> None:
        """Leave the environment: every snapshot of it ends. It may then be opened anew, under another generation."""
        self._env.close()
