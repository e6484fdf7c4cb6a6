"""Storage's snapshots: has them made by a process of their own, and cuts the log behind them, a slice a turn."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import zmq

from zraft.actors import metrics
from zraft.actors.clock import clock
from zraft.actors.launch import Launch
from zraft.actors.logs import Logger
from zraft.actors.snapshotter import STATE_DAMAGED, Job, start
from zraft.core.log_keeping import LogKeeping, Sizes
from zraft.core.room import RESERVE
from zraft.errors import CorruptSnapshot, CorruptState, StorageFault
from zraft.protocol.local import Read
from zraft.protocol.peer import SnapshotId
from zraft.store.chunks import identify, newest_snapshot
from zraft.store.directory import DataDirectory
from zraft.store.files import remove_behind, sync_directory
from zraft.store.log import LmdbLog
from zraft.store.snapshots import list_snapshots, read_manifest, set_aside
from zraft.store.soundness import CRASHES
from zraft.store.space import has_room
from zraft.store.state import LmdbState

LOOK_SECONDS = 0.25
NO_ROOM_SECONDS = 10.0


class Snapshots:
    """The snapshots of one node, and the length of its log.

    The order is what makes it safe at a kill or a power cut: a snapshot is whole, durable and read back, then the older
    ones go, then the log is cut.
    """

    def __init__(self, launch: Launch, log: LmdbLog, logger: Logger, poller: zmq.Poller) -> None:
        settings = launch.settings
        self._directory = DataDirectory(settings.data_path())
        self._settings = settings
        self._lock = launch.lock
        self._log = log
        self._logger = logger
        self._poller = poller
        self._child: subprocess.Popen[bytes] | None = None
        self._child_exit = -1
        self._began = 0.0
        self._next_look = 0.0
        self.keeping = LogKeeping(settings.snapshot_log_mib << 20, settings.burst_mib << 20)
        """When, and how far: to be asked for a snapshot, and to hold the log."""
        self._offer = newest_snapshot(self._directory.snapshots_path)
        self.cutting = False
        """Whether another turn is to follow at once."""
        self._unchecked = bool(list_snapshots(self._directory.snapshots_path))
        if self._unchecked:
            self.keeping.ask()

    def turn(self, state: LmdbState, applied: int) -> bool:
        """Once around storage's loop; whether a snapshot was made. What is cut is durable with the next commit."""
        self._log.commit()  # of the slice before, unless an answer has taken it along
        now = clock()
        ended = self._child is not None and self._child.poll() is not None
        if not (ended or self.cutting or now >= self._next_look):
            return False
        self._next_look = now + LOOK_SECONDS
        log = self._log
        sizes = Sizes(log.base.index, log.last.index, applied, log.size_bytes, state.size_bytes)
        is_made = ended and self._reap(sizes, now)
        if self.keeping.due(sizes, now, self._is_roomy(sizes)):
            self._start(sizes, now)
        to = self.keeping.cut(sizes, now)
        self.cutting = to is not None
        if to is not None:
            log.cut(to)
        return is_made

    def offer_for(self, read: Read) -> SnapshotId | None:
        """The newest snapshot, for a peer that may need entries which were cut; one is made if there is none."""
        if self._offer is not None and read.damaged == self._offer.checksum:
            self._logger.error("a damaged snapshot is replaced", index=self._offer.index)
            self._offer = None
            self.keeping.lost(clock())
        elif self._offer is None and read.first <= self._log.base.index:
            self.keeping.ask()
        return self._offer

    def installed(self, snapshot: SnapshotId) -> None:
        """The leader's snapshot is this node's newest from now on."""
        self._offer = snapshot
        self.keeping.installed(snapshot.index)

    def held(self) -> tuple[int, int]:
        """(last index, bytes) of the newest snapshot; zeros when there is none."""
        return (self._offer.index, self._offer.size) if self._offer else (0, 0)

    def close(self) -> None:
        """A snapshot that is being made is given up."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._forget_child()

    def _is_roomy(self, sizes: Sizes) -> bool:
        longer = self.keeping.longest(sizes) - sizes.log_bytes
        return longer <= 0 or has_room(self._directory.path, longer + sizes.state_bytes)

    def _fits(self, sizes: Sizes) -> bool:
        """Whether there is room; in the reserve for one that lets go of more than it takes, or that would stay full."""
        path, size = self._directory.path, sizes.state_bytes
        return has_room(path, size) or (size <= sizes.log_bytes and has_room(path, 2 * size, RESERVE))

    def _start(self, sizes: Sizes, now: float) -> None:
        directory, settings = self._directory, self._settings
        if not self._fits(sizes) and not self._unchecked:
            self.keeping.failed(now)
            self._logger.every(NO_ROOM_SECONDS, "no room for a snapshot", bytes=sizes.state_bytes)
            return
        job = Job(
            settings.id,
            os.getpid(),
            str(directory.state_path(self._log.generation)),
            str(directory.snapshots_path),
            settings.map_size_gib << 30,
            self._log.record,
            self._unchecked,
        )
        try:
            # The lock goes along: while the snapshotter lives, nobody else gets the directory (S1).
            self._child = start(job, (self._lock.fileno(),) if self._lock else ())
        except OSError as error:
            self.keeping.failed(now)
            self._logger.warning("the snapshotter could not be started", reason=str(error))
            return
        self._child_exit = os.pidfd_open(self._child.pid)
        self._poller.register(self._child_exit, zmq.POLLIN)
        self._began = now
        self.keeping.begun()

    def _reap(self, sizes: Sizes, now: float) -> bool:
        code = self._forget_child()
        if code == STATE_DAMAGED:
            raise CorruptState("a copy of it does not match its checksums").within(self._directory.path)
        if -code in CRASHES:  # the next storage verifies the state, and says what it is
            raise StorageFault(f"the snapshotter crashed ({signal.Signals(-code).name}): the state may be damaged")
        try:
            found = [(path, read_manifest(path)) for path in list_snapshots(self._directory.snapshots_path)[:1]]
        except (CorruptSnapshot, OSError) as error:
            code, found = 1, []
            self._logger.error("the newest snapshot can't be read", message=str(error))
        if code != 0 or not found:
            self.keeping.failed(now)
            metrics.snapshot_failures.inc()
            self._logger.warning("no snapshot was made", exit_code=code)
            return False
        path, manifest = found[0]
        self._offer = identify(path)
        seconds = now - self._began
        event = "snapshot verified" if self._unchecked else "snapshot made"
        is_made = not self._unchecked
        if is_made:
            metrics.snapshot_seconds.observe(seconds)
        self._unchecked = False
        self._remove_older(path)
        self.keeping.made(manifest.index, sizes)
        self._logger.info(event, index=manifest.index, bytes=manifest.state_bytes, seconds=round(seconds, 3))
        return is_made

    def _remove_older(self, newest: Path) -> None:
        """Their names are gone when this returns, so before the log is cut."""
        older = [set_aside(path) for path in list_snapshots(self._directory.snapshots_path) if path < newest]
        sync_directory(newest.parent)
        remove_behind(*older)

    def _forget_child(self) -> int:
        child, self._child = self._child, None
        if child is None:
            return 0
        self._poller.unregister(self._child_exit)
        os.close(self._child_exit)
        left = self._directory.snapshots_path / f"making.{child.pid}"
        if left.exists():
            remove_behind(left)
        return child.returncode
