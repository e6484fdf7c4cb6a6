"""Blocks that the log's file has before it needs them, so that a disk which others filled up stops no vote.

What is left of the reserve is for the log (``store.space``), but whoever else writes to the disk may take that, too.
And a vote may need many pages: its commit takes with it all that the journal holds. One that finds no room is a failed
commit, after which the node halts (S13). So the file has some blocks beyond its end, into which LMDB writes the pages
that come there. They stay where they are through a power cut or a restart; a copy of the file, or a new one, has none.
"""

from __future__ import annotations

import os
from pathlib import Path

from zraft.core.room import RESERVE
from zraft.store.environment import DATA_FILE
from zraft.store.files import fallocate
from zraft.store.growing import writes_in_place
from zraft.store.space import disk, has_room

AHEAD_BYTES_MAX = 8 << 20
"""So much is taken, or a 160th of the disk if that is less, when half of it or less is left. What a full journal holds
may become 2 MiB of pages: that must fit into the half. It is no more than a sixteenth of the reserve, or it would be
missing where deletes are to bring growth back (``store.space``)."""

_FALLOC_FL_KEEP_SIZE = 0x01  # linux/falloc.h


class BlocksAhead:
    """Of the log in the directory ``path``. None are taken yet, and none on a file system that writes elsewhere."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._in_place = writes_in_place(path)
        self._end = 0  # of what was taken; what a predecessor took is taken again, and costs nothing

    def renew(self) -> None:
        """Take some if the file has grown into those that it had. Where there is no room: later, at the next look."""
        if not self._in_place:
            return
        try:
            size = (self._path / DATA_FILE).stat().st_size
            ahead = min(AHEAD_BYTES_MAX, disk(self._path)[1] // 160)
            # Others must not be refused for the sake of what may never be needed.
            if self._end - size > ahead // 2 or not has_room(self._path, ahead, RESERVE):
                return
            file = os.open(self._path / DATA_FILE, os.O_WRONLY | os.O_CLOEXEC)
            try:
                fallocate(file, _FALLOC_FL_KEEP_SIZE, size, ahead)
            finally:
                os.close(file)
            self._end = size + ahead
        except OSError:
            return  # the next commit may do without
