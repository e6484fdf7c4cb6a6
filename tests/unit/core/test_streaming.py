"""The sending side of a snapshot: when one is needed, which piece leaves when, and what ends it."""

import pytest

from tests.unit.core.cast import A, B, C
from tests.unit.core.replicating import LATE, TERM, accepted, leader, refused
from zraft.core.effects import Ignored, Send, ToStorage
from zraft.core.leadership import KEEP_SECONDS
from zraft.core.progress import AWAY_SECONDS, Mode
from zraft.core.replication import Replication, ToElection
from zraft.core.streaming import CHUNK_BYTES, WINDOW_CHUNKS, SendChunk, SnapshotStream
from zraft.protocol.entries import EntryId
from zraft.protocol.local import Deposed, Keep, Read, ReadAnswer, Stop
from zraft.protocol.peer import DAMAGED, Append, InstallAnswer, SnapshotId

SNAPSHOT = SnapshotId(4, 2, 10 * CHUNK_BYTES + 5, b"s" * 32)
NEWER = SnapshotId(5, 2, 7, b"t" * 32)
ASK = SendChunk(B, TERM, SNAPSHOT, 0, 0)
KEEP = ToStorage(Keep(TERM, 4))
CUT = EntryId(0, 0)


def answer(offset: int, *, installed: bool = False, reason: str = "", term: int = TERM) -> InstallAnswer:
    return InstallAnswer(term, SNAPSHOT, offset, installed, reason)


def chunk(number: int, size: int = CHUNK_BYTES) -> SendChunk:
    return SendChunk(B, TERM, SNAPSHOT, number * CHUNK_BYTES, size)


def needy() -> Replication:
    """A leader that has asked its storage for entries that B lacks."""
    core = leader(A, B, C)
    core.flush(10.0)
    core.step(refused(5, EntryId(1, 0)), 10.0, B)
    assert [one for one in core.flush(10.0) if isinstance(one, ToStorage)] == [
        ToStorage(Read(TERM, B, 1, 0)),
    ]
    return core


def streaming() -> Replication:
    """One that has sent the question how much of the snapshot B has."""
    core = needy()
    core.step(ReadAnswer(TERM, B, CUT, (), SNAPSHOT), 10.0, A)
    assert core.flush(10.0) == [ASK, KEEP]
    return core


def mode(core: Replication) -> Mode:
    assert core._lead is not None
    return core._lead.progress[B].mode


# --- from entries to a snapshot, and back


def test_a_storage_that_needs_cut_entries_is_sent_a_snapshot() -> None:
    core = streaming()
    assert mode(core) is Mode.SNAPSHOT
    core.step(answer(0), 10.0, B)
    assert core.flush(10.0) == [chunk(0)]


def test_while_there_is_no_snapshot_the_storage_is_asked_again_only_later() -> None:
    core = needy()
    core.step(ReadAnswer(TERM, B, CUT, ()), 10.0, A)
    assert core.flush(10.0) == []
    core.tick(10.0 + LATE)
    assert ToStorage(Read(TERM, B, 1, 0)) in core.flush(10.0 + LATE)


def test_no_append_leaves_while_a_snapshot_is_on_its_way() -> None:
    core = streaming()
    assert core.step(refused(0, EntryId(1, 0)), 10.0, B) == [
        Ignored("refusal of an Append, but a snapshot is on its way")
    ]
    assert core.flush(10.1) == []


def test_once_it_is_installed_appends_go_on_behind_it() -> None:
    core = streaming()
    core.step(answer(SNAPSHOT.size, installed=True), 10.0, B)
    assert core.flush(10.0) == [ToStorage(Read(TERM, B, 5, 0))]
    core.step(ReadAnswer(TERM, B, EntryId(4, 2), (b"e" * 40,)), 10.0, A)
    assert mode(core) is Mode.PROBE


def test_a_snapshot_succeeds_by_an_append_answer_alone() -> None:  # etcd: snapshot_succeed_via_app_resp
    core = streaming()
    core.step(accepted(5), 10.0, B)
    assert mode(core) is Mode.REPLICATE
    assert isinstance(core.flush(10.0)[0], Send)


def test_an_append_answer_short_of_the_snapshot_does_not_end_it() -> None:
    core = streaming()
    core.step(accepted(3), 10.0, B)
    assert mode(core) is Mode.SNAPSHOT


def test_a_newer_snapshot_does_not_take_the_place_of_one_that_is_on_its_way() -> None:
    # All that the older one brings would be sent for nothing, and again with each newer one.
    core = streaming()
    core.step(answer(0), 10.0, B)
    core.flush(10.0)
    assert core.step(ReadAnswer(TERM, B, CUT, (), NEWER), 10.1, A) == [Ignored("entries that nobody waits for")]
    core.step(answer(CHUNK_BYTES), 10.1, B)
    assert core.flush(10.1) == [chunk(1)]
    assert core.streamed() == {SNAPSHOT.index}


@pytest.mark.parametrize("found_by", [A, B])
def test_a_damaged_snapshot_is_sent_no_further_and_another_one_asked_for(found_by: int) -> None:  # trap 30
    core = streaming()
    if found_by == A:
        core.on_damaged(B, SNAPSHOT.checksum)
    else:
        core.step(answer(0, reason=DAMAGED), 10.0, B)
    assert core.flush(10.0) == [ToStorage(Read(TERM, B, 1, 0, SNAPSHOT.checksum))]
    core.step(ReadAnswer(TERM, B, CUT, (), NEWER), 10.0, A)
    assert core.flush(10.0) == [SendChunk(B, TERM, NEWER, 0, 0)]


def test_a_deposed_leader_stops() -> None:
    core = streaming()
    assert core.step(answer(0, term=TERM + 1), 10.0, B) == [ToElection(Deposed(TERM + 1))]
    core.step(Stop(TERM), 10.0, A)
    assert (core.flush(10.0), core.streamed()) == ([], set())
    assert core.step(answer(0), 10.0, B) == [Ignored(f"answer of {B:016x}, whose storage is not fed")]


def test_answers_of_an_old_term_or_of_another_snapshot_say_nothing() -> None:
    core = streaming()
    assert core.step(answer(9, term=TERM - 1), 10.0, B) == [Ignored(f"answer of term {TERM - 1}")]
    late = InstallAnswer(TERM, NEWER, 7, installed=True)
    assert core.step(late, 10.0, B) == [Ignored("answer about the snapshot of 5, which is not on its way")]
    assert mode(core) is Mode.SNAPSHOT


def test_the_own_log_is_kept_behind_the_snapshot_as_long_as_it_streams() -> None:
    core = streaming()
    assert KEEP not in core.flush(10.0 + KEEP_SECONDS * 0.9)
    assert KEEP in core.flush(10.0 + KEEP_SECONDS)
    core.step(answer(SNAPSHOT.size, installed=True), 13.0, B)
    assert KEEP not in core.flush(20.0)


def test_a_snapshot_for_a_storage_that_is_away_is_given_up_and_goes_on_when_it_is_back() -> None:
    # Else the leader would keep file and log for a node that may never come again.
    core = streaming()
    silent, gone = 10.0 + AWAY_SECONDS, 10.1 + AWAY_SECONDS
    core.tick(silent)
    assert (ASK in core.flush(silent), core.streamed()) == (True, {4})
    core.tick(gone + LATE)
    read = ToStorage(Read(TERM, B, 1, 0))
    assert (read in core.flush(gone + LATE), core.streamed()) == (True, set())
    question = Send(B, Append(TERM, EntryId(5, 2), (), 0))
    assert core.step(ReadAnswer(TERM, B, CUT, (), NEWER), gone + LATE, A) == [question]
    assert not any(isinstance(one, ToStorage) for one in core.flush(20.0 + gone))  # no Keep any more

    core.step(refused(5, EntryId(1, 0)), 21.0 + gone, B)
    core.tick(22.0 + gone)
    core.flush(22.0 + gone)
    core.step(ReadAnswer(TERM, B, CUT, (), NEWER), 22.0 + gone, A)
    assert core.streamed() == {NEWER.index}


# --- the pieces


def offsets(stream: SnapshotStream, now: float) -> list[int]:
    return [one.offset // CHUNK_BYTES for one in stream.send(TERM, now)]


def told(stream: SnapshotStream, offset: int) -> None:
    stream.answered(InstallAnswer(TERM, SNAPSHOT, offset))


def begun(offset: int = 0, rate: int = 1 << 40) -> SnapshotStream:
    stream = SnapshotStream(B, SNAPSHOT, rate)
    assert stream.send(TERM, 1.0) == [ASK]
    told(stream, offset)
    return stream


def send_all(stream: SnapshotStream, now: float) -> list[int]:
    """All that may leave until an answer comes, whatever the rate."""
    sent: list[int] = []
    while stream.deadline() < 1e9:
        now = max(now, stream.deadline())
        sent += offsets(stream, now)
    return sent


def test_nothing_leaves_before_the_receiver_has_told_how_much_it_has() -> None:
    stream = SnapshotStream(B, SNAPSHOT, 1 << 40)
    assert stream.send(TERM, 1.0) == [ASK]
    assert stream.send(TERM, 9.0) == []


def test_no_more_than_the_window_is_under_way() -> None:
    stream = begun()
    assert send_all(stream, 1.0) == list(range(WINDOW_CHUNKS))
    told(stream, 2 * CHUNK_BYTES)
    assert send_all(stream, 2.0) == [4, 5]


def test_a_stream_goes_on_from_what_the_receiver_has_and_ends_with_the_file() -> None:
    stream = begun(9 * CHUNK_BYTES)
    assert stream.send(TERM, 1.0) == [chunk(9)]
    assert stream.send(TERM, 1.1) == [chunk(10, size=5)]
    assert send_all(stream, 2.0) == []


def test_a_piece_that_was_lost_is_sent_again_when_all_behind_it_have_come() -> None:
    stream = begun()
    send_all(stream, 1.0)
    told(stream, CHUNK_BYTES)
    send_all(stream, 1.0)
    for _ in range(WINDOW_CHUNKS - 1):
        assert send_all(stream, 2.0) == []
        told(stream, CHUNK_BYTES)
    assert send_all(stream, 2.0) == [1, 2, 3, 4]


def test_silence_is_answered_with_the_question_and_then_less_is_believed_too() -> None:
    stream = begun()
    send_all(stream, 1.0)
    told(stream, 3 * CHUNK_BYTES)
    told(stream, 0)  # stale: it was not asked
    assert stream.held == 3 * CHUNK_BYTES
    stream.ask()
    assert stream.send(TERM, 2.0) == [ASK]
    told(stream, 0)  # it has lost its disk
    assert send_all(stream, 2.0) == [0, 1, 2, 3]


def test_pieces_leave_no_faster_than_the_rate() -> None:
    stream = begun(rate=CHUNK_BYTES)
    assert offsets(stream, 1.0) == [0]
    assert stream.deadline() == 2.0
    assert offsets(stream, 1.9) == []
    assert offsets(stream, 2.0) == [1]


def test_the_leader_wakes_when_the_rate_allows_the_next_piece() -> None:
    core = streaming()
    core.step(answer(0), 10.0, B)
    core.flush(10.0)
    due = core.next_deadline()
    assert due is not None
    assert 10.0 < due < 10.01
    assert core.flush(due) == [chunk(1)]


def test_a_receiver_that_is_silent_is_asked_again() -> None:
    core = streaming()
    core.step(answer(0), 10.0, B)
    core.flush(10.0)
    core.tick(10.0 + LATE)
    assert ASK in core.flush(10.0 + LATE)
