"""The log on LMDB: term, vote, identity and entries, durable with every commit.

What its tables hold, and how that is checked, is in ``store.log_contents``. A commit of entries alone, and not too many
of them, goes to the journal (``store.journal``) with one flush of the disk, where LMDB takes two. LMDB's transaction
stays open meanwhile, and takes them all when it is committed: when the journal has no room for what comes, or when
anything else is written, a term and a vote above all. The first commit of a start is LMDB's, also if there is nothing
to write: a predecessor that was killed in a commit which the disk refused may have left what the page cache has, and
the disk does not, and to sync it once more would do nothing (S13).
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import lmdb

from zraft.core.versions import FIRST, JOURNALS, format_needed, storage_format
from zraft.errors import CorruptLog, InvariantViolated, StorageFault
from zraft.protocol import codec
from zraft.protocol.entries import ClusterRecord, Configuration, EntryId, entry_term
from zraft.store import log_contents as contents
from zraft.store.environment import (
    corrupt_log,
    extend_file,
    open_environment,
    tables_bytes,
    write_fault,
)
from zraft.store.journal import JOURNAL_FILE, Journal
from zraft.store.log_contents import at
from zraft.store.meta_pages import fault_of_meta_pages
from zraft.store.recent import Recent, as_fits
from zraft.store.refusal import Refusal
from zraft.store.sealed import seal


class LmdbLog:
    """The ``Log`` of ``core.durable`` in the directory ``path``, checked from end to end when it is opened.

    Args:
        path: the directory of the environment; made if it is missing.
        member: the id of a log that is made here, 64 random bits, never 0. A log that exists keeps its own.
        map_size: bytes of address space, the same in every process.
        on_commit: is told the seconds that each commit took.
        create: whether a log may be made here: not beside an applied state, whose log must have been lost.
        initial_state: of a log that is made here: a digest of the state that was restored beside it.

    Attributes:
        created: whether there was no log here before.
        member, term, vote, base, last, record, formed, configurations, generation: as in ``core.durable``; changed by
            the methods only. (No properties: they are read some twenty times an Append.)
        initial_state: as given when the log was made; empty if it began with nothing.

    Raises:
        IdentityRefused: the log has a format that this version does not know.
        CorruptLog: an entry is missing or damaged, or what is known about the entries is; or there is no log, and
            none may be made. It is refused again at the next start, too.
        SyncFailed: the disk could not make durable what the log holds (S13).
        StorageFault: the log can't be opened.
    """

    def __init__(
        self,
        path: Path,
        member: int,
        map_size: int,
        on_commit: Callable[[float], None] = lambda seconds: None,
        create: bool = True,
        initial_state: bytes = b"",
    ) -> None:
        if not 0 < member < 1 << 64:
            raise InvariantViolated("0 < member < 2^64", member=member)
        self._path = path
        self._on_commit = on_commit
        self._refusal = Refusal(path)
        self._txn: lmdb.Transaction[bytes] | None = None
        self._writing, self._appending = _Writing(self, entries_alone=False), _Writing(self, entries_alone=True)
        self._pending: list[bytes] = []  # entries that were appended since the last commit
        self._by_lmdb = False  # the next commit must be LMDB's
        self._journal: Journal | None = None
        self._may_make_journal = True
        self.member, self.term, self.vote = member, 0, 0
        self.record: ClusterRecord | None = None
        self.formed = False
        self.generation = 0
        self.configurations: tuple[Configuration, ...] = ()
        self.initial_state = initial_state
        self.base = self.last = EntryId(0, 0)
        self._recent = Recent()
        if fault := fault_of_meta_pages(path):
            raise self._corrupt(None, fault)
        self._env = open_environment(path, map_size, sync=True)
        # Not "has no tables": a flipped bit can make a full log look empty.
        self.created = self._env.info()["last_txnid"] == 0
        try:
            if self.created and (not create or (path / JOURNAL_FILE).exists()):
                raise self._corrupt(None, "was lost")
            self._open()
        except BaseException:
            self.close()
            raise

    @property
    def first_index(self) -> int:
        """Index of the first entry that is still there; last + 1 when there is none."""
        return self.base.index + 1

    @property
    def size_bytes(self) -> int:
        """The bytes that the entries occupy on the disk."""
        with self._reading() as txn:
            return tables_bytes(txn, self._entries)

    def set_term(self, term: int, vote: int) -> None:
        """Store term and vote together."""
        with self._writing:
            self.term, self.vote = term, vote

    def set_record(self, record: ClusterRecord, formed: bool) -> None:
        """Store the index-0 record, or mark it as formed."""
        with self._writing as txn:
            self._put(txn, contents.RECORD, bytes([formed]) + codec.encode(record))
            self.record, self.formed = record, formed

    def keep_configurations(self, configurations: tuple[Configuration, ...]) -> None:
        """Store which configurations entries brought."""
        with self._writing as txn:
            self._put(txn, contents.CONFIGURATIONS, codec.encode(configurations))
            self.configurations = configurations

    def take_format(self, number: int) -> None:
        """Be of no older format than the state that rests on this log, which may have come with a snapshot."""
        if number > self._format:
            with self._writing as txn:
                self._set_format(txn, number)

    def set_generation(self, generation: int) -> None:
        """Give up the applied state for one of another number."""
        with self._writing as txn:
            self._put(txn, contents.GENERATION, contents.U64.pack(generation))
            self.generation = generation

    def term_at(self, index: int) -> int | None:
        """The term of the entry at ``index``, also at ``base``; None when the log does not know that entry."""
        if index == self.last.index:
            return self.last.term
        if index == self.base.index:
            return self.base.term
        if not self.base.index < index < self.last.index:
            return None
        with self._reading() as txn:
            data = txn.get(at(index), db=self._entries)
        if data is None:
            raise self._corrupt(index, "is missing")
        return entry_term(data)

    def append(self, first: int, entries: Sequence[bytes]) -> None:
        """Add encoded entries at ``first`` == last.index + 1.

        Raises:
            InvariantViolated: ``first`` is another index.
            StorageFault: LMDB refused; ``OutOfSpace`` when the map is full. The process must end.
        """
        if first != self.last.index + 1:
            raise InvariantViolated("append at last + 1", first=first, last=self.last)
        if not entries:
            return
        items = [(at(index), data) for index, data in enumerate(entries, first)]
        with self._appending as txn, txn.cursor(self._entries) as cursor:
            consumed, added = cursor.putmulti(items, append=True)
            if (needed := format_needed(entries)) > self._format:
                self._set_format(txn, needed)
            # LMDB skips what is out of order, and says so only here.
            if not consumed == added == len(entries):
                raise InvariantViolated("all entries appended", first=first, consumed=consumed, added=added)
            self.last = EntryId(first + len(entries) - 1, entry_term(entries[-1]))
            self._recent.add(first, entries)
            self._pending += entries

    def truncate(self, first: int) -> None:
        """Remove the entry at ``first`` and all behind it.

        Raises:
            InvariantViolated: the log does not reach from ``first`` - 1 to its end.
        """
        previous = self.term_at(first - 1)
        if previous is None:
            raise InvariantViolated("truncation within the log", first=first, base=self.base, last=self.last)
        with self._writing as txn, txn.cursor(self._entries) as cursor:
            while cursor.last() and contents.U64.unpack(cursor.key())[0] >= first:
                cursor.delete()
            self._recent.truncate(first)
            self.last = EntryId(first - 1, previous)

    def cut(self, to: int) -> None:
        """Forget the entries up to ``to``, which the log must reach; none when it begins behind it already."""
        if to <= self.base.index:
            return
        term = self.term_at(to)
        if term is None:
            raise InvariantViolated("cut within the log", to=to, last=self.last)
        with self._writing as txn, txn.cursor(self._entries) as cursor:
            while cursor.first() and contents.U64.unpack(cursor.key())[0] <= to:
                cursor.delete()
            self.base = EntryId(to, term)

    def install(self, snapshot: EntryId, generation: int) -> None:
        """Begin behind ``snapshot``, unless its entry is here ([R] section 7), with the state of that generation."""
        if snapshot.index < self.base.index:
            raise InvariantViolated("a snapshot does not lie before the log", snapshot=snapshot, base=self.base)
        if self.term_at(snapshot.index) != snapshot.term:
            with self._writing as txn:
                txn.drop(self._entries, delete=False)
                self._recent.truncate(0)
                self.base = self.last = snapshot
        self.set_generation(generation)

    def entries(self, first: int, bytes_max: int) -> list[bytes]:
        """Encoded entries from ``first`` on: at least one if it is there, then as many as fit in ``bytes_max``.

        Raises:
            CorruptLog: an entry does not match its checksum.
        """
        if first <= self.base.index:
            return []
        if found := self._recent.take(first, bytes_max):
            return found
        with self._reading() as txn:
            return as_fits(self._scan(txn, first), bytes_max)

    def commit(self) -> None:
        """Make all writes since the last commit durable, all or none of them, before it returns.

        Raises:
            SyncFailed: the disk refused, now or at an earlier commit. The process must end (S13).
            StorageFault: LMDB refused what was to be written. After this, or any other error, the process must end,
                too: nothing is written any more. The next start finds what is durable, as after a kill.
        """
        self._refusal.check()
        if not (self._by_lmdb or self._pending):
            return
        started = time.perf_counter()
        try:
            if not self._by_lmdb and self._journal is not None and self._journal.takes(self._pending):
                self._journal.write(self.last.index - len(self._pending) + 1, self._pending)
            else:
                self._commit_all()
        except (lmdb.Error, OSError) as error:
            raise self._refusal.sync_failed(error) from error
        except BaseException:
            self._refusal.broke_off()
            raise
        self._pending = []
        self._on_commit(time.perf_counter() - started)

    def close(self) -> None:
        """Leave the environment; what was not committed is forgotten."""
        self._env.close()
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    # --- at start

    def _open(self) -> None:
        self._sync()
        extend_file(self._env, self._path)
        txn = self._env.begin(write=True)
        try:
            self._meta = self._env.open_db(contents.META, txn=txn)
            self._entries = self._env.open_db(contents.ENTRIES, txn=txn)
            if not self.created:
                known = contents.read_contents(txn, self._meta, self._path)
                if known.commit not in {0, found := self._env.info()["last_txnid"]}:
                    raise self._corrupt(None, f"is of commit {known.commit}, and LMDB's pages say {found}")
                contents.verify_entries(txn, self._entries, self._path, known)
                self._take(known)
                txn.commit()  # nothing was written: it only keeps the tables open
                if known.journal:
                    self._replay(known.journal)
                self._by_lmdb = True
        except lmdb.Error as error:
            raise self._corrupt(None, f"can't be read: {error}") from error
        if self.created:
            self._txn = txn
            with self._writing:
                self._set_format(txn, storage_format(FIRST))
                self._put(txn, contents.MEMBER, contents.U64.pack(self.member))
                self._put(txn, contents.INITIAL, self.initial_state)
            self.commit()

    def _take(self, known: contents.Contents) -> None:
        self._format, self.member, self.term, self.vote = known.format, known.member, known.term, known.vote
        self.base, self.last = known.base, known.last
        self.generation, self.initial_state = known.generation, known.initial_state
        self.record, self.formed, self.configurations = known.record, known.formed, known.configurations

    def _sync(self) -> None:
        """S13: nothing is answered from what a predecessor wrote, and may not have lived to see on the disk."""
        try:
            directory = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:  # nothing was synced, so nothing failed to be
            raise StorageFault(f"the log in {self._path} can't be opened: {error}") from error
        try:
            self._env.sync(True)
            os.fsync(directory)
        except (lmdb.Error, OSError) as error:
            raise self._refusal.sync_failed(error) from error
        finally:
            os.close(directory)

    def _replay(self, identity: int) -> None:
        """Take what the journal has, and LMDB has not; nothing is written yet, the next commit is LMDB's."""
        epoch, known = self._env.info()["last_txnid"] + 1, self.last.index
        try:
            self._journal = Journal.open(self._path / JOURNAL_FILE, identity)
            for record in self._journal.records(epoch):
                if record.first != self.last.index + 1:
                    raise ValueError(f"goes on at entry {record.first}, and the tables end with {self.last.index}")
                self.append(record.first, record.entries)
        except ValueError as error:
            raise self._corrupt(None, f"has a journal that {error}") from error
        except OSError as error:
            raise self._refusal.sync_failed(error) from error
        with self._reading() as txn:
            list(self._scan(txn, known + 1))  # each of them is sound, or it would say so
        self._pending = []

    # --- reading and writing

    def _reading(self) -> AbstractContextManager[lmdb.Transaction[bytes]]:
        # Within an open write transaction a read sees what was written; any other would not.
        return nullcontext(self._txn) if self._txn is not None else self._env.begin()

    def _commit_all(self) -> None:
        """LMDB's commit. What the journal holds is void from then on."""
        with self._writing as txn:
            if self._journal is None and self._may_make_journal and self._format >= storage_format(JOURNALS):
                self._journal = Journal.make(self._path / JOURNAL_FILE, secrets.randbits(63) + 1)
                self._may_make_journal = self._journal is not None  # until the next start LMDB does it alone
            base, last = self.base, self.last
            state = contents.HARD_STATE.pack(self.term, self.vote, base.index, base.term, last.index, last.term)
            if self._format >= storage_format(JOURNALS):
                state += contents.JOURNALED.pack(self._journal.identity if self._journal else 0, txn.id())
            self._put(txn, contents.HARD, state)
        self._txn = None
        txn.commit()
        self._by_lmdb = False
        if self._journal is not None:
            self._journal.begin(self._env.info()["last_txnid"] + 1)

    def _scan(self, txn: lmdb.Transaction[bytes], first: int) -> Iterator[bytes]:
        return contents.scan(txn, self._entries, self._path, first, self.last.index)

    def _set_format(self, txn: lmdb.Transaction[bytes], number: int) -> None:
        self._by_lmdb = True
        txn.put(contents.FORMAT, contents.U32.pack(number), db=self._meta)
        self._format = number

    def _put(self, txn: lmdb.Transaction[bytes], name: bytes, value: bytes) -> None:
        txn.put(name, seal(name, value), db=self._meta)

    def _corrupt(self, index: int | None, what: str) -> CorruptLog:
        return corrupt_log(self._path, index, what)


class _Writing:
    """The write transaction of a log, begun if there is none yet. What goes wrong in it is told as ours, and ends all.

    No generator, which costs three times as many calls: each Append passes here twice.
    """

    def __init__(self, log: LmdbLog, entries_alone: bool) -> None:
        self._log, self._entries_alone = log, entries_alone

    def __enter__(self) -> lmdb.Transaction[bytes]:
        self._log._refusal.check()
        if not self._entries_alone:
            self._log._by_lmdb = True
        txn = self._log._txn
        if txn is None:
            try:
                txn = self._log._txn = self._log._env.begin(write=True)
            except lmdb.Error as error:
                raise write_fault(error, self._log._path) from error
        return txn

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._log._refusal.broke_off()
        if isinstance(error, lmdb.Error):
            raise write_fault(error, self._log._path) from error
