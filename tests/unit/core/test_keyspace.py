"""The state machine: a total, deterministic function of (state, entry)."""

import msgspec
import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from tests.simulation.memory import MemoryState
from zraft.core.keyspace import OPERATIONS_PER_STEP, Keyspace
from zraft.core.records import APPLIED, read_applied
from zraft.core.views import View
from zraft.errors import InvariantViolated
from zraft.protocol.codec import encode, pack_commands, response, split_results
from zraft.protocol.entries import NO_ORIGIN, Entry, EntryId, EntryKind
from zraft.protocol.requests import Batch, Delete, Get, Put, Range
from zraft.protocol.responses import (
    BatchResult,
    DeleteResult,
    ErrorInfo,
    ErrorResult,
    KeyValue,
    PutResult,
    RangeResult,
    Response,
)

TERM = 2


class Machine:
    """A keyspace on plain memory, fed with one entry after the other."""

    def __init__(self) -> None:
        self.state = MemoryState()
        self.keyspace = Keyspace(self.state)

    def apply(self, *commands: Put | Delete | Batch) -> list[Response]:
        """One entry of these commands; their results."""
        return self.apply_payload(pack_commands([encode(command) for command in commands]))

    def apply_payload(self, payload: bytes, kind: int = EntryKind.COMMANDS) -> list[Response]:
        results: list[bytes] = []
        entry = Entry(self.keyspace.applied.index + 1, TERM, kind, NO_ORIGIN, payload)
        for _ in self.keyspace.apply(entry, results):
            pass
        self.keyspace.commit()
        return [response.decode(result) for blob in results for result in split_results(blob)]

    def items(self) -> tuple[KeyValue, ...]:
        result = View(self.state).range(Range())
        assert isinstance(result, RangeResult)
        return result.items

    def records(self) -> object:
        """All of the state that does not tell how the commands came."""
        return list(self.state.keys_from(b"")), list(self.state.records_from(b""))

    def tables(self) -> object:
        """The whole state."""
        return list(self.state.keys_from(b"")), self.state._records, self.state._meta


@pytest.fixture
def machine() -> Machine:
    return Machine()


def put_done(index: int, revision: int, previous: KeyValue | None = None) -> PutResult:
    return PutResult(True, None, index, revision, revision, previous)


def without_index(result: Response) -> Response:
    """A result, wherever its command came."""
    return result if isinstance(result, ErrorResult) else replace(result, index=0)


def not_expected(current: int, expected: int) -> ErrorInfo:
    if not expected:
        return ErrorInfo("PreconditionFailed", f"there is such a key already, of mod revision {current}")
    found = f"the key's mod revision is {current}, not {expected}"
    if not current:
        found = f"there is no such key, and its mod revision was to be {expected}"
    return ErrorInfo("PreconditionFailed", f"{found}; read it and try again")


# --- revisions (S11)


def test_each_command_that_changes_a_key_takes_one_revision_in_order(machine: Machine) -> None:  # S11
    assert machine.apply(Put(b"a", b"1"), Delete(b"x"), Put(b"b", b"2"), Delete(b"a")) == [
        put_done(1, 1),
        DeleteResult(True, None, 1, 1),  # nothing was changed, no revision was taken
        put_done(1, 2),
        DeleteResult(True, None, 1, 3, 3, True),
    ]
    assert machine.apply(Put(b"c", b"3")) == [put_done(2, 4)]


def test_a_batch_is_no_transaction_each_operation_has_its_own_revision(machine: Machine) -> None:  # S11
    batch = Batch((Put(b"a", b"1"), Put(b"a", b"2", expected_revision=9), Put(b"a", b"3"), Delete(b"a")))
    assert machine.apply(batch) == [
        BatchResult(
            (
                put_done(1, 1),
                PutResult(False, not_expected(1, 9), 1, 1, 1),
                put_done(1, 2),
                DeleteResult(True, None, 1, 3, 3, True),
            ),
            1,
            3,
        )
    ]


def test_a_key_has_its_revisions_as_etcd_has_them(machine: Machine) -> None:
    for value in (b"1", b"2"):
        machine.apply(Put(b"x", b""), Delete(b"x"), Put(b"a", value))
    assert machine.items() == (KeyValue(b"a", b"2", 3, 6, 2),)
    machine.apply(Delete(b"a"), Put(b"a", b"3"))
    assert machine.items() == (KeyValue(b"a", b"3", 8, 8, 1),)


# --- preconditions


def test_zero_expects_an_absent_key(machine: Machine) -> None:
    assert machine.apply(Put(b"a", b"1", expected_revision=0)) == [put_done(1, 1)]
    assert machine.apply(Put(b"a", b"2", expected_revision=0)) == [PutResult(False, not_expected(1, 0), 2, 1, 1)]
    assert machine.apply(Delete(b"x", expected_revision=0)) == [DeleteResult(True, None, 3, 1)]


def test_a_revision_expects_exactly_that_one(machine: Machine) -> None:
    machine.apply(Put(b"a", b"1"), Put(b"b", b"1"))
    assert machine.apply(Put(b"a", b"2", expected_revision=2)) == [PutResult(False, not_expected(1, 2), 2, 2, 1)]
    assert machine.apply(Put(b"a", b"2", expected_revision=1)) == [put_done(3, 3)]
    assert machine.apply(Delete(b"a", expected_revision=1)) == [
        DeleteResult(False, not_expected(3, 1), 4, 3, 3, found=True)
    ]
    assert machine.apply(Delete(b"a", expected_revision=3)) == [DeleteResult(True, None, 5, 4, 4, True)]


def test_a_deleted_key_is_absent(machine: Machine) -> None:
    machine.apply(Put(b"a", b"1"), Delete(b"a"))
    assert machine.apply(Put(b"a", b"2", expected_revision=2)) == [PutResult(False, not_expected(0, 2), 2, 2, 0)]
    assert machine.apply(Delete(b"a", expected_revision=2)) == [
        DeleteResult(False, not_expected(0, 2), 3, 2, 0, found=False)
    ]
    assert machine.apply(Put(b"a", b"2", expected_revision=0)) == [put_done(4, 3)]


# --- previous values


def test_the_previous_value_is_returned_on_request(machine: Machine) -> None:
    assert machine.apply(Put(b"a", b"1", return_previous=True)) == [put_done(1, 1)]
    assert machine.apply(Put(b"a", b"2", return_previous=True)) == [put_done(2, 2, KeyValue(b"a", b"1", 1, 1, 1))]
    assert machine.apply(Put(b"a", b"3")) == [put_done(3, 3)]
    assert machine.apply(Delete(b"a", return_previous=True)) == [
        DeleteResult(True, None, 4, 4, 4, True, KeyValue(b"a", b"3", 1, 3, 3))
    ]
    assert machine.apply(Put(b"a", b"5", return_previous=True)) == [put_done(5, 5)]


def test_the_previous_value_may_be_of_the_same_entry(machine: Machine) -> None:
    assert machine.apply(Put(b"a", b"1"), Put(b"a", b"2", return_previous=True)) == [
        put_done(1, 1),
        put_done(1, 2, KeyValue(b"a", b"1", 1, 1, 1)),
    ]


# --- totality: a bad command gives an error result, never an exception (trap 56)


@pytest.mark.parametrize(
    "bad",
    [
        Put(b"", b"v"),
        Put(b"k" * 401, b"v"),
        Put(b"k", b"v", session=1),
        Put(b"k", b"v", expected_revision=1 << 63),
        Batch(()),
        Batch((Get(b"k"),)),
        Batch((Put(b"k", b"v"), Get(b"k"))),
        Batch((Put(b"k", b"v"), Put(b"", b"v"))),
    ],
)
def test_a_command_that_no_gateway_lets_pass_changes_nothing(machine: Machine, bad: Put | Batch) -> None:
    first, refused, last = machine.apply(Put(b"a", b"1"), bad, Put(b"b", b"2"))
    assert (first, last) == (put_done(1, 1), put_done(1, 2))
    assert isinstance(refused, ErrorResult)
    assert refused.code == "InvalidArgument"


def test_commands_of_another_version_are_answered_as_such(machine: Machine) -> None:
    payload = pack_commands([encode(Put(b"a", b"1")), msgspec.msgpack.encode([99, b"what?"])])
    refused = ErrorResult("InvalidArgument", "the entry holds commands of another version")
    assert machine.apply_payload(payload) == [refused]
    assert (machine.keyspace.applied, machine.keyspace.revision) == (EntryId(1, TERM), 0)


def test_a_leaders_empty_entry_is_applied_like_any_other(machine: Machine) -> None:
    assert machine.apply_payload(b"", EntryKind.EMPTY) == []
    assert (machine.keyspace.applied, machine.keyspace.revision) == (EntryId(1, TERM), 0)


KEYS = st.sampled_from([b"", b"a", b"b", b"\xff" * 400, b"k" * 401])
NUMBERS = st.one_of(st.none(), st.integers(-2, 6), st.just(1 << 63), st.just((1 << 64) - 1))
PUTS = st.builds(Put, KEYS, st.binary(max_size=8), NUMBERS, st.booleans(), st.sampled_from([0, 0, 0, 1]))
DELETES = st.builds(Delete, KEYS, NUMBERS, st.booleans())
BATCHES = st.builds(Batch, st.lists(st.one_of(PUTS, DELETES, st.builds(Get, KEYS)), max_size=40).map(tuple))
COMMANDS = st.one_of(PUTS, DELETES, BATCHES)
PLAIN = st.builds(Put, st.integers(0, 60).map(b"%d".__mod__), st.binary(max_size=8))
OPERATIONS = st.one_of(
    st.lists(PLAIN, min_size=1, max_size=2 * OPERATIONS_PER_STEP),
    st.lists(st.one_of(PLAIN, PUTS, DELETES), min_size=1, max_size=2 * OPERATIONS_PER_STEP),
)
PAYLOADS = st.one_of(
    st.binary(max_size=200),
    st.lists(st.one_of(COMMANDS.map(encode), st.binary(max_size=20)), max_size=5).map(pack_commands),
    st.lists(COMMANDS.map(encode), max_size=5).map(pack_commands),
)
ENTRIES = st.lists(st.tuples(st.integers(0, 2), PAYLOADS), max_size=5)


@given(ENTRIES)
def test_apply_takes_any_bytes_and_gives_the_same_state_everywhere(entries: list[tuple[int, bytes]]) -> None:
    # trap 56: nothing but (state, entry) has a say
    one, other = Machine(), Machine()
    for kind, payload in entries:
        assert one.apply_payload(payload, kind) == other.apply_payload(payload, kind)
    assert one.tables() == other.tables()
    assert one.keyspace.applied == EntryId(len(entries), TERM if entries else 0)


@given(st.lists(COMMANDS, max_size=8))
def test_how_entries_are_grouped_into_commits_changes_nothing(commands: list[Put | Delete | Batch]) -> None:
    one, other = Machine(), Machine()
    for number, command in enumerate(commands, 1):
        one.apply(command)
        entry = Entry(number, TERM, EntryKind.COMMANDS, NO_ORIGIN, pack_commands([encode(command)]))
        for _ in other.keyspace.apply(entry):
            pass
    other.keyspace.commit()
    assert one.tables() == other.tables()


@given(OPERATIONS)
def test_operations_that_come_together_do_what_each_of_them_does(operations: list[Put | Delete]) -> None:
    apart, entry, batch = Machine(), Machine(), Machine()
    alone = [without_index(apart.apply(operation)[0]) for operation in operations]
    assert [without_index(one) for one in entry.apply(*operations)] == alone
    (done,) = batch.apply(Batch(tuple(operations)))
    if isinstance(done, BatchResult):
        assert [without_index(one) for one in done.results] == alone
    else:  # as a whole, for one of them
        assert isinstance(done, ErrorResult)
        batch.apply(*operations)
    for other in (entry, batch):
        assert other.records() == apart.records()
        assert (other.keyspace.revision, other.keyspace.digest) == (apart.keyspace.revision, apart.keyspace.digest)


# --- in order, all or nothing


@pytest.mark.parametrize("entry", [EntryId(1, 2), EntryId(3, 2), EntryId(2, 1)], ids=["again", "gap", "older term"])
def test_entries_are_applied_in_order(machine: Machine, entry: EntryId) -> None:  # trap 22
    machine.apply(Put(b"a", b"1"))
    work = machine.keyspace.apply(Entry(entry.index, entry.term, EntryKind.EMPTY, NO_ORIGIN, b""))
    with pytest.raises(InvariantViolated, match="entries are applied in order"):
        next(work)


def test_applied_index_and_effects_are_published_together(machine: Machine) -> None:  # trap 22
    machine.apply(Put(b"a", b"1"))
    before = msgspec.msgpack.encode(list(machine.state.keys_from(b"")))
    entry = Entry(2, TERM, EntryKind.COMMANDS, NO_ORIGIN, pack_commands([encode(Put(b"a", b"2"))]))
    for _ in machine.keyspace.apply(entry):
        pass
    machine.state.crash()  # before the commit
    assert read_applied(machine.state.meta(APPLIED))[:2] == (EntryId(1, TERM), 1)
    assert msgspec.msgpack.encode(list(machine.state.keys_from(b""))) == before
    machine.keyspace = Keyspace(machine.state)
    assert machine.apply(Put(b"a", b"2")) == [put_done(2, 2)]


def test_a_restarted_machine_goes_on_where_it_was(machine: Machine) -> None:
    machine.apply(Put(b"a", b"1"))
    machine.keyspace = Keyspace(machine.state)
    assert machine.apply(Put(b"a", b"2", return_previous=True)) == [put_done(2, 2, KeyValue(b"a", b"1", 1, 1, 1))]


@pytest.mark.parametrize("together", [True, False])
def test_a_long_entry_lets_others_have_a_look(machine: Machine, together: bool) -> None:
    # A vote does not wait for the end of a batch of 10,000 operations.
    puts = tuple(Put(b"%d" % number, b"v") for number in range(3 * OPERATIONS_PER_STEP))
    commands = [encode(Batch(puts))] if together else [encode(put) for put in puts]
    entry = Entry(1, TERM, EntryKind.COMMANDS, NO_ORIGIN, pack_commands(commands))
    assert sum(1 for _ in machine.keyspace.apply(entry)) == 3
    assert machine.keyspace.revision == len(puts)


def test_results_nobody_waits_for_are_not_made(machine: Machine) -> None:
    entry = Entry(1, TERM, EntryKind.COMMANDS, NO_ORIGIN, pack_commands([encode(Put(b"a", b"1"))]))
    assert list(machine.keyspace.apply(entry, None)) == []
    assert machine.keyspace.revision == 1


def test_many_records_leave_in_order(machine: Machine) -> None:
    (result,) = machine.apply(Batch(tuple(Put(b"k", b"%d" % number) for number in range(3000))))
    assert isinstance(result, BatchResult)
    assert [one.mod_revision for one in result.results if isinstance(one, PutResult)] == list(range(1, 3001))
    assert View(machine.state).get(Get(b"k", revision=1500)).value == b"1499"
