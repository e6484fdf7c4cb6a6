"""Restoring: from a snapshot to the data directory of a node that has never run.

The state is a copy of the file; the log is made with it, and begins behind the last entry that the state has applied.
It is made under another name, which is there before all else, and keeps nodes from starting; the rename is what makes
all of it count. Which file it was is durable in the log: only nodes that were restored from the same one form a
cluster, under an id of its own, which no member of the old cluster can join.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from zraft.core.limits import REVISION_MAX
from zraft.core.records import APPLIED, CONFIGURATION, pack_applied, read_applied
from zraft.errors import ConfigurationError, CorruptSnapshot, OutOfSpace, StorageFault
from zraft.store.directory import DataDirectory
from zraft.store.environment import DATA_FILE, lacks_space
from zraft.store.files import make_directory, sync_directory
from zraft.store.log import LmdbLog
from zraft.store.manifest import Manifest
from zraft.store.snapshots import Progress, make_snapshot, verify_snapshot
from zraft.store.soundness import verify_contents
from zraft.store.state import LmdbState

BUMP_MAX = 1 << 62


def initial_state(manifest: Manifest, bump: int) -> bytes:
    """32 bytes that name what a cluster begins with: the snapshot, and what was added to its revision."""
    return hashlib.sha256(manifest.checksum() + bump.to_bytes(8, "big")).digest()


def restore(
    file: Path,
    directory: Path,
    member: int,
    map_size: int,
    bump: int = 0,
    generation: int = 0,
    progress: Progress = lambda done, whole: None,
) -> Manifest:
    """Make the data of a new member of a new cluster. What an interrupted one has left in the directory is replaced.

    Args:
        file: a snapshot, which is verified from end to end.
        directory: made if it is missing, and locked meanwhile.
        member: the id of the new member, 64 random bits.
        map_size: of both maps, in bytes.
        bump: is added to the store's revision, so that caches of the old cluster's clients notice.
        generation: of the state that is made.
        progress: is told (bytes done, bytes in all) while the file is verified.

    Returns:
        What the file says of itself.

    Raises:
        CorruptSnapshot: the file is damaged, or was made of a damaged state; nothing was made.
        ConfigurationError: the directory is not empty, or holds the file; or the bump is too much.
        DataDirectoryInUse: another process restores to it, or runs there.
        StorageFault: the disk refused; ``OutOfSpace`` for lack of room.
    """
    place = DataDirectory(directory)
    _require_empty(place, file)
    manifest = verify_contents(file, progress)
    if manifest.revision + bump > REVISION_MAX:
        raise ConfigurationError(f"the revision would be {manifest.revision + bump}, {REVISION_MAX} is the highest")
    place.acquire()
    try:
        _require_empty(place, file)  # now that nobody else may be about to fill it
        _begin(place)
        _make(file, place, manifest, (member, map_size, generation, bump))
    except OSError as error:
        kind = OutOfSpace if lacks_space(error, directory) else StorageFault
        raise kind(f"{file} could not be restored to {directory}: {error}") from error
    finally:
        place.release()
    return manifest


def _require_empty(place: DataDirectory, file: Path) -> None:
    """Check that nothing is in the directory but what an interrupted restoration has left.

    Raises:
        ConfigurationError: there is something else.
    """
    if not place.path.exists():
        return
    if place.log_path.exists():
        raise ConfigurationError(
            f"{place.path} is not empty: it holds a node's data, restored or not; look at it with `zraft check`"
        )
    if file.resolve().is_relative_to(place.path.resolve()):
        raise ConfigurationError(f"{file} is within {place.path}: move it out of there, or restore somewhere else")
    left = {place.lock_path, *(_parts(place) if place.restoring_path.exists() else ())}
    if others := sorted(path.name for path in place.path.iterdir() if path not in left):
        raise ConfigurationError(
            f"{place.path} is not empty, there is {others[0]}: restore into an empty directory, or one that is missing"
        )


def _begin(place: DataDirectory) -> None:
    """Make what is to be the log, durably and before anything else, and clear what an interrupted one has left."""
    make_directory(place.restoring_path)
    for path in _parts(place):
        if path != place.restoring_path and path.exists():
            shutil.rmtree(path)
    for path in place.restoring_path.iterdir():
        path.unlink()


def _parts(place: DataDirectory) -> tuple[Path, ...]:
    states = (path for path in place.path.glob("state.*") if path.suffix[1:].isdecimal())
    return place.restoring_path, place.snapshots_path, *states


def _make(file: Path, place: DataDirectory, manifest: Manifest, how: tuple[int, int, int, int]) -> None:
    """State, snapshot, log: each rests on what is durable before it."""
    member, map_size, generation, bump = how
    path = place.state_path(generation)
    make_directory(path)
    shutil.copyfile(file, path / DATA_FILE)
    if verify_snapshot(path / DATA_FILE) != manifest:
        raise CorruptSnapshot(f"the snapshot {file} was replaced while it was restored: repeat it")
    _settle(path, map_size, bump)
    snapshot, _ = make_snapshot(path, place.snapshots_path, map_size, None, manifest.created)
    verify_snapshot(snapshot)  # the log is about to rest on it
    log = LmdbLog(place.restoring_path, member, map_size, initial_state=initial_state(manifest, bump))
    try:
        log.install(manifest.last, generation)
        log.set_term(manifest.term, 0)
        log.commit()
    finally:
        log.close()
    place.restoring_path.rename(place.log_path)
    sync_directory(place.path)


def _settle(path: Path, map_size: int, bump: int) -> None:
    """Take the old cluster's members out of a copy of its state, bump its revision, and make it durable."""
    state = LmdbState(path, map_size)
    try:
        if state.meta(CONFIGURATION):
            state.set_meta(CONFIGURATION, b"")  # the new cluster has members of its own
        if bump:
            found = read_applied(state.meta(APPLIED))
            state.set_meta(APPLIED, pack_applied(found._replace(revision=found.revision + bump)))
        state.commit()
        state.sync()
    finally:
        state.close()
    sync_directory(path)
    sync_directory(path.parent)
