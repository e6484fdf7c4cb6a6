"""How a cluster forms, and who may never join it (trap 36)."""

import pytest
from msgspec.structs import replace

from tests.unit.core.cast import NOBODY, A, B, C, D
from zraft.core.acceptor import NO_CONFIGURATION
from zraft.core.effects import Ignored, Notice, ToStorage
from zraft.core.formation import (
    CONFLICT_SECONDS,
    HELLO_SECONDS,
    HELLO_SECONDS_REFUSED,
    Effect,
    Formation,
    Formed,
    Outside,
    Own,
    SayHello,
)
from zraft.protocol.entries import ClusterRecord, Member
from zraft.protocol.local import StorageStatus, StoreRecord
from zraft.protocol.peer import Hello

NAMES = ("a", "b", "c")
RECORD = ClusterRecord((Member(A, "a"), Member(B, "b"), Member(C, "c")), 150)
OTHER = ClusterRecord((Member(A, "a"), Member(B, "b"), Member(D, "c")), 150)


def status(record: ClusterRecord | None = None, formed: bool = False, member: int = A) -> StorageStatus:
    configuration = record.configuration() if record else NO_CONFIGURATION
    return StorageStatus(member, 0, 0, NOBODY, record, formed, configuration)


def node(
    record: ClusterRecord | None = None,
    formed: bool = False,
    names: tuple[str, ...] = NAMES,
    timeout_ms: int = 150,
) -> Formation:
    """Node a, at 10 s."""
    return Formation(Own("a", names, timeout_ms), status(record, formed), 10.0)


def hello(
    name: str,
    member: int,
    record: ClusterRecord | None = None,
    formed: bool = False,
    names: tuple[str, ...] = NAMES,
    timeout_ms: int = 150,
) -> Hello:
    """The answer of another node."""
    return Hello(
        name,
        member,
        names,
        timeout_ms,
        b"",
        record.cluster_id() if record else b"",
        record.members if record else (),
        formed,
        answer=True,
    )


def waiting_for(who: str, to: str = "answer") -> list[Effect]:
    return [Notice(f"the cluster is forming: waiting for {who} to {to}")]


# --- the way to a cluster


def test_a_cluster_of_one_forms_by_itself() -> None:
    formation = node(names=("a",))
    alone = ClusterRecord((Member(A, "a"),), 150)
    assert formation.begin() == [ToStorage(StoreRecord(alone, formed=False))]
    assert formation.on_stored(status(alone)) == [ToStorage(StoreRecord(alone, formed=True))]
    assert formation.on_stored(status(alone, formed=True)) == [Notice(""), Formed(alone)]
    assert (formation.formed, formation.next_deadline()) == (True, None)


def test_the_record_is_made_of_all_answers() -> None:
    formation = node()
    assert formation.begin() == waiting_for("b, c")
    assert formation.on_hello(hello("b", B)) == (waiting_for("c"), None)
    assert formation.on_hello(hello("c", C)) == ([ToStorage(StoreRecord(RECORD, formed=False))], None)


def test_a_cluster_has_formed_when_every_name_has_stored_the_record() -> None:
    formation = node()
    formation.on_hello(hello("b", B))
    formation.on_hello(hello("c", C))
    assert formation.on_stored(status(RECORD)) == waiting_for("b, c", "confirm the members")
    assert formation.on_hello(hello("b", B, RECORD))[0] == waiting_for("c", "confirm the members")
    assert not formation.formed
    assert formation.on_hello(hello("c", C, RECORD))[0] == [ToStorage(StoreRecord(RECORD, formed=True))]
    assert not formation.formed  # not before it is durable
    assert formation.on_stored(status(RECORD, formed=True)) == [Notice(""), Formed(RECORD)]
    assert formation.formed


def test_a_member_that_saw_it_formed_is_proof_enough() -> None:
    formation = node(RECORD)
    assert formation.begin() == waiting_for("b, c", "confirm the members")
    assert formation.on_hello(hello("c", C, RECORD, formed=True))[0] == [ToStorage(StoreRecord(RECORD, formed=True))]


def test_a_stored_record_that_lists_us_is_ours_too() -> None:
    # The others may have formed it while our answer was lost; not all of them need to be up.
    formation = node()
    assert formation.on_hello(hello("b", B, RECORD))[0] == [ToStorage(StoreRecord(RECORD, formed=False))]


def test_nothing_is_decided_while_storage_is_writing() -> None:
    formation = node(names=("a",))
    formation.begin()
    assert formation.on_hello(hello("b", B)) == ([Ignored("hello of b, which is not in the list of peers")], None)
    assert formation.begin() == []


def test_a_restart_goes_on_where_it_was() -> None:
    assert node(RECORD, formed=True).begin() == [Formed(RECORD)]
    formation = node(RECORD)
    assert formation.begin() == waiting_for("b, c", "confirm the members")


def test_hellos_are_repeated_until_it_has_formed() -> None:
    formation = node()
    own = Hello("a", A, NAMES, 150, b"", b"", (), False)
    assert formation.tick(10.0) == [SayHello("b", own), SayHello("c", own)]
    assert formation.tick(10.0 + HELLO_SECONDS / 2) == []
    assert formation.next_deadline() == pytest.approx(10.0 + HELLO_SECONDS)
    assert len(formation.tick(10.0 + 1.1 * HELLO_SECONDS)) == 2
    assert node(RECORD, formed=True).tick(99.0) == []


def test_hellos_are_answered_at_any_time() -> None:
    asked = Hello("b", B, NAMES, 150, b"", b"", (), False)
    own = Hello("a", A, NAMES, 150, b"", RECORD.cluster_id(), RECORD.members, True, answer=True)
    assert node(RECORD, formed=True).on_hello(asked) == ([], own)


# --- who may never join


def refused(formation: Formation, message: Hello) -> str:
    """The reason that the other side is told."""
    asked = Hello(
        message.name,
        message.member,
        message.names,
        message.election_timeout_min_ms,
        b"",
        message.record,
        message.members,
        message.formed,
    )
    answer = formation.on_hello(asked)[1]
    assert answer is not None
    return answer.refusal


def test_a_wiped_disk_is_refused_under_its_old_name() -> None:  # trap 36
    # Else it would vote a second time in a term in which it has voted.
    formation = node(RECORD, formed=True)
    reason = (
        f"c has a new or wiped data directory (member {D:016x}), but the cluster knows c as {C:016x}: give it its old "
        "directory back; or run zraft member remove c, then start it with --join"
    )
    assert refused(formation, hello("c", D)) == reason


def test_a_wiped_disk_learns_it_from_any_member() -> None:  # trap 36
    formation = node()
    told = hello("b", B, ClusterRecord((Member(D, "a"), Member(B, "b"), Member(C, "c")), 150), formed=True)
    ((notice,), _) = formation.on_hello(told)
    assert isinstance(notice, Notice)
    assert notice.text.startswith(f"a has a new or wiped data directory (member {A:016x}), but the cluster knows a as")
    assert formation.on_hello(hello("c", C))[0] == []  # and forms nothing with a node that was cut off


def test_a_node_of_another_cluster_is_refused() -> None:  # trap 36
    formation = node(RECORD, formed=True)
    reason = (
        f"the data directory of b belongs to cluster {OTHER.cluster_id().hex()}, that of a to "
        f"{RECORD.cluster_id().hex()}: one of them is another cluster's disk"
    )
    assert refused(formation, hello("b", B, OTHER)) == reason


def test_a_stranger_is_refused_and_stops_nobody() -> None:
    formation = node(RECORD)
    reason = "d is no member of the cluster that a belongs to: its members are a, b, c. With --join it becomes one"
    assert refused(formation, hello("d", D)) == reason
    assert formation.on_hello(hello("d", D)) == ([Ignored("hello of d, which is not in the list of peers")], None)
    formation.on_hello(hello("b", B, RECORD))
    assert formation.on_hello(hello("c", C, RECORD))[0] == [ToStorage(StoreRecord(RECORD, formed=True))]


def test_two_nodes_of_one_name_form_nothing() -> None:
    formation = node()
    formation.begin()
    formation.on_hello(hello("c", C))
    fault = f"two nodes are named c ({C:016x} and {D:016x}): stop one"
    assert formation.on_hello(hello("c", D))[0] == [Notice(fault)]
    assert formation.on_hello(hello("c", C))[0] == []  # the other one answers again
    assert formation.on_hello(hello("b", B))[0] == []


def test_a_node_meets_its_own_name() -> None:
    formation = node()
    fault = f"two nodes are named a ({A:016x} and {D:016x}): rename one of them"
    assert formation.on_hello(hello("a", D))[0] == [Notice(fault)]
    formation = node()
    fault = "a talks to itself: the address of another peer leads back to this node"
    assert formation.on_hello(hello("a", A))[0] == [Notice(fault)]


def test_a_conflict_ends_when_it_is_not_seen_any_more() -> None:
    formation = node()
    formation.tick(10.0)
    formation.on_hello(hello("a", D))
    formation.on_hello(hello("b", B))
    formation.tick(10.5)
    assert formation.next_deadline() == pytest.approx(10.5 + HELLO_SECONDS_REFUSED)
    assert formation.on_hello(hello("c", C))[0] == []
    formation.tick(10.0 + CONFLICT_SECONDS)
    assert formation.on_hello(hello("c", C))[0] == [ToStorage(StoreRecord(RECORD, formed=False))]


def test_different_lists_form_nothing() -> None:
    formation = node()
    fault = "b was started with the members b, c, a with a, b, c: start all of them with the same list"
    assert formation.on_hello(hello("b", B, names=("b", "c")))[0] == [Notice(fault)]


def test_the_minimum_election_time_out_is_the_same_everywhere() -> None:  # S7
    formation = node()
    fault = "election_timeout_min_ms is 200 on b, but 150 on a: it must be the same everywhere"
    assert formation.on_hello(hello("b", B, timeout_ms=200))[0] == [Notice(fault)]


@pytest.mark.parametrize("formed", [False, True])
def test_a_node_does_not_serve_with_another_time_out_than_it_formed_with(formed: bool) -> None:  # S7
    fault = (
        "election_timeout_min_ms is 200, but the cluster was formed with 150, which its members rely on: set it back"
    )
    assert node(RECORD, formed, timeout_ms=200).begin() == [Notice(fault)]


@pytest.mark.parametrize("formed", [False, True])
def test_a_node_does_not_serve_with_another_nodes_disk(formed: bool) -> None:  # trap 36
    formation = Formation(Own("a", NAMES, 150), status(RECORD, formed, member=B), 10.0)
    fault = (
        f"this data directory belongs to another node of cluster {RECORD.cluster_id().hex()}, b, not to a: start it "
        "under its own name, or with its own directory"
    )
    assert formation.begin() == [Notice(fault)]


def test_a_refusal_by_another_node_is_said_aloud() -> None:
    formation = node()
    told = Hello("b", B, NAMES, 150, b"", b"", (), False, answer=True, refusal="because")
    assert formation.on_hello(told)[0] == [Notice("b refuses this node: because")]


def test_conflicting_records_form_nothing() -> None:
    # Each gathered another id under one name: a record is stored once in a life, so an operator must empty one.
    formation = node(RECORD)
    fault = (
        f"the data directory of b belongs to cluster {OTHER.cluster_id().hex()}, that of a to "
        f"{RECORD.cluster_id().hex()}: one of them is another cluster's disk"
    )
    assert formation.on_hello(hello("b", B, OTHER))[0] == [Notice(fault)]
    assert formation.on_hello(hello("c", C, RECORD))[0] == []


def test_the_same_notice_is_said_once() -> None:
    formation = node()
    assert formation.begin() == waiting_for("b, c")
    assert formation.begin() == []


# --- restored clusters


def restored(initial_state: bytes) -> Formation:
    """Node a, at 10 s, with a state that was restored."""
    return Formation(Own("a", NAMES, 150, initial_state), status(), 10.0)


def test_the_record_of_a_restored_cluster_names_what_it_begins_with() -> None:
    formation = restored(b"file")
    formation.begin()
    formation.on_hello(replace(hello("b", B), initial_state=b"file"))
    effects, _ = formation.on_hello(replace(hello("c", C), initial_state=b"file"))
    record = ClusterRecord(RECORD.members, 150, b"file")
    assert effects == [ToStorage(StoreRecord(record, formed=False))]
    assert record.cluster_id() != RECORD.cluster_id()


@pytest.mark.parametrize(
    ("mine", "theirs", "says"),
    [
        (b"file", b"other", "b begins with the restored state 6f74686572, a with the restored state 66696c65"),
        (b"file", b"", "b begins with an empty state, a with the restored state 66696c65"),
        (b"", b"file", "b begins with the restored state 66696c65, a with an empty state"),
    ],
)
def test_nodes_that_begin_with_different_states_form_nothing(mine: bytes, theirs: bytes, says: str) -> None:
    formation = restored(mine)
    formation.begin()
    formation.on_hello(replace(hello("c", C), initial_state=mine))
    effects, answer = formation.on_hello(replace(hello("b", B), initial_state=theirs, answer=False))
    [notice] = effects
    assert isinstance(notice, Notice)
    assert says in notice.text
    assert answer is not None
    assert says in answer.refusal


# --- who may join instead

WITHOUT_US = ClusterRecord((Member(B, "b"), Member(C, "c"), Member(D, "a")), 150)
"""Node a's name is another member's: its disk was wiped."""


def joiner(record: ClusterRecord | None = None, initial_state: bytes = b"") -> Formation:
    return Formation(Own("a", NAMES, 150, initial_state, may_join=True), status(record), 10.0)


def test_who_may_join_gives_up_forming_when_a_cluster_has_formed_without_it() -> None:
    formation = joiner()
    assert formation.begin() == waiting_for("b, c")
    assert formation.on_hello(hello("c", C)) == (waiting_for("b"), None)
    assert formation.on_hello(hello("b", B, WITHOUT_US, formed=True)) == ([Outside("b")], None)


def test_a_cluster_that_is_still_forming_is_nothing_to_join() -> None:
    formation = joiner()
    assert formation.on_hello(hello("b", B, RECORD))[0] == [ToStorage(StoreRecord(RECORD, formed=False))]
    ((notice,), _) = joiner().on_hello(hello("b", B, WITHOUT_US))
    assert isinstance(notice, Notice)


def test_a_cluster_that_has_formed_with_us_is_ours() -> None:
    stored = [ToStorage(StoreRecord(RECORD, formed=False))]
    assert joiner().on_hello(hello("b", B, RECORD, formed=True))[0] == stored


def test_who_holds_a_record_or_a_restored_state_joins_nothing() -> None:
    for formation in (joiner(RECORD), joiner(initial_state=b"restored")):
        effects, _ = formation.on_hello(hello("b", B, WITHOUT_US, formed=True))
        assert not any(isinstance(effect, Outside) for effect in effects)


def test_who_was_not_told_how_to_join_stays_refused() -> None:
    ((notice,), _) = node().on_hello(hello("b", B, WITHOUT_US, formed=True))
    assert isinstance(notice, Notice)
