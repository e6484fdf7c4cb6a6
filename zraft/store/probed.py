"""A state read the careful way: what a walk comes by must also be where LMDB looks for it.

An item that no search finds, as a page that leads to it is damaged, would be served as absent; and a copy of such a
state is a true one, damage and all. A search for each item costs a quarter of what reading and checking it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from zraft.errors import CorruptState
from zraft.store.environment import tables_bytes
from zraft.store.state import TABLES


class Probed:
    """The tables of a state (``core.durable.Tables``), each item of which is searched for when it is come by.

    Raises, while it is read:
        CorruptState: LMDB does not find an item that is there.
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
        with self._txn.cursor(table) as walk, self._txn.cursor(table) as search:
            if walk.set_range(start):
                for key, data in walk:
                    if not search.set_key(key):
                        raise CorruptState(f"LMDB does not find {key!r}, which is there")
                    yield key, data


@contextmanager
def tables_in(file: Path, map_size: int) -> Iterator[Probed]:
    """The tables in a file that nobody writes: a copy of a state.

    Raises:
        lmdb.Error: LMDB can't read it.
    """
    env = lmdb.open(str(file), map_size=map_size, subdir=False, readonly=True, lock=False, max_dbs=len(TABLES))
    try:
        with env.begin() as txn:
            yield Probed(env, txn)
    finally:
        env.close()
