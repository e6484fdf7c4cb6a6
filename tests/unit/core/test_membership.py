"""Who may become a member, a voter, or leave; and when (S14). Times are seconds."""

import pytest

from tests.unit.core.cast import A, B, C, D, E
from zraft.config import MEMBERS_MAX
from zraft.core.membership import READY_SECONDS, Membership, promoted, with_addresses
from zraft.errors import MembershipRefused, Unavailable
from zraft.protocol.entries import Configuration, Member
from zraft.protocol.requests import ChangeMember

BEFORE = 5
"""The last index of an earlier term."""
COMMIT = 6
ALL = {A, B, C, D, E}


def configuration(*voters: int, learners: tuple[int, ...] = (), index: int = 0) -> Configuration:
    members = [Member(id, f"node-{id}", id in voters) for id in sorted((*voters, *learners))]
    return Configuration(index, tuple(members))


def membership(*voters: int, learners: tuple[int, ...] = ()) -> Membership:
    return Membership(configuration(*voters, learners=learners), BEFORE)


def names(members: tuple[Member, ...]) -> list[tuple[str, bool]]:
    return [(member.name, member.voter) for member in members]


def changed(
    one: Membership, change: ChangeMember, healthy: set[int] = ALL, ready: set[int] = ALL
) -> list[tuple[str, bool]]:
    return names(one.change(change, COMMIT, healthy, ready))


# --- what a change comes to


def test_a_new_member_is_a_learner() -> None:
    after = changed(membership(A, B, C), ChangeMember("add", "node-4", D, "host:1"))
    assert after == [("node-1", True), ("node-2", True), ("node-3", True), ("node-4", False)]


def test_to_announce_oneself_twice_is_no_error_and_an_address_may_change() -> None:
    members = membership(A, learners=(B,)).change(ChangeMember("add", "node-2", B, "new:7"), COMMIT, ALL, ALL)
    assert members == (Member(A, "node-1"), Member(B, "node-2", False, "new:7"))
    confirmed = membership(A, B).change(ChangeMember("add", "node-2"), COMMIT, ALL, ALL)
    assert confirmed == configuration(A, B).members


def test_no_operator_gives_a_member_the_address_of_another_one() -> None:
    members = (Member(A, "node-1", address="one:1"), Member(B, "node-2", address="two:1"))
    one = Membership(Configuration(0, members), BEFORE)
    with pytest.raises(MembershipRefused, match="two:1 is the address of node-2: node-1 has another one"):
        changed(one, ChangeMember("add", "node-1", address="two:1", force=True))
    # They have changed places, and this is the first of them that announces itself.
    assert [member.address for member in one.change(ChangeMember("add", "node-1", A, "two:1"), COMMIT, ALL, ALL)] == [
        "two:1",
        "two:1",
    ]
    same = (Member(A, "node-1", address="one:1"), Member(B, "node-9", False, "one:1"))
    after = changed(Membership(Configuration(0, same), BEFORE), ChangeMember("add", "node-9", address="one:1"))
    assert len(after) == 2  # the one that is to replace it, and was told before: it is the same machine


def test_a_voter_is_moved_by_an_operator_only_if_a_majority_would_answer_without_it() -> None:
    """The address may be a wrong one."""
    three, move = membership(A, B, C), ChangeMember("add", "node-1", address="new:1")
    assert len(changed(three, move)) == 3
    assert len(changed(three, move, healthy={B, C})) == 3  # the one that has moved already
    with pytest.raises(
        MembershipRefused, match=r"if node-1 can't be reached at new:1: bring one of the silent.*--force"
    ):
        changed(three, move, healthy={A, B})
    with pytest.raises(MembershipRefused, match=r"at new:1: if it is the right one, --force"):
        changed(membership(A, B), move)  # of two, both are needed
    assert len(changed(three, ChangeMember("add", "node-1", address="new:1", force=True), healthy={A, B})) == 3
    assert len(changed(three, ChangeMember("add", "node-1", A, "new:1"), healthy={A, B})) == 3  # it says so itself
    assert len(changed(three, ChangeMember("add", "node-1"), healthy={A, B})) == 3
    assert len(changed(membership(A), move, healthy={A})) == 1
    assert len(changed(membership(A, B, learners=(C,)), ChangeMember("add", "node-3", address="new:3"), {A, B})) == 3


def test_a_name_is_not_given_to_another_directory() -> None:  # trap 36
    with pytest.raises(MembershipRefused, match=r"node-2 is known as member 0{15}2.*zraft member remove node-2"):
        changed(membership(A, B), ChangeMember("add", "node-2", D, "host:1"))


def test_a_directory_is_not_given_to_another_name() -> None:
    with pytest.raises(MembershipRefused, match="node-9 has the data of node-2"):
        changed(membership(A, B), ChangeMember("add", "node-9", B, "host:1"))


def test_nobody_is_added_who_has_not_announced_itself() -> None:
    with pytest.raises(MembershipRefused, match="start it with zraft node --id node-9 --join"):
        changed(membership(A, B), ChangeMember("add", "node-9", address="host:1"))


def test_a_cluster_has_a_bounded_number_of_members() -> None:
    full = Membership(configuration(*range(1, MEMBERS_MAX + 1)), BEFORE)
    with pytest.raises(MembershipRefused, match=f"up to {MEMBERS_MAX} members"):
        full.change(ChangeMember("add", "late", 99, "host:1"), COMMIT, range(99), range(99))


def test_a_learner_is_promoted_when_it_has_caught_up_or_by_force() -> None:
    one = membership(A, learners=(B,))
    with pytest.raises(MembershipRefused, match="node-2 has not caught up"):
        changed(one, ChangeMember("promote", "node-2"), ready={A})
    assert changed(one, ChangeMember("promote", "node-2", force=True), ready={A}) == [
        ("node-1", True),
        ("node-2", True),
    ]
    assert changed(one, ChangeMember("promote", "node-2")) == [("node-1", True), ("node-2", True)]


def test_a_member_is_removed_but_not_the_only_voter() -> None:
    assert changed(membership(A, B, C), ChangeMember("remove", "node-1")) == [("node-2", True), ("node-3", True)]
    with pytest.raises(MembershipRefused, match="node-1 is the only voter"):
        changed(membership(A, learners=(B,)), ChangeMember("remove", "node-1"))
    with pytest.raises(MembershipRefused, match="there is no member node-9: the members are node-1, node-2"):
        changed(membership(A, B), ChangeMember("remove", "node-9"))


def test_no_change_may_leave_the_healthy_in_a_minority() -> None:  # trap 38
    one = membership(A, B, C)
    with pytest.raises(MembershipRefused, match="of the 2 voters after this change only 1 answer"):
        changed(one, ChangeMember("remove", "node-2"), healthy={A, B})
    assert changed(one, ChangeMember("remove", "node-3"), healthy={A, B}) == [("node-1", True), ("node-2", True)]
    forced = ChangeMember("remove", "node-2", force=True)
    assert changed(one, forced, healthy={A, B}) == [("node-1", True), ("node-3", True)]
    # Who counts nowhere can't take a majority away.
    assert changed(membership(A, B, learners=(D,)), ChangeMember("remove", "node-4"), healthy={A}) == [
        ("node-1", True),
        ("node-2", True),
    ]


# --- when there may be one (S14)


def test_nothing_changes_before_the_term_has_committed() -> None:  # S14 (a), trap 31
    one = membership(A, B, C)
    with pytest.raises(Unavailable, match="committed nothing in its term yet"):
        one.change(ChangeMember("remove", "node-3"), BEFORE, ALL, ALL)
    one.change(ChangeMember("remove", "node-3"), BEFORE + 1, ALL, ALL)


def test_one_change_at_a_time_and_each_is_counted_before_the_next() -> None:  # S14 (b), (c), trap 32
    one = membership(A, B, C)
    one.appended(configuration(A, B, index=7))
    assert one.obstacle(6) == "the change before this one is not committed yet"
    assert one.obstacle(7) == "the leader's rounds do not count the change before this one yet"
    one.counted(7)
    assert one.obstacle(6) == "the change before this one is not committed yet"
    assert one.obstacle(7) == ""


# --- promotion


def test_a_learner_that_keeps_up_for_a_while_is_promoted() -> None:
    one = membership(A, B, learners=(C, D))
    assert one.promotable({A, B, C}, ALL, COMMIT, 10.0) is None
    assert one.promotable({A, B, C}, ALL, COMMIT, 10.0 + READY_SECONDS - 0.1) is None
    ripe = one.promotable({A, B, C}, ALL, COMMIT, 10.0 + READY_SECONDS)
    assert ripe == Member(C, "node-3", False)
    assert names(promoted(one.configuration, ripe))[2:] == [("node-3", True), ("node-4", False)]


@pytest.mark.parametrize(("ready", "healthy"), [({A, B}, ALL), (ALL, {A, B})])
def test_a_learner_that_falls_back_waits_anew(ready: set[int], healthy: set[int]) -> None:
    one = membership(A, B, learners=(C,))
    one.promotable(ALL, ALL, COMMIT, 10.0)
    assert one.promotable(ready, healthy, COMMIT, 11.0) is None
    assert one.promotable(ALL, ALL, COMMIT, 12.5) is None
    assert one.promotable(ALL, ALL, COMMIT, 12.5 + READY_SECONDS) is not None


def test_nobody_is_promoted_into_a_quorum_that_does_not_answer_or_upon_another_change() -> None:
    one = membership(A, B, C, learners=(D,))
    one.promotable(ALL, ALL, COMMIT, 10.0)
    assert one.promotable(ALL, {A, D}, COMMIT, 20.0) is None  # two of four
    assert one.promotable(ALL, ALL, BEFORE, 20.0) is None
    assert one.promotable(ALL, ALL, COMMIT, 20.0) is not None


def test_members_get_the_addresses_that_were_never_written_down() -> None:
    members = (Member(A, "a"), Member(B, "b", address="mine:1"), Member(C, "c"))
    assert with_addresses(members, {"a": "first:1", "b": "other:1"}) == (
        Member(A, "a", address="first:1"),
        Member(B, "b", address="mine:1"),
        Member(C, "c"),
    )
