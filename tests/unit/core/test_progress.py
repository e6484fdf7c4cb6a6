"""What a leader knows of one storage: every transition of it."""

import pytest

from tests.unit.core.cast import B
from zraft.core.effects import Ignored
from zraft.core.progress import DENIAL_SECONDS, DENIALS, IDLE_SECONDS, READ_SECONDS, Forgot, Inflights, Mode, Progress
from zraft.errors import InvariantViolated
from zraft.protocol.entries import EntryId
from zraft.protocol.peer import AppendAnswer

PATIENCE = 0.25
"""Times here are sums of powers of two: what is compared is exact."""
LAST = 9
"""The leader's last index."""


def success(match: int, commit: int = 0) -> AppendAnswer:
    return AppendAnswer(3, True, match, commit)


def refusal(probe: int, conflict: int) -> AppendAnswer:
    return AppendAnswer(3, False, 0, 0, probe, EntryId(conflict, 1))


@pytest.fixture
def progress() -> Progress:
    """Fresh, of a leader that began with 5 entries; windows of 3 Appends or 100 bytes."""
    return Progress(B, last=5, window=(3, 100))


@pytest.fixture
def streaming(progress: Progress) -> Progress:
    """In REPLICATE, 5 entries matched."""
    progress.sent(5, 0, 0, 10.0)
    progress.answered(success(5), LAST, 10.0)
    return progress


def where(progress: Progress) -> tuple[Mode, int, int]:
    return progress.mode, progress.match, progress.next


# --- probing


def test_the_first_question_is_behind_the_last_entry(progress: Progress) -> None:
    # "nextIndex: initialized to leader last log index + 1; matchIndex: initialized to 0" ([R] figure 2)
    assert where(progress) == (Mode.PROBE, 0, 6)


def test_probes_go_one_at_a_time(progress: Progress) -> None:
    assert progress.may_send()
    progress.sent(5, 0, 0, 10.0)
    assert not progress.may_send()


def test_a_refusal_skips_the_whole_conflicting_term(progress: Progress) -> None:  # [R] 5.3
    progress.sent(5, 0, 0, 10.0)
    assert progress.answered(refusal(probe=5, conflict=2), LAST, 10.0) is None
    assert where(progress) == (Mode.PROBE, 0, 2)
    assert progress.may_send()


def test_a_refusal_goes_back_at_least_one_entry(progress: Progress) -> None:  # trap 19: else it would ask for ever
    progress.sent(5, 0, 0, 10.0)
    progress.answered(refusal(probe=5, conflict=8), LAST, 10.0)
    assert where(progress) == (Mode.PROBE, 0, 5)


def test_a_refusal_that_was_not_asked_for_is_ignored(progress: Progress) -> None:
    progress.sent(5, 0, 0, 10.0)
    ignored = progress.answered(refusal(probe=4, conflict=2), LAST, 10.0)
    assert ignored == Ignored("refusal of an Append behind 4, which is no longer asked")
    assert where(progress) == (Mode.PROBE, 0, 6)


def test_a_match_ends_the_probing(progress: Progress) -> None:
    progress.sent(5, 0, 0, 10.0)
    assert progress.answered(success(5), LAST, 10.0) is None
    assert where(progress) == (Mode.REPLICATE, 5, 6)


# --- streaming


def test_appends_are_pipelined(streaming: Progress) -> None:
    streaming.sent(6, 10, 0, 10.0)
    streaming.sent(8, 10, 0, 10.0)
    assert (where(streaming), streaming.may_send()) == ((Mode.REPLICATE, 5, 9), True)


def test_the_window_bounds_the_appends_in_flight(streaming: Progress) -> None:
    for last in (6, 7, 8):
        assert streaming.may_send()
        streaming.sent(last, 1, 0, 10.0)
    assert (streaming.may_send(), streaming.in_flight) == (False, 3)
    streaming.answered(success(6), LAST, 10.0)
    assert (streaming.may_send(), streaming.in_flight) == (True, 2)


def test_the_window_bounds_the_bytes_in_flight(streaming: Progress) -> None:
    streaming.sent(6, 99, 0, 10.0)
    assert streaming.may_send()
    streaming.sent(7, 1, 0, 10.0)
    assert not streaming.may_send()
    streaming.answered(success(7), LAST, 10.0)
    assert streaming.may_send()


def test_match_never_goes_back(streaming: Progress) -> None:  # trap 14
    streaming.sent(8, 10, 0, 10.0)
    streaming.answered(success(8), LAST, 10.0)
    streaming.answered(success(6), LAST, 10.0)
    assert where(streaming) == (Mode.REPLICATE, 8, 9)


def test_a_match_behind_the_log_is_a_bug(streaming: Progress) -> None:
    with pytest.raises(InvariantViolated, match="match <= last"):
        streaming.answered(success(LAST + 1), LAST, 10.0)


def test_a_refused_stream_is_probed_behind_what_matched(streaming: Progress) -> None:
    for last in (6, 7, 8):
        streaming.sent(last, 1, 0, 10.0)
    streaming.answered(refusal(probe=7, conflict=7), LAST, 10.0)  # 6 is there, 7 was lost
    assert (where(streaming), streaming.may_send()) == ((Mode.PROBE, 5, 7), True)
    streaming.sent(6, 0, 0, 10.0)
    streaming.answered(refusal(probe=6, conflict=1), LAST, 10.0)
    assert where(streaming) == (Mode.PROBE, 5, 6)


def test_an_old_refusal_is_ignored(streaming: Progress) -> None:  # traps 14, 15
    ignored = streaming.answered(refusal(probe=5, conflict=1), LAST, 10.0)
    assert ignored == Ignored("refusal of an Append behind 5, which is no longer asked")
    assert where(streaming) == (Mode.REPLICATE, 5, 6)


def test_who_denies_what_it_acknowledged_again_and_again_has_lost_it(streaming: Progress) -> None:
    late = Ignored("refusal of an Append behind 5, which is no longer asked")
    now = 10.0
    for _ in range(DENIALS - 1):
        assert streaming.answered(refusal(probe=5, conflict=4), LAST, now) == late
        assert streaming.answered(refusal(probe=5, conflict=4), LAST, now) == late  # of the same moment: it counts once
        now += 2 * DENIAL_SECONDS
    assert streaming.answered(refusal(probe=5, conflict=4), LAST, now) == Forgot(B, 5, 3)
    assert where(streaming) == (Mode.REPLICATE, 5, 6)
    streaming.answered(success(5), LAST, now)  # it has it after all
    assert streaming.answered(refusal(probe=5, conflict=4), LAST, now + 2 * DENIAL_SECONDS) == late


def test_a_probe_of_what_was_acknowledged_is_repeated_by_the_timer_alone(streaming: Progress) -> None:
    streaming.sent(6, 1, 0, 10.0)
    streaming.answered(refusal(probe=6, conflict=2), LAST, 10.0)
    assert (where(streaming), streaming.may_send()) == ((Mode.PROBE, 5, 6), True)
    streaming.sent(5, 0, 0, 10.0)
    streaming.answered(refusal(probe=5, conflict=2), LAST, 10.0)
    assert (where(streaming), streaming.may_send()) == ((Mode.PROBE, 5, 6), False)
    streaming.retry(10.2, True)
    assert streaming.may_send()


def test_a_late_match_ends_a_needless_probe(streaming: Progress) -> None:
    streaming.sent(8, 10, 0, 10.0)
    streaming.retry(10.25, known=False)
    assert where(streaming) == (Mode.PROBE, 5, 6)
    streaming.answered(success(8), LAST, 10.3)
    assert where(streaming) == (Mode.REPLICATE, 8, 9)


# --- retransmission


@pytest.mark.parametrize(
    ("last", "commit", "lacks"), [(5, 5, False), (6, 5, True), (5, 6, True)], ids=["nothing", "an entry", "the commit"]
)
def test_who_lacks_something_and_is_silent_is_overdue(  # trap 19
    streaming: Progress, last: int, commit: int, lacks: bool
) -> None:
    streaming.answered(success(5, commit=5), LAST, 20.0)
    assert not streaming.overdue(last, commit, 20.125, PATIENCE)
    assert streaming.overdue(last, commit, 20.25, PATIENCE) == lacks


def test_who_lacks_nothing_is_asked_again_after_a_long_silence(streaming: Progress) -> None:  # trap 19
    # It may have been restarted: its commit index is volatile, and nobody else would tell it.
    streaming.answered(success(5, commit=5), LAST, 20.0)
    assert not streaming.overdue(5, 5, 20.0 + IDLE_SECONDS - 0.125, PATIENCE)
    assert streaming.overdue(5, 5, 20.0 + IDLE_SECONDS, PATIENCE)


def test_a_storage_that_forgot_the_commit_index_lacks_it_again(streaming: Progress) -> None:  # trap 19
    streaming.answered(success(5, commit=5), LAST, 20.0)
    streaming.answered(success(5, commit=2), LAST, 21.0)
    assert streaming.overdue(5, 5, 21.25, PATIENCE)


def test_patience_counts_from_the_first_append_without_an_answer(streaming: Progress) -> None:
    streaming.sent(6, 1, 0, 20.0)
    streaming.sent(7, 1, 0, 20.125)
    assert not streaming.overdue(7, 0, 20.125, PATIENCE)
    assert streaming.overdue(7, 0, 20.25, PATIENCE)


def test_a_stream_is_asked_whether_all_of_it_has_arrived(streaming: Progress) -> None:
    # A storage that is only slow must not be sent its window once more: that would make it slower.
    for last in (6, 7, 8):
        streaming.sent(last, 1, 0, 10.0)
    streaming.retry(10.25, known=True)
    assert (where(streaming), streaming.may_send(), streaming.asking) == ((Mode.REPLICATE, 5, 9), False, True)
    assert not streaming.overdue(8, 0, 10.375, PATIENCE)
    streaming.answered(refusal(probe=8, conflict=6), LAST, 10.5)  # all was lost
    assert (where(streaming), streaming.asking) == ((Mode.PROBE, 5, 6), False)


def test_a_stream_whose_end_is_not_at_hand_begins_again_from_what_is_certain(streaming: Progress) -> None:
    for last in (6, 7, 8):
        streaming.sent(last, 1, 0, 10.0)
    streaming.reading = True
    streaming.retry(10.25, known=False)
    assert (where(streaming), streaming.may_send(), streaming.reading) == ((Mode.PROBE, 5, 6), True, False)
    assert not streaming.overdue(8, 0, 10.375, PATIENCE)


def test_a_storage_is_not_silent_while_its_entries_are_read(streaming: Progress) -> None:
    streaming.sent(6, 1, 0, 10.0)
    streaming.reading = True
    overdue = [streaming.overdue(8, 0, now, PATIENCE) for now in (10.0 + PATIENCE, 9.9 + READ_SECONDS)]
    assert (overdue, streaming.overdue(8, 0, 10.0 + READ_SECONDS, PATIENCE)) == ([False, False], True)


def test_a_probe_that_was_lost_is_repeated_where_it_was(progress: Progress) -> None:
    progress.sent(5, 0, 0, 10.0)
    progress.answered(refusal(probe=5, conflict=2), LAST, 10.0)
    progress.sent(1, 0, 0, 10.0)
    progress.retry(10.25, known=True)
    assert (where(progress), progress.may_send()) == ((Mode.PROBE, 0, 2), True)


# --- in flight


def test_to_who_takes_nothing_one_append_goes_at_a_time(streaming: Progress) -> None:
    # It has no room: it refuses Appends without a word, and answers questions.
    for last in (6, 7, 8):
        assert streaming.may_send()
        streaming.sent(last, 10, 0, 10.0)
    streaming.retry(10.5, known=True)
    streaming.answered(refusal(probe=8, conflict=6), LAST, 10.6)
    streaming.sent(5, 0, 0, 10.6)
    streaming.answered(success(5), LAST, 10.7)  # where the logs meet is known again, and nothing was taken
    assert where(streaming) == (Mode.REPLICATE, 5, 6)
    assert streaming.may_send()
    streaming.sent(6, 10, 0, 10.7)
    assert not streaming.may_send()
    streaming.answered(success(6), LAST, 10.8)
    for last in (7, 8, 9):
        assert streaming.may_send()
        streaming.sent(last, 10, 0, 10.8)


def test_in_flight_are_appends_without_an_answer() -> None:
    inflights = Inflights(count_max=2, bytes_max=10)
    inflights.add(3, 4)
    inflights.add(5, 4)
    assert (len(inflights), inflights.full()) == (2, True)
    inflights.free_to(4)
    assert (len(inflights), inflights.full()) == (1, False)
    inflights.add(6, 6)
    assert inflights.full()
    inflights.clear()
    assert (len(inflights), inflights.full()) == (0, False)
    inflights.add(7, 9)
    assert not inflights.full()
