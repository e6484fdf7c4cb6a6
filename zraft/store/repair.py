"""What an operator may do to the data of a node that is down. Old files are kept aside, never deleted.

A damaged state or snapshot is derived: it is set aside, and made anew from what is sound. So is a state that is not
what a majority has, with all snapshots made of it: it is made anew if the log reaches back to its beginning. If it does
not, nothing here leads to the right state, and the node comes back as a new member. A damaged log can't be
repaired: what this node acknowledged counts in elections and commits, so it may never come back as the same member
(trap 36). Its whole data is set aside, also if all that is wrong is that a page is in use and free: a table that leads
to an old page, with the vote or the entries of back then, each with its checksum, looks just so. And when a majority of
a cluster is lost for ever, one member's data may be made the beginning of a new cluster.
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec

from zraft.core.keyspace import Keyspace
from zraft.errors import ConfigurationError, FatalError, OutOfSpace, StorageFault
from zraft.protocol.entries import ClusterRecord, EntryId, decode_entry
from zraft.store.check import Findings, holds_data
from zraft.store.directory import DataDirectory
from zraft.store.dirty import DirtyMark
from zraft.store.environment import DATA_FILE, lacks_space
from zraft.store.files import make_directory, remove_durably, sync_directory, write_durably
from zraft.store.log import LmdbLog
from zraft.store.recovery import open_stores
from zraft.store.restore import restore
from zraft.store.snapshots import write_snapshot
from zraft.store.state import LmdbState

READ_BYTES = 4 << 20
WORK_DIRECTORY = "new-cluster"
"""What a new cluster is made in, within the data directory; a leftover of a repair that was interrupted."""
COPY = "applied"
"""In there: a copy of the state, to which all of the log is applied."""


class _Swap(msgspec.Struct, frozen=True):
    """What the record of an unfinished swap says: where the old files go, and what the new data is."""

    aside: str
    generation: int
    last: EntryId
    revision: int


_swap_record = msgspec.json.Decoder(_Swap)


class Plan(msgspec.Struct, frozen=True):
    """What a repair would do. ``aside``: the files to set aside, in that order; ``loses``: in words, or empty."""

    aside: tuple[Path, ...]
    explains: str
    loses: str = ""


def plan(directory: DataDirectory, found: Findings) -> Plan | None:
    """What is to be done about these findings; None: nothing is damaged."""
    # In this order, wherever it is interrupted, no node starts: the record of a divergence, or a state with no log,
    # is left to the end.
    derived = (*_present(directory.snapshots_path, directory.dirty_mark), *_states(directory))
    record = _present(directory.divergence_record)
    if found.log_damage is not None or (found.divergence is not None and not _is_whole(found)):
        damage = found.log_damage or found.divergence
        return Plan(
            (*_present(directory.log_path), *derived, *record),
            f"{damage.what if damage else ''}. The whole data of the node is set aside. With an empty directory it is "
            "a new member to the others, which refuse it under its old name until `zraft member remove NAME`: then "
            "start it with --join",
            "all that only this node has: what a majority acknowledged is safe while a majority of the other members "
            "is sound; if it is not, restore a backup or use --force-new-cluster on the best member that is left",
        )
    if found.divergence is not None:
        return Plan(
            (*derived, *record),
            f"{found.divergence.what}. State and snapshots are set aside, and made anew from the log, which is whole, "
            "when the node starts. Should it differ once more, it is the log that is not what the others have: then "
            "empty the directory, run `zraft member remove NAME`, and start it with --join",
        )
    damaged = tuple(path for path, _ in found.snapshot_damages)
    if found.state_damage is not None:
        damaged += _present(directory.state_path(found.generation))
    if not damaged:
        return None
    what = "; ".join(damage.what for damage in found.damages)
    return Plan(damaged, f"{what}. It is set aside, and made anew from the log and the snapshots when the node starts")


def _is_whole(found: Findings) -> bool:
    """Whether the log begins at the beginning: the state follows from it alone."""
    return found.base is not None and not found.base.index


def perform(directory: DataDirectory, agreed: Plan, now: datetime.datetime) -> Path:
    """Set aside what the plan says. The caller holds the lock on the directory.

    Returns:
        Where the old files are.

    Raises:
        OSError: the disk refused; the node may not start until the repair is repeated.
    """
    aside = _aside(directory, now)
    make_directory(aside)
    _move(directory, agreed.aside, aside)
    return aside


def force_new_cluster(
    directory: DataDirectory, member: int, map_size: int, now: datetime.datetime
) -> tuple[Path, EntryId, int]:
    """Make this node's data that of the only member of a new cluster: all of its log counts as committed.

    Interrupted at any point, the node either starts as it was before, or does not start until this is repeated.

    Args:
        directory: the node's data directory, which the caller has locked.
        member: the id of the new member, 64 random bits.
        map_size: of both maps, in bytes.
        now: for the name of the directory of the old files, and the snapshot.

    Returns:
        Where the old files are, and the last entry and the revision of the new cluster's state.

    Raises:
        ConfigurationError: there is no data.
        CorruptLog: the log is damaged.
        StorageFault: the disk refused.
    """
    work = directory.path / WORK_DIRECTORY
    if not holds_data(directory):
        raise ConfigurationError(f"{directory.path} holds no data of a node")
    if directory.swap_record.exists():
        return _finish(directory)
    stores = open_stores(directory, member, map_size, lambda seconds: None)
    record, generation = stores.log.record, stores.generation + 1
    try:
        try:
            if work.exists():  # of a try that was interrupted before it swapped anything: made of what is still here
                shutil.rmtree(work)
            make_directory(work)
            # Of a copy: if this comes to nothing, what nobody has committed must not be in the state of an old member.
            make_directory(work / COPY)
            shutil.copyfile(directory.state_path(stores.generation) / DATA_FILE, work / COPY / DATA_FILE)
            last, revision = _apply_all(stores.log, work / COPY, map_size)
        finally:
            stores.close_cleanly()
        _rebuild(work, record, generation, (member, map_size), now)
        swap = _Swap(_aside(directory, now).name, generation, last, revision)
    except (OSError, FatalError) as error:
        lacks = isinstance(error, OSError) and lacks_space(error, directory.path)
        shutil.rmtree(work, ignore_errors=True)  # it may have filled the disk
        if isinstance(error, FatalError):
            raise
        kind = OutOfSpace if lacks else StorageFault
        raise kind(f"the new cluster in {directory.path} could not be made: {error}") from error
    try:
        write_durably(directory.swap_record, msgspec.json.encode(swap))
        return _swap(directory, swap)
    except OSError as error:
        raise StorageFault(f"the new cluster in {directory.path} could not be finished: {error}") from error


def _finish(directory: DataDirectory) -> tuple[Path, EntryId, int]:
    """Go on with a swap that was interrupted."""
    try:
        return _swap(directory, _swap_record.decode(directory.swap_record.read_bytes()))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StorageFault(f"the new cluster in {directory.path} could not be finished: {error}") from error


def _apply_all(log: LmdbLog, path: Path, map_size: int) -> tuple[EntryId, int]:
    """Apply the whole log to the state in ``path``, whatever was committed; returns the last entry and the revision."""
    state = LmdbState(path, map_size)
    keyspace = Keyspace(state)
    while keyspace.applied.index < log.last.index:
        first = keyspace.applied.index + 1
        for index, data in enumerate(log.entries(first, READ_BYTES), first):
            for _ in keyspace.apply(decode_entry(index, data)):
                pass
        keyspace.commit()
    state.close()
    return keyspace.applied, keyspace.revision


def _rebuild(
    work: Path,
    record: ClusterRecord | None,
    generation: int,
    identity: tuple[int, int],
    now: datetime.datetime,
) -> None:
    """Make the new data within ``work``, by the way of every restored cluster: through a snapshot."""
    member, map_size = identity
    file = work / "whole"
    write_snapshot(work / COPY, file, map_size, record, now.timestamp())
    shutil.rmtree(work / COPY)
    restore(file, work / "data", member, map_size, generation=generation)
    file.unlink()


def _swap(directory: DataDirectory, swap: _Swap) -> tuple[Path, EntryId, int]:
    """Put the new data in the place of the old one. It may have come to any point before: each step looks for that.

    From the record on no node starts. Also without it none would: the log is the first to go and the last to come, and
    beside a state none is made. The new log is in its place when it is not in the work directory any more.
    """
    work, aside = directory.path / WORK_DIRECTORY, directory.path / swap.aside
    data = DataDirectory(work / "data")
    state = directory.state_path(swap.generation)
    make_directory(aside)
    if data.log_path.exists():
        _move(directory, _present(directory.log_path), aside)
        _place(data.state_path(swap.generation), state)
        _move(directory, (path for path in _states(directory) if path != state), aside)
        if data.snapshots_path.exists():
            _move(directory, _present(directory.snapshots_path), aside)
            _place(data.snapshots_path, directory.snapshots_path)
        _move(directory, _present(directory.divergence_record), aside)
        DirtyMark(directory.dirty_mark).clear()
        _place(data.log_path, directory.log_path)
    if work.exists():
        shutil.rmtree(work)
    remove_durably(directory.swap_record)
    return aside, swap.last, swap.revision


def _place(path: Path, target: Path) -> None:
    if path.exists():
        path.rename(target)
        sync_directory(target.parent)
        sync_directory(path.parent)


def _states(directory: DataDirectory) -> tuple[Path, ...]:
    return tuple(sorted(directory.path.glob("state.*")))


def _present(*paths: Path) -> tuple[Path, ...]:
    return tuple(path for path in paths if path.exists())


def _aside(directory: DataDirectory, now: datetime.datetime) -> Path:
    return directory.path / f"damaged-{now:%Y%m%dT%H%M%S.%f}"


def _move(directory: DataDirectory, paths: Iterable[Path], aside: Path) -> None:
    """One at a time, each durable before the next: the order is what makes it safe."""
    for path in paths:
        path.rename(aside / path.name)
        sync_directory(aside)
        sync_directory(path.parent)
    sync_directory(directory.path)
