"""Verifying a whole state: whether all that can be read in it is what was written.

Every record and every index entry matches its checksum, each key's index entry is that of its newest record, and the
records are those of the digest. What is missing is noticed as well: LMDB counts the items of each table, and the
newest records of all keys must be as many as the index entries, and the same ones.

It is done by a process of its own, ``python -m zraft.store.soundness STATE MAP_SIZE``: where LMDB's own pages are
damaged, LMDB may crash, or read beyond the end of the file, and that is to be damage found, not a node that crashes.
"""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import lmdb
import msgspec

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
from zraft.errors import CorruptState, IdentityRefused, StorageFault
from zraft.protocol.entries import EntryId
from zraft.store.environment import open_read_only
from zraft.store.state import FORMAT_NAME, TABLES, check_format

PROGRESS_ITEMS = 5_000
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)

Progress = Callable[[int, int], None]
"""(items looked at, items in all): called now and then."""


class StateFacts(msgspec.Struct, frozen=True):
    """What a sound state holds."""

    applied: EntryId
    revision: int
    compacted: int
    records: int
    keys: int
    digest: int


class _Answer(msgspec.Struct, frozen=True):
    """A line of the process: progress, or how it ended."""

    done: int = 0
    whole: int = 0
    facts: StateFacts | None = None
    damage: str = ""
    refused: str = ""


_answer = msgspec.json.Decoder(_Answer)


def verify_state(path: Path, map_size: int, progress: Progress = lambda done, whole: None) -> StateFacts:
    """Verify a state that nobody writes, from end to end.

    Args:
        path: the directory of the state.
        map_size: bytes of address space, the same in every process.
        progress: is told how far it has come.

    Raises:
        CorruptState: it is damaged; names the directory, and what was found first.
        IdentityRefused: it has a format that this version does not know.
        StorageFault: it could not be verified.
    """
    command = [sys.executable, "-m", "zraft.store.soundness", str(path), str(map_size)]
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    except OSError as error:
        raise StorageFault(f"the state in {path} can't be verified: {error}") from error
    last = _Answer()
    with child:
        try:
            for line in child.stdout or ():
                last = _answer.decode(line)
                if last.whole:
                    progress(last.done, last.whole)
        finally:
            child.kill()
    if last.facts is not None:
        return last.facts
    if last.refused:
        raise IdentityRefused(last.refused)
    if -child.returncode in _CRASHES:
        last = _Answer(damage=f"LMDB can't read it ({signal.Signals(-child.returncode).name})")
    if not last.damage:
        raise StorageFault(f"the state in {path} was not verified: the process ended with {child.returncode}")
    raise CorruptState(f"the state in {path} is damaged: {last.damage}")


class _Heads(NamedTuple):
    """Records that are to be the newest of their keys: how many, and the sum of their revisions.

    That is enough: an index entry of another record than the newest one has a lower revision.
    """

    number: int
    sum: int


class _Scan:
    """One look at everything, in one transaction."""

    def __init__(self, env: lmdb.Environment, txn: lmdb.Transaction[bytes], tell: Progress) -> None:
        keys, records, meta = (env.open_db(name, txn=txn, create=False) for name in TABLES)
        self._txn = txn
        self._keys, self._records, self._meta = keys, records, meta
        self._tell = tell
        self._done = 0
        self._sizes = {table: txn.stat(table)["entries"] for table in (keys, records, meta)}
        self._state = AppliedState(EntryId(0, 0), 0, 0, 0, 0)

    def run(self, path: Path) -> StateFacts:
        of_itself = dict(self._items(self._meta))
        if FORMAT_NAME not in of_itself:
            raise CorruptState("it has no format")
        check_format(of_itself[FORMAT_NAME], path)
        state = self._state = read_applied(of_itself.get(APPLIED))
        newest, found = self._scan_records(), self._scan_keys()
        if found != newest:
            raise CorruptState(
                f"index entries of {found.number} keys are not those of the {newest.number} newest records"
            )
        sizes = self._sizes
        return StateFacts(
            state.applied, state.revision, state.compacted, sizes[self._records], sizes[self._keys], state.digest
        )

    def _scan_records(self) -> _Heads:
        """The records, and those among them that no other one has in its ``previous``."""
        number = total = digest = revision = 0
        swept = self._state.swept
        for at, data in self._items(self._records):
            revision, sub = read_record_key(at)
            digest += digest_of(revision, check_record(revision, sub, data))
            number += 1
            total += revision
            previous, previous_sub = previous_of(data)
            # What was swept lost the record before it. Of what was not that is still there, or it was swept itself.
            if previous and revision > swept and (previous > swept or self._record(previous, previous_sub) is not None):
                number -= 1
                total -= previous
        if digest & U64_MASK != self._state.digest:
            raise CorruptState("the records are not those that its digest was made of")
        if revision > self._state.revision:
            raise CorruptState(f"there is a record of revision {revision}, and the state is at {self._state.revision}")
        return _Heads(number, total)

    def _scan_keys(self) -> _Heads:
        """The records to which the index entries point."""
        number = total = 0
        for key, data in self._items(self._keys):
            mod, sub, *others = unpack_meta(key, data)
            stored = self._record(mod, sub)
            if stored is None:
                raise CorruptState(f"the record of revision {mod}/{sub} is missing, to which key {key!r} points")
            record = unpack_record(mod, sub, stored)
            if [record.create, record.version, record.lease] != others or record.key != key:
                raise CorruptState(f"the index entry of key {key!r} is not that of the record of revision {mod}/{sub}")
            number += 1
            total += mod
        return _Heads(number, total)

    def _record(self, revision: int, sub: int) -> bytes | None:
        return self._txn.get(record_key(revision, sub), db=self._records)

    def _items(self, table: lmdb._Database) -> Iterator[tuple[bytes, bytes]]:
        """All items of a table, which must ascend, be found by their keys, and be as many as LMDB has counted."""
        count, last = 0, b""
        with self._txn.cursor(table) as cursor, self._txn.cursor(table) as other:
            for count, (key, data) in enumerate(cursor, 1):
                if key <= last:
                    raise CorruptState(f"key {key!r} stands behind {last!r}")
                if not other.set_key(key):
                    raise CorruptState(f"key {key!r} is there, and LMDB does not find it")
                last = key
                yield key, data
                if count % PROGRESS_ITEMS == 0:
                    self._tell(self._done + count, sum(self._sizes.values()))
        if count != self._sizes[table]:
            raise CorruptState(f"a table has {count} items, and LMDB has counted {self._sizes[table]}")
        self._done += count


def scan_state(path: Path, map_size: int, progress: Progress) -> StateFacts:
    """As ``verify_state``, within this process: what LMDB does with damaged pages may end it.

    Raises:
        CorruptState: it is damaged; in words that do not name the directory.
        IdentityRefused: it has a format that this version does not know.
        StorageFault: LMDB does not open it.
    """
    env = open_read_only(path, map_size)
    try:
        with env.begin() as txn:
            return _Scan(env, txn, progress).run(path)
    except (lmdb.Error, struct.error) as error:
        raise CorruptState(f"LMDB can't read it ({error})") from error
    finally:
        env.close()


def main(path: Path, map_size: int, out: IO[bytes]) -> None:
    """The body of the process: tells whoever reads ``out``."""

    def tell(answer: _Answer) -> None:
        out.write(msgspec.json.encode(answer) + b"\n")
        out.flush()

    try:
        tell(_Answer(facts=scan_state(path, map_size, lambda done, whole: tell(_Answer(done, whole)))))
    except StorageFault as error:
        tell(_Answer(damage=str(error)))
    except IdentityRefused as error:
        tell(_Answer(refused=str(error)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.stdout.buffer)
