"""Small files and directory entries that must survive a power cut, and large ones that are to go."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import threading
from pathlib import Path


def sync_file(path: Path) -> None:
    """Makes what a file holds durable.

    Raises:
        OSError: nobody knows what the disk has of it; another try would succeed all the same, with data lost.
    """
    _sync(path, os.O_RDONLY)


def sync_directory(path: Path) -> None:
    """Makes what was created, renamed or removed in this directory durable: syncing a file does not sync its name."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fallocate(file: int, mode: int, start: int, size: int) -> None:
    """The system call with its flags, which ``os.posix_fallocate`` does not take.

    Raises:
        OSError: the disk has no room, or its file system does no such thing.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(file, mode, ctypes.c_longlong(start), ctypes.c_longlong(size)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def forget_cached(path: Path) -> None:
    """Has the next reader of a file that is durable be told what the disk holds, not what the page cache does."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Makes a directory (mode 0700), and those above it that are missing, so that they survive a power cut.

    One that exists is left as it is.
    """
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        sync_directory(path.parent)


def write_synced(path: Path, content: bytes) -> None:
    """Writes a whole file (mode 0600), and makes what it holds durable, but not its name.

    Raises:
        OSError: nobody knows what the disk has of it.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def write_durably(path: Path, content: bytes) -> None:
    """Writes a whole small file (mode 0600): after a power cut it is the old one or the new one, never a mixture.

    Raises:
        OSError: it is not certain which of the two it is.
    """
    fresh = path.with_name(f"{path.name}.new")
    write_synced(fresh, content)
    fresh.rename(path)
    sync_directory(path.parent)


def remove_durably(path: Path) -> None:
    """Removes a file, if it is there, so that a power cut does not bring it back.

    Raises:
        OSError: it may still be there, or come back.
    """
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def remove_behind(*paths: Path) -> None:
    """Removes files and directories in the background: what has many blocks takes its time, and others are served.

    Whatever is left, as it can't be removed or the process dies, must have a name that the next start removes.
    """

    def remove() -> None:
        for path in paths:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):  # the others are to go all the same
                    path.unlink(missing_ok=True)

    try:
        threading.Thread(target=remove, name="removing", daemon=True).start()
    except RuntimeError:  # no more threads may be started here: then others wait
        remove()
