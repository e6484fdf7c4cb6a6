"""A snapshot file read out piece by piece, for a follower: each MiB is checked before any of it leaves (trap 30)."""

from __future__ import annotations

import os
from pathlib import Path

import google_crc32c

from zraft.errors import CorruptSnapshot
from zraft.protocol.peer import SnapshotId
from zraft.store.snapshots import CHUNK_BYTES, list_snapshots, read_manifest

_CRC_BYTES = 4


def identify(path: Path) -> SnapshotId:
    """The name that peers know a snapshot by.

    Raises:
        CorruptSnapshot: the file is no whole snapshot.
        OSError: it can't be read.
    """
    manifest = read_manifest(path)
    return SnapshotId(manifest.index, manifest.term, path.stat().st_size, manifest.checksum())


def newest_snapshot(directory: Path) -> SnapshotId | None:
    """The newest snapshot in ``directory`` whose end is whole; None: there is none."""
    for path in list_snapshots(directory):
        try:
            return identify(path)
        except (CorruptSnapshot, OSError):
            continue
    return None


class SnapshotFile:
    """An open snapshot. It can be read to its end even if it is removed meanwhile, since a newer one took its place.

    Raises:
        CorruptSnapshot: the file is not the snapshot of this name, or damaged.
        OSError: it can't be read.
    """

    def __init__(self, path: Path, snapshot: SnapshotId) -> None:
        self.snapshot = snapshot
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY)
        try:
            manifest = read_manifest(path)
            if identify(path) != snapshot:
                raise CorruptSnapshot(f"{path} is another snapshot than the one of {snapshot.index} that was asked for")
            self._state_bytes, self._chunks = manifest.state_bytes, manifest.chunks
            self._trailer = os.pread(self._descriptor, snapshot.size - self._state_bytes, self._state_bytes)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._newest = (-1, b"")  # the MiB that pieces were read from last

    def read(self, offset: int, size: int) -> bytes:
        """A piece of the file.

        Raises:
            CorruptSnapshot: it does not match its checksum.
            OSError: it can't be read.
        """
        data = b""
        while size > len(data):
            piece = self._piece(offset + len(data), size - len(data))
            if not piece:
                raise CorruptSnapshot(f"the snapshot {self._path} ends before {offset + size} bytes")
            data += piece
        return data

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _piece(self, offset: int, size: int) -> bytes:
        """From one MiB of the state, or from the trailer."""
        if offset >= self._state_bytes:
            return self._trailer[offset - self._state_bytes :][:size]
        number, start = divmod(offset, CHUNK_BYTES)
        if self._newest[0] != number:
            self._newest = number, self._checked(number)
        return self._newest[1][start : start + size]

    def _checked(self, number: int) -> bytes:
        start = number * CHUNK_BYTES
        data = os.pread(self._descriptor, min(CHUNK_BYTES, self._state_bytes - start), start)
        noted = self._chunks[number * _CRC_BYTES : (number + 1) * _CRC_BYTES]
        if google_crc32c.value(data).to_bytes(_CRC_BYTES, "big") != noted:
            raise CorruptSnapshot(f"the snapshot {self._path} is damaged: the MiB from {start} on")
        return data
