"""A state read the careful way: what a walk comes by must also be where LMDB looks for it.

An item that no search finds, as a page that leads to it is damaged, would be served as absent; and a copy of such a
state is a true one, damage and all. To search for each item, and to count them, costs a third of what reading and
checking them does.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from zraft.errors import CorruptState, StorageFault
from zraft.store.environment import open_read_only, tables_bytes
from zraft.store.state import TABLES

_ELSEWHERE = {
    errno.EACCES,
    errno.EAGAIN,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EPERM,
}
"""Errors that say nothing of what the file holds: no permission, no memory, no descriptor."""


def is_elsewhere(error: lmdb.Error) -> bool:
    """Whether LMDB could not read, whatever the file holds."""
    return error.code in _ELSEWHERE


def verdict(error: lmdb.Error | struct.error) -> StorageFault:
    """What an error tells of the file that was being read: ``CorruptState``, or that it can't be read just now."""
    if isinstance(error, lmdb.Error) and is_elsewhere(error):
        return StorageFault(str(error))
    return CorruptState(f"LMDB can't read it ({error})")


def open_unwritten(path: Path, map_size: int) -> lmdb.Environment:
    """The environment of a state that nobody writes, a directory or a file.

    Raises:
        CorruptState: LMDB can't read it.
        StorageFault: it can't be read just now.
    """
    try:
        return open_read_only(path, map_size, lock=False)
    except StorageFault as fault:
        if isinstance(fault.__cause__, lmdb.Error):
            raise verdict(fault.__cause__) from fault
        raise


class Probed:
    """The tables of a state (``core.durable.Tables``), each item of which is searched for when it is come by.

    Raises, while it is read:
        CorruptState: a search does not find an item that is there, or a walk not all of them, each once.
        lmdb.Error: LMDB can't read it.
    """

    def __init__(self, env: lmdb.Environment, txn: lmdb.Transaction[bytes]) -> None:
        self._txn = txn
        self._keys, self._records, self._meta = (env.open_db(name, txn=txn, create=False) for name in TABLES)

    def key(self, key: bytes) -> bytes | None:
        """The index entry of a key, if there is one."""
        return self._txn.get(key, db=self._keys)

    def keys_from(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(key, index entry) from ``start`` on, in order."""
        return self._from(self._keys, start)

    def record(self, at: bytes) -> bytes | None:
        """The record of a revision, if there is one."""
        return self._txn.get(at, db=self._records)

    def records_from(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(revision and sub number, record) from ``start`` on, in order."""
        return self._from(self._records, start)

    def meta(self, name: bytes) -> bytes | None:
        """What the state says of itself under a name."""
        return self._txn.get(name, db=self._meta)

    def sizes(self) -> tuple[int, int]:
        """(items, bytes) of all, as LMDB has counted them."""
        tables = self._keys, self._records
        return sum(self._txn.stat(table)["entries"] for table in tables), tables_bytes(self._txn, *tables)

    def _from(self, table: lmdb._Database, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        found, before = 0, b""
        with self._txn.cursor(table) as walk, self._txn.cursor(table) as search:
            if walk.set_range(start):
                for key, data in walk:
                    if not search.set_key(key):
                        raise CorruptState(f"LMDB does not find {key!r}, which is there")
                    if key <= before:
                        raise CorruptState(f"LMDB comes by {key!r} behind {before!r}")
                    found, before = found + 1, key
                    yield key, data
        whole = self._txn.stat(table)["entries"]
        if not start and found != whole:
            raise CorruptState(f"LMDB comes by {found} items of a table that has {whole}")


@contextmanager
def tables_in(file: Path, map_size: int) -> Iterator[Probed]:
    """The tables in a file that nobody writes: a copy of a state.

    Raises, also while they are read:
        CorruptState: LMDB can't read it.
        StorageFault: it can't be read just now.
    """
    env = open_unwritten(file, map_size)
    try:
        with env.begin() as txn:
            yield Probed(env, txn)
    except (lmdb.Error, struct.error) as error:
        raise verdict(error) from error
    finally:
        env.close()
