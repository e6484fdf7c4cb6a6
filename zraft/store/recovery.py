"""Opening a node's stores: the log is the truth; the applied state is kept only if it can be trusted.

``state.<generation>/`` is written without fsync. It is used again when the last stop was clean, or when the same page
cache has lived ever since (see ``store.dirty``). Else it is given up: the next generation begins empty and is filled
from the log. A state that can be trusted and claims more than the log holds proves that the *log* lost entries: the
node does not start.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable

import msgspec

from zraft.core.records import APPLIED, read_applied
from zraft.errors import CorruptLog, StorageFault
from zraft.protocol.entries import EntryId
from zraft.store.directory import DataDirectory
from zraft.store.dirty import DirtyMark, Mark
from zraft.store.files import sync_directory
from zraft.store.log import LmdbLog
from zraft.store.state import LmdbState


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


def open_stores(directory: DataDirectory, member: int, map_size: int, on_commit: Callable[[float], None]) -> Stores:
    """Open both stores, and decide what the state is worth. The caller holds the lock on the directory.

    Args:
        directory: the node's data directory.
        member: 64 random bits, the member id if the log is made now.
        map_size: of both maps, in bytes.
        on_commit: is told the seconds that each commit of the log took.

    Raises:
        CorruptLog: the log is damaged, or gone while its state is still there.
        IdentityRefused: a store has a format that this version does not know.
        StorageFault: the disk refused.
    """
    states = sorted(directory.path.glob("state.*"))
    # Beside a state no log is ever made: it was lost, and this node can't take part under its old identity.
    log = LmdbLog(directory.log_path, member, map_size, on_commit, create=not states)
    mark = DirtyMark(directory.dirty_mark)
    doubt = _doubt(directory, log, mark, map_size)
    if doubt:
        # Durable before the mark is set anew, which replaces the evidence: a kill from here on finds the old state
        # out of use already.
        log.set_generation(log.generation + 1)
        log.commit()
    path = directory.state_path(log.generation)
    for old in states:
        if old != path:
            shutil.rmtree(old, ignore_errors=True)
    mark.set()
    state = LmdbState(path, map_size)
    sync_directory(directory.path)
    applied = read_applied(state.meta(APPLIED)).applied
    state.abort()
    return Stores(log, state, log.generation, applied, doubt, mark)


def _doubt(directory: DataDirectory, log: LmdbLog, mark: DirtyMark, map_size: int) -> str:
    """Why the state on the disk can't be used; empty when it can, or when there is none."""
    path = directory.state_path(log.generation)
    if not path.exists():
        return ""
    if mark.state() is Mark.MISMATCH:
        return "the last stop was not clean, and the page cache did not live on"
    state = LmdbState(path, map_size)
    applied = read_applied(state.meta(APPLIED)).applied
    state.close()
    if log.term_at(applied.index) != applied.term:
        # Apply only ever follows the durable log, so the log lost entries that this node had acknowledged (trap 29).
        raise CorruptLog(
            f"the state in {path} has applied {applied}, but the log ends at {log.last}: the log lost entries. Put the "
            "whole data directory back as it was, or empty it and let the node join as a new member"
        )
    return ""
