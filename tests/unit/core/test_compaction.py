"""History compaction: what can be read is what a model with the whole history says; what can't be read is gone."""

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.simulation.memory import MemoryState
from zraft.core import sweep
from zraft.core.keyspace import OPERATIONS_PER_STEP, Keyspace
from zraft.core.records import APPLIED, check_record, digest_of, read_applied, read_record_key, unpack_meta
from zraft.core.sweep import FIRST_SWEEP_RECORDS_MAX, SWEEP_RECORDS_MAX
from zraft.core.versions import FIRST, SMALL_SWEEPS
from zraft.core.views import View
from zraft.errors import CorruptState
from zraft.protocol.codec import encode, pack_commands, response, split_results
from zraft.protocol.entries import NO_ORIGIN, Entry, EntryKind
from zraft.protocol.requests import Batch, Command, Compact, Delete, Get, Put, Range
from zraft.protocol.responses import CompactResult, ErrorInfo, ErrorResult, GetResult, KeyValue, RangeResult, Response

TERM = 2
KEYS = st.sampled_from([b"a", b"b", b"c"])


class Machine:
    """A keyspace on plain memory, fed with one entry after the other."""

    def __init__(self) -> None:
        self.state = MemoryState()
        self.keyspace = Keyspace(self.state)

    def begin(self, *commands: Command) -> tuple[Entry, list[bytes]]:
        payload = pack_commands([encode(command) for command in commands])
        return Entry(self.keyspace.applied.index + 1, TERM, EntryKind.COMMANDS, NO_ORIGIN, payload), []

    def apply(self, *commands: Command) -> list[Response]:
        """One entry of these commands; their results."""
        entry, results = self.begin(*commands)
        for _ in self.keyspace.apply(entry, results):
            pass
        self.keyspace.commit()
        return [response.decode(result) for result in split_results(results[0])]

    def raise_to(self, version: int) -> None:
        """The cluster goes on by the rules of that version."""
        index = self.keyspace.applied.index + 1
        for _ in self.keyspace.apply(Entry(index, TERM, EntryKind.CLUSTER_VERSION, NO_ORIGIN, encode(version))):
            pass

    def sweep(self) -> None:
        """As the leader's gateway does: the same revision again, until nothing is left to remove."""
        while self.keyspace.swept < self.keyspace.compacted:
            self.apply(Compact(self.keyspace.compacted, resume=True))

    def view(self) -> View:
        return View(self.state)

    def get(self, key: bytes, revision: int = 0) -> bytes | None:
        return self.view().get(Get(key, revision=revision)).value

    def revisions(self) -> list[int]:
        """Whose records are there."""
        return [read_record_key(at)[0] for at, _ in self.state.records_from(b"")]

    def check(self) -> None:
        """Index entries point to records, and the digest is that of the records."""
        digest = 0
        for at, data in self.state.records_from(b""):
            revision, sub = read_record_key(at)
            digest += digest_of(revision, check_record(revision, sub, data))
        assert read_applied(self.state.meta(APPLIED)).digest == digest % (1 << 64)
        for key, data in self.state.keys_from(b""):
            assert unpack_meta(key, data)[0] in self.revisions()


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def small_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """So little at a time that every compaction is finished by others of the same revision."""
    monkeypatch.setattr(sweep, "FIRST_SWEEP_RECORDS_MAX", 2)
    monkeypatch.setattr(sweep, "RECORDS_PER_STEP", 2)


# --- what is answered


def test_a_compaction_takes_no_revision(machine: Machine) -> None:  # S11
    machine.apply(Put(b"a", b"1"), Put(b"a", b"2"))
    assert machine.apply(Compact(1), Put(b"a", b"3"))[0] == CompactResult(2, 2, 1, 1)
    assert machine.keyspace.revision == 3


@pytest.mark.parametrize("resume", [False, True])
def test_the_future_cannot_be_compacted(machine: Machine, resume: bool) -> None:
    machine.apply(Put(b"a", b"1"))
    error = ErrorResult("InvalidArgument", "revision 2 is in the future: this store is at 1")
    assert machine.apply(Compact(2, resume)) == [error]
    assert machine.apply(Compact(1)) == [CompactResult(3, 1, 1, 1)]


@pytest.mark.parametrize("revision", [0, 1, 2])
def test_what_is_compacted_is_compacted_once(machine: Machine, revision: int) -> None:
    machine.apply(Put(b"a", b"1"), Put(b"a", b"2"), Put(b"a", b"3"), Compact(2))
    error = ErrorResult("Compacted", "the history is compacted up to revision 2 already")
    assert machine.apply(Compact(revision)) == [error]
    assert machine.apply(Compact(revision, resume=True)) == [CompactResult(3, 3, 2, 2)]


def test_reads_before_the_compacted_revision_are_refused(machine: Machine) -> None:
    machine.apply(Put(b"a", b"1"), Put(b"a", b"2"), Put(b"a", b"3"), Compact(2))
    text = "revision 1 is compacted: the oldest that can be read is 2"
    assert machine.view().get(Get(b"a", revision=1)) == GetResult(False, None, ErrorInfo("Compacted", text), 3)
    assert machine.view().range(Range(revision=1)) == ErrorResult("Compacted", text)
    batch = machine.view().batch(Batch((Get(b"a", revision=1), Get(b"a", revision=2))))
    errors = [one.error.code if one.error else "" for one in batch.results]
    assert errors == ["Compacted", ""]
    assert (machine.get(b"a", 2), machine.get(b"a", 3), machine.get(b"a")) == (b"2", b"3", b"3")


@pytest.mark.usefixtures("small_sweeps")
def test_readers_lose_the_history_at_once_however_long_the_sweep_takes(machine: Machine) -> None:
    machine.apply(*(Put(b"a", b"%d" % number) for number in range(10)))
    (done,) = machine.apply(Compact(8))
    assert isinstance(done, CompactResult)
    assert done.swept < done.compacted == 8
    refused = machine.view().get(Get(b"a", revision=7)).error
    assert refused is not None
    assert refused.code == "Compacted"
    assert machine.get(b"a", 8) == b"7"


# --- what is removed


def test_the_newest_record_at_or_below_it_stays_and_all_before_it_go(machine: Machine) -> None:
    machine.apply(*(Put(key, b"v") for key in (b"a", b"b", b"a", b"a", b"b", b"a")), Compact(5))
    assert machine.revisions() == [4, 5, 6]
    machine.check()


def test_a_deletion_at_the_compacted_revision_stays_until_the_next_one(machine: Machine) -> None:  # trap 50
    # Who watches from revision 2 on must see it; who watches from 3 on need not.
    machine.apply(Put(b"a", b"1"), Delete(b"a"), Put(b"b", b"1"), Compact(2))
    assert machine.revisions() == [2, 3]
    assert machine.state.key(b"a") is not None
    machine.apply(Compact(3))
    assert machine.revisions() == [3]
    assert machine.state.key(b"a") is None
    machine.check()


def test_a_deletion_below_the_compacted_revision_goes_with_its_index_entry(machine: Machine) -> None:  # trap 50
    machine.apply(Put(b"a", b"1"), Put(b"b", b"1"), Delete(b"a"), Put(b"b", b"2"), Compact(4))
    assert machine.revisions() == [4]
    assert [key for key, _ in machine.state.keys_from(b"")] == [b"b"]
    machine.check()


def test_a_key_that_came_back_keeps_its_index_entry(machine: Machine) -> None:
    machine.apply(Put(b"a", b"1"), Delete(b"a"), Put(b"b", b"1"), Put(b"a", b"2"), Compact(3))
    assert machine.revisions() == [3, 4]
    assert machine.get(b"a", 3) is None  # its record of then is gone: it was a deletion
    assert machine.get(b"a") == b"2"
    machine.check()


def test_a_key_that_was_swept_starts_anew_as_if_it_had_never_been(machine: Machine) -> None:
    machine.apply(Put(b"a", b"1"), Delete(b"a"), Put(b"b", b"1"), Compact(3), Put(b"a", b"2", expected_revision=0))
    result = machine.view().range(Range(prefix=b"a"))
    assert isinstance(result, RangeResult)
    assert result.items == (KeyValue(b"a", b"2", 4, 4, 1),)


def test_no_record_that_stays_is_changed(machine: Machine) -> None:  # trap 23
    machine.apply(*(Put(b"k%d" % (number % 3), b"%d" % number) for number in range(30)), Delete(b"k1"))
    before = dict(machine.state.records_from(b""))
    machine.apply(Compact(20))
    after = dict(machine.state.records_from(b""))
    assert after.items() < before.items()
    assert machine.revisions() == [18, 19, *range(20, 32)]


# --- by parts


@pytest.mark.parametrize(("version", "most"), [(FIRST, FIRST_SWEEP_RECORDS_MAX), (SMALL_SWEEPS, SWEEP_RECORDS_MAX)])
def test_one_compaction_removes_a_bounded_number(machine: Machine, version: int, most: int) -> None:
    machine.raise_to(version)
    puts = tuple(Put(b"a", b"v") for _ in range(FIRST_SWEEP_RECORDS_MAX * 2))
    machine.apply(Batch(puts))
    machine.apply(Compact(len(puts)))
    assert most <= machine.keyspace.swept <= most + OPERATIONS_PER_STEP
    machine.sweep()
    assert machine.revisions() == [len(puts)]


def test_large_values_end_a_part_sooner(machine: Machine) -> None:
    for number in range(40):
        machine.apply(Put(b"a", bytes(1 << 20)), Put(b"b%d" % number, bytes(1 << 10)))
    machine.apply(Compact(80))
    assert machine.keyspace.swept < 80
    machine.sweep()
    assert machine.keyspace.swept == 80


def test_a_sweep_lets_others_have_a_look(machine: Machine) -> None:
    machine.apply(Batch(tuple(Put(b"a", b"v") for _ in range(10 * OPERATIONS_PER_STEP))))
    entry, results = machine.begin(Compact(10 * OPERATIONS_PER_STEP))
    assert sum(1 for _ in machine.keyspace.apply(entry, results)) == 10


@pytest.mark.usefixtures("small_sweeps")
def test_a_crash_in_the_midst_of_a_sweep_leaves_what_was_published(machine: Machine) -> None:  # trap 23
    machine.apply(*(Put(b"k%d" % (number % 2), b"%d" % number) for number in range(10)), Delete(b"k0"))
    machine.apply(Compact(8))
    before = list(machine.state.records_from(b"")), list(machine.state.keys_from(b"")), machine.state.meta(APPLIED)
    entry, results = machine.begin(Compact(8, resume=True))
    for _ in machine.keyspace.apply(entry, results):
        machine.state.crash()
        machine.keyspace = Keyspace(machine.state)
        break
    after = list(machine.state.records_from(b"")), list(machine.state.keys_from(b"")), machine.state.meta(APPLIED)
    assert after == before
    machine.sweep()
    assert machine.revisions() == [7, 8, 9, 10, 11]
    machine.check()


def test_a_damaged_record_is_not_swept_over(machine: Machine) -> None:  # trap 29
    machine.apply(Put(b"a", b"1"), Put(b"a", b"2"))
    at, record = next(machine.state.records_from(b""))
    machine.state._records[at] = record[:-1] + bytes([record[-1] ^ 1])
    with pytest.raises(CorruptState, match="the record of revision 1/0 does not match its checksum"):
        machine.apply(Compact(2))


# --- against a model


class History(RuleBasedStateMachine):
    """Whatever was written, deleted and compacted: a revision that is not compacted reads as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Machine()
        self.pasts: list[dict[bytes, KeyValue]] = [{}]
        self.deleted_at: dict[int, bytes] = {}
        self.compacted = 0

    @property
    def present(self) -> dict[bytes, KeyValue]:
        return self.pasts[-1]

    @rule(key=KEYS, value=st.binary(max_size=3))
    def put(self, key: bytes, value: bytes) -> None:
        revision = len(self.pasts)
        before = self.present.get(key)
        created, version = (before.create_revision, before.version + 1) if before else (revision, 1)
        self.machine.apply(Put(key, value))
        self.pasts.append({**self.present, key: KeyValue(key, value, created, revision, version)})

    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        self.machine.apply(Delete(key))
        if key in self.present:
            self.deleted_at[len(self.pasts)] = key
            self.pasts.append({other: item for other, item in self.present.items() if other != key})

    @precondition(lambda self: self.compacted < len(self.pasts) - 1)
    @rule(data=st.data())
    def compact(self, data: st.DataObject) -> None:
        self.compacted = data.draw(st.integers(self.compacted + 1, len(self.pasts) - 1))
        self.machine.apply(Compact(self.compacted))

    @rule()
    def sweep_on(self) -> None:
        self.machine.apply(Compact(self.compacted, resume=True))

    @rule()
    def sweep_to_the_end(self) -> None:
        self.machine.sweep()

    @rule()
    def crash(self) -> None:
        self.machine.state.crash()
        self.machine.keyspace = Keyspace(self.machine.state)

    @invariant()
    def every_revision_that_is_not_compacted_reads_as_it_was(self) -> None:
        view = self.machine.view()
        for revision in range(max(self.compacted, 1), len(self.pasts)):
            past = self.pasts[revision]
            found = view.range(Range(revision=revision))
            assert isinstance(found, RangeResult)
            assert found.items == tuple(past[key] for key in sorted(past))
            for key in (b"a", b"b", b"c"):
                answer = view.get(Get(key, revision=revision))
                assert (answer.error, answer.value) == (None, past[key].value if key in past else None)

    @invariant()
    def no_more_is_kept_than_can_be_read(self) -> None:
        if self.machine.keyspace.swept < self.compacted:
            return
        readable = {item.mod_revision for item in self.pasts[self.compacted].values()}
        readable |= {self.compacted} & self.deleted_at.keys()
        assert self.machine.revisions() == sorted({*readable, *range(self.compacted + 1, len(self.pasts))})

    @invariant()
    def it_is_sound(self) -> None:
        self.machine.check()


TestHistory = pytest.mark.usefixtures("small_sweeps")(History.TestCase)
TestHistory.settings = settings(max_examples=100, stateful_step_count=40)


COMPACTS = st.builds(Compact, st.integers(0, 9), st.booleans())
COMMANDS = st.builds(Put, KEYS, st.binary(max_size=2)) | st.builds(Delete, KEYS) | COMPACTS


@given(st.lists(COMMANDS, max_size=30))
def test_compaction_is_the_same_everywhere(commands: list[Command]) -> None:  # trap 56
    # However entries are grouped into commits, and wherever a replica died and began anew.
    one, other = Machine(), Machine()
    for number, command in enumerate(commands):
        entry, results = other.begin(command)
        for _ in other.keyspace.apply(entry, results):
            pass
        told = [response.decode(result) for result in split_results(results[0])]
        assert one.apply(command) == told
        if number % 3 == 0:
            other.keyspace.commit()
            other.keyspace = Keyspace(other.state)
    other.keyspace.commit()
    assert list(one.state.records_from(b"")) == list(other.state.records_from(b""))
    assert list(one.state.keys_from(b"")) == list(other.state.keys_from(b""))
    assert one.state.meta(APPLIED) == other.state.meta(APPLIED)


@pytest.mark.parametrize("field", ["previous", "value"])
def test_a_sweep_follows_no_record_that_is_damaged(field: str) -> None:  # trap 29
    machine = Machine()
    machine.apply(Put(b"a", b"1"))
    machine.apply(Put(b"a", b"2"))
    machine.apply(Put(b"b", b"3"))
    at, data = list(machine.state.records_from(b""))[1]
    position = {"previous": 23, "value": len(data) - 5}[field]
    machine.state.tables()[1][at] = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
    with pytest.raises(CorruptState, match="the record of revision 2/0 does not match its checksum"):
        machine.apply(Compact(3))
