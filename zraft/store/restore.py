"""Restoring: from a snapshot to the data directory of a node that has never run.

The state is a copy of the file; the log is made with it, and begins behind the last entry that the state has applied.
Which file it was is durable in the log: only nodes that were restored from the same one form a cluster, under an id of
its own, which no member of the old cluster can join.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from zraft.core.records import APPLIED, CONFIGURATION, pack_applied, read_applied
from zraft.errors import ConfigurationError, CorruptSnapshot, CorruptState, OutOfSpace, StorageFault
from zraft.store.environment import lacks_space
from zraft.store.files import make_directory, sync_directory
from zraft.store.log import LmdbLog
from zraft.store.snapshots import DATA_FILE, Manifest, Progress, make_snapshot, verify_snapshot
from zraft.store.soundness import verify_state
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
    """Make the data of a new member of a new cluster; the log comes last, and without it no node starts.

    Args:
        file: a snapshot, which is verified from end to end.
        directory: made if it is missing.
        member: the id of the new member, 64 random bits.
        map_size: of both maps, in bytes.
        bump: is added to the store's revision, so that caches of the old cluster's clients notice.
        generation: of the state that is made.
        progress: is told (bytes done, bytes in all) while the file is verified.

    Returns:
        What the file says of itself.

    Raises:
        CorruptSnapshot: the file is damaged; nothing was made.
        CorruptState: the state in it was damaged before the snapshot was made.
        ConfigurationError: the directory is not empty.
        StorageFault: the disk refused; ``OutOfSpace`` for lack of room.
    """
    manifest = verify_snapshot(file, progress)
    if directory.exists() and any(directory.iterdir()):
        raise ConfigurationError(f"{directory} is not empty: restore into an empty directory, or one that is missing")
    path = directory / f"state.{generation}"
    try:
        make_directory(path)
        shutil.copyfile(file, path / DATA_FILE)
    except OSError as error:
        kind = OutOfSpace if lacks_space(error, directory) else StorageFault
        raise kind(f"the state could not be restored to {path}: {error}") from error
    _settle(path, manifest, map_size, bump)
    snapshot, _ = make_snapshot(path, directory / "snapshots", map_size, None, manifest.created)
    verify_snapshot(snapshot)  # the log is about to rest on it
    log = LmdbLog(directory / "log", member, map_size, initial_state=initial_state(manifest, bump))
    try:
        log.install(manifest.last, generation)
        log.set_term(manifest.term, 0)
        log.commit()
    finally:
        log.close()
    sync_directory(directory)
    return manifest


def _settle(path: Path, manifest: Manifest, map_size: int, bump: int) -> None:
    """Check that the copy is the state of the manifest, bump its revision, and make it durable."""
    try:
        facts = verify_state(path, map_size)
    except CorruptState as error:
        raise CorruptSnapshot(f"the snapshot was made of a damaged state: {error}") from error
    if (facts.applied, facts.revision) != (manifest.last, manifest.revision):
        raise CorruptSnapshot(
            f"the snapshot holds the state of {facts.applied}, and says that it is that of {manifest.last}"
        )
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
