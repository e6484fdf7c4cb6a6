"""Replication: feeding storages, retransmission, memory. Times are seconds of the leader's clock."""

import pytest

from tests.unit.core.cast import NOBODY, A, B, C, entries
from tests.unit.core.replicating import (
    EVERYTHING,
    LAST,
    LATE,
    TERM,
    accepted,
    commit_everywhere,
    empty,
    flush_all,
    lead,
    leader,
    propose,
    proposed,
    refused,
    streaming,
)
from zraft.core import replication
from zraft.core.effects import Ignored, Send, ToStorage
from zraft.core.progress import IDLE_SECONDS, READ_SECONDS
from zraft.core.replication import (
    APPEND_BYTES_MAX,
    RETRANSMIT_SECONDS,
    Effect,
    PublishCommit,
    Replication,
    ToElection,
)
from zraft.protocol.entries import EntryId
from zraft.protocol.local import CommitGroup, Deposed, Read, ReadAnswer
from zraft.protocol.peer import Append, Commit

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
    assert core.flush(10.0) == [ToStorage(Read(TERM, B, 3, 0))]
    assert core.flush(10.0) == []  # asked once
    read = ReadAnswer(TERM, B, EntryId(2, 1), entries(3, 2, 2, 2))
    assert core.step(read, 10.0, A) == [Send(B, Append(TERM, EntryId(2, 1), entries(3, 2, 2, 2), 0))]
    core.step(accepted(5), 10.0, B)
    assert core.flush(10.0) == [Send(B, Append(TERM, LAST, (empty(6),), 0))]


def test_what_is_read_slowly_is_waited_for() -> None:
    # Else all that comes would be thrown away, and one entry be asked for by a probe, again and again.
    core = streaming(A, B, C)
    for member in (A, C):
        core.step(accepted(6), 10.0, member)
    core._lead.progress[B].next = 3  # type: ignore[union-attr]  # entries that are in the log alone
    read = ToStorage(Read(TERM, B, 3, APPEND_BYTES_MAX))
    assert read in core.flush(10.0)
    for now in (10.0 + LATE, 9.9 + READ_SECONDS):
        core.tick(now)
        told = [effect.message for effect in core.flush(now) if isinstance(effect, ToStorage)]
        assert not any(isinstance(message, Read) for message in told)
    found = ReadAnswer(TERM, B, EntryId(2, 1), entries(3, 2, 2, 2))
    assert core.step(found, 12.0, A) == [Send(B, Append(TERM, EntryId(2, 1), entries(3, 2, 2, 2), 6))]


def test_the_commit_index_is_told_while_entries_are_read_back() -> None:
    # Else the deadline for it would be in the past until they come, and the actor would poll without a pause.
    core = streaming(A, B, C)
    commit_everywhere(core)
    progress = core._lead.progress[B]  # type: ignore[union-attr]
    progress.next = 3  # entries that are in the log alone
    core.step(propose(), 10.0, A)
    core.flush(10.0)
    assert progress.reading
    for member in (A, C):
        core.step(accepted(7), 10.0, member)
    assert Send(B, Commit(TERM, 7)) in core.flush(10.0)  # the proposal was of its gateway
    assert (core.next_deadline() or 0) > 10.0


def test_what_was_read_in_another_term_is_not_sent() -> None:  # S4
    core = leader(A, B, C)
    core.flush(10.0)
    core.step(refused(5, EntryId(3, 1)), 10.0, B)
    core.flush(10.0)
    assert core.step(ReadAnswer(4, B, NOBODY, ()), 10.0, A) == [ToElection(Deposed(4))]
    stale = ReadAnswer(2, B, EntryId(2, 1), entries(3, 2))
    assert core.step(stale, 10.0, A) == [Ignored("entries behind 2/1, but 3 is next")]
    assert core.flush(10.0) == [ToStorage(Read(TERM, B, 3, 0))]


def test_entries_that_nobody_waits_for_are_dropped() -> None:
    core = streaming(A, B, C)
    read = ReadAnswer(TERM, B, EntryId(2, 1), entries(3, 2))
    assert core.step(read, 10.0, A) == [Ignored("entries that nobody waits for")]


# --- retransmission (trap 19)


def test_a_lost_append_is_repeated() -> None:  # trap 19
    core = streaming(A, B, C)
    for member in (A, C):
        core.step(accepted(6), 10.0, member)
    flush_all(core)
    for member in (A, C):
        core.step(accepted(6, commit=6), 10.0, member)
    assert core.tick(10.0 + LATE) == []
    assert core.flush(10.0 + LATE) == [Send(B, Append(TERM, EntryId(6, TERM), (), 6))]
    core.step(refused(6, EntryId(6, 0)), 10.5, B)  # too short: it was lost, not late
    assert core.flush(10.5) == [Send(B, Append(TERM, LAST, (), 6))]
    core.step(accepted(5), 10.5, B)
    assert core.flush(10.5) == [Send(B, Append(TERM, LAST, (empty(6),), 6))]


def test_a_slow_storage_is_asked_and_not_sent_everything_once_more() -> None:
    core = streaming(A, B)
    for number in (1, 2):
        core.step(propose(number), 10.0, A)
        core.flush(10.0)
    core.step(accepted(8), 10.0, A)
    core.tick(10.0 + LATE)
    assert core.flush(10.0 + LATE) == [Send(B, Append(TERM, EntryId(8, TERM), (), 0))]
    core.step(accepted(6), 10.5, B)  # late, not lost
    core.step(accepted(8), 10.5, B)
    assert core.flush(10.5) == [
        PublishCommit(CommitGroup(TERM, 8)),
        ToStorage(Commit(TERM, 8)),
        Send(B, Commit(TERM, 8)),  # whose gateway proposed
    ]


def test_a_lost_commit_index_is_repeated() -> None:  # trap 19
    core = streaming(A, B, C)
    for member in (A, B, C):
        core.step(accepted(6), 10.0, member)
    flush_all(core)
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
    flush_all(core)
    core.step(refused(6, EntryId(6, 0)), 10.4, C)
    assert core.flush(10.4) == [ToStorage(Read(TERM, C, 6, 0))]
    read = ReadAnswer(TERM, C, LAST, (empty(6),))
    assert core.step(read, 10.5, A) == [Send(C, Append(TERM, LAST, (empty(6),), 6))]
