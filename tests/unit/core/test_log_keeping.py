"""When a snapshot is due, and how far the log is cut behind it."""

import pytest
from hypothesis import given, strategies as st

from zraft.core.log_keeping import (
    BUSY_BYTES,
    CALM_SECONDS,
    HOLD_LIMITS_MAX,
    RETRY_SECONDS_MAX,
    SLICE_ENTRIES_MAX,
    LogKeeping,
    Sizes,
)
from zraft.core.pace import SPAN_SECONDS

LIMIT = 1 << 20
ENTRY = 1 << 8
"""Bytes of an entry: 4,096 of them make the limit."""
FULL = LIMIT // ENTRY
BURST = FULL // 2


def sizes(last: int, base: int = 0, state_bytes: int = 0, applied: int | None = None, entry: int = ENTRY) -> Sizes:
    return Sizes(base, last, last if applied is None else applied, (last - base) * entry, state_bytes)


@pytest.fixture
def keeping() -> LogKeeping:
    return LogKeeping(LIMIT, burst_bytes=BURST * ENTRY)


def made(keeping: LogKeeping, index: int, at: Sizes) -> None:
    keeping.begun()
    keeping.made(index, at)


def cut_all(keeping: LogKeeping, at: Sizes, now: float = 0.0) -> int:
    """Cut until there is nothing to cut; returns the base."""
    while (to := keeping.cut(at, now)) is not None:
        assert at.base < to <= at.base + SLICE_ENTRIES_MAX
        at = sizes(at.last, to, at.state_bytes, at.applied)
    return at.base


@pytest.mark.parametrize(("last", "due"), [(0, False), (FULL, False), (FULL + 1, True)])
def test_a_snapshot_is_due_when_the_log_exceeds_the_threshold(keeping: LogKeeping, last: int, due: bool) -> None:
    assert keeping.due(sizes(last), 0.0) is due


@pytest.mark.parametrize(("last", "due"), [(2 * FULL, False), (2 * FULL + 1, True)])
def test_or_half_the_state_where_that_is_more(keeping: LogKeeping, last: int, due: bool) -> None:
    assert keeping.due(sizes(last, state_bytes=4 * LIMIT), 0.0) is due


BUSY = int(BUSY_BYTES * SPAN_SECONDS) // ENTRY
"""As many entries between two looks as are not yet fast."""
LONGEST = FULL + BURST


@pytest.mark.parametrize(("came", "due"), [(BUSY, True), (BUSY + 1, False)])
def test_while_entries_come_fast_it_is_put_off(keeping: LogKeeping, came: int, due: bool) -> None:
    last = FULL + BURST
    assert keeping.due(sizes(last - came), 0.0, roomy=True)  # nothing is known of how fast they come
    assert keeping.due(sizes(last), SPAN_SECONDS, roomy=True) is due
    assert keeping.due(sizes(last), 2 * SPAN_SECONDS, roomy=True)  # none has come since


@pytest.mark.parametrize(("last", "due"), [(LONGEST, False), (LONGEST + 1, True)])
def test_but_not_for_ever(keeping: LogKeeping, last: int, due: bool) -> None:
    keeping.due(sizes(0), 0.0, roomy=True)
    assert keeping.longest(sizes(last)) == LONGEST * ENTRY
    assert keeping.due(sizes(last), SPAN_SECONDS, roomy=True) is due


def test_nor_by_more_than_the_threshold() -> None:
    keeping = LogKeeping(LIMIT, burst_bytes=1 << 40)
    assert keeping.longest(sizes(0)) == 2 * LIMIT


def test_nor_where_the_disk_has_no_room_for_a_longer_log(keeping: LogKeeping) -> None:
    keeping.due(sizes(0), 0.0)
    assert keeping.due(sizes(LONGEST), SPAN_SECONDS)


def test_nor_if_somebody_needs_it(keeping: LogKeeping) -> None:
    keeping.due(sizes(0), 0.0, roomy=True)
    keeping.ask()
    assert keeping.due(sizes(FULL), SPAN_SECONDS, roomy=True)


def test_only_one_is_made_at_a_time(keeping: LogKeeping) -> None:  # trap 25
    keeping.begun()
    keeping.ask()
    assert not keeping.due(sizes(2 * FULL), 0.0)
    keeping.made(FULL, sizes(2 * FULL))
    assert not keeping.due(sizes(2 * FULL, applied=FULL), 0.0)  # it would be the same one once more


def test_one_that_is_asked_for_is_due_at_once(keeping: LogKeeping) -> None:
    keeping.ask()
    assert keeping.due(sizes(10), 0.0)
    made(keeping, 10, sizes(10))
    assert not keeping.due(sizes(11), 0.0)


def test_one_is_due_at_once_where_the_log_was_cut_and_there_is_none(keeping: LogKeeping) -> None:
    """`zraft repair` has set a damaged one aside: without another one the state can't be made anew."""
    assert not keeping.due(sizes(11), 0.0)  # the log reaches back to the beginning
    assert keeping.due(sizes(11, base=10), 0.0)
    keeping.installed(11)
    assert not keeping.due(sizes(12, base=10), 0.0)


def test_one_that_was_called_damaged_is_replaced_at_once_and_then_ever_more_rarely(keeping: LogKeeping) -> None:
    """A follower whose own memory is bad calls each of them damaged, and each is a copy of the whole state."""
    now, waited = 0.0, []
    for _ in range(9):
        keeping.lost(now)
        assert keeping.cut(sizes(10), now) is None
        due = next(second for second in range(1_000) if keeping.due(sizes(10), now + second))
        assert keeping.due(sizes(2 * FULL), now)  # the own log needs one
        waited.append(due)
        now += due
        made(keeping, 10, sizes(10))
    assert waited == [0, 5, 10, 20, 40, 80, 160, 300, 300]
    now += CALM_SECONDS
    keeping.lost(now)
    assert keeping.due(sizes(10), now)


def test_nothing_is_cut_before_a_snapshot_is_verified(keeping: LogKeeping) -> None:  # trap 23
    keeping.begun()
    assert keeping.cut(sizes(2 * FULL), 0.0) is None


def test_a_tail_of_a_quarter_stays_behind_the_cut(keeping: LogKeeping) -> None:
    made(keeping, 2 * FULL, sizes(2 * FULL))
    assert cut_all(keeping, sizes(2 * FULL)) == 2 * FULL - FULL // 4


def test_nothing_above_the_snapshot_is_cut(keeping: LogKeeping) -> None:  # trap 24
    made(keeping, FULL, sizes(4 * FULL))
    assert cut_all(keeping, sizes(4 * FULL)) == FULL


def test_nothing_that_is_not_applied_is_cut(keeping: LogKeeping) -> None:  # trap 22
    made(keeping, FULL, sizes(4 * FULL))
    assert cut_all(keeping, sizes(4 * FULL, applied=7)) == 7


def test_large_entries_go_in_smaller_slices(keeping: LogKeeping) -> None:
    large = sizes(100, entry=1 << 20)
    made(keeping, 100, large)
    assert keeping.cut(large, 0.0) == 16


def test_what_a_peer_needs_is_held_for_ten_seconds(keeping: LogKeeping) -> None:
    made(keeping, 2 * FULL, sizes(2 * FULL))
    keeping.hold(100, 50.0)
    assert cut_all(keeping, sizes(2 * FULL), 59.9) == 100
    assert cut_all(keeping, sizes(2 * FULL, base=100), 60.0) == 2 * FULL - FULL // 4


def test_no_peer_holds_a_log_of_eight_limits(keeping: LogKeeping) -> None:
    last = HOLD_LIMITS_MAX * FULL
    made(keeping, last, sizes(last))
    keeping.hold(100, 0.0)
    assert cut_all(keeping, sizes(last), 1.0) == 100
    assert keeping.cut(sizes(last + 1), 1.0) == SLICE_ENTRIES_MAX


def test_a_log_that_is_held_is_no_reason_for_snapshot_after_snapshot(keeping: LogKeeping) -> None:
    made(keeping, 2 * FULL, sizes(2 * FULL))
    keeping.hold(0, 0.0)
    assert not keeping.due(sizes(2 * FULL + FULL // 2), 1.0)
    assert keeping.due(sizes(2 * FULL + FULL // 2 + 1), 1.0)


def test_a_failed_attempt_is_repeated_less_and_less_often(keeping: LogKeeping) -> None:
    now, waits = 0.0, []
    for _ in range(8):
        keeping.begun()
        keeping.failed(now)
        wait = next(seconds for seconds in range(1, 400) if keeping.due(sizes(2 * FULL), now + seconds))
        waits.append(wait)
        now += wait
    assert waits == [5, 10, 20, 40, 80, 160, RETRY_SECONDS_MAX, RETRY_SECONDS_MAX]
    made(keeping, FULL, sizes(2 * FULL))
    keeping.failed(now)
    assert keeping.due(sizes(2 * FULL), now + 5)


@given(
    snapshots=st.lists(st.integers(0, 50_000), max_size=4),
    last=st.integers(0, 60_000),
    applied=st.integers(0, 60_000),
    base=st.integers(0, 60_000),
    log_bytes=st.integers(0, 1 << 40),
    state_bytes=st.integers(0, 1 << 40),
)
def test_a_cut_is_never_above_the_newest_snapshot_or_what_is_applied(
    snapshots: list[int], last: int, applied: int, base: int, log_bytes: int, state_bytes: int
) -> None:
    keeping = LogKeeping(LIMIT)
    at = Sizes(min(base, last), last, min(applied, last), log_bytes, state_bytes)
    for index in snapshots:
        made(keeping, index, at)
    to = keeping.cut(at, 0.0)
    assert to is None or at.base < to <= min(max(snapshots, default=0), at.applied)
