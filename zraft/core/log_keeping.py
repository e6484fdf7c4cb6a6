"""When a snapshot is due, and how far the log may be cut behind it.

The log is bounded by max(threshold, half the state) and what is written while a snapshot is made: a state is copied
whole, so a large one is copied less often, and never writes more than a fixed multiple of what clients wrote. While
entries come fast, to copy is put off: for so many bytes of log more, where the disk has room for them.
"""

from __future__ import annotations

from typing import NamedTuple

from zraft.core.pace import Pace

TAIL_SHARE = 4
"""A quarter of the limit stays behind a cut: a peer that was away for a short time needs no snapshot."""
SLICE_ENTRIES_MAX = 1_000
SLICE_BYTES_MAX = 16 << 20
"""No more goes at once, so that a vote never waits for it."""
HOLD_SECONDS = 10.0
HOLD_LIMITS_MAX = 8
"""From so many limits on, the log is cut over the head of whoever still needs it."""
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 5.0, 300.0
CALM_SECONDS = 3_600.0
"""A snapshot that is called damaged so long after another one was is replaced at once, as the first one was."""
BUSY_BYTES = 512 << 10
"""In a second: from so many on, entries come fast."""


class Sizes(NamedTuple):
    """The log and the state at one moment: indexes of the log's base and last entry, the applied one, and bytes."""

    base: int
    last: int
    applied: int
    log_bytes: int
    state_bytes: int


class LogKeeping:
    """Decides for one node; ``now`` is in seconds.

    Invariant: it never names an index to cut to that is above the newest verified snapshot, or above what is applied.

    Args:
        threshold_bytes: the limit of the log, as long as the state is less than twice as large.
        burst_bytes: how much longer it may become while entries come fast; at most by the threshold once more.
    """

    def __init__(self, threshold_bytes: int, burst_bytes: int = 0) -> None:
        self._threshold = threshold_bytes
        self._burst = burst_bytes
        self._asked = False
        self._retry_at = 0.0
        self._patience = RETRY_SECONDS_MIN
        self._lost_at = -CALM_SECONDS
        self._lost_patience = 0.0
        self._ask_at = 0.0
        self._pace = Pace()
        self._goal = 0
        self._hold = 0
        self._hold_until = 0.0
        self.making = False
        """Whether a snapshot is being made: never two at a time."""
        self.snapshot = 0
        """The index of the newest verified snapshot."""

    def ask(self) -> None:
        """Somebody needs a snapshot that is newer than the last one."""
        self._asked = True

    def longest(self, sizes: Sizes) -> int:
        """How many bytes the log may come to while entries come fast."""
        return self._limit(sizes) + min(self._burst, self._threshold)

    def due(self, sizes: Sizes, now: float, roomy: bool = False) -> bool:
        """Whether to make a snapshot now.

        The log that a ``hold`` keeps from being cut is no reason: so much must have come since the last snapshot. Where
        the log was cut and there is none behind the cut, as `zraft repair` has set it aside, one is due at once: the
        state could not be made anew.
        ``roomy``: the disk has room for the ``longest`` log, and for a snapshot beside it.
        """
        self._pace.look(sizes.last, now, BUSY_BYTES / _mean(sizes))
        if self.making or now < self._retry_at or sizes.applied <= self.snapshot:
            return False
        limit = self.longest(sizes) if self._pace.is_fast and roomy else self._limit(sizes)
        fresh = (sizes.applied - self.snapshot) * _mean(sizes)
        is_bare = sizes.base > 0 and self.snapshot == 0
        return ((self._asked or is_bare) and now >= self._ask_at) or (sizes.log_bytes > limit and 2 * fresh > limit)

    def begun(self) -> None:
        """A snapshot is being made, or the newest one verified."""
        self.making = True

    def made(self, index: int, sizes: Sizes) -> None:
        """There is a verified snapshot that ends at ``index``: the log may be cut behind it."""
        self.making = self._asked = False
        self._patience = RETRY_SECONDS_MIN
        if index > self.snapshot:
            self.snapshot = index
            tail = int(self._limit(sizes) / TAIL_SHARE / _mean(sizes))
            self._goal = max(self._goal, min(index, sizes.last - tail))

    def installed(self, index: int) -> None:
        """A verified snapshot that ends at ``index`` came from the leader, and the log goes on from it."""
        self.snapshot = max(self.snapshot, index)

    def lost(self, now: float) -> None:
        """The newest snapshot turned out to be damaged: nothing is cut behind it, and another one is due.

        If that is said of each new one, the fault is with who says so, a follower's memory or disk perhaps. Each costs
        a copy of the state, so for that reason they are made less and less often.
        """
        self.snapshot = 0
        self._asked = True
        if now - self._lost_at >= CALM_SECONDS:
            self._lost_patience = 0.0
        self._ask_at = now + self._lost_patience
        self._lost_patience = min(max(2 * self._lost_patience, RETRY_SECONDS_MIN), RETRY_SECONDS_MAX)
        self._lost_at = now

    def failed(self, now: float) -> None:
        """It could not be made: try again, less and less often."""
        self.making = False
        self._retry_at = now + self._patience
        self._patience = min(2 * self._patience, RETRY_SECONDS_MAX)

    def hold(self, index: int, now: float) -> None:
        """Entries above ``index`` will be needed by a peer that is being given a snapshot: for ``HOLD_SECONDS``."""
        self._hold = index
        self._hold_until = now + HOLD_SECONDS

    def cut(self, sizes: Sizes, now: float) -> int | None:
        """The index to cut to now, a slice further; None when there is nothing to cut."""
        target = min(self._goal, self.snapshot, sizes.applied)
        if now < self._hold_until and sizes.log_bytes <= HOLD_LIMITS_MAX * self._limit(sizes):
            target = min(target, self._hold)
        if target <= sizes.base:
            return None
        step = max(1, min(SLICE_ENTRIES_MAX, int(SLICE_BYTES_MAX / _mean(sizes))))
        return min(target, sizes.base + step)

    def _limit(self, sizes: Sizes) -> int:
        return max(self._threshold, sizes.state_bytes // 2)


def _mean(sizes: Sizes) -> float:
    return max(1.0, sizes.log_bytes / max(1, sizes.last - sizes.base))
