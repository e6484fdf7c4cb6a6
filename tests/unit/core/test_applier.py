"""Applying what is committed: in order, each entry once, a slice of time at a time."""

import pytest

from tests.simulation.memory import MemoryLog, MemoryState
from tests.unit.core.cast import NOBODY, A, B, log_of
from zraft.core.acceptor import Acceptor
from zraft.core.applier import LARGE_BYTES, Applier
from zraft.core.keyspace import OPERATIONS_PER_STEP
from zraft.core.views import View
from zraft.errors import InvariantViolated, OutOfSpace
from zraft.protocol.codec import encode, pack_commands
from zraft.protocol.entries import NO_ORIGIN, EntryId, EntryKind, Origin, encode_entry
from zraft.protocol.local import AppliedTerm, Ping, Pong, Results
from zraft.protocol.peer import Append
from zraft.protocol.requests import Batch, Get, Put
from zraft.protocol.responses import PutResult

OURS = Origin(A, 0, 77, 1)
THEIRS = Origin(B, 0, 88, 1)


class Storage:
    """Member A: an acceptor and an applier on plain memory, led by B."""

    def __init__(self) -> None:
        self.log: MemoryLog = log_of()
        self.state = MemoryState()
        self.acceptor = Acceptor(self.log)
        self.applier = Applier(self.log, self.state, self.acceptor)

    def append(self, term: int, previous: EntryId, *entries: bytes, commit: int) -> None:
        self.acceptor.step(Append(term, previous, entries, commit), B)
        self.log.commit()

    def value(self, key: bytes) -> bytes | None:
        return View(self.state).get(Get(key)).value


@pytest.fixture
def storage() -> Storage:
    return Storage()


def put(index: int, term: int, value: bytes, origin: Origin = THEIRS) -> bytes:
    payload = pack_commands([encode(Put(b"k", value))])
    return encode_entry(index, term, EntryKind.COMMANDS, origin, payload)


def batch(index: int, operations: int) -> bytes:
    commands = Batch(tuple(Put(b"b%d" % number, b"v") for number in range(operations)))
    return encode_entry(index, 1, EntryKind.COMMANDS, THEIRS, pack_commands([encode(commands)]))


def never() -> bool:
    return False


def always() -> bool:
    return True


def raise_out_of_space() -> None:
    raise OutOfSpace("the disk is full")


def results(index: int, revision: int, origin: Origin = OURS) -> Results:
    return Results(origin, index, encode([PutResult(True, None, index, revision, revision)]))


def test_what_is_committed_is_applied_and_no_more(storage: Storage) -> None:
    storage.append(1, NOBODY, put(1, 1, b"1"), put(2, 1, b"2"), commit=1)
    assert storage.applier.pending()
    assert storage.applier.work(never) == []
    assert (storage.acceptor.applied, storage.applier.revisions[0], storage.value(b"k")) == (1, 1, b"1")
    assert not storage.applier.pending()


def test_an_entry_that_was_replaced_before_it_was_committed_is_not_applied(storage: Storage) -> None:
    # Reading ahead of the commit index would keep the old one.
    storage.append(1, NOBODY, put(1, 1, b"1"), put(2, 1, b"old"), put(3, 1, b"old"), commit=1)
    storage.applier.work(never)
    storage.append(2, EntryId(1, 1), put(2, 2, b"new"), commit=2)
    storage.applier.work(never)
    assert (storage.acceptor.applied, storage.value(b"k")) == (2, b"new")


def test_results_are_told_for_our_own_proposals_only(storage: Storage) -> None:
    storage.append(1, NOBODY, put(1, 1, b"1", OURS), put(2, 1, b"2"), put(3, 1, b"3", NO_ORIGIN), commit=2)
    assert storage.applier.work(never) == [results(1, 1)]


def test_a_leaders_first_entry_ends_all_older_terms_behind_the_results(storage: Storage) -> None:  # trap 55
    empty = encode_entry(2, 3, EntryKind.EMPTY)
    storage.append(3, NOBODY, put(1, 1, b"1", OURS), empty, commit=2)
    assert storage.applier.work(never) == [results(1, 1), AppliedTerm(3)]


def test_a_tired_applier_goes_on_within_the_entry_and_tells_nothing_before_its_end(storage: Storage) -> None:
    storage.append(1, NOBODY, batch(1, 2 * OPERATIONS_PER_STEP), put(2, 1, b"2", OURS), commit=2)
    applier = storage.applier
    done = []
    for _ in range(2):
        assert applier.work(always) == []
        assert (storage.acceptor.applied, View(storage.state).applied) == (0, NOBODY)
        done.append(applier.done)
    assert done == [1, 2]  # busy, not stuck
    assert applier.work(always) == []
    assert storage.acceptor.applied == 1
    assert applier.work(always) == [results(2, 2 * OPERATIONS_PER_STEP + 1)]


def test_what_is_told_can_be_read(storage: Storage) -> None:  # S10, trap 22
    storage.append(1, NOBODY, put(1, 1, b"1", OURS), commit=1)
    assert storage.applier.work(never) == [results(1, 1)]
    storage.state.crash()
    assert (View(storage.state).applied, storage.value(b"k")) == (EntryId(1, 1), b"1")


def test_small_entries_are_told_before_a_large_one_is_begun(storage: Storage) -> None:
    large = put(2, 1, b"x" * LARGE_BYTES)
    storage.append(1, NOBODY, put(1, 1, b"1", OURS), large, put(3, 1, b"3", Origin(A, 0, 77, 2)), commit=3)
    assert storage.applier.work(never) == [results(1, 1)]
    assert (storage.acceptor.applied, storage.applier.pending()) == (1, True)
    assert storage.applier.work(never) == [results(3, 3, Origin(A, 0, 77, 2))]


def test_without_room_it_goes_back_to_what_was_published_and_tries_again(storage: Storage) -> None:
    storage.append(1, NOBODY, put(1, 1, b"1", OURS), batch(2, 2 * OPERATIONS_PER_STEP), commit=2)
    looks = iter([False, True])
    assert storage.applier.work(lambda: next(looks)) == []
    storage.applier.forget()
    assert (storage.acceptor.applied, View(storage.state).applied, storage.value(b"k")) == (0, NOBODY, None)
    assert storage.applier.work(never) == [results(1, 1)]
    assert storage.acceptor.applied == 2


def test_to_try_again_without_room_is_no_progress(storage: Storage) -> None:
    storage.append(1, NOBODY, put(1, 1, b"1", OURS), batch(2, 2 * OPERATIONS_PER_STEP), commit=2)
    applier = storage.applier
    assert applier.pong(Ping(7)) == Pong(7, 0, True, 1)
    for _ in range(3):
        looks = iter([False, True])
        assert applier.work(lambda looks=looks: next(looks)) == []  # type: ignore[misc]
        assert applier.pong(Ping(7)).done > 0
        applier.forget()
        assert applier.pong(Ping(7)) == Pong(7, 0, True, 1)
    assert applier.work(never) == [results(1, 1)]
    pong = applier.pong(Ping(8))
    assert (pong.done > 0, pong.pending) == (True, False)
    assert applier.pong(Ping(8), starved=True).pending
    assert Applier(storage.log, storage.state, storage.acceptor, done=pong.done).pong(Ping(8)) == pong


def test_without_room_to_publish_nothing_was_done(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.append(1, NOBODY, put(1, 1, b"1", OURS), put(2, 1, b"2"), commit=2)
    with monkeypatch.context() as full:
        full.setattr(storage.state, "commit", raise_out_of_space)
        with pytest.raises(OutOfSpace):
            storage.applier.work(always)
    storage.applier.forget()
    assert (storage.acceptor.applied, storage.applier.revisions[0], storage.value(b"k")) == (0, 0, None)
    assert storage.applier.work(never) == [results(1, 1)]
    assert (storage.acceptor.applied, storage.value(b"k")) == (2, b"2")


def test_a_restarted_storage_goes_on_behind_what_was_published(storage: Storage) -> None:  # trap 22
    storage.append(1, NOBODY, put(1, 1, b"1"), put(2, 1, b"2"), commit=1)
    storage.applier.work(never)
    storage.acceptor = Acceptor(storage.log, applied=1)
    storage.applier = Applier(storage.log, storage.state, storage.acceptor)
    storage.append(1, EntryId(1, 1), put(2, 1, b"2"), commit=2)
    storage.applier.work(never)
    assert (storage.acceptor.applied, storage.applier.revisions[0], storage.value(b"k")) == (2, 2, b"2")


def test_a_state_that_was_lost_is_rebuilt_from_the_log(storage: Storage) -> None:
    storage.append(1, NOBODY, put(1, 1, b"1"), put(2, 1, b"2"), commit=2)
    storage.applier.work(never)
    before = list(storage.state.keys_from(b""))
    storage.state.lose()
    storage.acceptor = Acceptor(storage.log)
    storage.applier = Applier(storage.log, storage.state, storage.acceptor)
    storage.append(1, EntryId(2, 1), commit=2)
    storage.applier.work(never)
    assert (list(storage.state.keys_from(b"")), storage.acceptor.applied) == (before, 2)


def test_a_committed_entry_that_is_gone_is_a_bug(storage: Storage) -> None:  # traps 21, 22
    storage.append(1, NOBODY, put(1, 1, b"1"), commit=1)
    storage.log.truncate(1)
    with pytest.raises(InvariantViolated, match="committed entries are in the log"):
        storage.applier.work(never)
