"""A disk whose power can be cut: what was not fsynced is gone, which no kill -9 of a process can do."""

import contextlib
import fcntl
import functools
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.waiting import wait_until

EXT4_IOC_SHUTDOWN = 0x8004587D
EXT4_GOING_FLAGS_NOLOGFLUSH = struct.pack("I", 2)
RELEASE_TIMEOUT_S = 10


MAKE = {"ext4": ("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"), "xfs": ("mkfs.xfs", "-q")}
"""How a file system is made, by its kind."""
XFS_MIB_MIN = 300
"""No smaller XFS is made."""


class PowerCutDisk:
    """A file system of its own in a file, mounted at `path` while the context lasts."""

    def __init__(self, size_mib: int, kind: str = "ext4") -> None:
        self._kind = kind
        self._home = Path(tempfile.mkdtemp(prefix="zraft-disk-"))
        self._image = self._home / "image"
        self._size_mib = size_mib
        self.path = self._home / "mount"

    def __enter__(self) -> Self:
        try:
            self.path.mkdir()
            self._image.touch()
            os.truncate(self._image, self._size_mib << 20)
            _run(*MAKE[self._kind], str(self._image))
            self._mount()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def cut(self) -> None:
        """Cut the power and start again: what was fsynced is there, what was not is lost.

        All that use the disk must have been killed: no machine outlives its power. (And a file system stays shut down
        for as long as anybody has a file of it open.)
        """
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH)
        finally:
            os.close(descriptor)
        # A process that was just killed may still be closing its files.
        wait_until(self._is_unmounted, RELEASE_TIMEOUT_S, f"the last user of {self.path} to be gone")
        self._mount()

    def close(self) -> None:
        """Unmount and remove the disk, whoever uses it still."""
        if self.path.is_mount():
            _run("umount", "--lazy", str(self.path))
        shutil.rmtree(self._home)

    def _mount(self) -> None:
        # The kernel frees a loop device made by mount at its unmount, so there is none to clean up.
        _run("mount", "-o", "loop", str(self._image), str(self.path))

    def _is_unmounted(self) -> bool:
        return subprocess.run(["umount", self.path], capture_output=True, check=False).returncode == 0


def exhaust(disk: PowerCutDisk, filler: Path) -> None:
    """Leave so little room that the disk's node takes no entry any more."""
    fill(disk, filler, reserve_of(disk) // 8)


def fill(disk: PowerCutDisk, filler: Path, left: int) -> None:
    """Take all room but so many bytes."""
    free, _ = room(disk)
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT)
    try:
        os.posix_fallocate(descriptor, 0, os.fstat(descriptor).st_size + free - left)
    finally:
        os.close(descriptor)


def fill_up(filler: Path) -> None:
    """Take all the room that there is, the part that is kept for root too."""
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    found = os.fstatvfs(descriptor)
    try:
        with contextlib.suppress(OSError):  # a part of it stands all the same
            os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, found.f_bfree * found.f_frsize)
        while True:
            os.write(descriptor, bytes(1 << 16))
    except OSError:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def room(disk: PowerCutDisk) -> tuple[int, int]:
    found = os.statvfs(disk.path)
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def reserve_of(disk: PowerCutDisk) -> int:
    _, total = room(disk)
    return total // 10


@functools.cache
def available(kind: str = "ext4") -> str | None:
    """Why there can be no such disk here, for a test to skip with; None if there can."""
    if os.geteuid() != 0:
        return "a loop mount needs root"
    for tool in (MAKE[kind][0], "mount", "umount"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    if not Path("/dev/loop-control").exists():
        return "there is no loop device"
    try:
        with PowerCutDisk(XFS_MIB_MIN if kind == "xfs" else 8, kind) as disk:
            disk.cut()
    except OSError as error:
        return f"a loop mount does not work: {error}"
    return None


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason, *_ = done.stderr.splitlines() or [f"exit code {done.returncode}"]
        raise OSError(f"{' '.join(command)}: {reason}")
