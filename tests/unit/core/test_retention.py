"""Which history is kept: the newest revisions, and of those only what is young."""

import pytest

from zraft.core.pace import SPAN_SECONDS
from zraft.core.retention import (
    BATCH_REVISIONS,
    BUSY_REVISIONS,
    LOST_SECONDS,
    NOTES_MAX,
    PAUSE_SECONDS,
    Retention,
)
from zraft.protocol.client import Compact, CompactResult


def done(compacted: int, swept: int) -> CompactResult:
    return CompactResult(9, 9, compacted, swept)


def test_the_newest_revisions_are_kept() -> None:
    retention = Retention(100, 0)
    retention.note(109, 0, 0, 1.0)
    assert retention.propose(1.0) is None  # some gather first
    retention.note(110, 0, 0, 1.0)
    assert retention.propose(1.0) == Compact(10, resume=True)


@pytest.mark.parametrize(("kept", "batch"), [(3, 1), (100, 10), (50_000, BATCH_REVISIONS)])
def test_some_revisions_gather_before_they_are_compacted(kept: int, batch: int) -> None:
    retention = Retention(kept, 0)
    retention.note(kept + batch - 1, 0, 0, 1.0)
    assert retention.propose(1.0) is None
    retention.note(kept + batch, 0, 0, 1.0)
    assert retention.propose(1.0) == Compact(batch, resume=True)


def test_what_is_too_old_is_compacted() -> None:
    retention = Retention(0, 60)
    for second in range(60):
        retention.note(second + 1, 0, 0, float(second))
        assert retention.propose(float(second)) is None
    retention.note(61, 0, 0, 60.0)
    assert retention.propose(60.0) == Compact(1, resume=True)  # written a minute ago
    retention.done(done(1, 1), 60.0)
    retention.note(61, 1, 1, 75.5)
    assert retention.propose(75.5) == Compact(16, resume=True)


def test_of_a_store_that_rests_nothing_but_the_present_is_kept_in_the_end() -> None:
    retention = Retention(100, 60)
    retention.note(7, 0, 0, 0.0)
    retention.note(7, 0, 0, 61.0)
    assert retention.propose(61.0) == Compact(7, resume=True)
    retention.done(done(7, 7), 61.0)
    retention.note(7, 7, 7, 200.0)
    assert retention.propose(200.0) is None


def test_notes_are_bounded() -> None:
    retention = Retention(0, 60)
    for turn in range(100_000):
        retention.note(turn, 0, 0, turn / 100)
    assert len(retention._notes) <= NOTES_MAX + 1


@pytest.mark.parametrize("revision", [0, 40, 1_000_000])
def test_without_bounds_nothing_is_compacted(revision: int) -> None:
    retention = Retention(0, 0)
    for now in (0.0, 1e9):
        retention.note(revision, 0, 0, now)
        assert retention.propose(now) is None


@pytest.mark.parametrize(("revisions", "seconds", "compacted"), [(10, 60, 90), (50, 60, 70), (0, 60, 70), (10, 0, 90)])
def test_what_comes_first_counts(revisions: int, seconds: float, compacted: int) -> None:
    retention = Retention(revisions, seconds)
    retention.note(70, 0, 0, 0.0)
    retention.note(100, 0, 0, 60.0)
    assert retention.propose(60.0) == Compact(compacted, resume=True)


def test_a_sweep_goes_on_until_it_is_done() -> None:
    # However the compaction began: by a client's command, too, or under another leader.
    retention = Retention(0, 0)
    retention.note(50, 40, 10, 1.0)
    assert retention.propose(1.0) == Compact(40, resume=True)
    retention.done(done(40, 30), 1.1)
    assert retention.propose(1.1) == Compact(40, resume=True)
    retention.done(done(40, 40), 1.2)
    assert retention.propose(1.2) is None


def test_an_answer_counts_though_the_page_is_behind_it() -> None:
    retention = Retention(0, 0)
    retention.note(50, 40, 10, 1.0)
    retention.propose(1.0)
    retention.done(done(40, 40), 1.1)
    retention.note(50, 40, 10, 1.2)
    assert retention.propose(1.2) is None


def test_one_command_at_a_time() -> None:
    retention = Retention(10, 0)
    retention.note(100, 0, 0, 1.0)
    assert retention.propose(1.0) is not None
    retention.note(200, 0, 0, 2.0)
    assert retention.propose(2.0) is None
    assert retention.propose(1.0 + LOST_SECONDS) == Compact(190, resume=True)  # its answer is lost


def test_a_refused_command_is_repeated_after_a_pause() -> None:
    retention = Retention(10, 0)
    retention.note(100, 0, 0, 1.0)
    retention.propose(1.0)
    retention.failed(1.5)
    assert retention.propose(1.5) is None
    assert retention.propose(1.5 + PAUSE_SECONDS) == Compact(90, resume=True)


BUSY = int(BUSY_REVISIONS * SPAN_SECONDS)
"""As many revisions between two looks as are not yet fast."""
BURST = 1 << 20


@pytest.mark.parametrize(("came", "swept"), [(BUSY, True), (BUSY + 1, False)])
def test_while_writes_come_fast_to_sweep_is_put_off(came: int, swept: bool) -> None:
    retention = Retention(10, 0, BURST)
    retention.note(5_000, 4_990, 4_990, 0.0)
    retention.note(5_000 + came, 4_990, 4_990, SPAN_SECONDS)
    assert (retention.propose(SPAN_SECONDS) is not None) is swept
    retention.note(5_000 + came, 4_990, 4_990, 2 * SPAN_SECONDS)
    calm = Compact(4_990 + came, resume=True)
    assert swept or retention.propose(2 * SPAN_SECONDS) == calm  # none has come since


def test_nothing_is_put_off_when_space_is_short() -> None:
    retention = Retention(10, 0, BURST)
    retention.note(0, 0, 0, 0.0)
    retention.note(100_000, 0, 0, 10.0)
    assert retention.propose(10.0) is None
    assert retention.propose(10.0, hurry=True) == Compact(99_990, resume=True)


def test_nor_where_no_burst_is_allowed() -> None:
    retention = Retention(10, 0)
    retention.note(0, 0, 0, 0.0)
    retention.note(100_000, 0, 0, 10.0)
    assert retention.propose(10.0) == Compact(99_990, resume=True)


@pytest.mark.parametrize(("grown", "swept"), [(BURST - 1, False), (BURST, True)])
def test_the_state_grows_by_so_much_and_no_more(grown: int, swept: bool) -> None:
    held = 10 << 30  # by other keys, when nothing was left to be swept
    retention = Retention(10, 0, BURST)
    retention.note(10, 0, 0, 0.0, held)
    assert retention.propose(0.0) is None
    retention.note(10_000, 0, 0, 1.0, held + grown)
    assert (retention.propose(1.0) is not None) is swept
