"""Applying committed entries, a slice of time at a time: what storage does between two looks at its sockets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from zraft.core.acceptor import Acceptor
from zraft.core.audit import CHECKPOINT_ENTRIES
from zraft.core.durable import Log, WritableTables
from zraft.core.keyspace import Keyspace
from zraft.errors import InvariantViolated
from zraft.protocol.entries import Entry, decode_entry
from zraft.protocol.local import AppliedTerm, Ping, Pong, Results
from zraft.protocol.peer import NO_CHECKPOINT, Checkpoint

READ_BYTES = 1 << 20
LARGE_BYTES = 64 << 10
"""What was applied before a larger entry is published first: its clients need not wait for the large one."""

Outcome = Results | AppliedTerm


class Applier:
    """Takes the log's committed entries to the tables, in order, each exactly once.

    Invariant: what it returns has been published, so a reader who is told of an index finds it in the tables (S10).

    Attributes:
        done: steps of work, and those of the appliers before, if they are passed on: whether this grows is what tells
            a busy storage from a stuck one. What had to be forgotten does not count.
    """

    def __init__(
        self,
        log: Log,
        tables: WritableTables,
        acceptor: Acceptor,
        checkpoint_entries: int = CHECKPOINT_ENTRIES,
        done: int = 0,
    ) -> None:
        self._log = log
        self._tables = tables
        self._acceptor = acceptor
        self._checkpoint_entries = checkpoint_entries
        self._checkpoint = NO_CHECKPOINT  # not published yet
        self._keyspace = Keyspace(tables, acceptor.supported)
        acceptor.cluster_version = self._keyspace.version
        self._entries: deque[bytes] = deque()
        self._entry: Entry | None = None
        self._work: Iterator[None] = iter(())
        self._results: list[bytes] = []
        self._outcomes: list[Outcome] = []
        self.done = self._published = done

    @property
    def revisions(self) -> tuple[int, int, int]:
        """The store's revision, up to where its history is compacted, and swept; as far as it has been applied."""
        return self._keyspace.revision, self._keyspace.compacted, self._keyspace.swept

    def pending(self) -> bool:
        """Whether there is anything left to apply."""
        return self._acceptor.applied < self._acceptor.commit

    def pong(self, message: Ping, starved: bool = False) -> Pong:
        """How storage gets on. ``starved``: there is no room for entries that the others have committed."""
        return Pong(message.number, self.done, starved or self.pending(), self._acceptor.term)

    def work(self, tired: Callable[[], bool]) -> list[Outcome]:
        """Apply until there is nothing left or ``tired()``; returns what may be told now, in the log's order."""
        while self._entry is not None or self._begin():
            for _ in self._work:
                self.done += 1
                if tired():
                    return []
            self._finish()
            if tired():
                break
        return self._publish()

    def forget(self) -> None:
        """There was no room: go back to what has been published, to try again later."""
        self._tables.abort()
        self.done = self._published
        self._keyspace = Keyspace(self._tables, self._acceptor.supported)
        self._entries.clear()
        self._entry = None
        self._outcomes = []
        self._checkpoint = NO_CHECKPOINT

    def _begin(self) -> bool:
        """Take up the next committed entry, unless what was applied must be published before it."""
        index = self._keyspace.applied.index + 1
        if index > self._acceptor.commit:
            return False
        if not self._entries:
            # None behind the commit index: those may still be replaced in the log.
            self._entries.extend(self._log.entries(index, READ_BYTES)[: self._acceptor.commit - index + 1])
            if not self._entries:
                raise InvariantViolated("committed entries are in the log", index=index, last=self._log.last)
        if len(self._entries[0]) > LARGE_BYTES and self._outcomes:
            return False
        self._entry = decode_entry(index, self._entries.popleft())
        self._results = []
        ours = self._entry.origin.member == self._log.member
        self._work = self._keyspace.apply(self._entry, self._results if ours else None)
        return True

    def _finish(self) -> None:
        entry, self._entry = self._entry, None
        if entry is None:
            return
        self.done += 1
        if entry.index % self._checkpoint_entries == 0:
            self._checkpoint = Checkpoint(entry.index, self._keyspace.checkpoint())
        for results in self._results:
            self._outcomes.append(Results(entry.origin, entry.index, results))
        if not entry.origin.member:  # a leader's first entry: nothing of an older term can follow
            self._outcomes.append(AppliedTerm(entry.term))

    def _publish(self) -> list[Outcome]:
        self._keyspace.commit()
        self._published = self.done
        self._acceptor.applied_to(self._keyspace.applied.index)
        self._acceptor.cluster_version = self._keyspace.version
        if self._checkpoint is not NO_CHECKPOINT:
            self._acceptor.note_checkpoint(self._checkpoint)
            self._checkpoint = NO_CHECKPOINT
        outcomes, self._outcomes = self._outcomes, []
        return outcomes
