"""A map that LMDB writes in place, on a file that has its blocks before they are needed.

With ``writemap`` a commit hands no page to the kernel; that was a third of what it costs to apply a write. But a page
of the map for which the disk has no block is a SIGBUS, in the midst of a transaction, where lack of space has to be an
error. So the writer's map ends where the blocks of the file end: LMDB refuses to go beyond, as at the end of any map.
Between two transactions the file grows, and the map with it. (Readers map their full size from the start.)

This rests on a file system that writes a block again where it stands. On any other, LMDB writes pages by system calls,
into a map that is as large as the settings say. (XFS does but for a block that two files share, after ``cp --reflink``:
so the state gets blocks of its own when it is opened. Copy no state of a node that runs.)
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from zraft.core.room import RESERVE
from zraft.errors import StorageFault
from zraft.store.environment import DATA_FILE, map_used_bytes, open_environment
from zraft.store.files import fallocate
from zraft.store.space import disk, has_room

IN_PLACE = frozenset({"ext4", "xfs", "tmpfs"})
"""File systems that do; btrfs and ZFS write elsewhere, and of an overlay nobody knows."""
STEP_BYTES_MAX = 64 << 20
"""The file grows by so much, or by a sixteenth of the disk if that is less, when half of it or less is left."""
URGENT_BYTES_MIN, URGENT_BYTES_MAX = 64 << 10, 4 << 20
"""By so much it grows when a transaction found no room, and the disk is in its reserve: twice as much each time in a
row, as long as that leaves a part of the reserve for the log. Were the least more, the disk would be full for apply
where it is not yet for the log, and what was taken then never applied; nor must one step use up a small reserve."""

_FALLOC_FL_UNSHARE_RANGE = 0x40  # linux/falloc.h
_MOUNTS = Path("/proc/self/mountinfo")


class GrowingMap:
    """The environment in the directory ``path``, for its one writer; made if it is missing. No commit is synced.

    Args:
        path: the directory of the environment.
        map_size: bytes that the map may grow to.

    Attributes:
        in_place: whether pages are written through the map.

    Raises:
        StorageFault: it can't be opened.
    """

    def __init__(self, path: Path, map_size: int) -> None:
        self._path = path
        self._limit = map_size
        self._size = 0
        self._lacked = False
        self._urgent = URGENT_BYTES_MIN
        self._file = -1
        try:
            self.in_place = writes_in_place(path) and self._open_in_place()
        except OSError as error:
            raise StorageFault(f"the state in {path} can't be opened: {error}") from error
        if not self.in_place:
            self.env = open_environment(path, map_size, sync=False)

    def lacked(self) -> None:
        """The transaction that ends now found no room."""
        self._lacked = True

    def grow(self) -> None:
        """Make room for the next transaction; none may be open. Lack of space is left for the transaction to find.

        The disk keeps its reserve. Only a transaction that found no room may take from it, and leaves the part that
        the log needs.
        """
        if not self.in_place or self._size >= self._limit:
            return
        lacked, self._lacked = self._lacked, False
        if not lacked:
            self._urgent = URGENT_BYTES_MIN
        if not lacked and self._size - map_used_bytes(self.env) > self._step // 2:
            return
        if has_room(self._path, self._step):
            self._grow_to(self._size + self._step)
        elif lacked:
            step = self._urgent if has_room(self._path, self._urgent, RESERVE) else URGENT_BYTES_MIN
            self._urgent = min(2 * step, URGENT_BYTES_MAX)
            if has_room(self._path, step, RESERVE):
                self._grow_to(self._size + step)

    def close(self) -> None:
        """Leave the environment."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self.env.close()

    def _open_in_place(self) -> bool:
        file = self._path / DATA_FILE
        size = file.stat().st_size if file.exists() else 0
        size = min(max(size, 1 << 20), self._limit)
        self.env = open_environment(self._path, size, sync=False, writemap=True)
        self._file = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        self._step = min(max(disk(self._path)[1] // 16, URGENT_BYTES_MAX), STEP_BYTES_MAX)
        # A larger map than was asked for: LMDB knows of pages behind the end of the file, which was cut short, or is
        # damaged. To give them blocks could fill the disk.
        if self.env.info()["map_size"] <= size and self._allocate(size) and _unshare(self._file, size):
            return True
        self.close()
        return False

    def _grow_to(self, size: int) -> None:
        if self._allocate(min(size, self._limit)):
            self.env.set_mapsize(self._size)

    def _allocate(self, size: int) -> bool:
        """Give the file all its blocks up to ``size``; whether the disk had them."""
        try:
            os.posix_fallocate(self._file, self._size, size - self._size)
        except OSError:
            return False
        self._size = size
        return True


def _unshare(file: int, size: int) -> bool:
    """Give a file blocks of its own for those that it shares with a copy; whether the disk had them."""
    try:
        fallocate(file, _FALLOC_FL_UNSHARE_RANGE, 0, size)
    except OSError as error:
        return error.errno == errno.EOPNOTSUPP  # ext4 and tmpfs never share any
    return True


def writes_in_place(path: Path) -> bool:
    """Whether the file system of ``path``, or of where it is to be made, is known to."""
    try:
        device = next(one for one in (path, *path.parents) if one.exists()).stat().st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        mounts = [line.split() for line in _MOUNTS.read_text().splitlines()]
    except OSError:
        return False
    # "36 35 98:0 / /mnt rw,noatime master:1 - ext4 /dev/root rw": optional fields end with a hyphen.
    return any(fields[2] == number and fields[fields.index("-") + 1] in IN_PLACE for fields in mounts)
