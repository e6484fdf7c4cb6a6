"""What the core asks of a disk: the log and the tables of the state, as interfaces.

LMDB implements them in ``zraft.store``, plain memory in the simulator; both pass the same conformance tests.
Everything that is written takes effect for later reads at once, and becomes durable (log) or visible to other
processes (state) with ``commit``; a crash before that loses all of it, never a part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from zraft.protocol.entries import ClusterRecord, Configuration, EntryId


class Log(Protocol):
    """Term, vote, identity and entries of one node: what must outlive a power cut (trap 1)."""

    @property
    def member(self) -> int:
        """The node's member id: 64 random bits, made with the directory."""

    @property
    def term(self) -> int:
        """currentTerm ([R] figure 2)."""

    @property
    def vote(self) -> int:
        """The member voted for in ``term``, 0 for none ([R] votedFor)."""

    @property
    def record(self) -> ClusterRecord | None:
        """The index-0 record, once the cluster's members agreed on one."""

    @property
    def formed(self) -> bool:
        """Whether every first member is known to have stored the same record."""

    @property
    def initial_state(self) -> bytes:
        """A digest of the state that was restored when the log was made; empty for one that began with nothing."""

    @property
    def base(self) -> EntryId:
        """The entry before the first one that is still there: what was cut, or a snapshot, ended with it.

        0/0 in a log that reaches back to the beginning. Invariant: all up to it is committed, and is in a snapshot.
        """

    @property
    def first_index(self) -> int:
        """Index of the first entry that is still there; last + 1 when there is none."""

    @property
    def last(self) -> EntryId:
        """The last entry's id; ``base`` when there is none."""

    @property
    def generation(self) -> int:
        """The number of the applied state that belongs to this log."""

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        """What ``keep_configurations`` stored last; empty in a log that had none but the record's."""

    def keep_configurations(self, configurations: tuple[Configuration, ...]) -> None:
        """Store which configurations entries of the log, or of the snapshot before it, brought; ascending by index."""

    def set_term(self, term: int, vote: int) -> None:
        """Store term and vote together."""

    def set_record(self, record: ClusterRecord, formed: bool) -> None:
        """Store the index-0 record, or mark it as formed."""

    def term_at(self, index: int) -> int | None:
        """The term of the entry at ``index``, also at ``base``; None when the log does not know that entry."""

    def append(self, first: int, entries: Sequence[bytes]) -> None:
        """Add encoded entries at ``first`` == last.index + 1.

        Raises:
            InvariantViolated: ``first`` is another index.
        """

    def truncate(self, first: int) -> None:
        """Remove the entry at ``first`` and all behind it.

        Raises:
            InvariantViolated: the log does not reach from ``first`` - 1 to its end.
        """

    def cut(self, to: int) -> None:
        """Forget the entries up to ``to``; none when the log begins behind it already.

        The caller knows that they are applied, and that a verified snapshot holds what they did. Its time grows with
        their number, so a caller who has others to serve goes there in steps.

        Raises:
            InvariantViolated: the log ends before ``to``.
        """

    def install(self, snapshot: EntryId, generation: int) -> None:
        """Begin behind ``snapshot``, and take that generation of the state for the applied one.

        "If existing log entry has same index and term as snapshot's last included entry, retain log entries following
        it"; else "discard the entire log" ([R] section 7).

        Raises:
            InvariantViolated: the log begins behind the snapshot already.
        """

    def entries(self, first: int, bytes_max: int) -> list[bytes]:
        """Encoded entries from ``first`` on: at least one if it is there, then as many as fit in ``bytes_max``.

        Raises:
            CorruptLog: an entry does not match its checksum.
        """

    def commit(self) -> None:
        """Make all writes since the last commit durable, in one transaction, with one fsync; nothing written: no-op.

        Raises:
            SyncFailed: the disk refused. The process must end: a later commit would succeed with data lost (S13).
        """


class Tables(Protocol):
    """The applied state as tables of bytes. Keys of ``records`` sort by revision, keys of ``keys`` by themselves."""

    def key(self, key: bytes) -> bytes | None:
        """The index entry of a user's key (see ``core.records.KeyMeta``)."""

    def keys_from(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(key, index entry) in order, from ``start`` on."""

    def record(self, at: bytes) -> bytes | None:
        """The record of a revision."""

    def records_from(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(where it stands, record) in the order of revisions, from ``start`` on."""

    def meta(self, name: bytes) -> bytes | None:
        """A value of the state about itself: applied index and term, revision, configuration."""


class WritableTables(Tables, Protocol):
    """The tables as storage has them: with one open write transaction that begins by itself.

    Records are appended and deleted, but never written again.
    """

    def entries_of(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """What ``key`` says of each of them."""

    def set_keys(self, entries: Sequence[tuple[bytes, bytes]]) -> None:
        """Insert or overwrite index entries, (key, index entry) each; of a key that comes twice the last one stays."""

    def delete_key(self, key: bytes) -> None:
        """Remove an index entry, if there is one."""

    def delete_record(self, at: bytes) -> bytes | None:
        """Remove the record of a revision and return it; None: there is none. No iterator may be in use."""

    def append_records(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Add records behind all others.

        Raises:
            InvariantViolated: they are not in ascending order behind the last one.
        """

    def set_meta(self, name: bytes, value: bytes) -> None:
        """Insert or overwrite a value of the state about itself."""

    def commit(self) -> None:
        """Publish everything since the last commit as one step. It need not be durable: the state is derived."""

    def abort(self) -> None:
        """Forget everything since the last commit."""
