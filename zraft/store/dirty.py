"""The dirty mark: does ``state/``, which is written without fsync, still hold all that was written to it?

The mark stands while ``state/`` may be ahead of the disk, and names the boot and the mount under which that began. A
node that finds it at its start asks whether the page cache has lived ever since. A killed process loses nothing, for
the cache outlives it; a power cut does, and ``state/`` must then be rebuilt. The device and the plain mount id are the
same after a file system was lost and mounted again, so only the *unique* mount id, which a boot never uses twice, is
proof. Whatever is in doubt counts as lost.
"""

from __future__ import annotations

import ctypes
import enum
import os
import struct
from pathlib import Path

import msgspec

from zraft.store.files import remove_durably, sync_directory, sync_file, write_durably

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_AT_FDCWD = -100
_STATX_MNT_ID_UNIQUE = 0x4000
_STATX_BYTES = 256
_STATX_MASK_OFFSET = 0
_STATX_MOUNT_ID_OFFSET = 144


class BootIdentity(msgspec.Struct, frozen=True):
    """The life of a page cache: while both are the same, nothing written is lost."""

    boot_id: str
    mount_id: int | None
    """The unique id of the mount; None where the kernel (before 6.8) or a sandbox does not tell."""


class Mark(enum.Enum):
    """What the dirty mark says about ``state/``."""

    CLEAN = "clean"
    """No mark: all that was written is on the disk."""
    SAME_BOOT = "same boot"
    """The processes died, the page cache did not: all that was written is there."""
    MISMATCH = "mismatch"
    """Writes may be lost, and any subset of them: ``state/`` can't be used."""


def boot_id() -> str:
    """Names the time since the machine was started last."""
    return _BOOT_ID.read_text().strip()


def boot_identity(path: Path) -> BootIdentity:
    """The present boot, and the present mount of the file system that holds ``path``."""
    return BootIdentity(boot_id(), _unique_mount_id(path))


def compare(recorded: bytes | None, current: BootIdentity) -> Mark:
    """Decides what a mark means.

    Args:
        recorded: the content of the mark, None if there is none.
        current: the boot and mount of this moment.
    """
    if recorded is None:
        return Mark.CLEAN
    try:
        began = msgspec.json.decode(recorded, type=BootIdentity)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Mark.MISMATCH
    proven = began == current and current.mount_id is not None
    return Mark.SAME_BOOT if proven else Mark.MISMATCH


class DirtyMark:
    """The mark of one data directory, a file in it beside ``state/``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def state(self) -> Mark:
        """What the mark says now."""
        return compare(self._read(), boot_identity(self._path.parent))

    def set(self) -> None:
        """Sets the mark for this boot and mount. Returns when it is durable, so the first write may follow.

        It replaces the evidence of a mismatch: what was in doubt must be out of use by then.

        Raises:
            OSError: it is not certain that the mark stands.
        """
        if self.state() is Mark.SAME_BOOT:  # it says so already: that needs no room, which there may be none of
            sync_file(self._path)
            sync_directory(self._path.parent)
        else:
            write_durably(self._path, msgspec.json.encode(boot_identity(self._path.parent)))

    def clear(self) -> None:
        """Takes the mark away, durably. To be called only after ``state/`` was synced.

        Raises:
            OSError: the mark may still be there, or come back.
        """
        remove_durably(self._path)

    def _read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError:
            # A mark stands, and can't be read: no proof.
            return b""


def _unique_mount_id(path: Path) -> int | None:
    statx = getattr(ctypes.CDLL(None), "statx", None)
    answer = ctypes.create_string_buffer(_STATX_BYTES)
    if statx is None or statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_MNT_ID_UNIQUE, answer) != 0:
        return None
    # A kernel that does not know the field leaves its bit out of the mask.
    (mask,) = struct.unpack_from("=I", answer, _STATX_MASK_OFFSET)
    (mount_id,) = struct.unpack_from("=Q", answer, _STATX_MOUNT_ID_OFFSET)
    return int(mount_id) if mask & _STATX_MNT_ID_UNIQUE else None
