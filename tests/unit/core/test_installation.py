"""The receiving side of a snapshot: the guards, what is staged, when it is whole, and what is answered."""

import google_crc32c
import pytest

from tests.simulation.memory import MemoryLog
from tests.unit.core.cast import A, B, entries, log_of
from zraft.core.acceptor import Acceptor
from zraft.core.effects import Answer, Ignored
from zraft.core.installation import Discard, Install, Installation, Stage, Verify, WriteChunk
from zraft.core.versions import SUPPORTED
from zraft.errors import InvariantViolated
from zraft.protocol.entries import EntryId
from zraft.protocol.local import Campaign, Read, ReadAnswer
from zraft.protocol.peer import DAMAGED, Append, AppendAnswer, Commit, InstallAnswer, InstallSnapshot, SnapshotId

TERM = 4
SNAPSHOT = SnapshotId(9, 3, 6, b"c" * 32)
OTHER = SnapshotId(12, 3, 6, b"d" * 32)
EMPTY = SnapshotId(0, 0, 6, b"e" * 32)
CUT = EntryId(0, 0)


def piece(offset: int, data: bytes, snapshot: SnapshotId = SNAPSHOT, term: int = TERM) -> InstallSnapshot:
    return InstallSnapshot(term, snapshot, offset, google_crc32c.value(data), data)


def question(snapshot: SnapshotId = SNAPSHOT, term: int = TERM) -> InstallSnapshot:
    return piece(0, b"", snapshot, term)


def holds(offset: int, snapshot: SnapshotId = SNAPSHOT, reason: str = "") -> Answer[InstallAnswer]:
    return Answer(InstallAnswer(TERM, snapshot, offset, reason=reason))


def staging(held: int = 0) -> Installation:
    """One that was asked, and found so many bytes from before."""
    core = Installation()
    assert core.on_chunk(question(), TERM) == [Stage(SNAPSHOT)]
    core.staged(held, TERM)
    return core


# --- the guards


def test_a_snapshot_of_an_old_term_is_refused_and_changes_nothing() -> None:
    acceptor = Acceptor(log_of(1, 1, term=5))
    assert acceptor.admit(question(term=4), B, exhausted=False) == Answer(InstallAnswer(5, SNAPSHOT, 0))


@pytest.mark.parametrize("commit", [9, 10])
def test_what_is_committed_here_is_answered_as_installed(commit: int) -> None:  # an old snapshot takes nothing back
    acceptor = Acceptor(log_of(*[3] * 10), applied=commit)
    assert acceptor.admit(question(), B, exhausted=False) == Answer(InstallAnswer(TERM, SNAPSHOT, 6, installed=True))


def test_a_candidate_follows_the_leader_that_sends_a_snapshot() -> None:  # trap 9
    acceptor = Acceptor(log_of(1, 1, term=TERM - 1))
    acceptor.step(Campaign(TERM, 1), A)
    assert acceptor.admit(question(), B, exhausted=False) is None
    assert acceptor.term == TERM
    with pytest.raises(InvariantViolated, match="election safety"):
        acceptor.step(Append(TERM, EntryId(2, 1), (), 0), A + B)


def test_a_snapshot_raises_the_term_to_its_senders_and_no_further() -> None:  # trap 26
    log = log_of(1, 1)
    acceptor = Acceptor(log)
    assert acceptor.admit(question(SnapshotId(9, 2, 6, b""), term=7), B, exhausted=False) is None
    acceptor.install(EntryId(9, 2), 1, None)
    assert (log.term, log.last) == (7, EntryId(9, 2))


def test_without_room_no_piece_is_taken_and_who_sent_it_hears_that_this_storage_lives() -> None:
    acceptor = Acceptor(log_of(1, 1, term=TERM))
    assert acceptor.admit(piece(0, b"abc"), B, exhausted=True) == Answer(acceptor.alive())
    assert acceptor.admit(question(), B, exhausted=True) is None


def test_a_question_is_answered_even_if_it_came_to_nothing() -> None:  # who is silent is taken for dead
    acceptor = Acceptor(log_of(1, 1, term=TERM))
    held = InstallAnswer(TERM, SNAPSHOT, 3)
    assert acceptor.answers_to(question(), []) == [acceptor.alive()]
    assert acceptor.answers_to(piece(0, b"abc"), []) == []
    assert acceptor.answers_to(question(), [held]) == [held]
    assert acceptor.answers_to(piece(0, b"abc"), [held]) == [held]


# --- pieces


def test_only_the_piece_at_exactly_the_held_offset_is_taken() -> None:
    core = staging()
    assert core.on_chunk(piece(3, b"def"), TERM) == [holds(0)]
    assert core.on_chunk(piece(0, b"abc"), TERM) == [WriteChunk(0, b"abc"), holds(3)]
    assert core.on_chunk(piece(0, b"abc"), TERM) == [holds(3)]
    assert core.on_chunk(piece(3, b"def"), TERM) == [WriteChunk(3, b"def"), holds(6), Verify(SNAPSHOT)]


def test_an_interrupted_stream_goes_on_from_what_is_staged() -> None:
    core = Installation()
    assert core.on_chunk(question(), TERM) == [Stage(SNAPSHOT)]
    assert core.staged(4, TERM) == [holds(4)]
    assert core.on_chunk(piece(4, b"ef"), TERM) == [WriteChunk(4, b"ef"), holds(6), Verify(SNAPSHOT)]


def test_a_snapshot_that_is_staged_whole_is_verified_at_once() -> None:
    core = Installation()
    core.on_chunk(question(), TERM)
    assert core.staged(6, TERM) == [holds(6), Verify(SNAPSHOT)]


def test_a_damaged_piece_is_not_taken() -> None:
    core = staging()
    damaged = InstallSnapshot(TERM, SNAPSHOT, 0, 1, b"abc")
    assert core.on_chunk(damaged, TERM) == [Ignored("the piece of the snapshot at 0 was damaged on its way")]
    assert core.on_chunk(piece(0, b"abcdefg"), TERM)[0] == Ignored(
        "the piece of the snapshot at 0 was damaged on its way"
    )
    assert core.held == 0


def test_an_empty_snapshot_is_never_staged() -> None:  # trap 27
    assert Installation().on_chunk(question(EMPTY), TERM) == [Ignored("an empty snapshot")]
    assert Installation().on_chunk(question(SnapshotId(9, 3, 0, b"")), TERM) == [Ignored("an empty snapshot")]


def test_a_newer_snapshot_takes_the_place_of_one_that_is_not_whole_but_a_delayed_piece_does_not() -> None:
    core = staging()
    core.on_chunk(piece(0, b"abc"), TERM)
    late = piece(0, b"abc", OTHER)
    assert core.on_chunk(late, TERM) == [Ignored("a piece of the snapshot of 12, which is not staged")]
    assert core.on_chunk(question(OTHER), TERM) == [Stage(OTHER)]
    assert core.staged(0, TERM) == [holds(0, OTHER)]


# --- when it is whole


def test_while_it_is_checked_the_leader_is_answered_and_no_other_snapshot_begins() -> None:  # trap 25
    core = staging()
    core.on_chunk(piece(0, b"abcdef"), TERM)
    assert core.on_chunk(question(), TERM) == [holds(6)]
    assert core.on_chunk(question(OTHER), TERM) == [Ignored("another snapshot is being verified")]
    assert core.verified(True, TERM) == [Install(SNAPSHOT)]


def test_a_damaged_snapshot_is_thrown_away_and_told() -> None:  # trap 30
    core = staging()
    core.on_chunk(piece(0, b"abcdef"), TERM)
    assert core.verified(False, TERM) == [Discard(SNAPSHOT), holds(0, reason=DAMAGED)]
    assert core.on_chunk(question(), TERM) == [Stage(SNAPSHOT)]


def test_what_a_power_cut_left_of_a_staging_file_does_not_speak_against_the_snapshot() -> None:
    core = staging(held=6)
    assert core.verified(False, TERM) == [Discard(SNAPSHOT), holds(0)]


# --- installing


def test_a_log_without_the_snapshots_last_entry_is_emptied() -> None:  # [R] section 7
    log = log_of(1, 1, 1, term=TERM)
    acceptor = Acceptor(log, applied=1)
    acceptor.install(EntryId(9, 3), 1, None)
    log.commit()
    assert (log.base, log.last, log.generation) == (EntryId(9, 3), EntryId(9, 3), 1)
    assert (acceptor.commit, acceptor.applied) == (9, 9)
    acceptor.check_invariants()


def test_a_log_with_the_snapshots_last_entry_keeps_what_follows_it() -> None:  # [R] section 7, rule 6
    log = log_of(1, 1, 3, 3)
    Acceptor(log, applied=1).install(EntryId(3, 3), 1, None)
    assert (log.last, log.generation) == (EntryId(4, 3), 1)


def test_what_follows_a_snapshot_is_committed_only_as_far_as_it_was_verified() -> None:  # S3, trap 16
    """It may be of a leader that was deposed: the one that sent the snapshot has told nothing of it."""
    log = log_of(1, 1, 3, 3, 3, term=TERM)
    acceptor = Acceptor(log, applied=1)
    acceptor.install(EntryId(3, 3), 1, None)
    acceptor.step(Commit(TERM, 5), B)
    assert (log.last.index, acceptor.commit) == (5, 3)
    acceptor.step(Append(TERM, EntryId(4, 3), (), 5), B)
    assert acceptor.commit == 4


def test_behind_a_snapshot_the_log_goes_on() -> None:
    acceptor = Acceptor(log_of(1, term=TERM))
    acceptor.install(EntryId(9, 3), 1, None)
    message = Append(TERM, EntryId(9, 3), entries(10, TERM), 10)
    assert acceptor.step(message, B) == Answer(AppendAnswer(TERM, True, 10, 10, 9, version=SUPPORTED))


def test_a_snapshot_never_takes_back_what_is_committed() -> None:
    with pytest.raises(InvariantViolated, match="ahead of what is committed"):
        Acceptor(log_of(1, 1, 3, 3), applied=3).install(EntryId(3, 3), 1, None)


# --- offering one


def cut_at_nine() -> tuple[MemoryLog, Acceptor]:
    log = log_of(*[3] * 11, term=TERM)
    log.cut(9)
    acceptor = Acceptor(log, applied=10)
    acceptor.offer = SNAPSHOT
    return log, acceptor


def test_entries_that_were_cut_are_answered_with_the_snapshot_that_covers_them() -> None:
    _, acceptor = cut_at_nine()
    assert acceptor.step(Read(TERM, B, 5, 100), A) == Answer(ReadAnswer(TERM, B, CUT, (), SNAPSHOT))
    assert acceptor.step(Read(TERM, B, 9, 100), A) == Answer(ReadAnswer(TERM, B, CUT, (), SNAPSHOT))


def test_no_snapshot_is_offered_that_ends_before_the_log_begins_or_is_damaged_or_to_another_term() -> None:
    log, acceptor = cut_at_nine()
    nothing = Answer(ReadAnswer(TERM, B, CUT, ()))
    assert acceptor.step(Read(TERM, B, 5, 100, SNAPSHOT.checksum), A) == nothing
    assert acceptor.step(Read(TERM - 1, B, 5, 100), A) == nothing
    log.cut(10)
    assert acceptor.step(Read(TERM, B, 5, 100), A) == nothing
