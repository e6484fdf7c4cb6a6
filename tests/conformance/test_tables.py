"""The contract of ``WritableTables``, which LMDB and the simulator's memory keep alike."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.simulation.memory import MemoryState
from zraft.core.durable import Tables, WritableTables
from zraft.core.records import record_key
from zraft.errors import InvariantViolated
from zraft.protocol.requests import KEY_BYTES_MAX
from zraft.store.state import LmdbState, StateView

MAP_SIZE = 1 << 30
LONG_KEY = b"\xff" * KEY_BYTES_MAX
KEYS = st.binary(min_size=1, max_size=2) | st.just(LONG_KEY)
NAMES = st.sampled_from([b"applied", b"revision"])
VALUES = st.binary(max_size=20) | st.just(bytes(6000))


class Place(Protocol):
    """Where a state lies: it can be opened, and a process that dies leaves what it had committed."""

    def open(self) -> WritableTables: ...

    def crash(self) -> WritableTables:
        """The state as the next process finds it, on the same boot."""

    def reader(self) -> Tables:
        """What a gateway sees once storage has died."""

    def close(self) -> None: ...


class MemoryPlace:
    def open(self) -> WritableTables:
        self._state = MemoryState()
        return self._state

    def crash(self) -> WritableTables:
        self._state.crash()
        return self._state

    def reader(self) -> Tables:
        self._state.crash()
        return self._state

    def close(self) -> None:
        pass


class LmdbPlace:
    def __init__(self) -> None:
        self._path = Path(tempfile.mkdtemp(prefix="zraft-state-"))
        self._view: StateView | None = None

    def open(self) -> WritableTables:
        self._state = LmdbState(self._path / "state.1", MAP_SIZE)
        return self._state

    def crash(self) -> WritableTables:
        if self._view:
            self._view.close()
            self._view = None
        self._state.close()
        return self.open()

    def reader(self) -> Tables:
        self._state.close()  # LMDB forbids a process to open an environment twice
        self._view = StateView(self._path / "state.1", MAP_SIZE)
        return self._view.begin()

    def close(self) -> None:
        self.crash()
        self._state.close()
        shutil.rmtree(self._path)


@pytest.fixture(params=[LmdbPlace, MemoryPlace])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    place: Place = request.param()
    yield place
    place.close()


@pytest.fixture
def state(place: Place) -> WritableTables:
    return place.open()


class Content(NamedTuple):
    """All that a state tells, and so what a model of it has to know."""

    keys: dict[bytes, bytes]
    records: dict[bytes, bytes]
    meta: dict[bytes, bytes]

    def copy(self) -> "Content":
        return Content(dict(self.keys), dict(self.records), dict(self.meta))

    def check(self, tables: Tables) -> None:
        """The tables hold exactly this."""
        assert list(tables.keys_from(b"")) == sorted(self.keys.items())
        for key in (*self.keys, b"absent"):
            assert tables.key(key) == self.keys.get(key)
            assert list(tables.keys_from(key)) == sorted(item for item in self.keys.items() if item[0] >= key)
        assert list(tables.records_from(b"")) == sorted(self.records.items())
        for at in (*self.records, record_key(1 << 60, 0)):
            assert tables.record(at) == self.records.get(at)
            assert list(tables.records_from(at)) == sorted(item for item in self.records.items() if item[0] >= at)
        for name in (b"applied", b"revision", b"absent"):
            assert tables.meta(name) == self.meta.get(name)


def nothing() -> Content:
    return Content({}, {}, {})


def test_a_new_state_holds_nothing(state: WritableTables) -> None:
    nothing().check(state)


def test_what_is_written_is_read_at_once(state: WritableTables) -> None:
    state.set_keys([(b"b", b"1"), (b"a", b"2"), (b"b", b"3")])
    state.append_records([(record_key(1, 0), b"r1"), (record_key(2, 0), b"r2")])
    state.append_records([(record_key(2, 1), b"r3")])
    state.set_meta(b"applied", b"7")
    Content(
        {b"a": b"2", b"b": b"3"},
        {record_key(1, 0): b"r1", record_key(2, 0): b"r2", record_key(2, 1): b"r3"},
        {b"applied": b"7"},
    ).check(state)


def test_a_crash_loses_what_was_not_committed_and_never_a_part(place: Place, state: WritableTables) -> None:  # trap 22
    state.set_keys([(b"a", b"1")])
    state.append_records([(record_key(1, 0), b"r1")])
    state.set_meta(b"applied", b"1")
    state.commit()
    state.set_keys([(b"a", b"2"), (b"b", b"2")])
    state.append_records([(record_key(2, 0), b"r2")])
    state.set_meta(b"applied", b"2")
    committed = Content({b"a": b"1"}, {record_key(1, 0): b"r1"}, {b"applied": b"1"})
    committed.check(place.reader())
    committed.check(place.crash())


def test_what_is_deleted_is_gone_and_comes_back_with_an_abort(state: WritableTables) -> None:  # trap 23
    state.set_keys([(b"a", b"1"), (b"b", b"2")])
    state.append_records([(record_key(1, 0), b"r1"), (record_key(2, 0), b"r2"), (record_key(3, 0), b"r3")])
    state.commit()
    whole = Content(
        {b"a": b"1", b"b": b"2"},
        {record_key(1, 0): b"r1", record_key(2, 0): b"r2", record_key(3, 0): b"r3"},
        {},
    )
    state.delete_key(b"a")
    state.delete_key(b"absent")
    assert (state.delete_record(record_key(1, 0)), state.delete_record(record_key(1, 0))) == (b"r1", None)
    assert state.delete_record(record_key(3, 0)) == b"r3"
    Content({b"b": b"2"}, {record_key(2, 0): b"r2"}, {}).check(state)
    state.abort()
    whole.check(state)


def test_an_abort_brings_back_what_the_last_commit_left(state: WritableTables) -> None:
    state.set_keys([(b"a", b"1")])
    state.commit()
    state.set_keys([(b"a", b"2")])
    state.set_keys([(b"a", b"3")])
    state.append_records([(record_key(1, 0), b"r1")])
    state.set_meta(b"applied", b"2")
    state.abort()
    Content({b"a": b"1"}, {}, {}).check(state)
    state.append_records([(record_key(1, 0), b"again")])
    Content({b"a": b"1"}, {record_key(1, 0): b"again"}, {}).check(state)


@pytest.mark.parametrize("place_in_batch", [0, 1, 2])
@pytest.mark.parametrize("at", [record_key(5, 0), record_key(5, 1), record_key(4, 9)])
def test_records_are_appended_in_order_only(state: WritableTables, at: bytes, place_in_batch: int) -> None:
    state.append_records([(record_key(5, 1), b"r")])
    batch = [(record_key(6, 0), b"r"), (record_key(6, 1), b"r")]
    batch.insert(place_in_batch, (at, b"late"))
    with pytest.raises(InvariantViolated, match="records ascend"):
        state.append_records(batch)


def test_appending_nothing_changes_nothing(state: WritableTables) -> None:
    state.append_records([])
    nothing().check(state)


def test_commit_and_abort_without_writes_are_no_errors(state: WritableTables) -> None:
    state.commit()
    state.abort()
    nothing().check(state)


class TablesRules(RuleBasedStateMachine):
    """Any sequence of writes, commits, aborts and crashes leaves what a simple model says."""

    def __init__(self) -> None:
        super().__init__()
        self.place = self.make()
        self.state = self.place.open()
        self.revision = 0
        self.model, self.committed = nothing(), nothing()

    def make(self) -> Place:
        raise NotImplementedError

    @rule(entries=st.lists(st.tuples(KEYS, VALUES), max_size=4))
    def set_keys(self, entries: list[tuple[bytes, bytes]]) -> None:
        self.state.set_keys(entries)
        self.model.keys.update(entries)

    @rule(keys=st.lists(KEYS, max_size=4))
    def entries_of(self, keys: list[bytes]) -> None:
        assert self.state.entries_of(keys) == [self.model.keys.get(key) for key in keys]

    @rule(gaps=st.lists(st.integers(1, 3), max_size=4), record=VALUES)
    def append_records(self, gaps: list[int], record: bytes) -> None:
        records = []
        for gap in gaps:
            self.revision += gap
            records.append((record_key(self.revision, gap), record))
        self.state.append_records(records)
        self.model.records.update(records)

    @rule(key=KEYS)
    def delete_key(self, key: bytes) -> None:
        self.state.delete_key(key)
        self.model.keys.pop(key, None)

    @rule(data=st.data())
    def delete_record(self, data: st.DataObject) -> None:
        at = data.draw(st.sampled_from([*self.model.records, record_key(1 << 60, 0)]))
        assert self.state.delete_record(at) == self.model.records.pop(at, None)

    @rule(name=NAMES, value=VALUES)
    def set_meta(self, name: bytes, value: bytes) -> None:
        self.state.set_meta(name, value)
        self.model.meta[name] = value

    @rule()
    def commit(self) -> None:
        self.state.commit()
        self.committed = self.model.copy()

    @rule()
    def abort(self) -> None:
        self.state.abort()
        self.model = self.committed.copy()

    @rule()
    def crash(self) -> None:
        self.committed.check(self.place.reader())
        self.state = self.place.crash()
        self.model = self.committed.copy()

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        self.model.check(self.state)

    def teardown(self) -> None:
        self.place.close()


class LmdbTablesRules(TablesRules):
    def make(self) -> Place:
        return LmdbPlace()


class MemoryTablesRules(TablesRules):
    def make(self) -> Place:
        return MemoryPlace()


TestLmdbTables = LmdbTablesRules.TestCase
TestLmdbTables.settings = settings(max_examples=60, stateful_step_count=30)
TestMemoryTables = MemoryTablesRules.TestCase
