"""The kinds of logs, the disks that they lie on, and a model of what one holds."""

import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple, Protocol

from tests.simulation.memory import MemoryLog
from zraft.core.durable import Log
from zraft.core.versions import JOURNALS
from zraft.protocol.codec import encode
from zraft.protocol.entries import NO_ORIGIN, ClusterRecord, EntryId, EntryKind, Member, encode_entry, entry_term
from zraft.store.log import LmdbLog

MEMBER = 0xFEDCBA9876543210
MAP_SIZE = 1 << 30
EVERYTHING = 1 << 40
RECORD = ClusterRecord((Member(MEMBER, "node-1"), Member(2, "node-2")), 150)


class Disk(Protocol):
    """Where a log lies: it can be opened, and lose what was not committed."""

    def open(self) -> Log: ...

    def crash(self) -> Log:
        """The log as the next process finds it."""

    def close(self) -> None: ...


class MemoryDisk:
    def open(self) -> Log:
        self._log = MemoryLog(MEMBER)
        return self._log

    def crash(self) -> Log:
        self._log.crash()
        return self._log

    def close(self) -> None:
        pass


def journaled(path: Path) -> LmdbLog:
    """A new log on LMDB that holds nothing and has a journal: that of a cluster of version 2 has."""
    log = LmdbLog(path, MEMBER, MAP_SIZE)
    log.append(1, [encode_entry(1, 1, EntryKind.CLUSTER_VERSION, payload=encode(JOURNALS))])
    log.commit()
    log.truncate(1)
    log.commit()
    return log


class LmdbDisk:
    def __init__(self) -> None:
        self._path = Path(tempfile.mkdtemp(prefix="zraft-log-"))

    def open(self) -> Log:
        self._log = LmdbLog(self._path / "log", MEMBER, MAP_SIZE)
        return self._log

    def crash(self) -> Log:
        self._log.close()
        return self.open()

    def close(self) -> None:
        self._log.close()
        shutil.rmtree(self._path)


class JournaledDisk(LmdbDisk):
    def open(self) -> Log:
        if not (self._path / "log").exists():
            journaled(self._path / "log").close()
        return super().open()


def encoded(first: int, *terms: int, payload: bytes = b"") -> list[bytes]:
    return [
        encode_entry(index, term, EntryKind.COMMANDS, NO_ORIGIN, payload) for index, term in enumerate(terms, first)
    ]


class Content(NamedTuple):
    """All that a log tells, and so what a model of it has to know."""

    term: int = 0
    vote: int = 0
    record: ClusterRecord | None = None
    formed: bool = False
    entries: tuple[bytes, ...] = ()
    base: EntryId = EntryId(0, 0)
    generation: int = 0

    @property
    def last(self) -> EntryId:
        if not self.entries:
            return self.base
        return EntryId(self.base.index + len(self.entries), entry_term(self.entries[-1]))

    def term_at(self, index: int) -> int | None:
        if index == self.base.index:
            return self.base.term
        at = index - self.base.index - 1
        return entry_term(self.entries[at]) if 0 <= at < len(self.entries) else None

    def cut(self, to: int) -> "Content":
        base = EntryId(to, self.term_at(to) or 0)
        return self._replace(base=base, entries=self.entries[to - self.base.index :])

    def install(self, snapshot: EntryId, generation: int) -> "Content":
        new = self if self.term_at(snapshot.index) == snapshot.term else self._replace(base=snapshot, entries=())
        return new._replace(generation=generation)


def content(log: Log) -> Content:
    """What the log holds, after a check that its answers agree with each other."""
    base = log.base
    entries = tuple(log.entries(base.index + 1, EVERYTHING))
    found = Content(log.term, log.vote, log.record, log.formed, entries, base, log.generation)
    indexes = range(max(0, base.index - 2), base.index + len(entries) + 3)
    assert [log.term_at(index) for index in indexes] == [found.term_at(index) for index in indexes]
    assert log.last == found.last
    assert (log.member, log.first_index) == (MEMBER, base.index + 1)
    return found
