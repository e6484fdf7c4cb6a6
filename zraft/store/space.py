"""How much room is left: a reserve is kept free, so that term, vote, truncation, deletes and compaction always fit.

Below the reserve, min(10 %, 1 GiB) of the disk or of a map, commands that grow the state are refused before they are
proposed; the rest passes until a quarter of the reserve is left. Nothing is remembered: the level is that of a moment
ago, and service comes back by itself.

A file of LMDB never shrinks, but what was deleted from it is written again. So the free pages of the state count as
room, else deletes and compaction could never bring service back. They count for half of the reserve at most: the other
half must be on the disk, where the log grows, and where a large value goes that no gap is large enough for.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from zraft.core.room import ENOUGH, EXHAUSTED, RESERVE

RESERVE_BYTES_MAX = 1 << 30
CHECK_SECONDS = 0.25
COPIED_BYTES = 4 << 20
"""So much of a file is copied between two looks at the room that is left."""


class Use(NamedTuple):
    """What the stores hold, in bytes of pages; ``state_file_bytes`` counts the free ones among them as well."""

    log_bytes: int
    state_bytes: int
    state_file_bytes: int


def level_of(free: int, total: int, reusable: int = 0) -> int:
    """ENOUGH, RESERVE (no growth any more) or EXHAUSTED (no entries any more) for so many bytes.

    ``reusable``: free within files of ours, as far as the state may use it.
    """
    reserve = min(total // 10, RESERVE_BYTES_MAX)
    if free + min(reusable, reserve // 2) >= reserve:
        return ENOUGH
    return RESERVE if free >= reserve // 4 else EXHAUSTED


def has_room(directory: Path, size: int, worst: int = ENOUGH) -> bool:
    """Whether a file of so many bytes fits into the file system, and leaves no worse level than ``worst``."""
    free, total = disk(directory)
    return level_of(free - size, total) <= worst


def copy_file(source: Path, target: Path, worst: int) -> None:
    """Copy a file, and look again now and then whether the rest of it still has room (see ``has_room``).

    Whoever else writes to the disk meanwhile is not in the way of a log, whose next commit must find room.

    Raises:
        OSError: ENOSPC when it has none any more, or what the disk says. A part of it may be there.
    """
    with source.open("rb") as whole, target.open("wb") as copy:
        size, done = os.fstat(whole.fileno()).st_size, 0
        while done < size:
            if not has_room(target.parent, size - done, worst):
                raise OSError(errno.ENOSPC, f"no room left for a copy of {source}")
            sent = os.sendfile(copy.fileno(), whole.fileno(), done, COPIED_BYTES)
            if not sent:
                raise OSError(errno.EIO, f"{source} ended before its size")
            done += sent


class Space:
    """Looks at the file system and at the maps now and then, not at every write.

    Args:
        directory: the data directory.
        map_size: of each map, in bytes.
        use: looks at the stores.
        clock: seconds.
    """

    def __init__(
        self, directory: Path, map_size: int, use: Callable[[], Use], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._directory = directory
        self._map_size = map_size
        self._use = use
        self._clock = clock
        self._next = 0.0
        self._level = ENOUGH

    def level(self) -> int:
        """The level of a moment ago: the worst of the disk's and the maps'."""
        now = self._clock()
        if now >= self._next:
            self._next = now + CHECK_SECONDS
            use = self._use()
            maps = [level_of(self._map_size - used, self._map_size) for used in (use.log_bytes, use.state_bytes)]
            self._level = max(level_of(*disk(self._directory), use.state_file_bytes - use.state_bytes), *maps)
        return self._level

    def exhausted(self) -> bool:
        """Whether entries must be refused."""
        return self.level() == EXHAUSTED


def disk(directory: Path) -> tuple[int, int]:
    """Bytes that are free for us, and all bytes, of the file system."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
