"""A leader changes the members: who is fed, who counts from when on, and what election says of it (S14)."""

from collections.abc import Sequence

from tests.unit.core.cast import A, B, C, D, record_of
from tests.unit.core.electing import TIMING, leading, new, role, status
from tests.unit.core.replicating import LAST, TERM, accepted, lead, leader, propose, published
from zraft.core.effects import Ignored, Notice, Send, ToReplication, ToStorage
from zraft.core.election import Election
from zraft.core.leadership import LEAVE_SECONDS
from zraft.core.membership import READY_SECONDS
from zraft.core.replication import Refuse, Replication, ToElection
from zraft.core.roles import FOLLOWER
from zraft.protocol.codec import encode
from zraft.protocol.entries import Configuration, EntryId, EntryKind, Member, Origin, encode_entry
from zraft.protocol.local import (
    Counted,
    HandOver,
    Members,
    Propose,
    Ready,
    Removed,
    StatusQuery,
    Stop,
    StorageStatus,
    VoteQueryAnswer,
)
from zraft.protocol.peer import (
    Append,
    Heartbeat,
    HeartbeatAnswer,
    NotProposed,
    PreVote,
    PreVoteAnswer,
    TimeoutNow,
    Vote,
)
from zraft.protocol.requests import ChangeMember

ORIGIN = Origin(B, 0, 77, 1)


def change(what: ChangeMember, number: int = 1) -> Propose:
    return Propose(TERM, ORIGIN._replace(number=number), False, encode(what), EntryKind.CONFIGURATION)


def committed(*members: int, learners: tuple[int, ...] = ()) -> Replication:
    """A leader whose first entry is committed, and known to be so by all."""
    core = leader(*members, learners=learners)
    core.flush(10.0)
    for member in members:
        core.step(accepted(5), 10.0, member)
    core.flush(10.0)
    for member in members:
        core.step(accepted(6), 10.0, member)
    core.flush(10.0)
    for member in members:
        core.step(accepted(6, commit=6), 10.0, member)
    core.flush(10.1)
    return core


def members_told(effects: Sequence[object]) -> Configuration:
    (told,) = effects
    assert isinstance(told, ToElection)
    assert isinstance(told.message, Members)
    return told.message.configuration


# --- replication


def test_a_new_learner_is_in_force_and_fed_at_once_and_does_not_count() -> None:
    core = committed(A, B, C)
    told = members_told(core.step(change(ChangeMember("add", "node-4", D, "four:1")), 10.2, A))
    assert told.index == 7
    assert told.members[3] == Member(D, "node-4", False, "four:1")
    data = encode_entry(7, TERM, EntryKind.CONFIGURATION, ORIGIN, encode(told.members))
    sent = core.flush(10.2)
    assert Send(B, Append(TERM, EntryId(6, TERM), (data,), 6)) in sent
    assert Send(D, Append(TERM, EntryId(7, TERM), (), 6)) in sent  # where do the logs meet?
    core.step(accepted(7), 10.2, D)
    core.step(accepted(7), 10.2, A)
    assert core.commit == 6
    core.step(accepted(7), 10.2, C)
    assert published(7) in core.flush(10.2)


def test_the_quorum_is_the_new_one_from_the_append_on() -> None:
    core = committed(A, B, C, learners=(C,))
    members_told(core.step(change(ChangeMember("promote", "node-3")), 10.2, A))
    core.flush(10.2)
    core.step(accepted(7), 10.2, A)
    core.flush(10.2)
    assert core.commit == 6  # one of three
    core.step(accepted(7), 10.2, C)
    core.flush(10.2)
    assert core.commit == 7


def test_a_change_that_is_refused_is_certainly_not_appended() -> None:
    core = committed(A, B, C)
    (refused,) = core.step(change(ChangeMember("remove", "node-9")), 10.2, A)
    text = "there is no member node-9: the members are node-1, node-2, node-3"
    assert refused == Refuse(NotProposed(ORIGIN, "MembershipRefused", text))
    broken = Propose(TERM, ORIGIN._replace(number=2), False, b"\xc1", EntryKind.CONFIGURATION)
    (refused,) = core.step(broken, 10.2, A)
    assert isinstance(refused, Refuse)
    assert refused.message.code == "InvalidArgument"
    assert core.flush(10.2) == []


def test_the_next_change_waits_until_the_one_before_is_committed_and_counted() -> None:  # S14 (b), (c)
    core = committed(A, B, C)
    core.step(change(ChangeMember("add", "node-4", D, "four:1")), 10.2, A)

    def code(number: int) -> str:
        (effect,) = core.step(change(ChangeMember("remove", "node-4"), number), 10.2, A)
        return effect.message.message if isinstance(effect, Refuse) else ""

    assert "not committed yet" in code(2)
    core.flush(10.2)
    for member in (A, B):
        core.step(accepted(7), 10.2, member)
    core.flush(10.2)
    assert "rounds do not count" in code(3)
    assert core.step(Counted(TERM - 1, 7), 10.2, A) == [Ignored("rounds of term 2, which is not led")]
    assert "rounds do not count" in code(4)
    core.step(Counted(TERM, 7), 10.2, A)
    assert code(5) == ""


def test_a_removed_member_is_fed_until_it_knows_and_counts_no_more() -> None:
    core = committed(A, B, C)
    core.step(change(ChangeMember("remove", "node-3")), 10.2, A)
    assert any(isinstance(effect, Send) and effect.to == C for effect in core.flush(10.2))
    core.step(accepted(7), 10.2, C)
    core.step(accepted(7), 10.2, A)
    core.flush(10.2)
    assert core.commit == 6  # one of two
    core.step(accepted(7), 10.2, B)
    core.flush(10.2)
    assert core.commit == 7
    core.step(accepted(7, commit=7), 10.3, C)
    core.tick(10.4)
    (ignored,) = core.step(accepted(7, commit=7), 10.4, C)
    assert ignored == Ignored("answer of 0000000000000003, whose storage is not fed")


def test_a_removed_member_that_is_silent_is_given_up() -> None:
    core = committed(A, B, C)
    core.step(change(ChangeMember("remove", "node-3")), 10.2, A)
    core.tick(10.2 + LEAVE_SECONDS - 1)
    assert core.step(accepted(6), 19.0, C) == []
    core.tick(10.2 + LEAVE_SECONDS)
    assert core.step(accepted(6), 21.0, C) == [Ignored("answer of 0000000000000003, whose storage is not fed")]


def test_a_leader_that_removes_itself_stays_until_that_is_committed_and_does_not_count_itself() -> None:  # traps 34, 35
    core = committed(A, B, C)
    core.step(change(ChangeMember("remove", "node-1")), 10.2, A)
    core.flush(10.2)
    core.step(accepted(7), 10.2, A)
    core.step(accepted(7), 10.2, B)
    assert core.flush(10.2) == []
    core.step(accepted(7), 10.2, C)
    assert core.flush(10.2)[:2] == [published(7), ToElection(Removed(TERM))]


def test_a_removed_leader_does_not_leave_for_an_older_entry() -> None:  # trap 35
    core = committed(A, B, C)
    core.step(propose(9), 10.2, A)
    core.step(change(ChangeMember("remove", "node-1"), 10), 10.2, A)
    core.flush(10.2)
    for member in (B, C):
        core.step(accepted(7), 10.2, member)
    effects = core.flush(10.2)
    assert published(7) in effects
    assert ToElection(Removed(TERM)) not in effects


def test_a_leader_that_is_in_no_configuration_feeds_its_own_storage() -> None:
    core = Replication(D)
    core.step(lead(A, B, C), 10.0, D)
    assert ToStorage(Append(TERM, LAST, (), 0)) in core.flush(10.0)
    core.step(accepted(6), 10.0, D)
    core.step(accepted(6), 10.0, A)
    core.flush(10.0)
    assert core.commit == 0
    core.step(accepted(6), 10.0, B)
    assert ToElection(Removed(TERM)) in core.flush(10.0)


def test_a_learner_that_keeps_up_is_promoted_by_the_leader() -> None:
    core = committed(A, B, learners=(B,))
    now = 10.2
    told: list[object] = []
    while not told and now < 20:
        core.step(accepted(6, commit=6), now, A)
        core.step(accepted(6, commit=6), now, B)
        told = [effect for effect in core.tick(now) if isinstance(effect, ToElection)]
        core.flush(now)
        now += 0.1
    assert members_told(told).voters() == {A, B}
    assert now >= 10.2 + READY_SECONDS


def test_the_first_members_get_the_addresses_that_the_leader_knows() -> None:
    core = Replication(A, addresses={"node-1": "one:1", "node-2": "two:1"})
    core.step(lead(A, B), 10.0, A)
    core.flush(10.0)
    for match in (5, 6):
        for member in (A, B):
            core.step(accepted(match), 10.0, member)
        core.flush(10.0)
    told = members_told(core.step(change(ChangeMember("add", "node-4", D, "four:1")), 10.2, A))
    assert told.addresses() == {"node-1": "one:1", "node-2": "two:1", "node-4": "four:1"}


def test_a_copy_of_a_proposal_is_dropped_also_when_its_term_is_over() -> None:  # S9
    core = committed(A, B, C)
    core.step(propose(1), 10.2, A)
    core.step(Stop(TERM), 10.2, A)
    assert core.step(propose(1), 10.2, A) == [Ignored("proposal 1 of gateway 000000000000004d was seen in term 3")]
    (refused,) = core.step(propose(2), 10.2, A)
    assert isinstance(refused, Refuse)


def test_a_copy_of_what_was_refused_too_early_is_not_made() -> None:  # S9: it was proposed again, under another number
    core = Replication(A)
    assert isinstance(core.step(propose(1), 10.0, A)[0], Refuse)
    core.step(lead(A, B), 10.0, A)
    assert core.step(propose(1), 10.2, A) == [Ignored("proposal 1 of gateway 000000000000004d was seen in term 3")]
    assert core.step(propose(2), 10.2, A) == []


# --- election

FOUR = Configuration(9, (*record_of(A, B, C).members, Member(D, "node-4")))


def beats(effects: Sequence[object]) -> list[int]:
    return [effect.to for effect in effects if isinstance(effect, Send) and isinstance(effect.message, Heartbeat)]


def test_rounds_count_a_configuration_when_one_that_began_after_it_was_confirmed() -> None:  # S14 (c)
    election = leading(timing=TIMING)
    election.step(HeartbeatAnswer(4, 1, True, 4), 11.0, B)
    assert beats(election.tick(11.06)) == [B, C]  # round 2
    assert beats(election.step(Members(4, FOUR), 11.07)) == [B, C, D]
    for member in (B, C, D):  # the new majority answers the old round: a lease of the old one may last longer
        assert election.step(HeartbeatAnswer(4, 2, True, 4), 11.08, member) == []
    assert election.step(HeartbeatAnswer(4, 3, True, 4), 11.09, B) == []  # two of four
    assert election.step(HeartbeatAnswer(4, 3, True, 4), 11.09, D) == [ToReplication(Counted(4, 9))]
    assert election.step(HeartbeatAnswer(4, 3, True, 4), 11.09, C) == []


def test_a_leader_takes_members_from_its_own_term_only() -> None:  # S14
    election = leading()
    assert election.step(Members(3, FOUR), 11.0) == [Ignored("members of term 3, which is not led")]
    stale = StorageStatus(A, 4, A, EntryId(9, 4), record_of(A, B, C), True, FOUR, commit=9)
    election.step(stale, 11.0)
    assert election.configuration == record_of(A, B, C).configuration()


def test_a_removed_leader_steps_down() -> None:  # [D] 4.2.2
    election = leading()
    assert election.step(Removed(3), 11.0) == [Ignored("removed in term 3, which is not led")]
    effects = election.step(Removed(4), 11.0)
    assert ToReplication(Stop(4)) in effects
    assert election.role == FOLLOWER


def test_a_removed_leader_hands_over_to_somebody_who_answers() -> None:
    election = leading()
    election.step(HeartbeatAnswer(4, 1, True, 4), 11.01, B)
    election.step(Members(4, Configuration(9, record_of(B, C).members)), 11.02)
    assert election.step(Removed(4), 11.03) == [ToReplication(HandOver(4, 1, (B,)))]
    assert election.step(Removed(4), 11.04) == []  # each commit says so again
    assert election.step(Ready(4, 1, B), 11.05) == [Send(B, TimeoutNow(4))]
    assert election.tick(11.05 + TIMING.election_max * 1.1)[-2:] == [
        role(4, FOLLOWER, 0, "removed from the cluster, and nobody takes over"),
        ToReplication(Stop(4)),
    ]  # go all the same


def test_who_has_led_when_it_was_removed_is_no_candidate_and_says_so() -> None:
    # Its storage tells of the removal while it still leads, and hands over: that counts once it leads no more.
    election = leading()
    without = Configuration(9, record_of(B, C).members)
    election.step(HeartbeatAnswer(4, 1, True, 4), 11.01, B)
    election.step(Members(4, without), 11.02)
    election.step(Removed(4), 11.03)
    told = StorageStatus(A, 4, A, EntryId(9, 4), record_of(A, B, C), True, without, commit=9, may_campaign=False)
    assert election.step(told, 11.04) == [Ignored("no ballot waits for storage's status")]
    election.step(Ready(4, 1, B), 11.05)
    effects = election.step(Vote(5, 1, EntryId(9, 4), True), 11.06, B)
    assert effects[:2] == [role(4, FOLLOWER, 0, "hands over"), ToReplication(Stop(4))]
    assert isinstance(effects[2], Notice)
    assert "not in the configuration of log index 9: it was removed" in effects[2].text
    election.step(VoteQueryAnswer(5, B, 1, True, True, 5), 11.07)
    assert election.tick(11.5)[-1] == ToStorage(StatusQuery())
    assert election.role == FOLLOWER


def following(configuration: Configuration, commit: int, may_campaign: bool = True) -> tuple[Election, list[object]]:
    election = new()
    told = StorageStatus(
        A, 3, 0, EntryId(9, 3), record_of(A, B, C), True, configuration, commit=commit, may_campaign=may_campaign
    )
    return election, list(election.step(told, 10.0))


def test_who_is_left_out_says_so_once_that_is_committed() -> None:
    without = Configuration(9, record_of(B, C).members)
    _, effects = following(without, commit=8)
    assert effects == [Ignored("no ballot waits for storage's status")]
    election, effects = following(without, commit=9, may_campaign=False)
    (notice,) = effects
    assert isinstance(notice, Notice)
    assert "not in the configuration of log index 9: it was removed" in notice.text
    within = StorageStatus(A, 3, 0, EntryId(12, 3), record_of(A, B, C), True, FOUR, commit=9)
    assert Notice("") in election.step(within, 10.0)


def test_who_is_no_candidate_does_not_look_like_one() -> None:
    election, _ = following(Configuration(9, record_of(A, B, C, learners=(A,)).members), 9, may_campaign=False)
    election.tick(11.0)
    assert election.role == FOLLOWER


def test_who_was_removed_while_it_was_away_is_told() -> None:  # trap 39
    election, _ = following(Configuration(9, record_of(A, B).members), commit=9)
    election.step(Heartbeat(3, 1), 10.2, B)
    (answer,) = election.step(PreVote(4, 1, EntryId(8, 3)), 10.21, C)
    assert answer == Send(C, PreVoteAnswer(4, 1, False, 3, removed=9))
    (answer,) = election.step(PreVote(4, 1, EntryId(9, 3)), 10.21, C)  # it may know of a later configuration
    assert answer == Send(C, PreVoteAnswer(4, 1, False, 3))
    (answer,) = election.step(PreVote(4, 1, EntryId(8, 3)), 10.21, B)
    assert answer == Send(B, PreVoteAnswer(4, 1, False, 3))


def test_who_is_told_that_it_was_removed_says_so() -> None:
    election = new()
    election.tick(11.0)
    election.step(status(), 11.0)
    (notice,) = election.step(PreVoteAnswer(4, 1, False, 3, removed=9), 11.0, B)
    assert notice == Notice(
        "this node is not in the configuration of log index 9, says node-2: it was removed from the cluster, or is "
        "catching up after it joined. A removed one can be stopped; with an empty data directory it may join anew"
    )


def test_a_learner_that_is_far_behind_does_not_pass_for_ready_in_a_new_term() -> None:
    core = leader(A, B, C, learners=(C,))
    core.flush(10.0)
    for member, match in ((A, 5), (B, 5), (C, 1)):
        core.step(accepted(match), 10.0, member)
    core.flush(10.0)
    core.tick(10.1)  # nothing is committed in this term yet
    for member in (A, B):
        core.step(accepted(6), 10.1, member)
    core.flush(10.1)
    (refused,) = core.step(change(ChangeMember("promote", "node-3")), 10.2, A)
    assert isinstance(refused, Refuse)
    assert refused.message.message == "node-3 has not caught up: it is promoted by itself when it has"
