"""Replication: index assignment, feeding, the commit rule, retransmission."""

import pytest

from tests.unit.core.cast import NOBODY, A, B, C, D, E, entries, record_of
from zraft.core import replication
from zraft.core.effects import Ignored, Send, ToStorage
from zraft.core.progress import IDLE_SECONDS
from zraft.core.replication import (
    GATEWAYS_MAX,
    RETRANSMIT_SECONDS,
    Effect,
    PublishCommit,
    Refuse,
    Replication,
    ToElection,
)
from zraft.protocol.entries import EntryId, EntryKind, Origin, encode_entry
from zraft.protocol.local import CommitGroup, Deposed, Lead, Propose, Read, ReadAnswer, Stop
from zraft.protocol.peer import Append, AppendAnswer, Commit, NotProposed

TERM = 3
LAST = EntryId(5, 2)
"""Where the leader's log ended when it was elected."""
PAYLOAD = b"commands"
EVERYTHING = 1 << 20
LATE = RETRANSMIT_SECONDS * 1.1


def lead(*members: int, term: int = TERM, learners: tuple[int, ...] = ()) -> Lead:
    return Lead(term, LAST, record_of(*members, learners=learners).configuration())


def leader(*members: int, learners: tuple[int, ...] = ()) -> Replication:
    core = Replication(A)
    core.step(lead(*members, learners=learners), 10.0, A)
    return core


def streaming(*members: int, learners: tuple[int, ...] = ()) -> Replication:
    """A leader whose storages all matched the entry before its first one, and were sent that."""
    core = leader(*members, learners=learners)
    core.flush(10.0)
    for member in members:
        core.step(accepted(5), 10.0, member)
    core.flush(10.0)
    return core


def accepted(match: int, commit: int = 0, term: int = TERM) -> AppendAnswer:
    return AppendAnswer(term, True, match, commit)


def refused(probe: int, conflict: EntryId, term: int = TERM) -> AppendAnswer:
    return AppendAnswer(term, False, 0, 0, probe, conflict)


def propose(number: int = 1, term: int = TERM, nonce: int = 77) -> Propose:
    return Propose(term, Origin(B, 0, nonce, number), True, PAYLOAD)


def empty(index: int) -> bytes:
    return encode_entry(index, TERM, EntryKind.EMPTY)


def proposed(index: int, number: int = 1) -> bytes:
    return encode_entry(index, TERM, EntryKind.COMMANDS, propose(number).origin, PAYLOAD)


def published(commit: int) -> PublishCommit:
    return PublishCommit(CommitGroup(TERM, commit))


PROBE = Append(TERM, LAST, (), 0)

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
    ignored = Ignored(f"proposal {number} of gateway {77:016x} was seen in this term")
    assert core.step(propose(number), 10.0, A) == [ignored]
    assert len(core.flush(10.0)) == 3


def test_each_start_of_a_gateway_counts_for_itself() -> None:  # S9
    core = streaming(A, B, C)
    assert core.step(propose(5, nonce=77), 10.0, A) == []
    assert core.step(propose(1, nonce=78), 10.0, A) == []


def test_a_gateway_that_goes_on_proposing_is_not_forgotten() -> None:  # S9, trap 55
    core = streaming(A, B, C)
    core.step(propose(1, nonce=77), 10.0, A)
    for nonce in range(1000, 1000 + GATEWAYS_MAX - 1):
        core.step(propose(1, nonce=nonce), 10.0, A)
    core.step(propose(2, nonce=77), 10.0, A)
    core.step(propose(1, nonce=5000), 10.0, A)  # one start too many: the most silent one is forgotten
    assert core.step(propose(2, nonce=77), 10.0, A) == [
        Ignored(f"proposal 2 of gateway {77:016x} was seen in this term")
    ]


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
    assert core.step(propose(2), 10.0, A) == []  # a refused proposal was not seen


# --- the commit rule ([R] 5.3, 5.4.2)


def test_a_majority_commits_and_the_page_knows_before_anyone() -> None:  # S10
    core = streaming(A, B, C)
    core.step(accepted(6), 10.0, A)
    assert core.flush(10.0) == []
    core.step(accepted(6), 10.0, C)
    told = Commit(TERM, 6)
    assert core.flush(10.0) == [published(6), ToStorage(told), Send(B, told), Send(C, told)]
    assert core.commit == 6


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


def test_what_is_not_committed_is_pending() -> None:
    # A leader that can send heartbeats but no entries must give way: election sees that commit does not grow.
    core = Replication(A)
    assert not core.pending()
    core = streaming(A, B, C)
    assert (core.pending(), core.commit) == (True, 0)
    commit_everywhere(core)
    assert (core.pending(), core.commit) == (False, 6)
    core.step(propose(), 10.0, A)
    assert (core.pending(), core.commit) == (True, 6)
    core.step(Stop(TERM), 10.0, A)
    assert not core.pending()


# --- feeding


def test_the_window_bounds_what_is_in_flight() -> None:
    core = Replication(A, window=(2, EVERYTHING))
    core.step(lead(A, B), 10.0, A)
    core.flush(10.0)
    core.step(accepted(5), 10.0, B)
    sent: list[Effect] = core.flush(10.0)
    for number in (1, 2, 3):
        core.step(propose(number), 10.0, A)
        sent += core.flush(10.0)
    assert sent == [
        Send(B, Append(TERM, LAST, (empty(6),), 0)),
        Send(B, Append(TERM, EntryId(6, TERM), (proposed(7, 1),), 0)),
    ]
    core.step(accepted(6), 10.0, B)
    assert core.flush(10.0) == [Send(B, Append(TERM, EntryId(7, TERM), (proposed(8, 2), proposed(9, 3)), 0))]


def test_a_large_backlog_leaves_in_several_appends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "APPEND_BYTES_MAX", 2 * len(proposed(7)))
    core = streaming(A, B)
    for number in (1, 2, 3):
        core.step(propose(number), 10.0, A)
    assert [effect for effect in core.flush(10.0) if isinstance(effect, Send)] == [
        Send(B, Append(TERM, EntryId(6, TERM), (proposed(7, 1), proposed(8, 2)), 0)),
        Send(B, Append(TERM, EntryId(8, TERM), (proposed(9, 3),), 0)),
    ]


def test_a_refused_probe_goes_back_by_the_hint_and_reads_what_is_missing() -> None:  # [R] 5.3
    core = leader(A, B, C)
    core.flush(10.0)
    core.step(refused(5, EntryId(3, 1)), 10.0, B)
    assert core.flush(10.0) == [ToStorage(Read(TERM, B, 3, replication.APPEND_BYTES_MAX))]
    assert core.flush(10.0) == []  # asked once
    read = ReadAnswer(TERM, B, EntryId(2, 1), entries(3, 2, 2, 2))
    assert core.step(read, 10.0, A) == [Send(B, Append(TERM, EntryId(2, 1), entries(3, 2, 2, 2), 0))]
    core.step(accepted(5), 10.0, B)
    assert core.flush(10.0) == [Send(B, Append(TERM, LAST, (empty(6),), 0))]


def test_what_was_read_in_another_term_is_not_sent() -> None:  # S4
    core = leader(A, B, C)
    core.flush(10.0)
    core.step(refused(5, EntryId(3, 1)), 10.0, B)
    core.flush(10.0)
    assert core.step(ReadAnswer(4, B, NOBODY, ()), 10.0, A) == [ToElection(Deposed(4))]
    stale = ReadAnswer(2, B, EntryId(2, 1), entries(3, 2))
    assert core.step(stale, 10.0, A) == [Ignored("entries behind 2/1, but 3 is next")]
    assert core.flush(10.0) == [ToStorage(Read(TERM, B, 3, replication.APPEND_BYTES_MAX))]


def test_entries_that_nobody_waits_for_are_dropped() -> None:
    core = streaming(A, B, C)
    read = ReadAnswer(TERM, B, EntryId(2, 1), entries(3, 2))
    assert core.step(read, 10.0, A) == [Ignored("entries that nobody waits for")]


# --- retransmission (trap 19)


def commit_everywhere(core: Replication) -> None:
    for member in (A, B, C):
        core.step(accepted(6), 10.0, member)
    core.flush(10.0)
    for member in (A, B, C):
        core.step(accepted(6, commit=6), 10.0, member)


def test_a_lost_append_is_repeated() -> None:  # trap 19
    core = streaming(A, B, C)
    for member in (A, C):
        core.step(accepted(6), 10.0, member)
    core.flush(10.0)
    for member in (A, C):
        core.step(accepted(6, commit=6), 10.0, member)
    assert core.tick(10.0 + LATE) == []
    assert core.flush(10.0 + LATE) == [Send(B, Append(TERM, LAST, (), 6))]


def test_a_lost_commit_index_is_repeated() -> None:  # trap 19
    core = streaming(A, B, C)
    for member in (A, B, C):
        core.step(accepted(6), 10.0, member)
    core.flush(10.0)
    for member in (A, C):
        core.step(accepted(6, commit=6), 10.0, member)
    core.tick(10.0 + LATE)
    assert core.flush(10.0 + LATE) == [Send(B, Append(TERM, EntryId(6, TERM), (), 6))]


def test_who_lacks_nothing_is_left_alone_for_a_while() -> None:
    core = streaming(A, B, C)
    commit_everywhere(core)
    core.tick(10.0 + IDLE_SECONDS - 0.01)
    assert core.flush(10.0 + IDLE_SECONDS - 0.01) == []


def test_a_storage_that_was_restarted_learns_the_commit_index_without_new_writes() -> None:  # trap 19
    core = streaming(A, B, C)
    commit_everywhere(core)
    core.tick(11.0)
    again = Append(TERM, EntryId(6, TERM), (), 6)
    assert core.flush(11.0) == [ToStorage(again), Send(B, again), Send(C, again)]


def test_retransmission_waits_for_its_time() -> None:
    core = leader(A, B, C)
    core.flush(10.0)
    assert core.next_deadline() == pytest.approx(10.0 + RETRANSMIT_SECONDS / 4)
    core.tick(10.0 + LATE)
    assert core.next_deadline() == pytest.approx(10.0 + LATE + RETRANSMIT_SECONDS / 4)


# --- memory


def test_what_all_have_is_dropped_and_new_entries_leave_from_memory() -> None:
    core = streaming(A, B, C)
    commit_everywhere(core)
    core.flush(10.0)
    core.step(propose(), 10.0, A)
    assert core.flush(10.0)[1] == Send(B, Append(TERM, EntryId(6, TERM), (proposed(7),), 6))


def test_a_slow_peer_is_fed_from_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "TAIL_BYTES_MAX", 0)
    core = streaming(A, B, C)
    for member in (A, B):
        core.step(accepted(6), 10.0, member)
    core.flush(10.0)
    core.tick(10.0 + LATE)
    assert ToStorage(Read(TERM, C, 6, replication.APPEND_BYTES_MAX)) in core.flush(10.0 + LATE)
    read = ReadAnswer(TERM, C, LAST, (empty(6),))
    assert core.step(read, 10.5, A) == [Send(C, Append(TERM, LAST, (empty(6),), 6))]
