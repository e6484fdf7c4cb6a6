"""Election: who leads, from the first time-out to the last heartbeat. Times are seconds of the member's clock."""

from functools import partial

import pytest
from msgspec.structs import replace

from tests.unit.core.cast import CONFIGURATION, A, B, C, D, record_of
from tests.unit.core.electing import LAST, TIME_OUT, TIMING, leading, new, role, status, to_others
from zraft.core.effects import Ignored, Send, ToReplication, ToStorage
from zraft.core.election import Election
from zraft.core.roles import CANDIDATE, FOLLOWER, LEADER
from zraft.errors import InvariantViolated
from zraft.protocol.entries import EntryId
from zraft.protocol.local import (
    Campaign,
    CampaignAnswer,
    Lead,
    StatusQuery,
    VoteQuery,
    VoteQueryAnswer,
)
from zraft.protocol.peer import Heartbeat, HeartbeatAnswer, PreVote, PreVoteAnswer, Vote, VoteAnswer

# --- a ballot, step by step


def test_a_follower_that_hears_nobody_asks_its_storage_first(election: Election) -> None:
    assert election.next_deadline() == pytest.approx(10.0 + TIME_OUT)
    assert election.tick(10.19) == []
    assert election.tick(10.21) == [ToStorage(StatusQuery()), role(3, CANDIDATE, 0, "no leader was heard")]


def test_a_candidate_asks_whether_it_would_be_elected_before_it_campaigns(election: Election) -> None:  # [D] 9.6
    election.tick(11.0)
    assert election.step(status(), 11.0) == to_others(PreVote(4, 1, LAST))
    assert election.step(PreVoteAnswer(4, 1, True, 3), 11.0, B) == [ToStorage(Campaign(4, 1))]


def test_votes_are_asked_for_once_storage_has_voted(election: Election) -> None:  # S7, trap 1
    election.tick(11.0)
    election.step(status(), 11.0)
    election.step(PreVoteAnswer(4, 1, True, 3), 11.0, B)
    answer = CampaignAnswer(4, 1, True, 4, EntryId(8, 3), CONFIGURATION)
    assert election.step(answer, 11.0) == to_others(Vote(4, 1, EntryId(8, 3)))


def test_a_majority_makes_a_leader_that_says_so_at_once(election: Election) -> None:  # [R] 5.2
    election.tick(11.0)
    election.step(status(), 11.0)
    election.step(PreVoteAnswer(4, 1, True, 3), 11.0, B)
    election.step(CampaignAnswer(4, 1, True, 4, LAST, CONFIGURATION), 11.0)
    assert election.step(VoteAnswer(4, 1, True, 4), 11.0, C) == [
        role(4, LEADER, A, "elected by ballot 1"),
        ToReplication(Lead(4, LAST, CONFIGURATION)),
        *to_others(Heartbeat(4, 1)),
    ]


def test_a_single_node_elects_itself() -> None:
    record = record_of(A)
    election = new(record=record)
    election.tick(11.0)
    assert election.step(status(record=record), 11.0) == [ToStorage(Campaign(4, 1))]
    answer = CampaignAnswer(4, 1, True, 4, LAST, record.configuration())
    assert election.step(answer, 11.0) == [
        role(4, LEADER, A, "elected by ballot 1"),
        ToReplication(Lead(4, LAST, record.configuration())),
    ]


def test_who_does_not_vote_does_not_campaign() -> None:  # trap 11
    record = record_of(A, B, C, learners=(A,))
    learner = replace(status(record=record), may_campaign=False)
    election = new(record=record)
    election.tick(11.0)
    assert election.step(learner, 11.0) == [Ignored("not a voter")]


def test_a_ballot_counts_the_configuration_that_its_campaign_brought(election: Election) -> None:  # S7, trap 32
    election.tick(11.0)
    election.step(status(), 11.0)
    election.step(PreVoteAnswer(4, 1, True, 3), 11.0, B)
    five = record_of(A, B, C, D, 5).configuration()
    assert len(election.step(CampaignAnswer(4, 1, True, 4, LAST, five), 11.0)) == 4
    assert election.step(VoteAnswer(4, 1, True, 4), 11.0, B) == []
    assert election.step(VoteAnswer(4, 1, True, 4), 11.0, D)[0] == role(4, LEADER, A, "elected by ballot 1")


# --- what does not count


def test_a_refused_vote_counts_nothing(election: Election) -> None:
    election.tick(11.0)
    election.step(status(), 11.0)
    refused = Ignored(f"refused by {B:016x} in term 3")
    assert election.step(PreVoteAnswer(4, 1, False, 3), 11.0, B) == [refused]


def test_a_vote_of_an_older_ballot_counts_nothing(election: Election) -> None:  # S7
    election.tick(11.0)
    election.step(status(), 11.0)
    election.tick(11.3)  # the second ballot: it asks storage again
    election.step(status(), 11.3)
    closed = Ignored("answer to ballot 1 of term 4, which is closed")
    assert election.step(PreVoteAnswer(4, 1, True, 3), 11.3, B) == [closed]
    assert election.step(PreVoteAnswer(4, 2, True, 3), 11.3, B) == [ToStorage(Campaign(4, 2))]


def test_a_campaign_closes_the_ballot_before_it(election: Election) -> None:  # S7
    election.tick(11.0)
    election.step(status(), 11.0)
    election.step(PreVoteAnswer(4, 1, True, 3), 11.0, B)
    election.tick(11.3)
    late = CampaignAnswer(4, 1, True, 4, LAST, CONFIGURATION)
    assert election.step(late, 11.3) == [Ignored("answer to the campaign of closed ballot 1")]
    assert election.step(VoteAnswer(4, 1, True, 4), 11.3, B)[0] == Ignored(
        "answer to ballot 1 of term 4, which is closed"
    )
    assert election.role == CANDIDATE


def test_a_pre_vote_is_no_vote(election: Election) -> None:  # S7
    election.tick(11.0)
    election.step(status(), 11.0)
    election.step(PreVoteAnswer(4, 1, True, 3), 11.0, B)
    election.step(CampaignAnswer(4, 1, True, 4, LAST, CONFIGURATION), 11.0)
    assert election.step(PreVoteAnswer(4, 1, True, 3), 11.0, C) == [
        Ignored("answer to ballot 1 of term 4, which is closed")
    ]


def test_a_refused_campaign_makes_no_candidate(election: Election) -> None:
    election.tick(11.0)
    election.step(status(), 11.0)
    election.step(PreVoteAnswer(4, 1, True, 3), 11.0, B)
    refused = CampaignAnswer(4, 1, False, 6, LAST, CONFIGURATION)
    assert election.step(refused, 11.0) == [role(6, FOLLOWER, 0, "votes or waits")]


def test_who_granted_another_meanwhile_does_not_lead(election: Election) -> None:  # S7
    election.tick(11.0)
    election.step(status(), 11.0)
    election.step(PreVoteAnswer(4, 1, True, 3), 11.0, B)
    election.step(CampaignAnswer(4, 1, True, 4, LAST, CONFIGURATION), 11.0)
    election.step(Vote(5, 1, LAST), 11.0, C)  # on its way to storage
    assert election.step(VoteAnswer(4, 1, True, 4), 11.0, B) == [role(4, FOLLOWER, 0, "votes or waits")]


def test_a_candidate_that_hears_a_leader_gives_up(election: Election) -> None:  # [R] 5.2
    election.tick(11.0)
    election.step(status(), 11.0)
    assert election.step(Heartbeat(3, 9), 11.0, C) == [
        role(3, FOLLOWER, C, "follows"),
        Send(C, HeartbeatAnswer(3, 9, True, 3)),
    ]
    assert election.step(PreVoteAnswer(4, 1, True, 3), 11.0, B) == [
        Ignored("answer to ballot 1 of term 4, which is closed")
    ]


def test_no_campaign_when_a_leader_was_heard_during_the_pre_vote() -> None:  # S7
    election = Election(A, status(), TIMING, started=10.0, now=9.0, jitter=lambda: 0.5)
    election.tick(10.0)
    election.step(status(), 10.0)
    ignored = Ignored("no campaign: a leader was heard meanwhile, or this actor has only just started")
    assert election.step(PreVoteAnswer(4, 1, True, 3), 10.1, B) == [ignored]
    assert election.step(PreVoteAnswer(4, 1, True, 3), 10.16, C) == [ToStorage(Campaign(4, 1))]


def test_a_ballot_goes_above_every_term_that_was_met(election: Election) -> None:  # trap 4
    # etcd #8243: a node whose term is lower than the others' could never win its pre-vote
    election.tick(11.0)
    election.step(status(), 11.0)
    election.step(PreVoteAnswer(4, 1, False, 8), 11.0, B)
    election.tick(11.3)
    assert election.step(status(), 11.3) == to_others(PreVote(9, 2, LAST))


def test_a_ballot_is_repeated_after_another_time_out(election: Election) -> None:
    election.tick(11.0)
    assert election.next_deadline() == pytest.approx(11.0 + TIME_OUT)
    assert election.tick(11.21) == [ToStorage(StatusQuery())]


def test_time_outs_are_spread_by_the_jitter() -> None:  # [R] 5.2: "randomized election timeouts"
    deadlines = [
        Election(A, status(), TIMING, 10.0, 10.0, partial(float, jitter))._timeout for jitter in (0.0, 0.5, 1.0)
    ]
    assert deadlines == pytest.approx([10.15, 10.2, 10.25])


# --- granting


def test_a_vote_is_storages_decision(election: Election) -> None:
    assert election.step(Vote(4, 7, LAST), 11.0, C) == [ToStorage(VoteQuery(4, C, 7, LAST, True))]
    assert election.step(VoteQueryAnswer(4, C, 7, True, True, 4), 11.0) == [
        role(4, FOLLOWER, 0, "votes or waits"),
        Send(C, VoteAnswer(4, 7, True, 4)),
    ]
    assert election.next_deadline() == pytest.approx(11.0 + TIME_OUT)  # who granted a vote waits


def test_a_vote_that_comes_late_does_not_make_its_leader_forgotten(election: Election) -> None:
    # The others' votes sufficed: it leads, and was heard, while our storage still wrote.
    election.step(Vote(4, 7, LAST), 11.0, C)
    election.step(Heartbeat(4, 1), 11.01, C)
    assert election.step(VoteQueryAnswer(4, C, 7, True, True, 4), 11.02) == [Send(C, VoteAnswer(4, 7, True, 4))]
    assert (election.role, election.leader) == (FOLLOWER, C)


def test_a_vote_in_a_new_term_makes_the_leader_before_forgotten(election: Election) -> None:
    election.step(Heartbeat(3, 1), 11.0, B)
    election.step(Vote(4, 7, LAST), 11.2, C)
    assert election.step(VoteQueryAnswer(4, C, 7, True, True, 4), 11.2)[0] == role(4, FOLLOWER, 0, "votes or waits")


def test_every_new_term_is_published(election: Election) -> None:
    for term in (4, 5):
        election.step(Vote(term, 7, LAST), 11.0, C)
        effects = election.step(VoteQueryAnswer(term, C, 7, True, True, term), 11.0)
        assert effects[0] == role(term, FOLLOWER, 0, "votes or waits")


def test_a_refusal_is_passed_on_and_changes_nothing(election: Election) -> None:
    election.step(Vote(4, 7, LAST), 11.0, C)
    assert election.step(VoteQueryAnswer(4, C, 7, True, False, 3), 11.0) == [Send(C, VoteAnswer(4, 7, False, 3))]
    assert election.next_deadline() == pytest.approx(10.0 + TIME_OUT)


def test_a_pre_vote_promises_nothing(election: Election) -> None:  # [D] 9.6
    assert election.step(PreVote(4, 7, LAST), 11.0, C) == [ToStorage(VoteQuery(4, C, 7, LAST, False))]
    assert election.step(Heartbeat(3, 1), 11.0, B)[-1] == Send(B, HeartbeatAnswer(3, 1, True, 3))
    assert election.step(VoteQueryAnswer(4, C, 7, False, True, 3), 11.0) == [Send(C, PreVoteAnswer(4, 7, True, 3))]


@pytest.mark.parametrize(("request_", "answer"), [(PreVote, PreVoteAnswer), (Vote, VoteAnswer)])
def test_no_grant_while_a_leader_is_heard(request_: type[Vote], answer: type[VoteAnswer]) -> None:  # S7, trap 8
    # "if a server receives a RequestVote request within the minimum election timeout of hearing from a current
    # leader, it does not update its term or grant its vote" ([D] 4.2.3)
    election = new()
    election.step(Heartbeat(3, 1), 11.0, B)
    assert election.step(request_(4, 7, LAST), 11.14, C) == [Send(C, answer(4, 7, False, 3))]
    assert election.step(request_(4, 7, LAST), 11.16, C) == [ToStorage(VoteQuery(4, C, 7, LAST, request_ is Vote))]


@pytest.mark.parametrize(("request_", "answer"), [(PreVote, PreVoteAnswer), (Vote, VoteAnswer)])
def test_no_grant_right_after_the_own_start(request_: type[Vote], answer: type[VoteAnswer]) -> None:  # S7
    election = new()
    assert election.step(request_(4, 7, LAST), 10.14, C) == [Send(C, answer(4, 7, False, 3))]
    assert election.step(request_(4, 7, LAST), 10.16, C) == [ToStorage(VoteQuery(4, C, 7, LAST, request_ is Vote))]


@pytest.mark.parametrize(("request_", "answer"), [(PreVote, PreVoteAnswer), (Vote, VoteAnswer)])
def test_a_leader_grants_nothing(request_: type[Vote], answer: type[VoteAnswer]) -> None:  # S7, trap 3
    # However long ago its last round was: the process may have been paused (trap 41).
    assert leading().step(request_(9, 7, LAST), 99.0, C) == [Send(C, answer(9, 7, False, 4))]


def test_an_ex_leader_grants_and_is_granted_again() -> None:  # trap 7
    # hashicorp/raft PR #605: two of three alive, and no leader for ever
    election = leading()
    assert election.tick(11.3)[0] == role(4, FOLLOWER, 0, "no majority answers")
    assert election.step(PreVote(5, 7, LAST), 11.3, C) == [ToStorage(VoteQuery(5, C, 7, LAST, False))]
    assert election.tick(11.51) == [ToStorage(StatusQuery()), role(4, CANDIDATE, 0, "no leader was heard")]
    assert election.step(status(4, A), 11.51) == to_others(PreVote(5, 2, LAST))


def test_a_vote_below_the_known_term_is_refused_with_it(election: Election) -> None:
    assert election.step(Vote(2, 7, LAST), 11.0, C) == [Send(C, VoteAnswer(2, 7, False, 3))]


# --- the promise (S7)


def test_a_heartbeat_below_the_term_is_answered_with_the_term(election: Election) -> None:  # S7, trap 8
    assert election.step(Heartbeat(2, 5), 11.0, B) == [Send(B, HeartbeatAnswer(2, 5, False, 3))]


def test_from_a_forwarded_vote_on_no_older_leader_is_acknowledged(election: Election) -> None:  # S7, trap 41
    election.step(Vote(5, 7, LAST), 11.0, C)
    ignored = Ignored("heartbeat of term 4, but a vote above it is with storage")
    assert election.step(Heartbeat(4, 1), 11.0, B) == [ignored]
    election.step(VoteQueryAnswer(5, C, 7, True, False, 3), 11.0)
    assert election.step(Heartbeat(4, 2), 11.0, B)[-1] == Send(B, HeartbeatAnswer(4, 2, True, 4))


def test_from_the_own_campaign_on_no_older_leader_is_acknowledged(election: Election) -> None:  # S7
    election.tick(11.0)
    election.step(status(), 11.0)
    election.step(PreVoteAnswer(4, 1, True, 3), 11.0, B)
    ignored = Ignored("heartbeat of term 3, but a vote above it is with storage")
    assert election.step(Heartbeat(3, 9), 11.0, C) == [ignored]
    election.step(CampaignAnswer(4, 1, True, 4, LAST, CONFIGURATION), 11.0)
    assert election.step(Heartbeat(3, 10), 11.0, C) == [Send(C, HeartbeatAnswer(3, 10, False, 4))]


def test_a_closed_ballots_campaign_still_binds(election: Election) -> None:  # S7
    election.tick(11.0)
    election.step(status(), 11.0)
    election.step(PreVoteAnswer(4, 1, True, 3), 11.0, B)
    election.tick(11.3)
    assert election.step(Heartbeat(3, 9), 11.3, C) == [
        Ignored("heartbeat of term 3, but a vote above it is with storage")
    ]
    election.step(CampaignAnswer(4, 1, True, 4, LAST, CONFIGURATION), 11.3)
    assert election.term == 4


def test_storages_term_at_the_start_binds(election: Election) -> None:  # S7: it is asked before anything is answered
    assert new(term=6).step(Heartbeat(5, 1), 11.0, B) == [Send(B, HeartbeatAnswer(5, 1, False, 6))]


# --- following


def test_a_heartbeat_is_acknowledged_and_followed(election: Election) -> None:
    assert election.step(Heartbeat(3, 5), 10.1, B) == [
        role(3, FOLLOWER, B, "follows"),
        Send(B, HeartbeatAnswer(3, 5, True, 3)),
    ]
    assert election.step(Heartbeat(3, 6), 10.15, B) == [Send(B, HeartbeatAnswer(3, 6, True, 3))]
    assert election.next_deadline() == pytest.approx(10.15 + TIME_OUT)


def test_a_heartbeat_brings_a_higher_term(election: Election) -> None:
    assert election.step(Heartbeat(7, 1), 10.1, C) == [
        role(7, FOLLOWER, C, "follows"),
        Send(C, HeartbeatAnswer(7, 1, True, 7)),
    ]
    assert election.term == 7


def test_two_leaders_in_one_term_are_a_bug() -> None:  # trap 2
    with pytest.raises(InvariantViolated, match="election safety"):
        leading().step(Heartbeat(4, 1), 11.0, B)
