"""Which history is kept: the newest revisions, and of those only what is young."""

import pytest

from zraft.core.pace import SPAN_SECONDS
from zraft.core.retention import (
    BATCH_REVISIONS,
    BUSY_REVISIONS,
    CALM_RECORDS,
    LOST_SECONDS,
    NOTES_MAX,
    PAUSE_SECONDS,
    RECORDS_MAX,
    Retention,
)
from zraft.core.room import EXHAUSTED, RESERVE
from zraft.core.sweep import FIRST_SWEEP_RECORDS_MAX, SWEEP_RECORDS_MAX
from zraft.core.versions import FIRST, SUPPORTED
from zraft.protocol.requests import Compact
from zraft.protocol.responses import CompactResult, ErrorResult

REFUSED = ErrorResult("Unavailable", "the leadership is being handed over")


def done(compacted: int, swept: int) -> CompactResult:
    return CompactResult(9, 9, compacted, swept)


def test_the_newest_revisions_are_kept() -> None:
    retention = Retention(100, 0)
    retention.note(109, 0, 0, 1.0)
    assert retention.propose(1.0, SUPPORTED) == []  # some gather first
    retention.note(110, 0, 0, 1.0)
    assert retention.propose(1.0, SUPPORTED) == [Compact(10, resume=True)]


@pytest.mark.parametrize(("kept", "batch"), [(3, 1), (100, 10), (50_000, BATCH_REVISIONS)])
def test_some_revisions_gather_before_they_are_compacted(kept: int, batch: int) -> None:
    retention = Retention(kept, 0)
    retention.note(kept + batch - 1, 0, 0, 1.0)
    assert retention.propose(1.0, SUPPORTED) == []
    retention.note(kept + batch, 0, 0, 1.0)
    assert retention.propose(1.0, SUPPORTED) == [Compact(batch, resume=True)]


def test_what_is_too_old_is_compacted() -> None:
    retention = Retention(0, 60)
    for second in range(60):
        retention.note(second + 1, 0, 0, float(second))
        assert retention.propose(float(second), SUPPORTED) == []
    retention.note(61, 0, 0, 60.0)
    assert retention.propose(60.0, SUPPORTED) == [Compact(1, resume=True)]  # written a minute ago
    retention.answered(done(1, 1), 60.0)
    retention.note(61, 1, 1, 75.5)
    assert retention.propose(75.5, SUPPORTED) == [Compact(16, resume=True)]


def test_of_a_store_that_rests_nothing_but_the_present_is_kept_in_the_end() -> None:
    retention = Retention(100, 60)
    retention.note(7, 0, 0, 0.0)
    retention.note(7, 0, 0, 61.0)
    assert retention.propose(61.0, SUPPORTED) == [Compact(7, resume=True)]
    retention.answered(done(7, 7), 61.0)
    retention.note(7, 7, 7, 200.0)
    assert retention.propose(200.0, SUPPORTED) == []


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
        assert retention.propose(now, SUPPORTED) == []


@pytest.mark.parametrize(("revisions", "seconds", "compacted"), [(10, 60, 90), (50, 60, 70), (0, 60, 70), (10, 0, 90)])
def test_what_comes_first_counts(revisions: int, seconds: float, compacted: int) -> None:
    retention = Retention(revisions, seconds)
    retention.note(70, 0, 0, 0.0)
    retention.note(100, 0, 0, 60.0)
    assert retention.propose(60.0, SUPPORTED) == [Compact(compacted, resume=True)]


def test_a_sweep_goes_on_until_it_is_done() -> None:
    # However the compaction began: by a client's command, too, or under another leader.
    retention = Retention(0, 0)
    retention.note(50, 40, 10, 1.0)
    assert retention.propose(1.0, SUPPORTED) == [Compact(40, resume=True)]
    retention.answered(done(40, 30), 1.1)
    assert retention.propose(1.2, SUPPORTED) == [Compact(40, resume=True)]
    retention.answered(done(40, 40), 4.0)
    assert retention.propose(100.0, SUPPORTED) == []


def test_an_answer_counts_though_the_page_is_behind_it() -> None:
    retention = Retention(0, 0)
    retention.note(50, 40, 10, 1.0)
    retention.propose(1.0, SUPPORTED)
    retention.answered(done(40, 40), 1.1)
    retention.note(50, 40, 10, 9.0)
    assert retention.propose(9.0, SUPPORTED) == []


def test_one_command_at_a_time() -> None:
    retention = Retention(10, 0)
    retention.note(100, 0, 0, 1.0)
    assert retention.propose(1.0, SUPPORTED) != []
    retention.note(200, 0, 0, 2.0)
    assert retention.propose(2.0, SUPPORTED) == []
    assert retention.propose(1.0 + LOST_SECONDS, SUPPORTED) == [Compact(190, resume=True)]  # its answer is lost


def test_a_refused_command_is_repeated_after_a_pause() -> None:
    retention = Retention(10, 0)
    retention.note(100, 0, 0, 1.0)
    retention.propose(1.0, SUPPORTED)
    retention.answered(REFUSED, 1.5)
    assert retention.propose(1.5, SUPPORTED) == []
    assert retention.propose(1.5 + PAUSE_SECONDS, SUPPORTED) == [Compact(90, resume=True)]


BUSY = int(BUSY_REVISIONS * SPAN_SECONDS)
"""As many revisions between two looks as are not yet fast."""
BURST = 1 << 20


@pytest.mark.parametrize(("came", "swept"), [(BUSY, True), (BUSY + 1, False)])
def test_while_writes_come_fast_to_sweep_is_put_off(came: int, swept: bool) -> None:
    retention = Retention(10, 0, BURST)
    retention.note(5_000, 4_990, 4_990, 0.0)
    retention.note(5_000 + came, 4_990, 4_990, SPAN_SECONDS)
    assert (retention.propose(SPAN_SECONDS, SUPPORTED) != []) is swept
    retention.note(5_000 + came, 4_990, 4_990, 2 * SPAN_SECONDS)
    calm = [Compact(4_990 + came, resume=True)]
    assert swept or retention.propose(2 * SPAN_SECONDS, SUPPORTED) == calm  # none has come since


def test_nothing_is_put_off_when_space_is_short() -> None:
    retention = Retention(10, 0, BURST)
    retention.note(0, 0, 0, 0.0)
    retention.note(100_000, 0, 0, 10.0)
    assert retention.propose(10.0, SUPPORTED) == []
    assert retention.propose(10.0, SUPPORTED, RESERVE)[0] == Compact(99_990, resume=True)


def test_nothing_is_proposed_where_space_is_used_up() -> None:  # no write would be taken
    retention = Retention(10, 0)
    retention.note(100, 0, 0, 1.0)
    assert retention.propose(1.0, SUPPORTED, EXHAUSTED) == []
    assert retention.propose(1.0, SUPPORTED, RESERVE) != []


def test_nor_where_no_burst_is_allowed() -> None:
    retention = Retention(10, 0)
    retention.note(0, 0, 0, 0.0)
    retention.note(100_000, 0, 0, 10.0)
    assert retention.propose(10.0, SUPPORTED)[0] == Compact(99_990, resume=True)


@pytest.mark.parametrize(("grown", "swept"), [(BURST - 1, False), (BURST, True)])
def test_the_state_grows_by_so_much_and_no_more(grown: int, swept: bool) -> None:
    held = 10 << 30  # by other keys, when nothing was left to be swept
    retention = Retention(10, 0, BURST)
    retention.note(10, 0, 0, 0.0, held)
    assert retention.propose(0.0, SUPPORTED) == []
    retention.note(10_000, 0, 0, 1.0, held + grown)
    assert (retention.propose(1.0, SUPPORTED) != []) is swept


def busy(written: int) -> Retention:
    """Writes come fast, as many a second, nothing is put off any longer, and the first sweep is done."""
    retention = Retention(10, 0)
    for second in (0, 1):
        retention.note(100_000 + second * BUSY_REVISIONS * 2, 0, 0, float(second))
    for _ in retention.propose(1.0, SUPPORTED):
        retention.answered(done(90_000, 10_000), 1.0)
    retention.note(100_000 + BUSY_REVISIONS * 2 + written, 90_000, 10_000, 1.1)
    return retention


@pytest.mark.parametrize("swept", [1, 20, SWEEP_RECORDS_MAX, RECORDS_MAX])
def test_in_a_calm_so_many_are_swept_in_a_second_and_no_more(swept: int) -> None:
    retention = Retention(10, 0)
    retention.note(100_000, 0, 0, 1.0)
    assert len(retention.propose(1.0, SUPPORTED)) == 1
    retention.answered(done(99_990, swept), 1.0)
    then = 1.0 + swept / CALM_RECORDS
    assert retention.propose(then - 1e-6, SUPPORTED) == []
    assert len(retention.propose(then + 1e-6, SUPPORTED)) == 1


def test_the_page_may_tell_of_a_sweep_before_its_answer_does() -> None:
    retention = Retention(10, 0)
    retention.note(100_000, 0, 0, 1.0)
    retention.propose(1.0, SUPPORTED)
    retention.note(100_000, 99_990, SWEEP_RECORDS_MAX, 1.01)
    retention.answered(done(99_990, SWEEP_RECORDS_MAX), 1.01)
    assert retention.propose(1.0 + SWEEP_RECORDS_MAX / CALM_RECORDS - 1e-6, SUPPORTED) == []


def test_what_is_not_there_takes_no_time_to_sweep() -> None:
    retention = Retention(10, 0)
    retention.note(1 << 40, 0, 0, 1.0)
    retention.propose(1.0, SUPPORTED)
    retention.answered(done((1 << 40) - 10, (1 << 40) - 20), 1.1)
    assert len(retention.propose(1.1 + RECORDS_MAX / CALM_RECORDS, SUPPORTED)) == 1


@pytest.mark.parametrize(
    ("written", "commands"),
    [(0, 1), (SWEEP_RECORDS_MAX // 2, 1), (SWEEP_RECORDS_MAX // 2 + 1, 2), (SWEEP_RECORDS_MAX, 2), (100_000, 8)],
)
def test_a_sweep_that_goes_along_is_faster_than_the_writes(written: int, commands: int) -> None:
    retention = busy(written)
    assert len(retention.propose(1.1, SUPPORTED)) == commands
    for number in range(commands):
        assert retention.propose(1.2, SUPPORTED) == []  # all of them first
        retention.answered(done(90_000, 10_000 + number), 1.2)
    assert retention.propose(1.2, SUPPORTED) != []  # without a rest


def test_no_more_is_proposed_than_there_is_to_sweep() -> None:
    retention = Retention(10, 0)
    retention.note(700, 690, 100, 1.0)
    assert len(retention.propose(1.0, SUPPORTED, RESERVE)) == 3
    retention.answered(REFUSED, 1.0)
    assert len(retention.propose(1.0 + PAUSE_SECONDS, SUPPORTED)) == 1


def test_where_one_command_sweeps_much_it_goes_alone() -> None:
    retention = busy(100_000)
    assert RECORDS_MAX == FIRST_SWEEP_RECORDS_MAX
    assert len(retention.propose(1.1, FIRST)) == 1


@pytest.mark.parametrize(("writes", "latency"), [(900, 0.01), (900, 0.25), (900, 0.5), (400, 1.0)])
def test_a_sweep_in_a_calm_keeps_up_with_the_writes_where_a_commit_takes_long(writes: int, latency: float) -> None:
    retention = Retention(1_000, 0)
    compacted = swept = at_most = 0
    flights: list[tuple[float, int]] = []
    for tick in range(1, 12_000):
        now = tick * 0.01
        revision = int(writes * now)
        retention.note(revision, compacted, swept, now)
        for _, target in [flight for flight in flights if flight[0] <= now]:
            compacted = max(compacted, target)
            swept = min(compacted, swept + SWEEP_RECORDS_MAX)
            retention.answered(CompactResult(1, revision, compacted, swept), now)
        flights = [flight for flight in flights if flight[0] > now]
        proposed = retention.propose(now, SUPPORTED)
        at_most = max(at_most, len(proposed))
        flights += [(now + latency, one.revision) for one in proposed]
    assert compacted - swept <= 2 * BATCH_REVISIONS
    assert at_most == 1 or latency > 0.1
