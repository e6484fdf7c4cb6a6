"""Snapshot files that replication streams to followers: open as long as anybody is sent them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import google_crc32c

from zraft.core.streaming import SendChunk
from zraft.protocol.peer import InstallSnapshot
from zraft.store.chunks import SnapshotFile
from zraft.store.snapshots import snapshot_path


class SnapshotSource:
    """Makes messages of pieces; ``directory`` is where the node's snapshots stand."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: dict[bytes, SnapshotFile] = {}

    @property
    def is_open(self) -> bool:
        """Whether any file is."""
        return bool(self._open)

    def message(self, chunk: SendChunk) -> InstallSnapshot:
        """The message that ``chunk`` asks for.

        Raises:
            CorruptSnapshot: the file is damaged, or another one by now.
            OSError: it can't be read.
        """
        snapshot = chunk.snapshot
        data = b""
        if chunk.size:
            file = self._open.get(snapshot.checksum)
            if file is None:
                file = SnapshotFile(snapshot_path(self._directory, snapshot.index), snapshot)
                self._open[snapshot.checksum] = file
            data = file.read(chunk.offset, chunk.size)
        return InstallSnapshot(chunk.term, snapshot, chunk.offset, google_crc32c.value(data), data)

    def keep(self, indexes: Collection[int]) -> None:
        """Close all files but those of snapshots that end at ``indexes``."""
        for checksum, file in list(self._open.items()):
            if file.snapshot.index not in indexes:
                file.close()
                del self._open[checksum]
