"""The contract of ``Log``, which LMDB, with a journal or without, and the simulator's memory keep alike."""

from collections.abc import Iterator

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.conformance.logs import (
    EVERYTHING,
    MEMBER,
    RECORD,
    Content,
    Disk,
    JournaledDisk,
    LmdbDisk,
    MemoryDisk,
    content,
    encoded,
)
from zraft.core.durable import Log
from zraft.errors import InvariantViolated
from zraft.protocol.entries import EntryId


@pytest.fixture(params=[LmdbDisk, JournaledDisk, MemoryDisk])
def disk(request: pytest.FixtureRequest) -> Iterator[Disk]:
    disk: Disk = request.param()
    yield disk
    disk.close()


@pytest.fixture
def log(disk: Disk) -> Log:
    return disk.open()


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


def test_what_was_cut_is_forgotten_and_the_rest_stands(disk: Disk, log: Log) -> None:
    entries = encoded(1, 1, 1, 2, 2)
    log.append(1, entries)
    log.commit()
    log.cut(1)
    log.cut(3)
    cut = Content(entries=(entries[3],), base=EntryId(3, 2))
    assert content(log) == cut
    assert [log.entries(first, EVERYTHING) for first in (1, 3)] == [[], []]
    log.commit()
    assert content(disk.crash()) == cut


def test_a_cut_is_durable_with_the_commit_and_not_before(disk: Disk, log: Log) -> None:
    entries = encoded(1, 1, 1, 2)
    log.append(1, entries)
    log.commit()
    log.cut(2)
    assert content(disk.crash()) == Content(entries=tuple(entries))


def test_a_log_can_be_cut_to_nothing_and_goes_on_behind_it(disk: Disk, log: Log) -> None:
    log.append(1, encoded(1, 1, 2))
    log.cut(2)
    assert (log.base, log.last) == (EntryId(2, 2), EntryId(2, 2))
    with pytest.raises(InvariantViolated, match="append at last"):
        log.append(1, encoded(1, 2))
    more = encoded(3, 2, 3)
    log.append(3, more)
    log.commit()
    assert content(disk.crash()) == Content(entries=tuple(more), base=EntryId(2, 2))


@pytest.mark.parametrize("to", [-1, 0, 1])
def test_to_cut_what_is_gone_already_changes_nothing(log: Log, to: int) -> None:
    entries = encoded(1, 1, 1)
    log.append(1, entries)
    log.cut(1)
    log.cut(to)
    assert content(log) == Content(entries=(entries[1],), base=EntryId(1, 1))


def test_a_cut_behind_the_last_entry_is_refused(log: Log) -> None:
    log.append(1, encoded(1, 1, 1))
    with pytest.raises(InvariantViolated, match="cut within the log"):
        log.cut(3)


def test_truncation_before_the_base_is_refused(log: Log) -> None:
    log.append(1, encoded(1, 1, 1, 1))
    log.cut(2)
    with pytest.raises(InvariantViolated, match="truncation within the log"):
        log.truncate(2)
    log.truncate(3)
    assert content(log) == Content(base=EntryId(2, 1))


@pytest.mark.parametrize("terms", [(), (1, 1), (1, 1, 1, 1)], ids=["empty", "shorter", "of other terms"])
def test_an_installed_snapshot_replaces_a_log_without_its_entry(disk: Disk, log: Log, terms: tuple[int, ...]) -> None:
    # "discard the entire log" ([R] section 7)
    log.append(1, encoded(1, *terms))
    log.commit()
    log.install(EntryId(3, 2), 7)
    assert content(log) == Content(base=EntryId(3, 2), generation=7)
    more = encoded(4, 2)
    log.append(4, more)
    log.commit()
    assert content(disk.crash()) == Content(base=EntryId(3, 2), generation=7, entries=tuple(more))


def test_an_installed_snapshot_keeps_a_log_that_has_its_entry(disk: Disk, log: Log) -> None:
    # "retain log entries following it" ([R] section 7); to cut those before it is another decision
    entries = encoded(1, 1, 2, 2)
    log.append(1, entries)
    log.install(EntryId(2, 2), 7)
    log.commit()
    assert content(disk.crash()) == Content(generation=7, entries=tuple(entries))


def test_a_crash_before_the_commit_undoes_an_installation(disk: Disk, log: Log) -> None:
    entries = encoded(1, 1, 1)
    log.append(1, entries)
    log.commit()
    log.install(EntryId(9, 2), 7)
    assert content(disk.crash()) == Content(entries=tuple(entries))


def test_a_snapshot_of_before_the_log_is_refused(log: Log) -> None:
    log.append(1, encoded(1, 1, 1, 1))
    log.cut(2)
    with pytest.raises(InvariantViolated, match="a snapshot does not lie before the log"):
        log.install(EntryId(1, 1), 7)


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
        self.log.truncate(self.model.base.index + kept + 1)
        self.model = self.model._replace(entries=self.model.entries[:kept])

    @precondition(lambda self: self.model.entries)
    @rule(count=st.integers(0, 8))
    def cut(self, count: int) -> None:
        to = self.model.base.index + min(count, len(self.model.entries))
        self.log.cut(to)
        self.model = self.model.cut(to)

    @rule(ahead=st.integers(0, 12), term=st.integers(0, 5), generation=st.integers(0, 3))
    def install(self, ahead: int, term: int, generation: int) -> None:
        snapshot = EntryId(self.model.base.index + ahead, term)
        self.log.install(snapshot, generation)
        self.model = self.model.install(snapshot, generation)

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

    @rule(ahead=st.integers(-3, 20), bytes_max=st.integers(0, 10_000))
    def read(self, ahead: int, bytes_max: int) -> None:
        first = self.model.base.index + 1 + ahead
        expected = list(self.model.entries[ahead:]) if ahead >= 0 else []
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


class JournaledLogRules(LogRules):
    def make(self) -> Disk:
        return JournaledDisk()


class MemoryLogRules(LogRules):
    def make(self) -> Disk:
        return MemoryDisk()


TestLmdbLog = LmdbLogRules.TestCase
TestLmdbLog.settings = settings(max_examples=40, stateful_step_count=30)
TestJournaledLog = JournaledLogRules.TestCase
TestJournaledLog.settings = settings(max_examples=40, stateful_step_count=30)
TestMemoryLog = MemoryLogRules.TestCase
