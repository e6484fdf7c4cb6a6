"""Looking at a data directory from end to end while its node is down: what is damaged, and what can be done about it.

Nothing is changed, except that LMDB may make its lock files anew.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from zraft.errors import CorruptLog, CorruptSnapshot, CorruptState
from zraft.protocol.entries import EntryId
from zraft.store.directory import DataDirectory
from zraft.store.dirty import DirtyMark, Mark
from zraft.store.environment import DATA_FILE, MAP_BYTES
from zraft.store.fault import pending_divergence
from zraft.store.log import LmdbLog
from zraft.store.manifest import Manifest
from zraft.store.snapshots import list_snapshots
from zraft.store.soundness import verify_contents, verify_log, verify_state

Report = Callable[[str, int, int], None]
"""(what is being verified, bytes done, bytes in all)."""

_NOBODY = 1
"""A member id for a log that is never made."""


class Damage(msgspec.Struct, frozen=True):
    """Something that is not as it was written, in words that name the file."""

    what: str


class Findings(msgspec.Struct, frozen=True):
    """What a data directory holds. A part that is None is damaged, or there is none; ``damages`` tells.

    ``mark``: what the dirty mark says of the state. A state that is not to be trusted is rebuilt at the next start, and
    is no damage.
    """

    base: EntryId | None = None
    last: EntryId | None = None
    generation: int = 0
    applied: EntryId | None = None
    revision: int = 0
    mark: Mark = Mark.CLEAN
    snapshots: tuple[tuple[Path, Manifest], ...] = ()
    log_damage: Damage | None = None
    state_damage: Damage | None = None
    snapshot_damages: tuple[tuple[Path, Damage], ...] = ()
    divergence: Damage | None = None
    """The state is not what a majority has, as the leader found while the node ran; its checksums may all be right."""

    @property
    def damages(self) -> tuple[Damage, ...]:
        """All of them: log, state, snapshots."""
        snapshots = (damage for _, damage in self.snapshot_damages)
        found = (self.log_damage, self.state_damage, *snapshots, self.divergence)
        return tuple(damage for damage in found if damage is not None)

    @property
    def is_rebuildable(self) -> bool:
        """Whether log and snapshots are enough to make the state anew: nothing is missing between them (trap 24)."""
        if self.base is None or self.last is None:
            return False
        if not self.base.index:
            return True
        return any(self.base.index <= manifest.index <= self.last.index for _, manifest in self.snapshots)


def holds_data(directory: DataDirectory) -> bool:
    """Whether a node has ever kept anything here."""
    places = directory.log_path, directory.swap_record, directory.restoring_path
    return any(place.exists() for place in places) or any(directory.path.glob("state.*"))


def check(directory: DataDirectory, report: Report = lambda what, done, whole: None) -> Findings:
    """Verify log, state and snapshots, and the state within each of them. The caller holds the lock on the directory.

    Raises:
        CorruptLog: restoring, or forcing a new cluster, was interrupted, and is to be finished first.
        IdentityRefused: a store has a format that this version does not know.
        StorageFault: something can't be read at all.
    """
    directory.require_whole()
    diverged = pending_divergence(directory)
    found = Findings(divergence=Damage(diverged) if diverged else None)
    found = _with_snapshots(found, directory, report)
    return _with_log(found, directory, report)


def _with_snapshots(found: Findings, directory: DataDirectory, report: Report) -> Findings:
    sound, damaged = [], []
    for path in list_snapshots(directory.snapshots_path):
        try:
            # Before 0.2.0 one could be a true copy of a damaged state.
            sound.append((path, verify_contents(path, partial(report, path.name))))
        except (CorruptSnapshot, OSError) as error:
            damaged.append((path, Damage(str(error))))
    return msgspec.structs.replace(found, snapshots=tuple(sound), snapshot_damages=tuple(damaged))


def _with_log(found: Findings, directory: DataDirectory, report: Report) -> Findings:
    if not (directory.log_path / DATA_FILE).exists():
        return msgspec.structs.replace(found, log_damage=Damage(f"the log in {directory.log_path} was lost"))
    try:
        verify_log(directory.log_path, MAP_BYTES)
        log = LmdbLog(directory.log_path, _NOBODY, MAP_BYTES, create=False)
    except CorruptLog as error:
        return msgspec.structs.replace(found, log_damage=Damage(str(error)))
    try:
        found = msgspec.structs.replace(found, base=log.base, last=log.last, generation=log.generation)
        return _with_state(found, directory, log, report)
    finally:
        log.close()


def _with_state(found: Findings, directory: DataDirectory, log: LmdbLog, report: Report) -> Findings:
    path = directory.state_path(log.generation)
    found = msgspec.structs.replace(found, mark=DirtyMark(directory.dirty_mark).state())
    if path.exists() and found.mark is not Mark.MISMATCH:
        try:
            state = verify_state(path, MAP_BYTES, partial(report, path.name))
        except CorruptState as error:
            found = msgspec.structs.replace(found, state_damage=Damage(f"the state in {path} is damaged: {error}"))
        else:
            found = msgspec.structs.replace(found, applied=state.applied, revision=state.revision)
            if state.applied.index >= log.base.index:
                return _compared(found, log, state.applied, path)
    if found.is_rebuildable:
        return found
    lost = (
        f"the log in {directory.log_path} begins behind {log.base}, and neither the state nor a sound snapshot in "
        f"{directory.snapshots_path} reaches so far: the state can't be made anew"
    )
    return msgspec.structs.replace(found, log_damage=Damage(lost))


def _compared(found: Findings, log: LmdbLog, applied: EntryId, path: Path) -> Findings:
    """Apply follows the durable log: a state that is ahead of it proves that the log lost entries (trap 29)."""
    if log.term_at(applied.index) == applied.term:
        return found
    lost = Damage(f"the state in {path} has applied {applied}, but the log ends at {log.last}: the log lost entries")
    return msgspec.structs.replace(found, log_damage=lost)
