"""The state machine: what a command does to the keys.

Apply is a total function of (state, entry): a bad command gives an error result, never an exception, and nothing
local (clock, disk space, randomness) can change what it does; else replicas would diverge (trap 56). Every command
that changes a key takes one revision, in the order of the batch (S11); a command that changes nothing takes none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from zraft.core.durable import WritableTables
from zraft.core.limits import fault_of, is_write
from zraft.core.records import (
    key_value,
    pack_meta,
    pack_record,
    record_key,
    unpack_meta,
    unpack_record,
)
from zraft.errors import InvalidArgument, InvariantViolated, PreconditionFailed
from zraft.protocol.client import (
    Batch,
    BatchResult,
    Command,
    Delete,
    DeleteResult,
    ErrorInfo,
    ErrorResult,
    KeyValue,
    Put,
    PutResult,
)
from zraft.protocol.codec import encode, unpack_commands
from zraft.protocol.entries import Entry, EntryId, EntryKind

APPLIED = b"applied"
_APPLIED = struct.Struct(">QQQ")
RECORDS_MAX = 1024
"""So many records are gathered, and appended together."""
OPERATIONS_PER_STEP = 32
"""Apply lets its caller look around after this many operations."""

_ABSENT = (0, 0, 0, 0, 0)

Result = PutResult | DeleteResult | BatchResult | ErrorResult


def read_applied(data: bytes | None) -> tuple[EntryId, int]:
    """(applied entry, store's revision) from the value of ``APPLIED``."""
    index, term, revision = _APPLIED.unpack(data) if data else (0, 0, 0)
    return EntryId(index, term), revision


def with_revision(data: bytes, revision: int) -> bytes:
    """A value of ``APPLIED`` with another revision of the store: not lower than the one in it."""
    return data[:16] + revision.to_bytes(8, "big") + data[24:]


class Keyspace:
    """Applies entries to the tables. Invariant: applied index, term and revision are committed with their effects."""

    def __init__(self, tables: WritableTables) -> None:
        self._tables = tables
        self._records: list[tuple[bytes, bytes]] = []
        self.applied, self.revision = read_applied(tables.meta(APPLIED))
        self._saved = self.applied

    def apply(self, entry: Entry, results: list[bytes] | None = None) -> Iterator[None]:
        """Apply the next entry, pausing every ``OPERATIONS_PER_STEP`` operations; nothing is visible before commit.

        ``results`` takes the encoded results of the commands, one msgpack array; None: nobody here waits for them.

        Raises:
            InvariantViolated: the entry is not the next one.
        """
        if entry.index != self.applied.index + 1 or entry.term < self.applied.term:
            raise InvariantViolated("entries are applied in order", entry=entry.index, applied=self.applied)
        if entry.kind == EntryKind.COMMANDS:
            answers: list[Result] = []
            yield from self._apply_commands(entry, answers)
            if results is not None:
                results.append(encode(answers))
        self.applied = EntryId(entry.index, entry.term)

    def commit(self) -> None:
        """Publish all entries applied so far as one step."""
        if self.applied != self._saved:
            self._flush()
            self._tables.set_meta(APPLIED, _APPLIED.pack(self.applied.index, self.applied.term, self.revision))
            self._tables.commit()
            self._saved = self.applied

    def _apply_commands(self, entry: Entry, answers: list[Result]) -> Iterator[None]:
        commands = unpack_commands(entry.payload)
        if commands is None:
            answers.append(ErrorResult(InvalidArgument.code, "the entry holds commands of another version"))
            return
        steps = 0
        for command in commands:
            if isinstance(command, Batch):
                done: list[PutResult | DeleteResult] = []
                fault = _fault(command)
                for operation in () if fault else command.operations:
                    done.append(self._apply_one(operation, entry.index))  # type: ignore[arg-type]  # all writes
                    steps += 1
                    if steps % OPERATIONS_PER_STEP == 0:
                        yield
                answers.append(fault or BatchResult(tuple(done), entry.index, self.revision))
            else:
                answers.append(_fault(command) or self._apply_one(command, entry.index))
                steps += 1
                if steps % OPERATIONS_PER_STEP == 0:
                    yield

    def _apply_one(self, operation: Put | Delete, index: int) -> PutResult | DeleteResult:
        meta = self._tables.key(operation.key)
        # Plain tuples: this runs on every node for every write, and a named one costs as much as all else here.
        mod, sub, create, version, _ = unpack_meta(meta) if meta else _ABSENT
        current = mod if version else 0
        expected = operation.expected_revision
        if expected is not None and expected != current:
            error = ErrorInfo(
                PreconditionFailed.code, f"the key's mod revision is {current}, not {expected}; read it and try again"
            )
            if isinstance(operation, Put):
                return PutResult(False, error, index, self.revision, current)
            return DeleteResult(False, error, index, self.revision, current, current != 0)
        previous = self._value_at(mod, sub) if operation.return_previous and version else None
        key = operation.key
        if isinstance(operation, Put):
            revision = self._next_revision()
            create, version, lease = create or revision, version + 1, operation.lease
            record = pack_record(create, version, mod, sub, lease, key, operation.value)
            self._write(key, record, pack_meta(revision, 0, create, version, lease))
            return PutResult(True, None, index, revision, revision, previous)
        if not version:
            return DeleteResult(True, None, index, self.revision)
        revision = self._next_revision()
        self._write(key, pack_record(0, 0, mod, sub, 0, key, b""), pack_meta(revision, 0, 0, 0, 0))
        return DeleteResult(True, None, index, revision, revision, True, previous)

    def _next_revision(self) -> int:
        self.revision += 1
        return self.revision

    def _write(self, key: bytes, record: bytes, meta: bytes) -> None:
        """Add the key's record of the newest revision, and point its index entry there."""
        self._records.append((record_key(self.revision, 0), record))
        self._tables.set_key(key, meta)
        if len(self._records) >= RECORDS_MAX:
            self._flush()

    def _value_at(self, mod: int, sub: int) -> KeyValue:
        self._flush()
        data = self._tables.record(record_key(mod, sub))
        if data is None:
            raise InvariantViolated("an index entry points to a record", revision=mod)
        return key_value(mod, unpack_record(data))

    def _flush(self) -> None:
        if self._records:
            self._tables.append_records(self._records)
            self._records = []


def _fault(command: Command) -> ErrorResult | None:
    """The gateways let no such command pass; a log written by another version might hold one all the same."""
    fault = fault_of(command)
    if not fault and not is_write(command):
        fault = "a batch of Gets has no place in the log"
    return ErrorResult(InvalidArgument.code, fault) if fault else None
