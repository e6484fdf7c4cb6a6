"""Linearizable reads of a gateway, rule by rule: whom it asks, which index it serves, and when it gives up."""

import pytest

from tests.unit.core.reading import (
    COMMIT,
    FOLLOWING,
    LEADING,
    ME,
    B,
    C,
    ask_election,
    ask_leader,
    index_answer,
    names_told_unavailable,
    read,
    reads as reads,
    refused,
    round_answer,
)
from zraft.core.reads import (
    IN_FLIGHT_MAX,
    PATIENCE_SECONDS,
    RETRY_SECONDS,
    AnswerPeer,
    Effect,
    PeerRead,
    Reads,
    Serve,
)
from zraft.errors import NotLeader
from zraft.protocol.local import CommitGroup, LeaseGroup, RoleGroup
from zraft.protocol.peer import ReadIndexAnswer

# --- on the leader's node: a round, then the commit index of that round's term


def test_a_read_asks_for_a_round(reads: Reads) -> None:
    reads.submit(read("a"))
    assert reads.flush(LEADING, COMMIT, 0.0) == [ask_election(1)]
    assert reads.flush(LEADING, COMMIT, 0.0) == []


def test_a_confirmed_read_is_served_from_the_commit_index(reads: Reads) -> None:
    reads.submit(read("a"))
    reads.flush(LEADING, None, 0.0)
    assert reads.on_round(round_answer(1, 5), COMMIT, 0.1) == [Serve(9, (read("a"),))]
    assert reads.on_round(round_answer(1, 5), COMMIT, 0.1) == []
    assert reads.flush(LEADING, COMMIT, 1.0) == []


def test_one_round_serves_all_that_wait(reads: Reads) -> None:
    for name in "abc":
        reads.submit(read(name))
    assert reads.flush(LEADING, COMMIT, 0.0) == [ask_election(1)]
    assert reads.on_round(round_answer(1, 5), COMMIT, 0.1) == [Serve(9, (read("a"), read("b"), read("c")))]


def test_a_read_never_joins_a_round_that_was_asked_for_before_it_came(reads: Reads) -> None:  # traps 40, 41
    reads.submit(read("a"))
    reads.flush(LEADING, COMMIT, 0.0)
    reads.submit(read("b"))
    assert reads.waiting == 2
    assert reads.on_round(round_answer(1, 5), COMMIT, 0.1) == [Serve(9, (read("a"),))]
    assert reads.waiting == 1
    assert reads.flush(LEADING, COMMIT, 0.1) == [ask_election(2)]


def test_reads_gather_while_rounds_are_under_way(reads: Reads) -> None:
    for number in range(IN_FLIGHT_MAX):
        reads.submit(read(str(number)))
        assert reads.flush(LEADING, COMMIT, 0.0) == [ask_election(number + 1)]
    reads.submit(read("a"))
    reads.submit(read("b"))
    assert reads.flush(LEADING, COMMIT, 0.0) == []
    reads.on_round(round_answer(1, 5), COMMIT, 0.1)
    assert reads.flush(LEADING, COMMIT, 0.1) == [ask_election(IN_FLIGHT_MAX + 1)]
    answer = reads.on_round(round_answer(IN_FLIGHT_MAX + 1, 5), COMMIT, 0.2)
    assert answer == [Serve(9, (read("a"), read("b")))]


@pytest.mark.parametrize("older", [None, CommitGroup(4, 8)], ids=["none", "of an older term"])
def test_a_read_waits_until_the_leader_has_committed_in_the_rounds_term(
    reads: Reads, older: CommitGroup | None
) -> None:  # trap 40
    reads.submit(read("a"))
    reads.flush(LEADING, older, 0.0)
    assert reads.on_round(round_answer(1, 5), older, 0.1) == []
    assert reads.flush(LEADING, older, 0.2) == []
    assert reads.flush(LEADING, COMMIT, 0.3) == [Serve(9, (read("a"),))]


def test_a_confirmed_read_waits_for_its_commit_index_beyond_all_patience(reads: Reads) -> None:
    reads.submit(read("a"))
    reads.flush(LEADING, None, 0.0)
    reads.on_round(round_answer(1, 5), None, 0.1)
    assert reads.flush(LEADING, None, PATIENCE_SECONDS * 3) == []
    assert reads.flush(LEADING, COMMIT, PATIENCE_SECONDS * 3) == [Serve(9, (read("a"),))]


def test_a_commit_index_of_another_term_than_the_rounds_confirms_nothing(reads: Reads) -> None:  # trap 40
    reads.submit(read("a"))
    reads.flush(LEADING, None, 0.0)
    assert reads.on_round(round_answer(1, 5), CommitGroup(6, 20), 0.1) == []
    assert reads.flush(LEADING, CommitGroup(6, 20), 0.2) == []


def test_a_round_that_was_not_confirmed_is_asked_again(reads: Reads) -> None:  # trap 41
    reads.submit(read("a"))
    reads.flush(LEADING, COMMIT, 0.0)
    reads.submit(read("b"))
    assert reads.on_round(round_answer(1, 0), COMMIT, 1.0) == []
    assert reads.flush(LEADING, COMMIT, 1.0 + RETRY_SECONDS / 2) == []
    assert reads.flush(LEADING, COMMIT, 1.0 + RETRY_SECONDS) == [ask_election(2)]
    assert reads.on_round(round_answer(2, 5), COMMIT, 1.1) == [Serve(9, (read("a"), read("b")))]


def test_a_confirmation_is_worth_nothing_once_a_later_term_is_known(reads: Reads) -> None:  # traps 41, 65
    reads.submit(read("a"))
    reads.flush(LEADING, None, 0.0)
    reads.on_round(round_answer(1, 5), None, 0.1)
    assert reads.flush(RoleGroup(6, "leader", ME), CommitGroup(6, 20), 0.2) == []
    assert reads.flush(RoleGroup(6, "leader", ME), CommitGroup(6, 20), 0.3) == [ask_election(2)]


@pytest.mark.parametrize("nobody", [None, RoleGroup(5, "candidate", 0)], ids=["page", "leader"])
def test_without_a_leader_reads_wait(reads: Reads, nobody: RoleGroup | None) -> None:
    reads.submit(read("a"))
    assert reads.flush(nobody, COMMIT, 0.0) == []
    assert reads.flush(LEADING, COMMIT, 0.0) == [ask_election(1)]


# --- elsewhere: the leader's gateway


def test_a_follower_asks_the_leaders_gateway(reads: Reads) -> None:
    reads.submit(read("a"))
    assert reads.flush(FOLLOWING, None, 0.0) == [ask_leader(1)]
    assert reads.on_read_index(B, index_answer(1, 5, 9), 0.1) == [Serve(9, (read("a"),))]
    assert reads.on_read_index(B, index_answer(1, 5, 9), 0.1) == []


def test_an_answer_to_another_start_of_this_gateway_confirms_nothing(reads: Reads) -> None:
    reads.submit(read("a"))
    reads.flush(FOLLOWING, None, 0.0)
    assert reads.on_read_index(B, ReadIndexAnswer(1, 5, 9), 0.1) == []


def test_a_refused_read_index_is_asked_again(reads: Reads) -> None:
    reads.submit(read("a"))
    reads.flush(FOLLOWING, None, 0.0)
    assert reads.on_read_index(B, index_answer(1, 0, 0, NotLeader.code), 0.0) == []
    assert reads.flush(RoleGroup(6, "follower", C), None, RETRY_SECONDS) == [ask_leader(2, leader=C)]


@pytest.mark.parametrize(
    ("before", "after", "question"),
    [
        (FOLLOWING, RoleGroup(6, "follower", C), ask_leader(2, leader=C)),
        (FOLLOWING, RoleGroup(6, "leader", ME), ask_election(2)),
        (LEADING, RoleGroup(6, "follower", B), ask_leader(2, leader=B)),
    ],
    ids=["another", "this node", "not this node"],
)
def test_a_new_leader_is_asked_anew(
    reads: Reads, before: RoleGroup, after: RoleGroup, question: Effect
) -> None:  # trap 41
    reads.submit(read("a"))
    reads.flush(before, None, 0.0)
    assert reads.flush(after, COMMIT, 0.0) == []
    assert reads.on_round(round_answer(1, 5), COMMIT, 0.0) == []
    assert reads.on_read_index(B, index_answer(1, 5, 9), 0.0) == []
    assert reads.flush(after, COMMIT, RETRY_SECONDS) == [question]


def test_reads_that_are_asked_again_keep_their_order(reads: Reads) -> None:
    reads.submit(read("a"))
    reads.flush(LEADING, COMMIT, 0.0)
    reads.submit(read("b"))
    reads.on_round(round_answer(1, 0), COMMIT, 0.0)
    reads.flush(LEADING, COMMIT, RETRY_SECONDS)
    assert reads.on_round(round_answer(2, 5), COMMIT, 0.1) == [Serve(9, (read("a"), read("b")))]


# --- under a lease: no question at all


class Page:
    """What a gateway of this node finds on its page."""

    def __init__(self, end: float, commit: CommitGroup = COMMIT) -> None:
        self._end, self._commit = end, commit

    def lease(self) -> LeaseGroup:
        return LeaseGroup(5, self._end)

    def commit(self) -> CommitGroup:
        return self._commit

    def now(self) -> float:
        return 50.0


VALID = Page(end=50.1)


def test_under_a_lease_all_that_waits_is_served_at_once(reads: Reads) -> None:  # S12
    for one in (read("a"), PeerRead(B, 55), read("b")):
        reads.submit(one)
    assert reads.by_lease(VALID) == [AnswerPeer(B, ReadIndexAnswer(55, 5, 9)), Serve(9, (read("a"), read("b")))]
    assert reads.by_lease(VALID) == []
    assert reads.flush(LEADING, COMMIT, 0.0) == []


def test_a_peers_question_alone_is_answered_under_a_lease(reads: Reads) -> None:
    reads.submit(PeerRead(B, 55))
    assert reads.by_lease(VALID) == [AnswerPeer(B, ReadIndexAnswer(55, 5, 9))]


@pytest.mark.parametrize("page", [Page(end=50.0), Page(end=50.1, commit=CommitGroup(4, 9))], ids=["ended", "too new"])
def test_without_a_valid_lease_reads_ask_for_a_round(reads: Reads, page: Page) -> None:  # S12
    reads.submit(read("a"))
    assert reads.by_lease(page) == []
    assert reads.flush(LEADING, COMMIT, 0.0) == [ask_election(1)]


def test_a_read_that_no_round_confirmed_is_served_under_a_new_lease(reads: Reads) -> None:
    reads.submit(read("a"))
    reads.flush(LEADING, COMMIT, 0.0)
    reads.on_round(round_answer(1, 0), COMMIT, 0.1)
    assert reads.by_lease(VALID) == [Serve(9, (read("a"),))]


# --- other gateways' questions


def test_a_peers_question_is_answered_with_the_own_reads_index(reads: Reads) -> None:
    reads.submit(read("a"))
    reads.submit(PeerRead(B, 55))
    reads.submit(PeerRead(C, 66))
    assert reads.flush(LEADING, COMMIT, 0.0) == [ask_election(1)]
    assert reads.on_round(round_answer(1, 5), COMMIT, 0.1) == [
        AnswerPeer(B, ReadIndexAnswer(55, 5, 9)),
        AnswerPeer(C, ReadIndexAnswer(66, 5, 9)),
        Serve(9, (read("a"),)),
    ]


def test_a_peers_question_alone_is_worth_a_round(reads: Reads) -> None:
    reads.submit(PeerRead(B, 55))
    assert reads.flush(LEADING, COMMIT, 0.0) == [ask_election(1)]
    assert reads.on_round(round_answer(1, 5), COMMIT, 0.1) == [AnswerPeer(B, ReadIndexAnswer(55, 5, 9))]


@pytest.mark.parametrize("role", [None, FOLLOWING], ids=["nobody leads", "another leads"])
def test_a_peers_question_to_who_does_not_lead_is_refused(reads: Reads, role: RoleGroup | None) -> None:
    reads.submit(PeerRead(C, 55))
    assert reads.flush(role, None, 0.0) == [refused(PeerRead(C, 55))]
    assert reads.flush(role, None, 0.0) == []


def test_a_peers_question_is_refused_when_the_leader_has_fallen(reads: Reads) -> None:
    reads.submit(PeerRead(C, 55))
    reads.flush(LEADING, COMMIT, 0.0)
    assert reads.flush(FOLLOWING, None, 0.1) == [refused(PeerRead(C, 55))]
    assert reads.on_round(round_answer(1, 5), COMMIT, 0.2) == []


# --- behind: the local state has not applied the index


def test_a_read_waits_until_its_index_is_applied(reads: Reads) -> None:
    assert reads.behind(Serve(9, (read("a"),))) == 9
    assert reads.behind(Serve(12, (read("b"),))) == 12
    assert reads.waiting == 2
    assert reads.on_applied(8) == []
    assert reads.on_applied(9) == [Serve(9, (read("a"),))]
    assert reads.on_applied(20) == [Serve(12, (read("b"),))]
    assert reads.on_applied(21) == []


def test_a_restart_of_the_trio_asks_everything_again(reads: Reads) -> None:
    reads.submit(read("asked"))
    reads.submit(PeerRead(B, 55))
    reads.flush(LEADING, COMMIT, 0.0)
    reads.behind(Serve(9, (read("behind"),)))
    reads.on_trio_restarted(0.0)
    assert reads.on_applied(9) == []
    assert reads.on_round(round_answer(1, 5), COMMIT, 0.0) == []
    assert reads.flush(LEADING, COMMIT, RETRY_SECONDS) == [ask_election(2)]
    assert reads.on_round(round_answer(2, 5), COMMIT, 0.1) == [
        AnswerPeer(B, ReadIndexAnswer(55, 5, 9)),
        Serve(9, (read("asked"), read("behind"))),
    ]


# --- deadlines


def test_a_read_that_nobody_confirms_ends_as_unavailable(reads: Reads) -> None:
    reads.submit(read("a", deadline=1.0))
    reads.submit(read("b", deadline=2.0))
    assert reads.expire(0.9) == []
    assert names_told_unavailable(reads.expire(1.0)) == ["a"]
    assert names_told_unavailable(reads.expire(2.0)) == ["b"]
    assert reads.flush(LEADING, COMMIT, 2.0) == []


def test_a_late_read_leaves_its_group_and_the_others_go_on(reads: Reads) -> None:
    for one in (read("a", deadline=1.0), read("b", deadline=2.0), PeerRead(B, 55)):
        reads.submit(one)
    reads.flush(LEADING, None, 0.0)
    assert names_told_unavailable(reads.expire(1.0)) == ["a"]
    assert reads.on_round(round_answer(1, 5), COMMIT, 1.0) == [
        AnswerPeer(B, ReadIndexAnswer(55, 5, 9)),
        Serve(9, (read("b", deadline=2.0),)),
    ]


def test_a_peers_question_outlives_the_reads_of_its_group(reads: Reads) -> None:
    reads.submit(read("a", deadline=1.0))
    reads.submit(PeerRead(B, 55))
    reads.flush(LEADING, None, 0.0)
    reads.expire(1.0)
    assert reads.on_round(round_answer(1, 5), COMMIT, 1.0) == [AnswerPeer(B, ReadIndexAnswer(55, 5, 9))]


def test_groups_that_nobody_waits_for_make_room(reads: Reads) -> None:
    for number in range(IN_FLIGHT_MAX):
        reads.submit(read(str(number), deadline=1.0))
        reads.flush(LEADING, None, 0.9)
    reads.expire(1.0)
    reads.submit(read("a"))
    assert reads.flush(LEADING, None, 1.0) == [ask_election(IN_FLIGHT_MAX + 1)]


def test_a_read_whose_state_is_behind_ends_at_its_deadline(reads: Reads) -> None:
    reads.behind(Serve(9, (read("a", deadline=1.0), read("b", deadline=2.0))))
    told = reads.expire(1.0)
    assert names_told_unavailable(told) == ["a"]
    assert b"did not apply up to index 9 in time" in told[0].body  # type: ignore[union-attr]  # it is a Tell
    assert reads.on_applied(9) == [Serve(9, (read("b", deadline=2.0),))]
    assert reads.expire(5.0) == []
