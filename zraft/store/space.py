"""How much room is left: a reserve is kept free, so that term, vote, truncation and deletes always fit.

Below the reserve, min(10 % of the disk, 1 GiB), commands that grow the state are refused before they are proposed;
the rest passes until a quarter of the reserve is left.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

RESERVE_BYTES_MAX = 1 << 30
CHECK_SECONDS = 0.25

ENOUGH, RESERVE, EXHAUSTED = 0, 1, 2


def level_of(free: int, total: int) -> int:
    """ENOUGH, RESERVE (no growth any more) or EXHAUSTED (no entries any more) for so many bytes."""
    reserve = min(total // 10, RESERVE_BYTES_MAX)
    if free >= reserve:
        return ENOUGH
    return RESERVE if free >= reserve // 4 else EXHAUSTED


def has_room(directory: Path, size: int) -> bool:
    """Whether so many bytes fit into the file system without touching the reserve."""
    found = os.statvfs(directory)
    free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    return level_of(free - size, total) == ENOUGH


class Space:
    """Looks at the file system now and then, not at every write."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._clock = clock
        self._next = 0.0
        self._level = ENOUGH

    def level(self) -> int:
        """The level of a moment ago."""
        now = self._clock()
        if now >= self._next:
            self._next = now + CHECK_SECONDS
            found = os.statvfs(self._directory)
            self._level = level_of(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)
        return self._level

    def exhausted(self) -> bool:
        """Whether entries must be refused."""
        return self.level() == EXHAUSTED
