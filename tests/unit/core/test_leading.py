"""Election on the leader: rounds, reads, stepping down. Times are seconds of the member's clock."""

import msgspec
import pytest

from tests.unit.core.cast import CONFIGURATION, THREE, A, B, C, D, record_of
from tests.unit.core.electing import GATEWAY, LAST, TIME_OUT, TIMING, leading, new, role, status, to_others
from zraft.core import vitality
from zraft.core.effects import Ignored, Send, ToGateway, ToReplication, ToStorage
from zraft.core.election import Election
from zraft.core.lease import PublishLease
from zraft.core.roles import FOLLOWER, LEADER, Effect, Timing
from zraft.core.vitality import REPLICATION, STORAGE
from zraft.protocol.local import (
    CampaignAnswer,
    Deposed,
    HandOver,
    LeaseGroup,
    Ping,
    Pong,
    Resume,
    RoundAnswer,
    RoundRequest,
    StatusQuery,
    Stop,
    StorageStatus,
    VoteQuery,
)
from zraft.protocol.peer import Heartbeat, HeartbeatAnswer, PreVote, Vote, VoteAnswer

# --- leading


def test_rounds_are_sent_at_their_interval() -> None:
    election = leading()
    assert election.next_deadline() == pytest.approx(11.05)
    assert election.tick(11.04) == []
    assert election.tick(11.06) == to_others(Heartbeat(4, 2))
    assert election.next_deadline() == pytest.approx(11.11)


def test_a_leader_that_no_majority_answers_steps_down() -> None:  # check-quorum, [D] 6.2
    election = leading()
    election.tick(11.06)
    election.step(HeartbeatAnswer(4, 2, True, 4), 11.2, B)
    assert election.tick(11.3) == to_others(Heartbeat(4, 3))
    assert election.tick(11.32) == [
        role(4, FOLLOWER, 0, "no majority answers"),
        ToReplication(Stop(4)),
    ]


def test_a_single_node_goes_on_leading() -> None:
    election = leading(record_of(A))
    for beat in range(1, 20):
        assert election.tick(11.0 + 0.06 * beat) == []
    assert election.role == LEADER


@pytest.mark.parametrize(
    "message", [HeartbeatAnswer(4, 1, False, 6), Deposed(6)], ids=["a heartbeat refused", "replication refused"]
)
def test_a_leader_that_meets_a_higher_term_steps_down(message: HeartbeatAnswer | Deposed) -> None:  # [R] 5.1
    election = leading()
    effects = election.step(message, 11.01, B)
    assert effects[1:] == [ToReplication(Stop(4))]
    assert (election.role, election.leader, election.term) == (FOLLOWER, 0, 4)
    election.tick(11.3)
    assert election.step(status(4, A), 11.3) == to_others(PreVote(7, 2, LAST))  # and remembers it (trap 4)


def test_a_leader_follows_the_leader_of_a_higher_term() -> None:
    election = leading()
    assert election.step(Heartbeat(6, 1), 11.01, B) == [
        role(6, FOLLOWER, B, "follows"),
        ToReplication(Stop(4)),
        Send(B, HeartbeatAnswer(6, 1, True, 6)),
    ]


def test_a_leader_whose_storage_moved_on_steps_down() -> None:
    election = leading()
    effects = election.step(StorageStatus(A, 6, 0, LAST, THREE, True, CONFIGURATION), 11.01)
    assert effects[1:] == [role(6, FOLLOWER, 0, "storage is at a higher term"), ToReplication(Stop(4))]


def test_a_lower_term_deposes_nobody() -> None:
    election = leading()
    assert election.step(Deposed(4), 11.01) == [Ignored("term 4 is met, but this node leads nothing below it")]
    assert election.role == LEADER


def test_a_leader_hears_itself() -> None:  # S7: its own quiet time counts from its last round
    election = leading()
    election.tick(11.06)
    election.step(HeartbeatAnswer(4, 2, False, 6), 11.07, C)
    assert election.step(Vote(7, 1, LAST), 11.2, C) == [Send(C, VoteAnswer(7, 1, False, 4))]
    assert election.step(Vote(7, 1, LAST), 11.22, C) == [ToStorage(VoteQuery(7, C, 1, LAST, True))]


# --- the lease (S7, S12)

LEASING = msgspec.structs.replace(TIMING, lease=0.1)


def lease(end: float) -> PublishLease:
    return PublishLease(LeaseGroup(4, pytest.approx(end)))  # type: ignore[arg-type]  # it compares with a float


def test_a_lease_lasts_from_the_sending_of_a_round_that_a_majority_answered() -> None:  # S12
    election = leading(timing=LEASING)
    assert election.step(HeartbeatAnswer(4, 1, True, 4), 11.04, B) == [lease(11.1)]
    election.tick(11.06)
    election.tick(11.12)
    assert election.step(HeartbeatAnswer(4, 2, True, 4), 11.14, C) == [lease(11.16)]


def test_an_election_is_no_lease() -> None:  # S7: who voted has promised nothing to whom it elected
    election = leading(timing=LEASING)
    assert PublishLease not in map(type, election.tick(11.06))
    single = new(record=(alone := record_of(A)), timing=LEASING)
    single.tick(11.0)
    single.step(status(record=alone), 11.0)
    effects = single.step(CampaignAnswer(4, 1, True, 4, LAST, alone.configuration()), 11.0)
    assert effects[2:] == [lease(11.1)]  # but the only voter answers its own first round


def test_answers_that_are_no_majority_extend_no_lease() -> None:  # S12
    election = leading(record_of(A, B, C, D, 5), LEASING)
    assert election.step(HeartbeatAnswer(4, 1, True, 4), 11.01, B) == []
    assert election.step(HeartbeatAnswer(4, 1, True, 4), 11.02, B) == []
    assert election.step(HeartbeatAnswer(4, 1, True, 4), 11.03, D) == [lease(11.1)]


def test_a_round_is_worth_one_lease() -> None:
    election = leading(timing=LEASING)
    election.step(HeartbeatAnswer(4, 1, True, 4), 11.01, B)
    assert election.step(HeartbeatAnswer(4, 1, True, 4), 11.02, C) == []


def test_reads_that_a_round_confirms_find_its_lease_published() -> None:
    election = leading(timing=LEASING)
    election.step(HeartbeatAnswer(4, 1, True, 4), 11.01, B)
    election.step(RoundRequest(GATEWAY, 71), 11.02)
    assert election.step(HeartbeatAnswer(4, 2, True, 4), 11.03, C) == [
        lease(11.12),
        ToGateway(GATEWAY, RoundAnswer(71, 4)),
    ]


def test_the_lease_is_cleared_before_the_leader_steps_down() -> None:  # S7: only after that may it grant
    election = leading(timing=LEASING)
    election.step(HeartbeatAnswer(4, 1, True, 4), 11.01, B)
    assert election.step(Deposed(6), 11.02) == [
        PublishLease(None),
        role(4, FOLLOWER, 0, "replication met a higher term"),
        ToReplication(Stop(4)),
    ]
    assert election.step(HeartbeatAnswer(4, 1, True, 4), 11.03, C) == [Ignored("acknowledgement of term 4")]


# --- reads (traps 40, 41)


def test_a_read_starts_a_round_of_its_own() -> None:
    election = leading()
    election.step(HeartbeatAnswer(4, 1, True, 4), 11.01, B)
    assert election.step(RoundRequest(GATEWAY, 71), 11.02) == to_others(Heartbeat(4, 2))
    assert election.step(HeartbeatAnswer(4, 2, True, 4), 11.03, C) == [ToGateway(GATEWAY, RoundAnswer(71, 4))]


def test_a_round_that_was_under_way_proves_nothing_to_a_read() -> None:  # S7, trap 41
    election = leading()
    assert election.step(RoundRequest(GATEWAY, 71), 11.01) == []
    assert election.step(HeartbeatAnswer(4, 1, True, 4), 11.02, B) == to_others(Heartbeat(4, 2))
    assert election.step(HeartbeatAnswer(4, 1, True, 4), 11.02, C) == []
    assert election.step(HeartbeatAnswer(4, 2, True, 4), 11.03, B) == [ToGateway(GATEWAY, RoundAnswer(71, 4))]


def test_reads_gather_while_a_round_is_under_way() -> None:
    election = leading()
    for request in (71, 72):
        election.step(RoundRequest(GATEWAY, request), 11.01)
    election.step(HeartbeatAnswer(4, 1, True, 4), 11.02, B)
    assert election.step(HeartbeatAnswer(4, 2, True, 4), 11.03, B) == [
        ToGateway(GATEWAY, RoundAnswer(71, 4)),
        ToGateway(GATEWAY, RoundAnswer(72, 4)),
    ]


def test_an_acknowledgement_of_another_term_confirms_nothing() -> None:  # traps 14, 41
    election = leading()
    election.step(RoundRequest(GATEWAY, 71), 11.01)
    assert election.step(HeartbeatAnswer(3, 9, True, 3), 11.02, B) == [Ignored("acknowledgement of term 3")]


def test_who_does_not_lead_confirms_no_read(election: Election) -> None:
    assert election.step(RoundRequest(GATEWAY, 71), 11.0) == [ToGateway(GATEWAY, RoundAnswer(71, 0))]


def test_reads_of_a_deposed_leader_are_refused() -> None:  # trap 41
    election = leading()
    election.step(RoundRequest(GATEWAY, 71), 11.01)
    assert election.step(Deposed(6), 11.02)[1:] == [ToReplication(Stop(4)), ToGateway(GATEWAY, RoundAnswer(71, 0))]


def test_a_single_node_confirms_reads_by_itself() -> None:
    election = leading(record_of(A))
    assert election.step(RoundRequest(GATEWAY, 71), 11.01) == [ToGateway(GATEWAY, RoundAnswer(71, 4))]


# --- a leader must be able to work

SHORT = Timing(heartbeat=0.05, election_min=0.15, election_max=0.25, stall_limit=2.0)


def test_actors_are_pinged(election: Election) -> None:
    election = Election(A, status(), SHORT, 10.0, 10.0, lambda: 0.5)
    assert election.tick(10.0) == [ToStorage(Ping(1)), ToReplication(Ping(1))]
    pings: list[Effect] = [ToStorage(Ping(2)), ToReplication(Ping(2))]
    assert [effect for effect in election.tick(10.26) if effect in pings] == pings


def keep_leading(election: Election, until: float, well: tuple[str, ...]) -> list[Effect]:
    """Everybody answers, but of the own actors only those that are ``well``."""
    now, effects = 11.0, []
    while now < until and election.role == LEADER:
        now += 0.05
        effects = election.tick(now)
        for actor in well:
            election.pong(actor, Pong(1, 0, False, 4), now)
        election.step(HeartbeatAnswer(4, election._office.rounds.number if election._office else 0, True, 4), now, B)
    return effects


def test_a_leader_with_a_stuck_replication_steps_down() -> None:
    election = leading(timing=SHORT)
    effects = keep_leading(election, 20.0, (STORAGE,))
    assert effects[-2:] == [role(4, FOLLOWER, 0, "replication makes no progress"), ToReplication(Stop(4))]


def test_a_leader_with_a_stuck_storage_steps_down_when_nobody_takes_over() -> None:
    election = leading(timing=SHORT)
    effects = keep_leading(election, 20.0, (REPLICATION,))
    assert effects[-3:] == [
        ToReplication(Resume(4)),
        role(4, FOLLOWER, 0, "storage makes no progress, and nobody takes over"),
        ToReplication(Stop(4)),
    ]


def test_a_leader_with_a_stuck_storage_steps_down_at_once_when_nobody_could_take_over() -> None:
    election = leading(record_of(A), timing=SHORT)
    election.pong(REPLICATION, Pong(1, 0, False, 4), 12.1)
    assert election.tick(12.1)[-2:] == [role(4, FOLLOWER, 0, "storage makes no progress"), ToReplication(Stop(4))]


def test_a_leader_that_could_not_work_leaves_the_next_ballot_to_the_others() -> None:
    # Their patience ends first. Else it might win again, and the cluster stand still for one more limit.
    election = leading(timing=SHORT)
    keep_leading(election, 12.93, (STORAGE,))
    assert election.role == LEADER
    election.tick(13.03)
    assert election.role == FOLLOWER
    assert election._timeout == pytest.approx(13.03 + TIME_OUT + SHORT.election_max)


def test_where_nobody_leads_for_long_who_has_all_entries_leads_to_hand_them_on() -> None:
    # Its gateway is dead, and its log the longest: no healthy node could win against it.
    election = new(timing=SHORT)

    def tick(now: float) -> list[Effect]:
        for actor in (STORAGE, REPLICATION):
            election.pong(actor, Pong(1, 0, False, 3), now)
        return election.tick(now)

    assert tick(14.9)[-1] == Ignored("no ballot: gateway makes no progress")
    assert ToStorage(StatusQuery()) in tick(15.5)
    assert tick(16.1)[-1] == Ignored("no ballot: gateway makes no progress")  # that came to nothing


def test_who_leads_to_hand_over_waits_until_somebody_has_answered() -> None:
    election = leading(timing=SHORT)
    for actor in (STORAGE, REPLICATION):
        election.pong(actor, Pong(1, 0, False, 4), 16.0)
    election._office.rounds.confirmed_sent = 16.0  # type: ignore[union-attr]  # as if elected now, long after the gateway died
    assert election.tick(16.01)[-1] == Send(C, Heartbeat(4, 2))
    election.step(HeartbeatAnswer(4, 2, True, 4), 16.02, C)
    assert ToReplication(HandOver(4, 1, (C,))) in election.tick(16.03)


def test_a_leader_whose_actors_are_well_goes_on() -> None:
    election = leading(timing=SHORT)
    keep_leading(election, 20.0, (STORAGE, REPLICATION, vitality.GATEWAY))
    assert election.role == LEADER


def test_a_leader_without_a_gateway_hands_over_and_campaigns_no_more() -> None:
    # All writes go through the leader's gateway. One that is started anew has twice the limit for it.
    election = leading(timing=SHORT)
    began = election._pulse._vitality[vitality.GATEWAY]._progressed
    before = keep_leading(election, began + 2 * SHORT.stall_limit - 0.06, (STORAGE, REPLICATION))
    assert ToReplication(HandOver(4, 1, (B,))) not in before
    told = election.tick(began + 2 * SHORT.stall_limit + 0.01)
    assert ToReplication(HandOver(4, 1, (B,))) in told
    keep_leading(election, 30.0, (STORAGE, REPLICATION))
    assert election.role == FOLLOWER
    now = election._timeout
    for actor in (STORAGE, REPLICATION):
        election.pong(actor, Pong(1, 0, False, 4), now)
    assert Ignored("no ballot: gateway makes no progress") in election.tick(now)
    election.pong(vitality.GATEWAY, vitality.SIGN_OF_LIFE, now)
    assert ToStorage(StatusQuery()) in election.tick(now + 1.0)


def test_a_node_with_a_stuck_replication_is_no_candidate() -> None:
    # Else it would be elected, lead until it is found out, and be elected again: its log is as good as any.
    election = new(timing=SHORT)
    election.pong(STORAGE, Pong(1, 0, False, 3), 12.0)
    assert election.tick(12.1)[-1] == Ignored("no ballot: replication makes no progress")


def test_a_node_whose_storage_does_not_answer_neither_campaigns_nor_acknowledges() -> None:
    election = new(timing=SHORT)
    assert election.tick(12.1)[-1] == Ignored("no ballot: storage makes no progress")
    assert election.step(Heartbeat(3, 1), 12.2, B) == [
        role(3, FOLLOWER, B, "follows"),
        Ignored("no acknowledgement: storage does not answer"),
    ]


def test_a_node_without_room_to_apply_does_not_campaign_but_acknowledges() -> None:
    # Its vote counts, and its log grows: with a majority of such nodes the one that has room leads, and serves reads.
    election = new(timing=SHORT)
    for now in (10.5, 11.0, 11.5, 12.0):
        election.pong(STORAGE, Pong(1, 5, True, 3), now)
        election.pong(REPLICATION, Pong(1, 0, False, 0), now)
    assert election.tick(12.6)[-1] == Ignored("no ballot: storage makes no progress")
    assert election.step(Heartbeat(3, 1), 12.7, B)[-1] == Send(B, HeartbeatAnswer(3, 1, True, 3))
