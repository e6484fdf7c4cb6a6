"""The state machine: what a command does to the keys.

Apply is a total function of (state, entry): a bad command gives an error result, never an exception, and nothing
local (clock, disk space, randomness) can change what it does; else replicas would diverge (trap 56). Every command
that changes a key takes one revision, in the order of the batch (S11); a command that changes nothing takes none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zraft.core.durable import WritableTables
from zraft.core.limits import fault_of, is_write, plain_keys
from zraft.core.records import (
    APPLIED,
    CLUSTER_VERSION,
    CONFIGURATION,
    FORMAT,
    U64_MASK,
    AppliedState,
    key_value,
    pack_applied,
    pack_cluster_version,
    pack_configuration,
    pack_write,
    read_applied,
    read_cluster_version,
    read_configuration,
    record_key,
    unpack_meta,
    unpack_record,
)
from zraft.core.sweep import Sweep
from zraft.core.versions import (
    CHECKPOINTS_OF_ALL,
    SUPPORTED,
    fingerprint,
    raised_by,
    require_known,
    storage_format,
)
from zraft.errors import Compacted, CorruptState, InvalidArgument, InvariantViolated, PreconditionFailed
from zraft.protocol.codec import configuration_of, encode, unpack_commands
from zraft.protocol.entries import Configuration, Entry, EntryId, EntryKind
from zraft.protocol.requests import Batch, Command, Compact, Delete, Get, Put
from zraft.protocol.responses import (
    BatchResult,
    CompactResult,
    DeleteResult,
    ErrorInfo,
    ErrorResult,
    KeyValue,
    MemberInfo,
    MembersResult,
    PutResult,
)

RECORDS_MAX = 1024
"""So many records are gathered, and appended together."""
OPERATIONS_PER_STEP = 32
"""Apply lets its caller look around after this many operations."""

_ABSENT = (0, 0, 0, 0, 0)

Result = PutResult | DeleteResult | BatchResult | CompactResult | ErrorResult


class Keyspace:
    """Applies entries to the tables. Invariant: what the state says of itself is committed with the effects.

    Args:
        tables: the state.
        supported: the newest cluster version whose rules this code knows.

    Attributes:
        version: the cluster version of the state, by whose rules the next entry is applied: not that of the code.
    """

    def __init__(self, tables: WritableTables, supported: int = SUPPORTED) -> None:
        self._tables = tables
        self._supported = supported
        self.version = read_cluster_version(tables.meta(CLUSTER_VERSION))
        self._records: list[tuple[bytes, bytes]] = []
        self.applied, self.revision, self.compacted, self.swept, self._digest = read_applied(tables.meta(APPLIED))
        self._saved = self.applied
        self._answering = True  # somebody waits for the results of the entry that is being applied

    @property
    def digest(self) -> int:
        """Of the state with all that was applied, whether or not that is published."""
        return self._digest & U64_MASK

    def checkpoint(self) -> int:
        """What replicas are compared by: of the state with all that was applied."""
        if self.version < CHECKPOINTS_OF_ALL:
            return self.digest
        members = read_configuration(self._tables.meta(CONFIGURATION))
        return fingerprint(self.digest, self.version, members)

    def apply(self, entry: Entry, results: list[bytes] | None = None) -> Iterator[None]:
        """Apply the next entry, pausing every ``OPERATIONS_PER_STEP`` operations; nothing is visible before commit.

        ``results`` takes the encoded results of the commands, one msgpack array; None: nobody here waits for them.

        Raises:
            InvariantViolated: the entry is not the next one.
            IdentityRefused: this code does not know what the entry means; nothing of it is applied.
            CorruptState: what it needs of the state is damaged.
        """
        if entry.index != self.applied.index + 1 or entry.term < self.applied.term:
            raise InvariantViolated("entries are applied in order", entry=entry.index, applied=self.applied)
        if entry.kind == EntryKind.COMMANDS:
            self._answering = results is not None
            answers: list[Result] = []
            yield from self._apply_commands(entry, answers)
            if results is not None:
                results.append(encode(answers))
        elif entry.kind == EntryKind.CONFIGURATION:
            self._apply_configuration(entry, results)
        elif entry.kind == EntryKind.CLUSTER_VERSION:
            self._raise_version(raised_by(entry, self._supported))
        else:
            require_known(entry)
        self.applied = EntryId(entry.index, entry.term)

    def commit(self) -> None:
        """Publish all entries applied so far as one step."""
        if self.applied != self._saved:
            self._flush()
            now = AppliedState(self.applied, self.revision, self.compacted, self.swept, self._digest)
            self._tables.set_meta(APPLIED, pack_applied(now))
            self._tables.commit()
            self._saved = self.applied

    def _apply_commands(self, entry: Entry, answers: list[Result]) -> Iterator[None]:
        commands = unpack_commands(entry.payload)
        if commands is None:
            answers.append(ErrorResult(InvalidArgument.code, "the entry holds commands of another version"))
        else:
            yield from self._apply_all(commands, entry.index, answers)

    def _apply_all(self, commands: Sequence[Command | Get], index: int, answers: list[Result]) -> Iterator[None]:
        """Commands of an entry, or operations of a batch, in their order."""
        for start in range(0, len(commands), OPERATIONS_PER_STEP):
            step = commands[start : start + OPERATIONS_PER_STEP]
            keys = plain_keys(step)
            if keys is not None and len(set(keys)) == len(keys):
                self._put_all(keys, step, index, answers)  # type: ignore[arg-type]  # or they had no plain keys
            else:
                for command in step:
                    yield from self._apply_command(command, index, answers)
            if len(step) == OPERATIONS_PER_STEP:
                yield

    def _apply_command(self, command: Command | Get, index: int, answers: list[Result]) -> Iterator[None]:
        fault = _fault(command)
        if fault:
            answers.append(fault)
        elif isinstance(command, Batch):
            done: list[PutResult | DeleteResult] = []
            yield from self._apply_all(command.operations, index, done)  # type: ignore[arg-type]  # they are writes
            answers.append(BatchResult(tuple(done), index, self.revision))
            if len(command.operations) % OPERATIONS_PER_STEP:
                yield  # many small batches are no small step
        elif isinstance(command, Compact):
            yield from self._compact(command, index, answers)
        elif not isinstance(command, Get):  # which is a fault
            answers.append(self._apply_one(command, index))

    def _apply_configuration(self, entry: Entry, results: list[bytes] | None) -> None:
        """It has been in force since it was appended; from now on snapshots of the state carry it."""
        configuration = configuration_of(entry)
        if configuration is not None:
            self._tables.set_meta(CONFIGURATION, pack_configuration(configuration))
        if results is not None:
            text = "the entry holds members of another version"
            answer = members_result(configuration) if configuration else ErrorResult(InvalidArgument.code, text)
            results.append(encode([answer]))

    def _raise_version(self, version: int) -> None:
        """Never lowered: what two leaders appended, one behind the other, raises the cluster once."""
        if version > self.version:
            self.version = version
            self._tables.set_meta(CLUSTER_VERSION, pack_cluster_version(version))
            self._tables.set_meta(FORMAT, bytes([storage_format(version)]))

    def _put_all(self, keys: list[bytes], puts: Sequence[Put], index: int, answers: list[Result]) -> None:
        """Puts that depend on nothing, of distinct ``keys``: what nearly all writes are, so it is done with few calls.

        Each of them does what ``_apply_one`` would.
        """
        revision, digest, records, entries = self.revision, self._digest, self._records, []
        for key, put, before in zip(keys, puts, self._tables.entries_of(keys), strict=True):
            revision += 1
            mod, sub, create, version, _ = unpack_meta(key, before) if before else _ABSENT
            entry, record, change = pack_write(revision, create or revision, version + 1, mod, sub, 0, key, put.value)
            entries.append((key, entry))
            records.append((record_key(revision, 0), record))
            digest += change
        self._tables.set_keys(entries)
        if self._answering:
            answers += [PutResult(True, None, index, at, at) for at in range(self.revision + 1, revision + 1)]
        self.revision, self._digest = revision, digest
        self._flush(RECORDS_MAX)

    def _apply_one(self, operation: Put | Delete, index: int) -> PutResult | DeleteResult:
        key = operation.key
        before = self._tables.key(key)
        # Plain tuples: this runs on every node for every write, and a named one costs as much as all else here.
        mod, sub, create, version, _ = unpack_meta(key, before) if before else _ABSENT
        current = mod if version else 0
        expected = operation.expected_revision
        if expected is not None and expected != current:
            error = _not_expected(current, expected)
            if isinstance(operation, Put):
                return PutResult(False, error, index, self.revision, current)
            return DeleteResult(False, error, index, self.revision, current, current != 0)
        previous = self._value_at(mod, sub) if operation.return_previous and version else None
        if isinstance(operation, Put):
            revision = self._write(operation, create or self.revision + 1, version + 1, mod, sub)
            return PutResult(True, None, index, revision, revision, previous)
        if not version:
            return DeleteResult(True, None, index, self.revision)
        revision = self._write(operation, 0, 0, mod, sub)
        return DeleteResult(True, None, index, revision, revision, True, previous)

    def _compact(self, command: Compact, index: int, answers: list[Result]) -> Iterator[None]:
        """Take the history up to a revision away from readers at once, and remove a part of what nobody can read."""
        if command.revision > self.revision:
            text = f"revision {command.revision} is in the future: this store is at {self.revision}"
            answers.append(ErrorResult(InvalidArgument.code, text))
            return
        if command.revision <= self.compacted and not command.resume:
            text = f"the history is compacted up to revision {self.compacted} already"
            answers.append(ErrorResult(Compacted.code, text))
            return
        self._flush()
        self.compacted = max(self.compacted, command.revision)
        sweep = Sweep(self._tables, self.swept, self.compacted, self.version)
        yield from sweep.work()
        self.swept = sweep.swept
        self._digest -= sweep.removed
        answers.append(CompactResult(index, self.revision, self.compacted, self.swept))

    def _write(self, write: Put | Delete, create: int, version: int, mod: int, sub: int) -> int:
        """Add a record of the key, behind the one at (mod, sub), and point its index entry there; its revision."""
        self.revision = revision = self.revision + 1
        key = write.key
        value, lease = (write.value, write.lease) if isinstance(write, Put) else (b"", 0)
        entry, record, change = pack_write(revision, create, version, mod, sub, lease, key, value)
        self._records.append((record_key(revision, 0), record))
        self._digest += change
        self._tables.set_keys([(key, entry)])
        self._flush(RECORDS_MAX)
        return revision

    def _value_at(self, mod: int, sub: int) -> KeyValue:
        self._flush()
        data = self._tables.record(record_key(mod, sub))
        if data is None:
            raise CorruptState(f"the record of revision {mod}/{sub} is missing")
        return key_value(mod, unpack_record(mod, sub, data))

    def _flush(self, least: int = 1) -> None:
        """Append the records that were gathered, if there are so many."""
        if len(self._records) >= least:
            self._tables.append_records(self._records)
            self._records = []


def members_result(configuration: Configuration) -> MembersResult:
    """What a client is told of a configuration."""
    members = [MemberInfo(one.name, one.id, one.voter, one.address) for one in configuration.members]
    return MembersResult(configuration.index, tuple(members))


def _not_expected(current: int, expected: int) -> ErrorInfo:
    """Why a write with a condition did nothing; 0: there is, or was to be, no such key."""
    if not expected:
        text = f"there is such a key already, of mod revision {current}"
    elif not current:
        text = f"there is no such key, and its mod revision was to be {expected}; read it and try again"
    else:
        text = f"the key's mod revision is {current}, not {expected}; read it and try again"
    return ErrorInfo(PreconditionFailed.code, text)


def _fault(command: Command | Get) -> ErrorResult | None:
    """The gateways let no such command pass; a log written by another version might hold one all the same."""
    fault = fault_of(command)
    if not fault and not is_write(command):
        fault = "a batch of Gets has no place in the log"
    return ErrorResult(InvalidArgument.code, fault) if fault else None
