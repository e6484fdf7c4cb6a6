"""Opening a node's stores: the log is the truth; the applied state is kept only if it can be trusted.

``state.<generation>/`` is written without fsync. It is used again when the last stop was clean, or when the same page
cache has lived ever since (see ``store.dirty``). Else it is given up: the next generation begins as a copy of the
newest sound snapshot, or empty where the log reaches back to the beginning, and is filled from the log. A state that
can be trusted and claims more than the log holds proves that the *log* lost entries: the node does not start. Nor does
it with a gap between what can be had of the state and the first entry of the log (trap 24). And a state that is kept,
or was copied from a snapshot, is read from end to end before anything of it is believed (trap 29).
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from zraft.core.records import APPLIED, read_applied
from zraft.core.room import RESERVE
from zraft.errors import CorruptLog, CorruptSnapshot, CorruptState, StorageFault
from zraft.protocol.entries import EntryId
from zraft.store.directory import DataDirectory
from zraft.store.dirty import DirtyMark, Mark
from zraft.store.environment import DATA_FILE
from zraft.store.files import sync_directory
from zraft.store.log import LmdbLog
from zraft.store.snapshots import (
    Progress,
    incoming_path,
    list_snapshots,
    read_manifest,
    remove_leftovers,
    verify_snapshot,
)
from zraft.store.soundness import verify_log, verify_state
from zraft.store.space import copy_file
from zraft.store.state import LmdbState

_WAY_OUT = (
    "Put the very same data back (never an older copy: it forgot votes and entries that the others count on), or empty "
    "the directory and let the node join as a new member"
)


class Stores(msgspec.Struct, frozen=True):
    """The open stores of one node. ``rebuilt``: why the state of before was given up; empty when it was not."""

    log: LmdbLog
    state: LmdbState
    generation: int
    applied: EntryId
    rebuilt: str
    mark: DirtyMark

    def close_cleanly(self) -> None:
        """Make the state durable and say so, so that the next start need not doubt it."""
        self.state.abort()
        try:
            self.state.sync()
        except StorageFault:
            self.log.set_generation(self.generation + 1)  # the page cache may drop what could not be written
            self.log.commit()
            raise
        self.state.close()
        self.log.close()
        self.mark.clear()


def open_stores(
    directory: DataDirectory,
    member: int,
    map_size: int,
    on_commit: Callable[[float], None],
    verify: bool = True,
    progress: Progress = lambda done, whole: None,
) -> Stores:
    """Open both stores, and decide what the state is worth. The caller holds the lock on the directory.

    Args:
        directory: the node's data directory.
        member: 64 random bits, the member id if the log is made now.
        map_size: of both maps, in bytes.
        on_commit: is told the seconds that each commit of the log took.
        verify: whether a process of its own reads log and state from end to end, whatever LMDB does with damage. It
            may be left out where the same has been done since the machine's last start, and no more than processes
            died.
        progress: is told how far that is.

    Raises:
        CorruptState: the state is damaged; says how it is made anew.
        CorruptLog: the log is damaged, or gone while its state is still there; or the state is lost, and can't be had
            from a snapshot and the log; or restoring, or forcing a new cluster, was interrupted.
        IdentityRefused: a store has a format that this version does not know.
        StorageFault: the disk refused.
    """
    directory.require_whole()
    states = sorted(directory.path.glob("state.*"))
    if verify:
        verify_log(directory.log_path, map_size)
    # Beside a state no log is ever made: it was lost, and this node can't take part under its old identity.
    log = LmdbLog(directory.log_path, member, map_size, on_commit, create=not states)
    _set_aside(directory, log)
    mark = DirtyMark(directory.dirty_mark)
    doubt = _doubt(directory, log, mark, partial(_applied, directory, map_size, progress if verify else None))
    # Found before anything is given up: a node without a way to its state is left as it is.
    fresh = bool(doubt) or not directory.state_path(log.generation).exists()
    source = _source(directory, log) if fresh else None
    if doubt:
        # First: once the log has that generation, what stands there passes for its state.
        _clear(directory.state_path(log.generation + 1))
        # Durable before the mark is set anew, which replaces the evidence: a kill from here on finds the old state
        # out of use already.
        log.set_generation(log.generation + 1)
        log.commit()
    path = directory.state_path(log.generation)
    for old in states:
        if old != path:
            shutil.rmtree(old, ignore_errors=True)
    remove_leftovers(directory.snapshots_path)
    # Before the copy, which is not synced: a power cut finds the mark of a life that has ended.
    _set(mark, directory)
    if source:
        _copy(source, path)
        _applied(directory, map_size, progress, path)
    state = LmdbState(path, map_size)
    sync_directory(directory.path)
    applied = read_applied(state.meta(APPLIED)).applied
    log.take_format(state.format)
    state.abort()
    log.commit()  # what its journal held is LMDB's before anybody hears of it
    return Stores(log, state, log.generation, applied, doubt, mark)


def _set(mark: DirtyMark, directory: DataDirectory) -> None:
    try:
        mark.set()
    except OSError as error:
        raise StorageFault(f"the dirty mark in {directory.path} can't be set: {error}") from error


def _set_aside(directory: DataDirectory, log: LmdbLog) -> None:
    """A snapshot that the log does not reach came from a leader, and a crash was quicker than its installation.

    It is staged again. Under the name of a finished one it would pass for what the log may be cut behind, while state
    and log of this node still rest on an older one.
    """
    for path in list_snapshots(directory.snapshots_path):
        with contextlib.suppress(CorruptSnapshot, OSError):
            manifest = read_manifest(path)
            if log.term_at(manifest.index) != manifest.term and manifest.index > log.base.index:
                path.rename(incoming_path(directory.snapshots_path, manifest.checksum()))


def _applied(directory: DataDirectory, map_size: int, progress: Progress | None, path: Path) -> EntryId:
    """The last entry that a state has applied; it is verified if there is a ``progress`` to tell."""
    try:
        if progress is not None:
            return verify_state(path, map_size, progress).applied
        state = LmdbState(path, map_size)
        try:
            return read_applied(state.meta(APPLIED)).applied
        finally:
            state.abort()
            state.close()
    except CorruptState as error:
        raise error.within(directory.path) from error


def _doubt(directory: DataDirectory, log: LmdbLog, mark: DirtyMark, applied_in: Callable[[Path], EntryId]) -> str:
    """Why the state on the disk can't be used; empty when it can, or when there is none."""
    path = directory.state_path(log.generation)
    if not path.exists():
        return ""
    if mark.state() is Mark.MISMATCH:
        return "the last stop was not clean, and the page cache did not live on"
    applied = applied_in(path)
    if applied.index < log.base.index:  # trap 24
        return f"the state has applied {applied}, and the log begins behind {log.base}"
    if log.term_at(applied.index) != applied.term:
        # Apply only ever follows the durable log, so the log lost entries that this node had acknowledged (trap 29).
        raise CorruptLog(
            f"the state in {path} has applied {applied}, but the log ends at {log.last}: the log lost entries. "
            f"{_WAY_OUT}"
        )
    return ""


def _source(directory: DataDirectory, log: LmdbLog) -> Path | None:
    """The newest sound snapshot that the log goes on from without a gap (trap 24); None: the log has it all.

    Raises:
        CorruptLog: the log has not, and there is no such snapshot.
    """
    reasons = []
    for path in list_snapshots(directory.snapshots_path):
        try:
            last = read_manifest(path).last
            if last.index >= log.base.index and log.term_at(last.index) == last.term:
                verify_snapshot(path)
                return path
            reasons.append(f"{path.name} ends at {last}")
        except (CorruptSnapshot, OSError) as error:
            reasons.append(str(error))
    if not log.base.index:
        return None
    raise CorruptLog(
        f"the applied state is lost, and the log in {directory.log_path} begins behind {log.base} only: "
        f"{'; '.join(reasons) or 'there is no snapshot'}. {_WAY_OUT}"
    )


def _clear(state: Path) -> None:
    """What stands where the next generation is to be made was left by an interrupted installation: torn, perhaps."""
    try:
        if state.exists():
            shutil.rmtree(state)
    except OSError as error:
        raise StorageFault(f"{state} is left of an interrupted installation, and can't be removed: {error}") from error


def _copy(snapshot: Path, state: Path) -> None:
    """Make a snapshot the state of a generation, as one step: whatever is not whole has another name."""
    fresh = state.with_name(f"{state.name}.new")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        copy_file(snapshot, fresh / DATA_FILE, RESERVE)
        fresh.rename(state)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)  # it may have filled a disk that others write to as well
        raise StorageFault(f"the state could not be copied from {snapshot}: {error}") from error
