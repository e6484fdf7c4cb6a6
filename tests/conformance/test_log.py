"""The contract of ``Log``, which LMDB and the simulator's memory keep alike: every rule below is run on both."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.simulation.memory import MemoryLog
from zraft.core.durable import Log
from zraft.errors import InvariantViolated
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


@pytest.fixture(params=[LmdbDisk, MemoryDisk])
def disk(request: pytest.FixtureRequest) -> Iterator[Disk]:
    disk: Disk = request.param()
    yield disk
    disk.close()


@pytest.fixture
def log(disk: Disk) -> Log:
    return disk.open()


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


def content(log: Log) -> Content:
    """What the log holds, after a check that its answers agree with each other."""
    entries = tuple(log.entries(1, EVERYTHING))
    terms = [0, *map(entry_term, entries), None]
    assert [log.term_at(index) for index in range(len(entries) + 2)] == terms
    assert log.last == EntryId(len(entries), terms[-2] or 0)
    assert (log.member, log.first_index) == (MEMBER, 1)
    return Content(log.term, log.vote, log.record, log.formed, entries)


def test_a_new_log_holds_nothing(log: Log) -> None:
    assert content(log) == Content()


def test_what_is_written_is_read_at_once(log: Log) -> None:
    entries = encoded(1, 1, 1, 2)
    log.append(1, entries)
    log.set_term(2, 5)
    log.set_record(RECORD, formed=False)
    assert content(log) == Content(2, 5, RECORD, False, tuple(entries))


def test_a_crash_before_the_commit_loses_all_of_it_and_never_a_part(disk: Disk, log: Log) -> None:  # traps 1, 21
    first, second = encoded(1, 1, 1), encoded(2, 3, 3)
    log.append(1, first)
    log.set_term(1, 5)
    log.commit()
    log.set_term(3, 0)
    log.set_record(RECORD, formed=True)
    log.truncate(2)
    log.append(2, second)
    assert content(log) == Content(3, 0, RECORD, True, (first[0], *second))
    log = disk.crash()
    assert content(log) == Content(1, 5, None, False, tuple(first))


def test_what_was_committed_survives(disk: Disk, log: Log) -> None:
    entries = encoded(1, 1, 2)
    log.append(1, entries)
    log.set_term(7, MEMBER)
    log.set_record(RECORD, formed=True)
    log.commit()
    assert content(disk.crash()) == Content(7, MEMBER, RECORD, True, tuple(entries))


def test_a_commit_without_writes_is_no_error(log: Log) -> None:
    log.commit()
    log.commit()
    assert content(log) == Content()


@pytest.mark.parametrize("first", [0, 1, 2, 4, 5])
def test_entries_are_appended_behind_the_last_one_only(log: Log, first: int) -> None:
    entries = encoded(1, 1, 1)
    log.append(1, entries)
    with pytest.raises(InvariantViolated, match="append at last"):
        log.append(first, encoded(first, 1))
    assert log.last == EntryId(2, 1)


def test_appending_nothing_changes_nothing(log: Log) -> None:
    log.append(1, [])
    assert content(log) == Content()


def test_truncation_removes_an_entry_and_all_behind_it(disk: Disk, log: Log) -> None:
    entries = encoded(1, 1, 1, 2, 2)
    log.append(1, entries)
    log.commit()
    log.truncate(3)
    assert content(log) == Content(entries=tuple(entries[:2]))
    log.commit()
    assert content(disk.crash()) == Content(entries=tuple(entries[:2]))


def test_a_log_can_be_truncated_to_nothing(log: Log) -> None:
    log.append(1, encoded(1, 1, 1))
    log.truncate(1)
    assert content(log) == Content()


def test_truncation_behind_the_last_entry_removes_nothing(log: Log) -> None:
    entries = encoded(1, 1, 1)
    log.append(1, entries)
    log.truncate(3)
    assert content(log) == Content(entries=tuple(entries))


@pytest.mark.parametrize("first", [-1, 0, 4])
def test_truncation_outside_the_log_is_refused(log: Log, first: int) -> None:
    log.append(1, encoded(1, 1, 1))
    with pytest.raises(InvariantViolated, match="truncation within the log"):
        log.truncate(first)


def test_entries_are_read_up_to_a_size_but_at_least_one(log: Log) -> None:
    entries = encoded(1, 1, 1, 1, payload=bytes(100))
    size = len(entries[0])
    log.append(1, entries)
    assert log.entries(1, 0) == entries[:1]
    assert log.entries(1, 2 * size - 1) == entries[:1]
    assert log.entries(1, 2 * size) == entries[:2]
    assert log.entries(2, EVERYTHING) == entries[1:]


@pytest.mark.parametrize("first", [-1, 0, 3, 4])
def test_where_there_is_no_entry_none_is_read(log: Log, first: int) -> None:
    log.append(1, encoded(1, 1, 1))
    assert log.entries(first, EVERYTHING) == []


@pytest.mark.parametrize("index", [-1, 3, 1 << 63])
def test_an_entry_that_is_not_there_has_no_term(log: Log, index: int) -> None:
    log.append(1, encoded(1, 1, 1))
    assert log.term_at(index) is None


def test_an_entry_may_be_as_large_as_a_request(disk: Disk, log: Log) -> None:
    entries = encoded(1, 1, 1, payload=bytes(3 << 19))
    log.append(1, entries)
    log.commit()
    assert content(disk.crash()) == Content(entries=tuple(entries))


class LogRules(RuleBasedStateMachine):
    """Any sequence of writes, commits and crashes leaves what a simple model says."""

    disk: Disk

    def __init__(self) -> None:
        super().__init__()
        self.disk = self.make()
        self.log = self.disk.open()
        self.model = self.durable = Content()

    def make(self) -> Disk:
        raise NotImplementedError

    @rule(
        rises=st.lists(st.integers(0, 2), max_size=6),
        payload=st.binary(max_size=20) | st.just(bytes(3000)) | st.just(bytes(9000)),
    )
    def append(self, rises: list[int], payload: bytes) -> None:
        terms, term = [], self.log.last.term
        for rise in rises:
            term += rise
            terms.append(term)
        first = self.log.last.index + 1
        entries = encoded(first, *terms, payload=payload)
        self.log.append(first, entries)
        self.model = self.model._replace(entries=self.model.entries + tuple(entries))

    @precondition(lambda self: self.model.entries)
    @rule(back=st.integers(0, 8))
    def truncate(self, back: int) -> None:
        kept = max(0, len(self.model.entries) - back)
        self.log.truncate(kept + 1)
        self.model = self.model._replace(entries=self.model.entries[:kept])

    @rule(term=st.integers(0, (1 << 64) - 1), vote=st.sampled_from([0, 5, MEMBER]))
    def set_term(self, term: int, vote: int) -> None:
        self.log.set_term(term, vote)
        self.model = self.model._replace(term=term, vote=vote)

    @rule(formed=st.booleans())
    def set_record(self, formed: bool) -> None:
        self.log.set_record(RECORD, formed)
        self.model = self.model._replace(record=RECORD, formed=formed)

    @rule()
    def commit(self) -> None:
        self.log.commit()
        self.durable = self.model

    @rule()
    def crash(self) -> None:
        self.log = self.disk.crash()
        self.model = self.durable

    @rule(first=st.integers(0, 20), bytes_max=st.integers(0, 10_000))
    def read(self, first: int, bytes_max: int) -> None:
        expected = list(self.model.entries[first - 1 :]) if first else []
        while len(expected) > 1 and sum(map(len, expected)) > bytes_max:
            expected.pop()
        assert self.log.entries(first, bytes_max) == expected

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert content(self.log) == self.model

    def teardown(self) -> None:
        self.disk.close()


class LmdbLogRules(LogRules):
    def make(self) -> Disk:
        return LmdbDisk()


class MemoryLogRules(LogRules):
    def make(self) -> Disk:
        return MemoryDisk()


TestLmdbLog = LmdbLogRules.TestCase
TestLmdbLog.settings = settings(max_examples=40, stateful_step_count=30)
TestMemoryLog = MemoryLogRules.TestCase
