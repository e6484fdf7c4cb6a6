"""Reads: Get and Range in one consistent view, now and at older revisions."""

import pytest
from hypothesis import given, strategies as st

from tests.unit.core.test_keyspace import Machine
from zraft.core import views
from zraft.core.records import record_key
from zraft.core.views import View
from zraft.errors import CorruptState, InvariantViolated
from zraft.protocol.entries import EntryId
from zraft.protocol.requests import Batch, Delete, Get, Put, Range
from zraft.protocol.responses import BatchResult, ErrorInfo, ErrorResult, GetResult, KeyValue, RangeResult


@pytest.fixture
def machine() -> Machine:
    """a is put, put again, deleted, put a third time; b and ba and c are put once. Revisions 1 to 7."""
    machine = Machine()
    machine.apply(Put(b"a", b"1"), Put(b"b", b"2"), Put(b"a", b"3"))
    machine.apply(Delete(b"a"), Put(b"ba", b"5"), Put(b"c", b"6"))
    machine.apply(Put(b"a", b"7"))
    return machine


A1 = KeyValue(b"a", b"1", 1, 1, 1)
A3 = KeyValue(b"a", b"3", 1, 3, 2)
A7 = KeyValue(b"a", b"7", 7, 7, 1)
B = KeyValue(b"b", b"2", 2, 2, 1)
BA = KeyValue(b"ba", b"5", 5, 5, 1)
C = KeyValue(b"c", b"6", 6, 6, 1)


def found(item: KeyValue, revision: int = 7) -> GetResult:
    return GetResult(
        True, item.value, None, revision, item.create_revision, item.mod_revision, item.version, item.lease
    )


def absent(revision: int = 7) -> GetResult:
    return GetResult(False, None, None, revision)


def future(revision: int) -> ErrorInfo:
    return ErrorInfo("InvalidArgument", f"revision {revision} is in the future: this state is at 7")


def spy_on_records(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The records that are read from now on."""
    looked_at: list[bytes] = []
    record = machine.state.record

    def spy(at: bytes) -> bytes | None:
        looked_at.append(at)
        return record(at)

    monkeypatch.setattr(machine.state, "record", spy)
    return looked_at


# --- Get


def test_a_view_knows_what_it_has_applied(machine: Machine) -> None:
    view = View(machine.state)
    assert (view.applied, view.revision) == (EntryId(3, 2), 7)
    assert (View(Machine().state).applied, View(Machine().state).revision) == (EntryId(0, 0), 0)


def test_a_get_finds_the_newest_value(machine: Machine) -> None:
    view = View(machine.state)
    assert view.answer(Get(b"a")) == found(A7)
    assert view.answer(Get(b"b")) == found(B)
    assert view.answer(Get(b"x")) == absent()


@pytest.mark.parametrize(("revision", "item"), [(1, A1), (2, A1), (3, A3), (4, None), (5, None), (6, None), (7, A7)])
def test_a_get_finds_a_key_as_it_was(machine: Machine, revision: int, item: KeyValue | None) -> None:
    answer = View(machine.state).answer(Get(b"a", revision=revision))
    assert answer == (found(item) if item else absent())


def test_a_key_is_absent_before_it_was_created(machine: Machine) -> None:
    assert View(machine.state).get(Get(b"c", revision=5)) == absent()


def test_a_deleted_key_is_absent_now_and_found_before(machine: Machine) -> None:
    machine.apply(Delete(b"c"))
    view = View(machine.state)
    assert view.get(Get(b"c")) == absent(8)
    assert view.get(Get(b"c", revision=8)) == absent(8)
    assert view.get(Get(b"c", revision=7)) == found(C, 8)


def test_the_future_can_not_be_read(machine: Machine) -> None:
    view = View(machine.state)
    assert view.answer(Get(b"a", revision=8)) == GetResult(False, None, future(8), 7)
    assert view.answer(Range(revision=8)) == ErrorResult(future(8).code, future(8).message)


def test_an_empty_value_is_a_value(machine: Machine) -> None:
    machine.apply(Put(b"e", b""))
    assert View(machine.state).get(Get(b"e")) == found(KeyValue(b"e", b"", 8, 8, 1), 8)


def test_an_empty_state_holds_nothing() -> None:
    view = View(Machine().state)
    assert view.answer(Get(b"a")) == absent(0)
    assert view.answer(Range()) == RangeResult((), False, b"", 0)


def test_a_record_that_is_missing_is_damage(machine: Machine) -> None:  # trap 29
    machine.state._records.clear()
    with pytest.raises(CorruptState, match="the record of revision 7/0 is missing"):
        View(machine.state).get(Get(b"a"))


def test_a_damaged_record_is_shown_to_nobody(machine: Machine) -> None:  # trap 29
    at = record_key(7, 0)
    record = machine.state._records[at]
    for place in range(len(record)):
        machine.state._records[at] = record[:place] + bytes([record[place] ^ 4]) + record[place + 1 :]
        for request in (Get(b"a"), Range(), Get(b"a", revision=3)):
            with pytest.raises(CorruptState, match="the record of revision 7/0 does not match its checksum"):
                View(machine.state).answer(request)


def test_a_sound_record_in_a_wrong_place_is_damage(machine: Machine) -> None:  # trap 29
    machine.state._records[record_key(7, 0)] = machine.state._records[record_key(3, 0)]
    with pytest.raises(CorruptState, match="the record of revision 7/0"):
        View(machine.state).get(Get(b"a"))


def test_a_damaged_index_entry_is_shown_to_nobody(machine: Machine) -> None:  # trap 29
    entry = machine.state._keys[b"a"]
    for place in range(len(entry)):
        machine.state._keys[b"a"] = entry[:place] + bytes([entry[place] ^ 4]) + entry[place + 1 :]
        for request in (Get(b"a"), Range(), Range(keys_only=True)):
            with pytest.raises(CorruptState, match="the index entry of key b'a' does not match its checksum"):
                View(machine.state).answer(request)


# --- batches of Gets


def test_a_batch_of_gets_reads_one_view(machine: Machine) -> None:
    answer = View(machine.state).answer(Batch((Get(b"a"), Get(b"x"), Get(b"a", revision=3), Get(b"a", revision=9))))
    assert answer == BatchResult((found(A7), absent(), found(A3), GetResult(False, None, future(9), 7)), 0, 7)


def test_values_beyond_the_limit_of_a_reply_are_left_to_another_request(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "REPLY_BYTES_MAX", 2)
    answer = View(machine.state).answer(Batch((Get(b"a"), Get(b"b"), Get(b"c"))))
    refused = GetResult(False, None, ErrorInfo("ResourceExhausted", "the answer has 2 bytes: ask again for this"), 7)
    assert answer == BatchResult((found(A7), found(B), refused), 0, 7)


def walks(monkeypatch: pytest.MonkeyPatch, records: int = 1 << 20, size: int = 1 << 30) -> None:
    """One request may pass over no more from now on."""
    monkeypatch.setattr(views, "RECORDS_WALKED_MAX", records)
    monkeypatch.setattr(views, "BYTES_WALKED_MAX", size)


OLD_A, OLD_B = Get(b"a", revision=1), Get(b"b", revision=2)
"""Three newer records of a are passed over on the way to its first one, none of b."""


@pytest.mark.parametrize("bound", [{"records": 2}, {"size": 2}], ids=["records", "bytes"])
def test_a_get_passes_over_so_much_at_most(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, bound: dict[str, int]
) -> None:
    machine.apply(Put(b"a", b"8"))
    assert View(machine.state).get(OLD_A) == found(A1, 8)
    walks(monkeypatch, **bound)
    view = View(machine.state)
    for _ in range(2):  # each request has all the room
        answer = view.answer(OLD_A)
        assert isinstance(answer, GetResult)
        assert answer.error is not None
        assert answer.error.code == "InvalidArgument"  # to ask again would not help
        assert "key b'a' has more newer revisions than one request may pass over" in answer.error.message
    assert view.answer(Get(b"a", revision=7)) == found(A7, 8)


def test_what_a_batch_has_no_room_for_may_be_asked_again(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.apply(Put(b"b", b"8"), Put(b"b", b"9"))
    walks(monkeypatch, records=4)
    batch = View(machine.state).answer(Batch((OLD_A, OLD_B, Get(b"a"))))
    assert isinstance(batch, BatchResult)
    first, second, third = batch.results
    assert (second, third) == (found(B, 9), found(A7, 9))  # the newest revision comes first
    assert isinstance(first, GetResult)
    assert first.error == ErrorInfo("ResourceExhausted", views.WALKED_ENOUGH)


def test_a_batch_passes_over_each_record_once_however_many_ask_for_what_is_behind_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    walks(monkeypatch, records=3)
    revisions = (1, 7, 3, 2, 4, 1, 0, 5)
    batch = View(machine.state).answer(Batch(tuple(Get(b"a", revision=revision) for revision in revisions)))
    assert isinstance(batch, BatchResult)
    values = [one.value for one in batch.results if isinstance(one, GetResult)]
    assert values == [b"1", b"7", b"3", b"1", None, b"1", b"7", None]
    assert all(isinstance(one, GetResult) and one.error is None for one in batch.results)


def test_a_range_that_passed_over_enough_says_where_to_go_on(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.apply(Put(b"b", b"8"), Put(b"b", b"9"))
    walks(monkeypatch, records=4)
    view = View(machine.state)
    assert view.range(Range(revision=2)) == RangeResult((A1,), True, b"b", 2)
    assert view.answer(Range(start=b"b", revision=2)) == RangeResult((B,), False, b"", 2)
    walks(monkeypatch, records=1)
    answer = view.answer(Range(start=b"b", revision=2))
    assert isinstance(answer, ErrorResult)
    assert answer.code == "InvalidArgument"


def test_a_batch_of_writes_is_not_read(machine: Machine) -> None:
    with pytest.raises(InvariantViolated, match="a batch that is read holds Gets only"):
        View(machine.state).answer(Batch((Put(b"a", b"1"),)))


# --- Range


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (Range(), [b"a", b"b", b"ba", b"c"]),
        (Range(prefix=b"b"), [b"b", b"ba"]),
        (Range(prefix=b"x"), []),
        (Range(start=b"b"), [b"b", b"ba", b"c"]),
        (Range(start=b"b\x00"), [b"ba", b"c"]),
        (Range(start=b"b", end=b"c"), [b"b", b"ba"]),  # the end is not in it
        (Range(end=b"b"), [b"a"]),
        (Range(end=b""), []),
        (Range(start=b"c", end=b"a"), []),
        (Range(prefix=b"b", start=b"ba"), [b"ba"]),
        (Range(prefix=b"b", start=b"a"), [b"b", b"ba"]),
        (Range(prefix=b"b", start=b"c"), []),
        (Range(prefix=b"b", end=b"ba"), [b"b"]),
    ],
)
def test_a_range_is_what_has_the_prefix_and_lies_between(
    machine: Machine, request_: Range, expected: list[bytes]
) -> None:
    answer = View(machine.state).answer(request_)
    assert isinstance(answer, RangeResult)
    assert ([item.key for item in answer.items], answer.more, answer.next_key) == (expected, False, b"")


def test_a_range_carries_values_and_revisions(machine: Machine) -> None:
    assert View(machine.state).answer(Range()) == RangeResult((A7, B, BA, C), False, b"", 7)


def test_a_range_of_keys_leaves_the_values_out(machine: Machine) -> None:
    answer = View(machine.state).answer(Range(prefix=b"b", keys_only=True))
    assert answer == RangeResult((KeyValue(b"b", b"", 2, 2, 1), KeyValue(b"ba", b"", 5, 5, 1)), False, b"", 7)


@pytest.mark.parametrize(
    ("revision", "items"), [(1, (A1,)), (2, (A1, B)), (3, (A3, B)), (4, (B,)), (6, (B, BA, C)), (7, (A7, B, BA, C))]
)
def test_a_range_finds_the_keys_as_they_were(machine: Machine, revision: int, items: tuple[KeyValue, ...]) -> None:
    assert View(machine.state).answer(Range(revision=revision)) == RangeResult(items, False, b"", revision)


def test_a_limited_range_says_where_to_go_on(machine: Machine) -> None:
    view = View(machine.state)
    assert view.answer(Range(limit=2)) == RangeResult((A7, B), True, b"ba", 7)
    assert view.answer(Range(start=b"ba", limit=2, revision=7)) == RangeResult((BA, C), False, b"", 7)


def test_there_is_more_only_if_there_is_another_key(machine: Machine) -> None:
    machine.apply(Delete(b"c"))
    assert View(machine.state).answer(Range(limit=3)) == RangeResult((A7, B, BA), False, b"", 8)
    assert View(machine.state).answer(Range(limit=3, revision=7)) == RangeResult((A7, B, BA), True, b"c", 7)


def test_a_range_stops_at_the_limit_of_a_reply(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "REPLY_BYTES_MAX", 1)
    assert View(machine.state).answer(Range()) == RangeResult((A7,), True, b"b", 7)  # one at least


def test_a_range_looks_at_so_many_keys_at_most_even_if_it_finds_none(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.apply(Delete(b"a"), Delete(b"b"), Delete(b"ba"))
    monkeypatch.setattr(views, "KEYS_LOOKED_AT_MAX", 2)
    view = View(machine.state)
    assert view.answer(Range()) == RangeResult((), True, b"ba", 10)
    assert view.answer(Range(start=b"ba", revision=10)) == RangeResult((C,), False, b"", 10)


def test_a_range_of_keys_copies_no_values(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = spy_on_records(machine, monkeypatch)
    answer = View(machine.state).answer(Range(keys_only=True))
    assert isinstance(answer, RangeResult)
    assert (len(answer.items), looked_at) == (4, [])


def test_values_that_are_left_out_are_not_copied(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "REPLY_BYTES_MAX", 2)
    looked_at = spy_on_records(machine, monkeypatch)
    View(machine.state).answer(Batch((Get(b"c"),) * 1_000))
    assert len(looked_at) == 3


def test_a_scan_in_pages_is_one_consistent_view_while_writes_go_on(machine: Machine) -> None:
    expected = [A7, B, BA, C]
    page = View(machine.state).range(Range(limit=1))
    seen: list[KeyValue] = []
    while isinstance(page, RangeResult):
        seen += page.items
        if not page.more:
            break
        machine.apply(Put(b"b", b"new"), Delete(b"ba"), Put(b"bb", b"new"), Delete(b"c"))
        page = View(machine.state).range(Range(start=page.next_key, limit=1, revision=page.revision))
    assert seen == expected


# --- against a model: every revision stays readable


OPERATIONS = st.lists(
    st.one_of(
        st.builds(Put, st.sampled_from([b"a", b"b", b"ba", b"c"]), st.binary(max_size=3)),
        st.builds(Delete, st.sampled_from([b"a", b"b", b"ba", b"c"])),
    ),
    max_size=30,
)


@given(OPERATIONS, st.sampled_from([b"", b"b"]), st.integers(1, 3))
def test_every_revision_reads_as_it_was(operations: list[Put | Delete], prefix: bytes, limit: int) -> None:
    machine = Machine()
    model: dict[bytes, bytes] = {}
    history = [dict(model)]
    for operation in operations:
        changes = isinstance(operation, Put) or operation.key in model
        if isinstance(operation, Put):
            model[operation.key] = operation.value
        else:
            model.pop(operation.key, None)
        machine.apply(operation)
        if changes:
            history.append(dict(model))
    view = View(machine.state)
    assert view.revision == len(history) - 1
    for revision, past in enumerate(history[1:], 1):
        expected = {key: value for key, value in past.items() if key.startswith(prefix)}
        assert {key: view.get(Get(key, revision=revision)).value for key in expected} == expected
        assert _scan(view, prefix, limit, revision) == sorted(expected.items())


def _scan(view: View, prefix: bytes, limit: int, revision: int) -> list[tuple[bytes, bytes]]:
    seen: list[tuple[bytes, bytes]] = []
    start = b""
    while True:
        page = view.range(Range(prefix=prefix, start=start, limit=limit, revision=revision))
        assert isinstance(page, RangeResult)
        assert len(page.items) <= limit
        seen += [(item.key, item.value) for item in page.items]
        if not page.more:
            return seen
        start = page.next_key
