"""How zraft opens LMDB, and what it makes of LMDB's errors.

A map is as large as the settings say from the start, in every process, so that it never grows under its readers: it is
address space, not disk. (``store.growing`` has the one exception, a writer's own map.)
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import lmdb

from zraft.errors import CorruptLog, OutOfSpace, StorageFault
from zraft.store.files import fallocate, make_directory

DATA_FILE = "data.mdb"
"""What LMDB calls the file of an environment."""
LOCK_FILE, LOCK_BYTES = "lock.mdb", 8192
"""Its file of locks, the table of readers in it, and what a new one is given: 126 slots, as LMDB does by itself."""
MAP_BYTES = 1 << 40
"""Address space for a map that is only looked at: LMDB takes more by itself where a file needs it."""
TABLES_MAX = 8
KEY_BYTES_MIN = 511
"""What zraft's longest keys rest on (``protocol.requests.KEY_BYTES_MAX`` and what stands around one)."""
ENGINE = 0
"""LMDB 0.9, whose edges are known; unless it is named, a variable of the environment may choose 1.0 for new files."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NEARLY_FULL_BYTES = 16 << 20


def open_environment(path: Path, map_size: int, sync: bool, writemap: bool = False) -> lmdb.Environment:
    """The environment at ``path`` for the one process that writes it; made (mode 0700) if it is missing.

    ``sync``: whether a commit is durable when it returns. ``writemap``: whether pages are written through the map,
    whose file then becomes as large as the map; where the disk has no block for one, that is a SIGBUS.

    Raises:
        StorageFault: it can't be opened, or this LMDB was built for shorter keys.
        OutOfSpace: the disk has no block for its file of locks.
    """
    try:
        make_directory(path)
    except OSError as error:
        raise StorageFault(f"the directory {path} can't be made: {error}") from error
    _claim_locks(path)
    return _open(path, map_size, sync=sync, writemap=writemap)


def open_read_only(path: Path, map_size: int, lock: bool = True) -> lmdb.Environment:
    """The environment at ``path``, a directory or a file, for a process that reads what another writes; one each.

    ``lock``: whether it is written meanwhile. If not, nothing need be written for reading it either.

    Raises:
        StorageFault: it can't be opened; most often because it is not there (any more).
    """
    # One spare transaction: a read then renews it, and keeps its slot in the table of readers, instead of looking for
    # a free one under a lock that all processes share.
    return _open(path, map_size, readonly=True, lock=lock, max_spare_txns=1)


def write_fault(error: lmdb.Error, path: Path) -> StorageFault:
    """What a failed write means: ``OutOfSpace`` when room is what is missing, else ``StorageFault``."""
    if lacks_space(error, path):
        return OutOfSpace(f"no space left for {path}: {error}")
    return StorageFault(f"writing to {path} failed: {error}")


def lacks_space(error: lmdb.Error | OSError, path: Path) -> bool:
    """Whether the write failed for lack of space: on the disk, in a quota, or in the map."""
    if isinstance(error, lmdb.MapFullError):
        return True
    code = error.code if isinstance(error, lmdb.Error) else error.errno
    # A disk that fills up takes a part of the last write, and LMDB calls any short write an I/O error.
    return code in _FULL or (code == errno.EIO and _free_bytes(path) < _NEARLY_FULL_BYTES)


def tables_bytes(txn: lmdb.Transaction[bytes], *tables: lmdb._Database) -> int:
    """The bytes of the pages that these tables occupy. Cheap: LMDB keeps count."""
    stats = [txn.stat(table) for table in tables]
    return sum(stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) for stat in stats)


def map_used_bytes(env: lmdb.Environment) -> int:
    """How far into the map pages have ever been used: the size that the file has, or may be brought to."""
    return (env.info()["last_pgno"] + 1) * env.stat()["psize"]


def extend_file(env: lmdb.Environment, path: Path) -> None:
    """Let a file that was cut short end in a hole, whose zeros are found as damage: touching it were a SIGBUS."""
    file = path / DATA_FILE
    size = map_used_bytes(env)
    if file.stat().st_size < size:
        os.truncate(file, size)


def _open(
    path: Path,
    map_size: int,
    sync: bool = True,
    writemap: bool = False,
    readonly: bool = False,
    lock: bool = True,
    max_spare_txns: int = 0,
) -> lmdb.Environment:
    try:
        env = lmdb.open(
            str(path),
            subdir=not path.is_file(),
            map_size=map_size,
            sync=sync,
            writemap=writemap,
            readonly=readonly,
            lock=lock,
            max_spare_txns=max_spare_txns,
            max_dbs=TABLES_MAX,
            mode=0o700,
            lib_version=ENGINE,
        )
    except (lmdb.Error, OSError) as error:
        raise StorageFault(f"the LMDB environment {path} can't be opened: {error}") from error
    if env.max_key_size() < KEY_BYTES_MIN:
        allowed = env.max_key_size()
        env.close()
        raise StorageFault(f"this build of LMDB takes keys of {allowed} bytes, and zraft needs {KEY_BYTES_MIN}")
    return env


def _claim_locks(path: Path) -> None:
    """Give the file of locks its blocks: LMDB writes it through a map, where a full disk would be a SIGBUS.

    One that is there keeps its size, from which each process that has it open knows how many slots there are.
    """
    try:
        file = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageFault(f"the LMDB environment {path} can't be opened: {error}") from error
    try:
        found = os.fstat(file)
        size = found.st_size or LOCK_BYTES
        if found.st_blocks * 512 < size:
            fallocate(file, 0, 0, size)
    except OSError as error:
        if lacks_space(error, path):
            raise OutOfSpace(f"no space left for {path / LOCK_FILE}, without which {path} can't be opened") from error
    finally:
        os.close(file)


def _free_bytes(path: Path) -> int:
    try:
        found = os.statvfs(path)
    except OSError:
        return sys.maxsize  # a disk that does not even tell this lacks something else
    return found.f_bavail * found.f_frsize


def sync_failure(error: lmdb.Error | OSError, log: Path) -> str:
    """What is said of a commit of the log that failed, and what to do.

    Lack of space is no exception: LMDB reports a short write and a failed fdatasync alike.
    """
    full = " (the file system is full)" if lacks_space(error, log) else ""
    return (
        f"the log in {log} could not be made durable: {error}{full}. What the disk holds is unknown now. "
        f"An operator must look at it, then run: zraft repair {log.parent} --acknowledge-fsync-failure"
    )


def corrupt_log(log: Path, index: int | None, what: str) -> CorruptLog:
    """The error of a log that can't be trusted, or of its entry at ``index``."""
    where = f"the log in {log}" if index is None else f"entry {index} of the log in {log}"
    way_out = f"zraft repair {log.parent}"
    return CorruptLog(f"{where} {what}. The node must not vote or serve with it; the way out is: {way_out}")
