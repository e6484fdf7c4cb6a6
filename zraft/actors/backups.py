"""The gateway's part in online backups: a fresh snapshot of this node's state, read chunk by chunk by one client.

A child process copies the state into a file within the data directory. The file loses its name as soon as it is open
here: whatever ends this process, nothing of the backup is left on the disk.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess

from zraft.actors.snapshotter import Job, start
from zraft.config import Settings
from zraft.core.room import RESERVE
from zraft.errors import ResourceExhausted, Unavailable
from zraft.protocol.entries import ClusterRecord
from zraft.protocol.local import StorageGroup
from zraft.protocol.requests import ReadBackup
from zraft.protocol.responses import BACKUP_CHUNK_BYTES, BackupChunk
from zraft.store.directory import DataDirectory
from zraft.store.files import make_directory
from zraft.store.space import has_room

IDLE_SECONDS = 60.0
"""A backup that nobody reads for so long is ended: its file takes room."""
PREFIX = "backup."


class Backups:
    """At most one backup at a time, ended with ``close``, or by ``tick`` when its client has gone away.

    Args:
        settings: the node's.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._directory = DataDirectory(settings.data_path())
        self._name = b""
        self._child: subprocess.Popen[bytes] | None = None
        self._path = self._directory.snapshots_path
        self._file: int | None = None
        self._size = 0
        self._is_read = False
        self._last_asked = 0.0
        self._sweep()

    def read(
        self, request: ReadBackup, storage: StorageGroup | None, record: ClusterRecord | None, now: float
    ) -> BackupChunk:
        """The chunk that is asked for; the first request of a name begins a backup.

        Args:
            request: a request that passed all checks.
            storage: what it says of the state to copy; None while there is none, or it may be old.
            record: the cluster's, for the manifest.
            now: seconds.

        Raises:
            ResourceExhausted: another backup is being read.
            Unavailable: there is no backup of that name (any more), or it could not be made.
        """
        self.tick(now)
        if request.backup != self._name:
            if self._is_read:  # kept until now, since its last chunk may have been lost on the way
                self.close()
            if request.offset:
                raise Unavailable("this node has no backup of that name any more: begin another one")
            if self._name:
                raise ResourceExhausted("another backup of this node is being read: try again later, or another node")
            if storage is None:
                raise Unavailable("this node follows no leader, or has not opened its state yet: ask another one")
            self._begin(request.backup, storage, record)
        self._last_asked = now
        if self._file is None:
            self._open_if_made()
        if self._file is None:
            return BackupChunk(request.offset, 0, b"")
        try:
            data = os.pread(self._file, BACKUP_CHUNK_BYTES, request.offset)
        except OSError as error:
            self.close()
            raise Unavailable(f"the backup can't be read from this node's disk: {error}") from error
        self._is_read |= request.offset + len(data) >= self._size
        return BackupChunk(request.offset, self._size, data)

    def tick(self, now: float) -> None:
        """End a backup that nobody asks for any more."""
        if self._name and now - self._last_asked > IDLE_SECONDS:
            self.close()

    def close(self) -> None:
        """End the backup, if there is one."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._name:
            with contextlib.suppress(OSError):  # a start of the gateway tries again
                self._path.unlink(missing_ok=True)
        self._name, self._size, self._is_read = b"", 0, False

    def _begin(self, name: bytes, storage: StorageGroup, record: ClusterRecord | None) -> None:
        state, size = self._directory.state_path(storage.generation), storage.holdings.state_bytes
        self._path = self._directory.snapshots_path / f"{PREFIX}{secrets.token_hex(8)}"
        map_size = self._settings.map_size_gib << 30
        paths = (str(state), str(self._path.parent))
        job = Job(self._settings.id, os.getpid(), *paths, map_size, record, check=False, backup=str(self._path))
        try:
            # Within the reserve as well: so a state that is small by now can be moved to a larger disk.
            if not (has_room(self._directory.path, size) or has_room(self._directory.path, 2 * size, RESERVE)):
                raise ResourceExhausted("this node's disk has no room for a backup: make room, or ask another node")
            make_directory(self._path.parent)
            self._child = start(job)
        except OSError as error:
            raise Unavailable(f"the backup could not be begun: {error}") from error
        self._name = name

    def _open_if_made(self) -> None:
        """Open the file once the child has made it; it has no name from then on.

        Raises:
            Unavailable: the child failed; the next request begins anew.
        """
        if self._child is None or self._child.poll() is None:
            return
        code, self._child = self._child.returncode, None
        try:
            if code:
                raise Unavailable(f"the backup could not be made (exit code {code}): the node's log says why")
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            self._size = os.fstat(self._file).st_size
            self._path.unlink()
        except OSError as error:
            raise Unavailable(f"the backup could not be made: {error}") from error
        finally:
            if not self._size:
                self.close()

    def _sweep(self) -> None:
        """Remove what a gateway that was killed left while its child was still copying."""
        with contextlib.suppress(OSError):
            for left in self._directory.snapshots_path.glob(f"{PREFIX}*"):
                left.unlink(missing_ok=True)
