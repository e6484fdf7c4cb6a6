"""The files of an installation: what ``core.installation`` wants done with a snapshot that comes from the leader.

::

    snapshots/incoming.<checksum>     the pieces, as they come; an interrupted stream goes on from its size
    state.<generation + 1>/data.mdb   a copy of it when it is whole, checked and durable; the copy need not be durable
    snapshots/<index>.snapshot        its name from the moment on in which it is installed

Each step leaves the one before it in place, and nothing that the node works with is touched. Then storage takes the
one step that counts: the log's transaction that begins behind the snapshot and names the new generation. A crash
between the name and that transaction leaves a snapshot that the log does not reach: the next start gives it its old
name back, so that nothing is ever cut behind it.

Checking and copying is done by a thread, since a vote must not wait for it; the poller hears of its end.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import threading
from pathlib import Path
from typing import NamedTuple

import msgspec

from zraft.actors.logs import Logger
from zraft.core.acceptor import Acceptor
from zraft.core.effects import Answer, Ignored
from zraft.core.installation import Discard, Effect, Install, Installation, Stage, Verify, WriteChunk
from zraft.core.records import APPLIED, CONFIGURATION, read_applied, read_configuration
from zraft.core.room import ENOUGH
from zraft.errors import CorruptSnapshot, CorruptState, InvariantViolated, StorageFault
from zraft.protocol.entries import ClusterRecord, EntryId
from zraft.protocol.peer import InstallAnswer, InstallSnapshot, SnapshotId
from zraft.store.directory import DataDirectory
from zraft.store.environment import DATA_FILE, MAP_BYTES
from zraft.store.files import forget_cached, make_directory, remove_behind, sync_directory, sync_file
from zraft.store.recovery import Stores
from zraft.store.snapshots import (
    incoming_path,
    list_incoming,
    list_snapshots,
    set_aside,
    snapshot_path,
    verify_snapshot,
)
from zraft.store.soundness import verify_state
from zraft.store.space import copy_file, has_room
from zraft.store.state import LmdbState


class Prepared(NamedTuple):
    """A snapshot that may be installed, and the generation whose directory holds its state by now."""

    snapshot: SnapshotId
    generation: int


class Outcome(NamedTuple):
    """What a step came to: answers for the sender, and the snapshot that is ready, if one is."""

    answers: list[InstallAnswer]
    ready: Prepared | None


class Installing:
    """Carries out the effects of ``core.installation``; one snapshot at a time."""

    def __init__(self, directory: DataDirectory, logger: Logger) -> None:
        self._directory = directory
        self._logger = logger
        self._core = Installation()
        self._staged = -1  # descriptor of the staging file
        self._path = Path()  # of the staging file
        self._generation = 0
        self._record: ClusterRecord | None = None
        self._thread: threading.Thread | None = None
        self._fault: Exception | None = None
        self._done = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """Readable when the thread has finished: then call ``finished``."""
        return self._done

    def progress(self, applied: int) -> tuple[int, int]:
        """(bytes held, bytes in all) of the snapshot that is on its way in; zeros when none is.

        One that ends at or before ``applied`` is none: its leader is gone, and another one had the entries.
        """
        snapshot = self._core.snapshot
        return (self._core.held, snapshot.size) if snapshot and snapshot.index > applied else (0, 0)

    def on_chunk(self, message: InstallSnapshot, term: int, generation: int, record: ClusterRecord | None) -> Outcome:
        """A piece that passed the acceptor's guards; ``generation`` is the one in use, ``record`` the own cluster's."""
        if self._thread is None:
            self._generation, self._record = generation + 1, record
        return self._do(self._core.on_chunk(message, term), term)

    def finished(self, term: int) -> Outcome:
        """The thread is done: what it prepared can be installed, or was damaged, or the disk refused."""
        os.eventfd_read(self._done)
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        fault, self._fault = self._fault, None
        if fault is None or isinstance(fault, CorruptSnapshot):
            if fault is not None:
                self._logger.error("a snapshot from the leader is damaged, and another one asked for", why=str(fault))
            return self._do(self._core.verified(fault is None, term), term)
        self._give_up(fault)
        return Outcome([], None)

    def take_over(self, stores: Stores, acceptor: Acceptor, ready: Prepared, map_size: int) -> Stores | None:
        """Let a snapshot that is ready stand for the log up to its end, and its state for the one in use.

        One transaction of the log decides. The new state is opened before it, so that nothing has changed if that
        fails. None: the node has caught up by Appends in the meantime, and nothing is changed.

        Raises:
            InvariantViolated: the state is not of the entry that the snapshot names.
            StorageFault: the disk refused; the process must end.
        """
        entry = EntryId(ready.snapshot.index, ready.snapshot.term)
        if entry.index <= acceptor.commit:
            self._drop(ready)
            return None
        state = LmdbState(self._directory.state_path(ready.generation), map_size)
        applied = read_applied(state.meta(APPLIED)).applied
        configuration = read_configuration(state.meta(CONFIGURATION))
        stores.log.take_format(state.format)
        state.abort()
        if applied != entry:
            raise InvariantViolated("a snapshot holds what it says", snapshot=entry, applied=applied)
        self._adopt(ready.snapshot)
        acceptor.install(entry, ready.generation, configuration)
        stores.log.commit()
        stores.state.close()
        return msgspec.structs.replace(stores, state=state, generation=ready.generation, applied=entry)

    def tidy(self, applied: int) -> None:
        """Remove what was left of streams that ended early: this node has come on by entries, up to ``applied``."""
        snapshot = self._core.snapshot
        if self._thread is not None or (snapshot is not None and snapshot.index > applied):
            return
        self._close_staged()
        self._core = Installation()
        for path in list_incoming(self._directory.snapshots_path):
            with contextlib.suppress(OSError):  # then it goes another time
                remove_behind(set_aside(path))

    def close(self) -> None:
        """Wait for the thread: it must not touch the directory when the lock on it is gone."""
        if self._thread is not None:
            self._thread.join()
        self._close_staged()
        os.close(self._done)

    def _do(self, effects: list[Effect], term: int) -> Outcome:
        answers: list[InstallAnswer] = []
        ready: Prepared | None = None
        try:
            for effect in effects:
                match effect:
                    case Answer(answer):
                        answers.append(answer)
                    case Ignored(reason):
                        self._logger.every(10, "piece of a snapshot ignored", reason=reason)
                    case Stage(snapshot):
                        more = self._do(self._core.staged(self._stage(snapshot), term), term)
                        answers += more.answers
                    case WriteChunk(offset, data):
                        _write_all(self._staged, data, offset)
                    case Verify(snapshot):
                        self._verify(snapshot)
                    case Discard():
                        remove_behind(set_aside(self._path))
                    case Install(snapshot):
                        ready = Prepared(snapshot, self._generation)
        except OSError as error:
            self._give_up(error)
            return Outcome([], None)  # the leader asks again
        return Outcome(answers, ready)

    def _drop(self, ready: Prepared) -> None:
        """Free the names of what was prepared in vain at once: the next installation uses them again."""
        state = self._directory.state_path(ready.generation)
        try:
            # A name of its own: another one may still be going, or could not be removed.
            gone = state.rename(state.with_name(f"{state.name}.gone.{secrets.token_hex(8)}"))
            remove_behind(gone, set_aside(self._path))
        except OSError as error:
            raise StorageFault(f"{state} could not be given up: {error}") from error

    def _adopt(self, snapshot: SnapshotId) -> None:
        """Give what was staged the name of this node's own snapshots, durably: the log is about to rest on it."""
        try:
            self._path.rename(snapshot_path(self._path.parent, snapshot.index))
            sync_directory(self._path.parent)
        except OSError as error:
            raise StorageFault(f"the snapshot {self._path} could not be given its name: {error}") from error

    def _stage(self, snapshot: SnapshotId) -> int:
        """Open what is there of it."""
        directory = self._directory.snapshots_path
        make_directory(directory)
        self._close_staged()
        self._path = incoming_path(directory, snapshot.checksum)
        for other in list_incoming(directory):
            if other != self._path:
                remove_behind(set_aside(other))
        held = self._path.stat().st_size if self._path.exists() else 0
        if not has_room(self._directory.path, 2 * snapshot.size - held):
            raise OSError(errno.ENOSPC, "no room for it and for the state that is made of it")
        self._staged = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = os.fstat(self._staged).st_size
        if size > snapshot.size:
            os.ftruncate(self._staged, 0)
            return 0
        return size

    def _verify(self, snapshot: SnapshotId) -> None:
        self._close_staged()
        thread = threading.Thread(target=self._prepare, args=(snapshot,), name="installing", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # there may be more of them another time
            raise OSError(errno.EAGAIN, str(error)) from error
        self._thread = thread

    def _prepare(self, snapshot: SnapshotId) -> None:
        """In the thread: check all of it, make it durable, copy it to where the next state is opened."""
        state = self._directory.state_path(self._generation)
        try:
            _check(self._path, snapshot, self._record)
            shutil.rmtree(state, ignore_errors=True)
            make_directory(state)
            copy_file(self._path, state / DATA_FILE, ENOUGH)
            _check_state(state)
        except Exception as error:  # of any kind: only what was checked to the end is sound
            self._fault = error
            shutil.rmtree(state, ignore_errors=True)  # a part of it must never pass for the next generation
        finally:
            os.eventfd_write(self._done, 1)

    def _give_up(self, error: Exception) -> None:
        """Begin anew when the leader asks again: of what was staged, the size tells how far it got."""
        self._logger.every(10, "a snapshot from the leader could not be stored; it will be tried again", why=str(error))
        self._close_staged()
        self._core = Installation()

    def _close_staged(self) -> None:
        if self._staged >= 0:
            os.close(self._staged)
            self._staged = -1


def remove_replaced(directory: DataDirectory, generation: int, snapshot: SnapshotId) -> None:
    """Remove the state and the snapshots from before an installation.

    The snapshots lose their names at once: whoever lists them must not come upon one that is just going.
    """
    newest = snapshot_path(directory.snapshots_path, snapshot.index)
    older = [set_aside(path) for path in list_snapshots(directory.snapshots_path) if path < newest]
    remove_behind(directory.state_path(generation), *older)


def _check_state(path: Path) -> None:
    """A leader that does not know of its own damage hands on a file that is whole, but of a damaged state (trap 30).

    Raises:
        CorruptSnapshot: it is.
    """
    try:
        verify_state(path, MAP_BYTES)
    except CorruptState as error:
        raise CorruptSnapshot(str(error)) from error


def _check(path: Path, snapshot: SnapshotId, record: ClusterRecord | None) -> None:
    """Make a whole file durable, and check what the disk holds of it.

    Raises:
        CorruptSnapshot: it is damaged, or not what the leader said, or of another cluster.
        OSError: it can't be read; or not be made durable, and then it is removed.
    """
    try:
        sync_file(path)
    except OSError:
        # A second sync would succeed, and the cache hold what the disk does not: all of it must come once more.
        path.unlink(missing_ok=True)
        raise
    forget_cached(path)
    manifest = verify_snapshot(path)
    if (manifest.last.index, manifest.last.term, manifest.checksum()) != (
        snapshot.index,
        snapshot.term,
        snapshot.checksum,
    ):
        raise CorruptSnapshot(f"{path} is another snapshot than the one of {snapshot.index} that was announced")
    if manifest.record is not None and manifest.record != record:
        raise CorruptSnapshot(f"{path} is a snapshot of another cluster")


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], offset + written)
