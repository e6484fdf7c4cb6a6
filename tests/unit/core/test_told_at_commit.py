"""What a gateway tells its clients as soon as their writes are committed: never anything but what apply will say."""

from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from tests.simulation.memory import MemoryState
from zraft.core.admission import Caller
from zraft.core.keyspace import Keyspace
from zraft.core.proposals import AHEAD_SECONDS, TOLD_BYTES_MAX, Proposals, Tell, Waiting
from zraft.core.records import APPLIED, AppliedState, read_applied
from zraft.protocol.client import Batch, Command, Delete, Put, PutResult
from zraft.protocol.codec import encode, pack_commands, split_results
from zraft.protocol.entries import Entry, EntryId, EntryKind, Origin
from zraft.protocol.local import Committed, RoleGroup

ME, NONCE = 0xA, 77
ORIGIN = Origin(ME, 0, NONCE, 1)
DEADLINE = 5.0
AT_5 = AppliedState(EntryId(5, 2), 40, 0, 0, 0)
"""A state that has applied entry 5, and stands at revision 40."""

KEYS = st.sampled_from([b"a", b"b", b"c"])
PUTS = st.builds(Put, KEYS, st.binary(max_size=3))
OTHERS = st.one_of(
    st.builds(Put, KEYS, st.just(b"v"), expected_revision=st.integers(0, 3)),
    st.builds(Put, KEYS, st.just(b"v"), return_previous=st.just(True)),
    st.builds(Put, st.just(b""), st.just(b"v")),
    st.builds(Delete, KEYS),
    st.builds(Batch, st.tuples(PUTS, PUTS)),
)


def proposing(*commands: Command, deadline: float = DEADLINE) -> Proposals:
    """A gateway whose proposal of these is under way."""
    proposals = Proposals(ME, 0, NONCE)
    for number, command in enumerate(commands):
        proposals.submit(Waiting(Caller(b"client", b"%d" % number, 1), encode(command), True, deadline))
    assert len(proposals.flush(RoleGroup(2, "leader", ME), 0.0)) == 1
    return proposals


def bodies(told: list[Tell]) -> list[bytes]:
    return [tell.body for tell in told]


def put_result(revision: int) -> bytes:
    return encode(PutResult(True, None, 6, revision, revision))


def entry(index: int, commands: Sequence[Command]) -> Entry:
    return Entry(index, 2, EntryKind.COMMANDS, ORIGIN, pack_commands([encode(command) for command in commands]))


@given(
    st.lists(PUTS | OTHERS, max_size=4), st.lists(PUTS, min_size=1, max_size=4) | st.lists(PUTS | OTHERS, min_size=1)
)
def test_apply_says_the_same(before: list[Command], commands: list[Command]) -> None:
    tables = MemoryState()
    keyspace = Keyspace(tables)
    results: list[bytes] = []
    states = []
    for index, applied in enumerate((before, commands), start=1):
        results = []
        list(keyspace.apply(entry(index, applied), results))
        keyspace.commit()
        states.append(read_applied(tables.meta(APPLIED)))
    plain = all(type(one) is Put and one.key and one == Put(one.key, one.value) for one in commands)
    for state in states:
        told = proposing(*commands).on_committed(Committed(ORIGIN, 2), state, 0.0)
        assert bodies(told) == (split_results(results[0]) if plain else [])


def test_puts_take_the_revisions_behind_the_state_before_them() -> None:
    told = proposing(Put(b"a", b"1"), Put(b"a", b"2")).on_committed(Committed(ORIGIN, 6), AT_5, 0.0)
    assert [(tell.client.request, tell.body) for tell in told] == [(b"0", put_result(41)), (b"1", put_result(42))]


def test_a_state_that_has_applied_them_says_the_same() -> None:
    after = AT_5._replace(applied=EntryId(6, 2), revision=42)
    told = proposing(Put(b"a", b"1"), Put(b"a", b"2")).on_committed(Committed(ORIGIN, 6), after, 0.0)
    assert bodies(told) == [put_result(41), put_result(42)]


@pytest.mark.parametrize("applied", [4, 7], ids=["too early", "too late"])
def test_of_any_other_state_nothing_follows(applied: int) -> None:
    proposals, state = proposing(Put(b"a", b"1")), AT_5._replace(applied=EntryId(applied, 2))
    assert proposals.on_committed(Committed(ORIGIN, 6), state, 0.0) == []
    assert bodies(proposals.on_results(ORIGIN, [b"applied"])) == [b"applied"]


def test_everybody_is_told_once() -> None:  # trap 55
    proposals = proposing(Put(b"a", b"1"))
    assert len(proposals.on_committed(Committed(ORIGIN, 6), AT_5, 0.0)) == 1
    assert proposals.on_committed(Committed(ORIGIN, 6), AT_5, 0.0) == []
    assert proposals.on_results(ORIGIN, [b"applied"]) == []
    assert proposals.expire(DEADLINE) == []
    assert proposals.on_results_lost() == []
    assert proposals.in_flight == 0


def test_where_somebody_was_told_unknown_the_others_wait_for_storage() -> None:
    proposals = proposing(Put(b"a", b"1"))
    assert len(proposals.expire(DEADLINE)) == 1
    assert proposals.on_committed(Committed(ORIGIN, 6), AT_5, DEADLINE) == []


def test_a_proposal_of_another_start_is_nobodys() -> None:
    other = Origin(ME, 0, NONCE + 1, 1)
    assert proposing(Put(b"a", b"1")).on_committed(Committed(other, 6), AT_5, 0.0) == []


def test_for_a_while_serializable_reads_wait_for_what_clients_were_told() -> None:
    proposals = proposing(Put(b"a", b"1"))
    assert proposals.ahead(1.0) == (0, 0.0)
    proposals.on_committed(Committed(ORIGIN, 6), AT_5, 1.0)
    assert proposals.ahead(1.0) == (6, 1.0 + AHEAD_SECONDS)
    assert proposals.ahead(1.0 + AHEAD_SECONDS) == (0, 0.0)


def test_they_wait_for_nothing_that_is_there() -> None:
    proposals = proposing(Put(b"a", b"1"))
    proposals.on_committed(Committed(ORIGIN, 6), AT_5._replace(applied=EntryId(6, 2)), 1.0)
    assert proposals.ahead(1.0) == (0, 0.0)


def test_what_is_large_is_not_looked_through_again() -> None:
    proposals = proposing(*(Put(b"a", bytes(TOLD_BYTES_MAX // 4)) for _ in range(4)))
    assert proposals.on_committed(Committed(ORIGIN, 6), AT_5, 0.0) == []
