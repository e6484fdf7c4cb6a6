"""Leadership transfer (S8, [D] 3.10): the leader, its replication, the target and the voters, each by itself."""

import msgspec
import pytest

from tests.unit.core.cast import CONFIGURATION, THREE, A, B, C, record_of
from tests.unit.core.electing import GATEWAY, LAST, TIME_OUT, TIMING, leading, new, role, status, to_others
from tests.unit.core.replicating import TERM, accepted, propose, streaming
from zraft.core.effects import Ignored, Send, ToGateway, ToReplication, ToStorage
from zraft.core.election import Election
from zraft.core.lease import PublishLease
from zraft.core.replication import Refuse, ToElection
from zraft.core.roles import CANDIDATE, FOLLOWER, LEADER, Effect, Timing
from zraft.core.vitality import REPLICATION
from zraft.protocol.entries import ClusterRecord, Member
from zraft.protocol.local import (
    Campaign,
    CampaignAnswer,
    HandOver,
    LeaseGroup,
    Pong,
    Ready,
    Resume,
    Stop,
    TransferAnswer,
    TransferRequest,
    VoteQuery,
)
from zraft.protocol.peer import (
    Heartbeat,
    HeartbeatAnswer,
    NotProposed,
    PreVote,
    PreVoteAnswer,
    TimeoutNow,
    Vote,
    VoteAnswer,
)

LEASED = msgspec.structs.replace(TIMING, lease=0.1)
ASKED = TransferRequest(GATEWAY, 9, "")
CLEARED = PublishLease(None)


def answered(timing: Timing = LEASED, record: ClusterRecord = THREE) -> Election:
    """A leads term 4, and everybody has acknowledged its first round, at 11.01 s."""
    election = leading(record, timing=timing)
    for member in record.members[1:]:
        election.step(HeartbeatAnswer(4, 1, True, 4), 11.01, member.id)
    return election


def handing_over() -> Election:
    """B has been told to campaign, at 11.02 s."""
    election = answered()
    election.step(ASKED, 11.02)
    election.step(Ready(4, 1, B), 11.02)
    return election


def following() -> Election:
    """A follows B in term 3, and heard it at 11.0 s."""
    election = new()
    election.step(Heartbeat(3, 1), 11.0, B)
    return election


def failed(code: str, message: str) -> list[Effect]:
    return [ToGateway(GATEWAY, TransferAnswer(9, "", 0, code, message))]


# --- the leader


def test_whoever_answers_is_a_candidate() -> None:
    assert answered().step(ASKED, 11.02) == [ToReplication(HandOver(4, 1, (B, C)))]


def test_the_one_that_is_named_is_the_only_candidate() -> None:
    assert answered().step(TransferRequest(GATEWAY, 9, "node-3"), 11.02) == [ToReplication(HandOver(4, 1, (C,)))]


def test_the_lease_is_cleared_before_anybody_is_told_to_campaign() -> None:  # S8
    election = answered()
    election.step(ASKED, 11.02)
    assert election.step(Ready(4, 1, C), 11.03) == [CLEARED, Send(C, TimeoutNow(4))]


def test_a_lease_that_was_surrendered_is_never_published_again_in_its_term() -> None:  # S8
    election = handing_over()
    election.tick(11.2)
    assert election.step(HeartbeatAnswer(4, 2, True, 4), 11.21, B) == []
    election.tick(11.30)  # it is given up, and this node leads on: reads go by rounds
    assert election.role == LEADER
    assert election.step(HeartbeatAnswer(4, 3, True, 4), 11.31, C) == []


def test_the_next_term_of_the_same_leader_has_a_lease_again() -> None:
    election = handing_over()
    election.step(HeartbeatAnswer(4, 1, False, 5), 11.03, B)
    election.tick(12.0)
    election.step(status(5), 12.0)
    election.step(PreVoteAnswer(6, 2, True, 5), 12.0, C)
    election.step(CampaignAnswer(6, 2, True, 6, LAST, CONFIGURATION), 12.0)
    election.step(VoteAnswer(6, 2, True, 6), 12.0, C)
    assert election.step(HeartbeatAnswer(6, 1, True, 6), 12.01, C) == [PublishLease(LeaseGroup(6, 12.1))]


def test_a_leader_that_nobody_succeeds_leads_on() -> None:  # [D] 3.10
    election = handing_over()
    assert election.tick(11.2) == to_others(Heartbeat(4, 2))
    election.step(HeartbeatAnswer(4, 2, True, 4), 11.21, C)
    why = "node-2 was asked to take over, and did not within 0.25 s; try again"
    assert election.tick(11.28)[:2] == [ToReplication(Resume(4)), *failed("Unknown", why)]


def test_a_candidate_that_lacks_entries_is_not_waited_for() -> None:
    election = answered()
    election.step(TransferRequest(GATEWAY, 9, "node-3"), 11.02)
    election.tick(11.2)
    election.step(HeartbeatAnswer(4, 2, True, 4), 11.21, B)
    why = "nobody of node-3 had every entry within 0.25 s; try again when less is written"
    assert election.tick(11.28)[:2] == [ToReplication(Resume(4)), *failed("Unknown", why)]
    assert election.step(Ready(4, 1, C), 11.29) == [Ignored("hand-over 1 of term 4 is not under way")]


def test_whoever_asked_is_told_who_leads() -> None:
    election = handing_over()
    assert election.step(Heartbeat(5, 1), 11.05, B) == [
        role(5, FOLLOWER, B, "follows"),
        ToReplication(Stop(4)),
        ToGateway(GATEWAY, TransferAnswer(9, "node-2", 5)),
        Send(B, HeartbeatAnswer(5, 1, True, 5)),
    ]


def test_when_another_one_leads_than_was_named_that_one_is_to_be_asked() -> None:
    election = answered()
    election.step(TransferRequest(GATEWAY, 9, "node-3"), 11.02)
    assert failed("NotLeader", "node-2 leads now, not node-3: ask it")[0] in election.step(Heartbeat(5, 1), 11.05, B)


def test_the_answer_says_so_when_no_new_leader_is_heard() -> None:
    election = handing_over()
    election.step(Vote(5, 1, LAST, True), 11.03, B)
    why = "the leadership of term 4 was given up, but no new leader was heard within 0.25 s"
    assert election.tick(11.28)[0] == failed("Unknown", why)[0]


def test_who_leads_again_by_then_goes_on() -> None:
    election = answered()
    election._transfer.leave(4, CONFIGURATION, 11.02, "storage makes no progress")  # it could not work in that term
    election.step(HeartbeatAnswer(4, 1, False, 5), 11.03, B)
    election.tick(11.25)
    election.step(status(5), 11.25)
    election.step(PreVoteAnswer(6, 2, True, 5), 11.25, C)
    election.step(CampaignAnswer(6, 2, True, 6, LAST, CONFIGURATION), 11.25)
    election.step(VoteAnswer(6, 2, True, 6), 11.25, C)
    election.tick(11.28)
    assert election.role == LEADER


def test_a_second_order_joins_the_first() -> None:
    election = answered()
    election.step(ASKED, 11.02)
    assert election.step(TransferRequest(GATEWAY, 10, ""), 11.03) == []
    told = election.step(Heartbeat(5, 1), 11.05, C)
    assert [effect.message.request for effect in told if isinstance(effect, ToGateway)] == [9, 10]


@pytest.mark.parametrize(
    ("to", "code", "message"),
    [
        ("node-1", "InvalidArgument", "node-1 leads already: name one of node-2, or nobody to let the leader choose"),
        ("node-9", "InvalidArgument", "there is no member 'node-9': name one of node-2"),
        ("node-3", "InvalidArgument", "node-3 is a learner, and can't lead: name one of node-2"),
        ("node-2", "Unavailable", "node-2 has not answered for 0.3 s: start it, or name another of node-2"),
        ("", "Unavailable", "no other voter answers: start one of node-2"),
    ],
)
def test_who_can_not_take_over(to: str, code: str, message: str) -> None:
    election = answered(record=record_of(A, B, C, learners=(C,)))
    assert election.step(TransferRequest(GATEWAY, 9, to), 11.31) == failed(code, message)


def test_a_single_node_hands_over_to_nobody() -> None:
    why = "there is no other voter that could take over: add a member first"
    assert leading(record_of(A)).step(ASKED, 11.0) == failed("InvalidArgument", why)


def test_who_does_not_lead_hands_nothing_over() -> None:
    assert following().step(ASKED, 11.0) == failed("NotLeader", "this node does not lead")


def test_a_leader_votes_in_the_ballot_that_it_asked_for() -> None:  # S8: it has stepped down by then
    election = handing_over()
    assert election.step(Vote(5, 1, LAST, True), 11.03, B) == [
        role(4, FOLLOWER, 0, "hands over"),
        ToReplication(Stop(4)),
        ToStorage(VoteQuery(5, B, 1, LAST, True)),
    ]


def test_a_leader_that_asked_nobody_votes_for_nobody() -> None:  # S8: its lease may be valid
    election = answered()
    assert election.step(Vote(5, 1, LAST, True), 11.03, B) == [Send(B, VoteAnswer(5, 1, False, 4))]
    assert election.role == LEADER


def test_a_leader_with_a_stuck_storage_hands_over() -> None:
    election = answered(Timing(heartbeat=0.05, election_min=0.15, election_max=0.25, stall_limit=2.0))
    now = 11.01
    handed = list[Effect]()
    while not handed:
        now += 0.05
        election.pong(REPLICATION, Pong(1, 0, False, 4), now)
        handed = [effect for effect in election.tick(now) if effect == ToReplication(HandOver(4, 1, (B,)))]
        election.step(HeartbeatAnswer(4, election._office.rounds.number if election._office else 0, True, 4), now, B)
    assert now == pytest.approx(12.0, abs=0.06)
    assert election.step(Ready(4, 1, B), now) == [Send(B, TimeoutNow(4))]


# --- its replication


def test_no_proposal_is_taken_during_a_hand_over() -> None:  # trap 10: the gateway proposes it under another number
    core = streaming(A, B, C)
    assert core.step(HandOver(TERM, 1, (B, C)), 10.0, A) == []
    refusal = NotProposed(propose().origin, "NotLeader", "not proposed: the leadership is being handed over")
    assert core.step(propose(), 10.0, A) == [Refuse(refusal)]
    core.step(Resume(TERM), 10.0, A)
    (ignored,) = core.step(propose(), 10.0, A)
    assert isinstance(ignored, Ignored)  # S9: a second copy of it, which came late
    assert core.step(propose(2), 10.0, A) == []


def test_a_candidate_is_ready_when_it_has_every_entry() -> None:
    core = streaming(A, B, C)
    core.step(propose(), 10.0, A)
    core.flush(10.0)
    core.step(HandOver(TERM, 1, (B, C)), 10.0, A)
    core.step(accepted(6), 10.0, B)
    assert not [effect for effect in core.flush(10.0) if isinstance(effect, ToElection)]
    core.step(accepted(7), 10.0, C)
    assert [effect for effect in core.flush(10.0) if isinstance(effect, ToElection)] == [ToElection(Ready(TERM, 1, C))]
    core.step(accepted(7), 10.0, B)
    assert not [effect for effect in core.flush(10.0) if isinstance(effect, ToElection)]  # it is said once


def test_who_is_no_candidate_is_never_ready() -> None:
    core = streaming(A, B, C)
    core.step(HandOver(TERM, 1, (C,)), 10.0, A)
    core.step(accepted(6), 10.0, B)
    assert not [effect for effect in core.flush(10.0) if isinstance(effect, ToElection)]


@pytest.mark.parametrize("message", [HandOver(TERM - 1, 1, (B,)), Resume(TERM + 1)])
def test_a_hand_over_of_another_term_is_ignored(message: HandOver | Resume) -> None:
    ignored = [Ignored(f"a hand-over of term {message.term}, which is not led")]
    assert streaming(A, B, C).step(message, 10.0, A) == ignored


# --- the target


def test_the_target_campaigns_at_once_and_says_why() -> None:  # S8: no pre-vote, though it has just heard its leader
    election = following()
    assert election.step(TimeoutNow(3), 11.01, B) == [
        role(3, CANDIDATE, 0, "the leader hands over"),
        ToStorage(Campaign(4, 1)),
    ]
    asked = election.step(CampaignAnswer(4, 1, True, 4, LAST, CONFIGURATION), 11.02)
    assert asked == to_others(Vote(4, 1, LAST, transfer=True))


def test_from_its_campaign_on_the_target_acknowledges_its_leader_no_more() -> None:  # S7: a Campaign is a grant
    election = following()
    election.step(TimeoutNow(3), 11.01, B)
    ignored = [Ignored("heartbeat of term 3, but a vote above it is with storage")]
    assert election.step(Heartbeat(3, 2), 11.01, B) == ignored


def test_the_target_campaigns_once() -> None:  # S8
    election = following()
    election.step(TimeoutNow(3), 11.01, B)
    election.step(CampaignAnswer(4, 1, False, 3, LAST, CONFIGURATION), 11.02)
    election.step(Heartbeat(3, 2), 11.03, B)
    ignored = [Ignored("this actor has only just started, or campaigned for term 3 before")]
    assert election.step(TimeoutNow(3), 11.04, B) == ignored


def test_the_next_ballot_is_an_ordinary_one() -> None:  # S8: a retry has a pre-vote, and by-passes nothing
    election = following()
    election.step(TimeoutNow(3), 11.01, B)
    election.step(CampaignAnswer(4, 1, True, 4, LAST, CONFIGURATION), 11.02)
    assert election.next_deadline() == pytest.approx(11.01 + TIME_OUT)
    election.tick(11.3)
    assert election.step(status(4), 11.3) == to_others(PreVote(5, 2, LAST))
    election.step(PreVoteAnswer(5, 2, True, 4), 11.3, C)
    asked = election.step(CampaignAnswer(5, 2, True, 5, LAST, CONFIGURATION), 11.3)
    assert asked == to_others(Vote(5, 2, LAST, transfer=False))


@pytest.mark.parametrize(
    ("term", "sender"), [(2, B), (4, B), (3, C)], ids=["an older term", "a later one", "another than the leader"]
)
def test_only_the_leader_that_is_followed_is_obeyed(term: int, sender: int) -> None:  # S8
    why = f"{sender:016x} of term {term} is not followed, or this node can't work"
    assert following().step(TimeoutNow(term), 11.01, sender) == [Ignored(why)]


def test_who_may_have_voted_for_somebody_else_does_not_campaign() -> None:  # S8: a later grant is with storage
    election = following()
    election.step(Vote(4, 1, LAST), 11.2, C)
    why = f"{B:016x} of term 3 is not followed, or this node can't work"
    assert election.step(TimeoutNow(3), 11.2, B) == [Ignored(why)]


def test_who_has_just_started_campaigns_for_nobody() -> None:  # S7: its own start counts
    election = new()
    election.step(Heartbeat(3, 1), 10.05, B)
    ignored = [Ignored("this actor has only just started, or campaigned for term 3 before")]
    assert election.step(TimeoutNow(3), 10.1, B) == ignored
    assert election.step(Heartbeat(3, 2), 10.2, B)[:1] == [Send(B, HeartbeatAnswer(3, 2, True, 3))]  # it follows on


def test_who_had_only_just_started_takes_over_when_it_is_asked_again() -> None:
    election = new()
    election.step(Heartbeat(3, 1), 10.05, B)
    election.step(TimeoutNow(3), 10.1, B)
    asked = election.step(TimeoutNow(3), 10.0 + TIME_OUT, B)
    assert asked == [role(3, CANDIDATE, 0, "the leader hands over"), ToStorage(Campaign(4, 1))]


# --- the voters


def test_voters_need_not_stay_with_a_leader_that_handed_over() -> None:  # S8
    election = following()
    assert election.step(Vote(4, 1, LAST, True), 11.01, C) == [ToStorage(VoteQuery(4, C, 1, LAST, True))]


def test_who_has_just_started_votes_for_nobody_all_the_same() -> None:  # S7
    assert new().step(Vote(4, 1, LAST, True), 10.1, C) == [Send(C, VoteAnswer(4, 1, False, 3))]


def test_a_vote_that_is_not_of_a_transfer_by_passes_nothing() -> None:  # S8, traps 8, 39
    assert following().step(Vote(4, 1, LAST), 11.01, C) == [Send(C, VoteAnswer(4, 1, False, 3))]


def test_a_learner_is_a_member_but_no_candidate() -> None:  # trap 11
    record = ClusterRecord((Member(A, "a"), Member(B, "b"), Member(C, "c", voter=False)), 150)
    assert answered(record=record).step(ASKED, 11.02) == [ToReplication(HandOver(4, 1, (B,)))]
