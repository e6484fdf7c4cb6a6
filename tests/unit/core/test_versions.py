"""The cluster version: raised when every member knows the new one, never lowered, and what it switches."""

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from tests.simulation.memory import MemoryState
from tests.unit.core.cast import A, B, C
from tests.unit.core.replicating import LAST, LATE, TERM, accepted, empty, lead, propose
from zraft.core.effects import Ignored, Send, ToStorage
from zraft.core.keyspace import Keyspace
from zraft.core.leadership import HEALTHY_SECONDS
from zraft.core.records import CLUSTER_VERSION, CONFIGURATION, FORMAT, pack_configuration, read_cluster_version
from zraft.core.replication import Effect, Refuse, Replication
from zraft.core.versions import FIRST, SUPPORTED, LeftBehind, Versions, fault_of_format, format_needed
from zraft.errors import CorruptState, IdentityRefused
from zraft.protocol.codec import encode, pack_commands
from zraft.protocol.entries import NO_ORIGIN, Configuration, Entry, EntryId, EntryKind, Member, encode_entry
from zraft.protocol.local import HandOver, Read, ReadAnswer
from zraft.protocol.peer import Append, AppendAnswer, SnapshotId
from zraft.protocol.requests import Put

NEXT = SUPPORTED + 1
SNAPSHOT = SnapshotId(5, 2, 100, b"s" * 32)
MEMBERS = st.sampled_from((A, B, C))
VERSIONS = st.integers(FIRST, NEXT)


def raising(index: int, version: int = SUPPORTED) -> bytes:
    return encode_entry(index, TERM, EntryKind.CLUSTER_VERSION, payload=encode(version))


def answer(match: int, version: int, commit: int = 6, cluster_version: int = FIRST) -> AppendAnswer:
    return AppendAnswer(TERM, True, match, commit, version=version, cluster_version=cluster_version)


def told(core: Replication, **versions: int) -> Replication:
    """Its first entry, 6, is committed, and the storages of A, B and C have told what their code knows."""
    core.flush(10.0)
    for member in (A, B, C):
        core.step(accepted(5), 10.0, member)
    core.flush(10.0)
    for name, version in versions.items():
        core.step(answer(6, version), 10.0, {"a": A, "b": B, "c": C}[name])
    core.flush(10.0)
    return core


def leader(learners: tuple[int, ...] = ()) -> Replication:
    core = Replication(A)
    core.step(lead(A, B, C, learners=learners), 10.0, A)
    return core


def ticked(core: Replication, now: float = 10.1) -> list[Effect]:
    return core.tick(now) + core.flush(now)


def sent(effects: list[Effect], member: int) -> list[bytes]:
    """The entries that go to a member's storage."""
    found: list[bytes] = []
    for effect in effects:
        if isinstance(effect, Send | ToStorage) and isinstance(effect.message, Append):
            to = effect.to if isinstance(effect, Send) else A
            found += effect.message.entries if to == member else ()
    return found


# --- the leader


def test_the_version_is_raised_when_all_know_it_and_once() -> None:
    core = told(leader(), a=SUPPORTED, b=SUPPORTED, c=SUPPORTED)
    effects = ticked(core)
    assert [sent(effects, member) for member in (A, B, C)] == [[raising(7)]] * 3
    for member in (A, B, C):
        core.step(answer(7, SUPPORTED), 10.1, member)
    assert sent(ticked(core, 10.2), A) == []


@pytest.mark.parametrize("learners", [(), (C,)])
def test_one_who_has_not_announced_it_holds_it_back(learners: tuple[int, ...]) -> None:  # learners too
    core = told(leader(learners), a=SUPPORTED, b=SUPPORTED)
    assert sent(ticked(core), A) == []
    core.step(answer(6, SUPPORTED), 10.1, C)
    assert sent(ticked(core, 10.2), C) == [raising(7)]


def test_it_is_not_raised_before_the_terms_first_commit() -> None:
    core = leader()
    core.flush(10.0)
    for member in (A, B, C):
        core.step(AppendAnswer(TERM, True, 5, 0, version=SUPPORTED), 10.0, member)
    assert sent(ticked(core), A) == [empty(6)]


def test_it_is_not_raised_while_one_is_away() -> None:
    """Nobody knows with what code it comes back."""
    core = told(leader(), a=SUPPORTED, b=SUPPORTED, c=SUPPORTED)
    late = 10.0 + HEALTHY_SECONDS + 0.1
    core.step(answer(6, SUPPORTED), late, B)
    assert sent(ticked(core, late), A) == []


def test_it_is_not_raised_while_the_leadership_is_handed_over() -> None:  # trap 10: the last index stands still
    core = told(leader(), a=SUPPORTED, b=SUPPORTED, c=SUPPORTED)
    core.step(HandOver(TERM, 1, (B,)), 10.0, A)
    assert sent(ticked(core), A) == []


def test_where_the_state_is_at_it_already_nothing_is_raised() -> None:
    core = told(leader(), b=SUPPORTED, c=SUPPORTED)
    core.step(answer(6, SUPPORTED, cluster_version=SUPPORTED), 10.0, A)
    assert sent(ticked(core), A) == []


def test_the_leader_raises_to_what_its_own_code_knows() -> None:
    core = told(leader(), a=NEXT, b=NEXT, c=NEXT)
    assert sent(ticked(core), A) == [raising(7, SUPPORTED)]


def test_an_entry_goes_to_nobody_whose_code_does_not_know_it() -> None:
    """A member that comes back with older code, when the version is being raised, is left behind, and told of."""
    core = told(leader(), a=SUPPORTED, b=SUPPORTED, c=SUPPORTED)
    core.tick(10.1)
    core.step(answer(6, FIRST), 10.1, C)
    effects = core.flush(10.1)
    assert (sent(effects, B), sent(effects, C)) == ([raising(7)], [])
    assert LeftBehind(C, FIRST, SUPPORTED) in effects
    assert sent(ticked(core, 10.1 + LATE), C) == []
    core.step(answer(6, SUPPORTED), 10.5, C)
    core.tick(10.5 + LATE)
    assert sent(core.flush(10.5 + LATE), C) == [raising(7)]


def test_what_comes_before_such_an_entry_is_sent() -> None:
    versions = Versions(SUPPORTED)
    versions.announced(B, FIRST)
    assert versions.known_to(B, (empty(6), raising(7), empty(8))) == ((empty(6),), None)
    assert not versions.is_left_behind(B)
    assert versions.known_to(B, (raising(7), empty(8))) == ((), LeftBehind(B, FIRST, SUPPORTED))
    assert versions.is_left_behind(B)


@pytest.mark.parametrize(
    "data",
    [encode_entry(7, TERM, 99), encode_entry(7, TERM, EntryKind.CLUSTER_VERSION, payload=b"\xc1")],  # type: ignore[arg-type]
)
def test_an_entry_of_the_future_goes_to_nobody(data: bytes) -> None:
    versions = Versions(SUPPORTED)
    versions.announced(B, SUPPORTED)
    assert versions.known_to(B, (data,)) == ((), LeftBehind(B, SUPPORTED, SUPPORTED + 1))


@pytest.mark.parametrize("kind", [EntryKind.EMPTY, EntryKind.CLUSTER_VERSION, 99])
def test_what_newer_code_proposes_is_refused_with_what_to_do(kind: int) -> None:
    core = told(leader(), a=SUPPORTED, b=SUPPORTED)
    (refused,) = core.step(replace(propose(), kind=kind), 10.1, B)
    assert isinstance(refused, Refuse)
    assert (refused.message.code, "Upgrade it" in refused.message.message) == ("Unavailable", True)
    assert sent(ticked(core), A) == []


def test_no_snapshot_of_a_raised_state_goes_to_older_code() -> None:
    """Until it tells that its code knows the version; the own storage is not asked again and again meanwhile."""
    cut, asked = ReadAnswer(TERM, C, EntryId(0, 0), (), SNAPSHOT), ToStorage(Read(TERM, C, 3, 0))
    core = leader()
    core.flush(10.0)
    core.step(answer(5, SUPPORTED, 0, cluster_version=SUPPORTED), 10.0, A)
    core.step(AppendAnswer(TERM, False, 0, 0, 5, EntryId(3, 0), version=FIRST), 10.0, C)
    assert asked in core.flush(10.0)
    assert core.step(cut, 10.1, A) == [LeftBehind(C, FIRST, SUPPORTED), Send(C, Append(TERM, LAST, (), 0))]
    assert (asked in core.flush(10.1), core.streamed()) == (False, set())
    core.step(AppendAnswer(TERM, False, 0, 0, 5, EntryId(3, 0), version=SUPPORTED), 10.2, C)
    core.tick(10.2 + LATE)
    assert asked in core.flush(10.2 + LATE)
    core.step(cut, 10.5, A)
    assert core.streamed() == {5}


def test_a_refusal_announces_as_well() -> None:
    """A member that lacks what was cut has nothing to agree to, and is sent a snapshot all the same."""
    core = told(leader(), a=SUPPORTED, b=SUPPORTED)
    core.step(AppendAnswer(TERM, False, 0, 0, 5, EntryId(3, 0), version=SUPPORTED), 10.0, C)
    assert sent(ticked(core), A) == [raising(7)]


@given(st.lists(st.tuples(MEMBERS, VERSIONS)), st.sets(MEMBERS), VERSIONS)
def test_due_is_what_the_newest_word_of_each_allows(
    announced: list[tuple[int, int]], members: set[int], raised: int
) -> None:
    versions = Versions(SUPPORTED)
    versions.raised(raised)
    for member, version in announced:
        versions.announced(member, version)
    newest = dict(announced)
    lowest = min([SUPPORTED, *(newest.get(member, FIRST) for member in members)])
    assert versions.due(members) == (lowest if lowest > raised else 0)
    versions.raised(lowest)
    assert versions.due(members) == 0


# --- the state


class Machine:
    """A state of one cluster version after the other, applied by code that knows up to ``supported``."""

    def __init__(self, supported: int = SUPPORTED) -> None:
        self.state = MemoryState()
        self.keyspace = Keyspace(self.state, supported)

    def apply(self, kind: int, payload: bytes) -> None:
        index = self.keyspace.applied.index + 1
        for _ in self.keyspace.apply(Entry(index, TERM, kind, NO_ORIGIN, payload)):
            pass
        self.keyspace.commit()

    def raise_to(self, version: int) -> None:
        self.apply(EntryKind.CLUSTER_VERSION, encode(version))

    def told(self) -> tuple[int, bytes | None]:
        """The version of the state, and its format."""
        return read_cluster_version(self.state.meta(CLUSTER_VERSION)), self.state.meta(FORMAT)


def test_to_apply_the_entry_raises_the_version_and_the_format() -> None:
    machine = Machine()
    assert machine.told() == (FIRST, None)
    machine.raise_to(SUPPORTED)
    assert machine.told() == (SUPPORTED, bytes([SUPPORTED + 1]))
    assert Keyspace(machine.state).version == SUPPORTED


@given(st.lists(st.integers(1, SUPPORTED)))
def test_it_is_never_lowered(versions: list[int]) -> None:
    machine = Machine()
    for version in versions:
        machine.raise_to(version)
    assert machine.told()[0] == machine.keyspace.version == max([FIRST, *versions])


def test_a_version_that_this_code_does_not_know_is_never_applied() -> None:
    machine = Machine()
    with pytest.raises(IdentityRefused, match=f"raises the cluster to version {NEXT}, .* Nothing is lost: upgrade"):
        machine.raise_to(NEXT)
    assert (machine.keyspace.applied.index, machine.told()[0]) == (0, FIRST)


@pytest.mark.parametrize("payload", [b"", b"\xc1", encode(0), encode("2")])
def test_nor_is_one_that_can_not_be_read(payload: bytes) -> None:
    with pytest.raises(IdentityRefused, match="of another version of zraft"):
        Machine().apply(EntryKind.CLUSTER_VERSION, payload)


def test_nor_is_an_entry_of_an_unknown_kind() -> None:
    with pytest.raises(IdentityRefused, match="of kind 99, which this version of zraft does not know"):
        Machine().apply(99, b"")


def test_a_flipped_bit_in_the_version_is_found() -> None:
    machine = Machine()
    machine.raise_to(SUPPORTED)
    machine.state.set_meta(CLUSTER_VERSION, b"\x00\x00\x00\x01" + (machine.state.meta(CLUSTER_VERSION) or b"")[4:])
    with pytest.raises(CorruptState, match="the cluster version in the state"):
        Keyspace(machine.state)


def test_what_a_checkpoint_covers_is_switched_by_the_state_and_not_by_the_code() -> None:
    old, new = Machine(FIRST), Machine(SUPPORTED)
    for machine in (old, new):
        machine.apply(EntryKind.COMMANDS, pack_commands([encode(Put(b"k", b"v"))]))
    assert old.keyspace.checkpoint() == new.keyspace.checkpoint() == new.keyspace.digest
    new.raise_to(SUPPORTED)
    assert new.keyspace.checkpoint() != new.keyspace.digest


def test_from_version_2_on_a_checkpoint_covers_the_members() -> None:
    one, other = Machine(), Machine()
    for machine, voter in ((one, True), (other, False)):
        machine.raise_to(SUPPORTED)
        configuration = Configuration(1, (Member(A, "a", voter),))
        machine.state.set_meta(CONFIGURATION, pack_configuration(configuration))
    assert one.keyspace.digest == other.keyspace.digest
    assert one.keyspace.checkpoint() != other.keyspace.checkpoint()


# --- formats


def test_a_log_needs_the_format_of_its_newest_entry() -> None:
    assert format_needed([empty(1)]) == 0
    assert format_needed([empty(1), raising(2), empty(3)]) == SUPPORTED + 1


def test_what_is_said_of_a_format_names_the_version_that_is_needed() -> None:
    assert [fault_of_format(number, "it") for number in (2, NEXT)] == ["", ""]
    assert "start the version of zraft that wrote it" in fault_of_format(1, "it")
    needed = f"that of cluster version {NEXT}, and this version of zraft knows only up to {SUPPORTED}"
    assert needed in fault_of_format(NEXT + 1, "it")


def test_ignored_is_no_answer() -> None:
    """A refusal of an older term announces nothing."""
    core = told(leader(), a=SUPPORTED, b=SUPPORTED)
    assert isinstance(core.step(AppendAnswer(TERM - 1, True, 6, 6, version=SUPPORTED), 10.0, C)[0], Ignored)
    assert sent(ticked(core), A) == []
