"""Replication: index assignment, feeding, the commit rule, retransmission."""

import pytest

from tests.unit.core.cast import NOBODY, A, B, C, D, E, record_of
from tests.unit.core.replicating import (
    LAST,
    PROBE,
    TERM,
    accepted,
    commit_everywhere,
    empty,
    lead,
    leader,
    propose,
    proposed,
    published,
    refused,
    streaming,
)
from zraft.core import replication
from zraft.core.effects import Ignored, Send, ToStorage
from zraft.core.replication import (
    COMMIT_SECONDS,
    RETRANSMIT_SECONDS,
    SILENT_SECONDS,
    PublishCommit,
    Refuse,
    Replication,
    ToElection,
)
from zraft.core.seen import MEMBERS_MAX, STARTS_MAX, TERMS_MAX, Seen
from zraft.protocol.entries import EntryId, Origin
from zraft.protocol.local import Deposed, Lead, Ping, Pong, Stop
from zraft.protocol.peer import Append, Commit, NotProposed

PING = Ping(1)

# --- leading


def test_a_leader_appends_an_empty_entry_at_once_and_asks_where_the_logs_meet() -> None:  # [R] section 8, S5
    core = leader(A, B, C)
    assert core.flush(10.0) == [ToStorage(PROBE), Send(B, PROBE), Send(C, PROBE)]
    core.step(accepted(5), 10.0, B)
    assert core.flush(10.0) == [Send(B, Append(TERM, LAST, (empty(6),), 0))]


def test_nothing_is_led_before_lead_and_after_stop() -> None:
    core = Replication(A)
    assert (core.term, core.commit, core.next_deadline(), core.flush(10.0), core.tick(10.0)) == (0, 0, None, [], [])
    core.step(lead(A, B, C), 10.0, A)
    assert (core.term, core.next_deadline() is not None) == (TERM, True)
    assert core.step(Stop(TERM), 10.0, A) == []
    assert (core.term, core.next_deadline(), core.flush(10.0)) == (0, None, [])


@pytest.mark.parametrize("term", [2, 3])
def test_a_term_is_led_once(term: int) -> None:  # trap 2
    core = leader(A, B, C)
    assert core.step(lead(A, B, C, term=term), 11.0, A) == [Ignored(f"lead term {term}, but 3 came before")]
    core.step(Stop(TERM), 11.0, A)
    assert core.step(lead(A, B, C, term=term), 11.0, A) == [Ignored(f"lead term {term}, but 3 came before")]


def test_stop_ends_older_terms_too_and_no_newer_one() -> None:
    core = leader(A, B, C)
    assert core.step(Stop(2), 10.0, A) == [Ignored("stop term 2, which is not led")]
    assert core.term == TERM
    core.step(Stop(4), 10.0, A)
    assert core.term == 0


# --- proposals (S9)


def test_proposals_get_consecutive_indexes() -> None:
    core = streaming(A, B, C)
    assert core.step(propose(1), 10.0, A) == []
    assert core.step(propose(2), 10.0, A) == []
    both = Append(TERM, EntryId(6, TERM), (proposed(7, 1), proposed(8, 2)), 0)
    assert core.flush(10.0) == [ToStorage(both), Send(B, both), Send(C, both)]


@pytest.mark.parametrize("term", [2, 4])
def test_a_proposal_for_another_term_is_refused(term: int) -> None:  # S9
    core = streaming(A, B, C)
    message = f"not proposed in term {term}: this node leads term 3"
    assert core.step(propose(1, term), 10.0, A) == [Refuse(NotProposed(propose().origin, "NotLeader", message))]
    assert core.flush(10.0) == []


def test_who_does_not_lead_refuses_proposals() -> None:  # S9
    message = "not proposed in term 3: this node does not lead"
    assert Replication(A).step(propose(), 10.0, A) == [Refuse(NotProposed(propose().origin, "NotLeader", message))]


@pytest.mark.parametrize("number", [1, 2])
def test_a_proposal_is_made_once(number: int) -> None:  # S9, trap 55: also when an older copy comes late
    core = streaming(A, B, C)
    for made in (1, 2):
        core.step(propose(made), 10.0, A)
    ignored = Ignored(f"proposal {number} of gateway {77:016x} was seen in term 3")
    assert core.step(propose(number), 10.0, A) == [ignored]
    assert len(core.flush(10.0)) == 3


def test_each_start_of_a_gateway_counts_for_itself() -> None:  # S9
    core = streaming(A, B, C)
    assert core.step(propose(5, nonce=77), 10.0, A) == []
    assert core.step(propose(1, nonce=78), 10.0, A) == []


def test_a_gateway_that_goes_on_proposing_is_not_forgotten() -> None:  # S9, trap 55
    core = streaming(A, B, C)
    core.step(propose(1, nonce=77), 10.0, A)
    for nonce in range(1000, 1000 + STARTS_MAX - 1):
        core.step(propose(1, nonce=nonce), 10.0, A)
    core.step(propose(2, nonce=77), 10.0, A)
    core.step(propose(1, nonce=5000), 10.0, A)  # one start too many: the most silent one is forgotten
    assert core.step(propose(2, nonce=77), 10.0, A) == [Ignored(f"proposal 2 of gateway {77:016x} was seen in term 3")]


def test_of_a_term_that_is_forgotten_everything_may_be_a_copy() -> None:  # S9
    seen = Seen()
    for term in range(1, TERMS_MAX + 2):
        assert not seen.is_copy(term, Origin(A, 0, 77, 5))
    assert [term for term in range(1, TERMS_MAX + 2) if seen.is_copy(term, Origin(A, 0, 78, 1))] == [1]
    assert all(seen.is_copy(term, Origin(A, 0, 77, 5)) for term in range(1, TERMS_MAX + 2))


def test_a_member_that_claims_terms_of_the_future_makes_nobody_elses_proposals_old() -> None:  # S9
    seen = Seen()
    assert not seen.is_copy(3, Origin(A, 0, 77, 1))
    for term in range(1000, 1001 + TERMS_MAX):
        assert not seen.is_copy(term, Origin(B, 0, 78, 1))
    assert seen.is_copy(3, Origin(B, 0, 78, 2))
    assert not seen.is_copy(3, Origin(A, 0, 77, 2))
    assert seen.is_copy(3, Origin(A, 0, 77, 1))


def test_the_members_whose_proposals_are_known_are_bounded() -> None:
    seen = Seen()
    for member in range(1, MEMBERS_MAX + 1):
        assert not seen.is_copy(3, Origin(member, 0, 77, 1))
    assert seen.is_copy(3, Origin(1, 0, 77, 1))
    assert not seen.is_copy(3, Origin(99_999, 0, 77, 1))  # one too many: the most silent one is forgotten
    assert not seen.is_copy(3, Origin(2, 0, 77, 1))
    assert seen.is_copy(3, Origin(1, 0, 77, 1))


def test_what_waits_for_commitment_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "UNCOMMITTED_BYTES_MAX", len(empty(6)) + len(proposed(7)))
    core = streaming(A, B, C)
    assert core.step(propose(1), 10.0, A) == []
    refusal = NotProposed(propose(2).origin, "ResourceExhausted", "too much waits for commitment; try again later")
    assert core.step(propose(2), 10.0, A) == [Refuse(refusal)]
    core.flush(10.0)
    for member in (A, B):
        core.step(accepted(7), 10.0, member)
    core.flush(10.0)
    assert isinstance(core.step(propose(2), 10.0, A)[0], Ignored)  # S9: that was proposed again under another number
    assert core.step(propose(3), 10.0, A) == []


# --- the commit rule ([R] 5.3, 5.4.2)


def test_a_majority_commits_and_the_page_knows_before_anyone() -> None:  # S10
    core = streaming(A, B, C)
    core.step(accepted(6), 10.0, A)
    assert core.flush(10.0) == []
    core.step(accepted(6), 10.0, C)
    assert core.flush(10.0) == [published(6), ToStorage(Commit(TERM, 6))]
    assert core.commit == 6


def test_the_commit_index_waits_a_little_for_an_append_that_takes_it_along() -> None:
    core = streaming(A, B, C)
    for member in (A, C):
        core.step(accepted(6), 10.0, member)
    core.flush(10.0)
    assert core.next_deadline() == 10.0 + COMMIT_SECONDS
    assert core.flush(10.0 + COMMIT_SECONDS / 2) == []
    told = Commit(TERM, 6)
    assert core.flush(10.0 + COMMIT_SECONDS) == [Send(B, told), Send(C, told)]
    assert core.next_deadline() == 10.0 + RETRANSMIT_SECONDS / 4
    assert core.flush(10.1) == []


def test_where_a_client_waits_the_commit_index_is_told_at_once() -> None:
    core = streaming(A, B, C)
    core.step(propose(), 10.0, A)  # of a gateway of B
    core.flush(10.0)
    for member in (A, C):
        core.step(accepted(7), 10.0, member)
    assert core.flush(10.0) == [published(7), ToStorage(Commit(TERM, 7)), Send(B, Commit(TERM, 7))]


def test_a_probe_needs_no_bare_commit_index() -> None:
    core = streaming(A, B, C)
    core.step(refused(6, EntryId(6, 0)), 10.0, B)
    core.flush(10.0)
    for member in (A, C):
        core.step(accepted(6), 10.0, member)
    core.flush(10.0)
    assert core.flush(10.0 + COMMIT_SECONDS) == [Send(C, Commit(TERM, 6))]
    assert core.next_deadline() == 10.0 + RETRANSMIT_SECONDS / 4


def test_an_append_carries_the_commit_index_behind_its_publication() -> None:  # S10
    core = streaming(A, B, C)
    for member in (A, B):
        core.step(accepted(6), 10.0, member)
    core.step(propose(), 10.0, A)
    carried = Append(TERM, EntryId(6, TERM), (proposed(7),), 6)
    assert core.flush(10.0) == [published(6), ToStorage(carried), Send(B, carried), Send(C, carried)]


def test_entries_of_older_terms_are_not_counted() -> None:  # S5, trap 12, [R] figure 8
    # "only log entries from the leader's current term are committed by counting replicas" ([R] 5.4.2)
    core = leader(A, B, C)
    core.flush(10.0)
    for member in (A, B, C):
        core.step(accepted(5), 10.0, member)
    assert core.commit == 0
    assert not [effect for effect in core.flush(10.0) if isinstance(effect, PublishCommit)]


def test_the_own_copy_counts_when_its_storage_has_answered() -> None:  # S6, trap 20
    core = streaming(A, B, C)
    core.step(accepted(6), 10.0, B)
    assert core.flush(10.0) == []
    core.step(accepted(6), 10.0, A)
    assert published(6) in core.flush(10.0)


def test_a_single_node_commits_when_its_storage_has_answered() -> None:  # S6, trap 20
    core = streaming(A)
    assert core.flush(10.0) == []
    core.step(accepted(6), 10.0, A)
    assert core.flush(10.0) == [published(6), ToStorage(Commit(TERM, 6))]


def test_a_majority_can_do_without_the_leaders_own_disk() -> None:  # [D] 10.2.1
    core = streaming(A, B, C)
    for member in (B, C):
        core.step(accepted(6), 10.0, member)
    assert published(6) in core.flush(10.0)


def test_learners_are_fed_and_do_not_count() -> None:  # trap 34
    core = streaming(A, B, C, D, E, learners=(D, E))
    for member in (A, D, E):
        core.step(accepted(6), 10.0, member)
    assert core.flush(10.0) == []
    core.step(accepted(6), 10.0, B)
    assert published(6) in core.flush(10.0)


def test_an_answer_of_an_older_term_says_nothing() -> None:  # traps 14, 18
    core = streaming(A, B, C)
    core.step(accepted(6), 10.0, A)
    assert core.step(accepted(6, term=2), 10.0, B) == [Ignored("answer of term 2")]
    assert core.flush(10.0) == []


def test_progress_begins_anew_in_each_term() -> None:  # traps 14, 18
    core = streaming(A, B, C)
    for member in (A, B, C):
        core.step(accepted(6), 10.0, member)
    core.step(Stop(TERM), 11.0, A)
    core.step(Lead(5, EntryId(4, 2), record_of(A, B, C).configuration()), 12.0, A)
    probe = Append(5, EntryId(4, 2), (), 0)
    assert core.flush(12.0) == [ToStorage(probe), Send(B, probe), Send(C, probe)]


def test_a_storage_of_a_higher_term_deposes() -> None:  # trap 8
    core = streaming(A, B, C)
    assert core.step(refused(5, NOBODY, term=4), 10.0, B) == [ToElection(Deposed(4))]


def test_an_answer_of_a_stranger_is_ignored() -> None:
    core = streaming(A, B, C)
    assert core.step(accepted(6), 10.0, D) == [Ignored(f"answer of {D:016x}, whose storage is not fed")]


def test_a_refusal_of_what_an_older_leader_sent_says_nothing_of_our_log() -> None:
    core = streaming(A, B, C)
    core.flush(10.0)
    assert core.step(refused(5, NOBODY), 10.0, B) == [Ignored("refusal of an Append of an older term")]
    assert core.flush(10.0) == []  # it is not asked where the logs meet


def test_what_another_core_has_refused_is_not_made() -> None:  # S9: the shell learns who it is at its first Lead
    before = Replication(0)
    (refusal,) = before.step(propose(), 10.0, A)
    assert isinstance(refusal, Refuse)
    core = Replication(A, seen=before.seen)
    core.step(lead(A, B, C), 10.0, A)
    (effect,) = core.step(propose(), 10.0, A)
    assert isinstance(effect, Ignored)


def test_what_no_majority_that_answers_could_commit_is_pending() -> None:
    # A leader that can send heartbeats but no entries must give way: election sees that commit does not grow.
    assert Replication(A).pong(PING, 10.0) == Pong(1, 0, False, 0)
    assert leader(A, B, C).pong(PING, 10.0) == Pong(1, 0, True, TERM)
    core = streaming(A, B, C)
    commit_everywhere(core)
    assert core.pong(PING, 20.0) == Pong(1, 6, False, TERM)  # all are silent, and nothing waits
    core.step(propose(), 20.0, A)
    assert core.pong(PING, 20.0) == Pong(1, 6, True, TERM)
    core.step(refused(5, NOBODY), 20.0, C)
    # One that answers, whatever it says, and this node itself: another leader would not do better.
    assert core.pong(PING, 20.0 + SILENT_SECONDS) == Pong(1, 6, False, TERM)
    assert core.pong(PING, 20.1 + SILENT_SECONDS) == Pong(1, 6, True, TERM)
    core.step(Stop(TERM), 30.0, A)
    assert core.pong(PING, 30.0) == Pong(1, 0, False, 0)
