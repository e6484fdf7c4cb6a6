"""The record of a failed fsync of the log, which keeps a node down until an operator has looked at the disk (S13).

After such a failure nobody knows what is on the disk, and the next fsync would succeed with data lost. So the record
must be found by whoever starts the node next. It is written to the data directory and to the runtime directory, since
the disk of the former has just shown that it can't be trusted.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from pathlib import Path

import msgspec

from zraft.store.directory import DataDirectory
from zraft.store.files import remove_durably, sync_directory


class SyncFailure(msgspec.Struct, frozen=True):
    """What the record says."""

    detail: str
    time: datetime.datetime


def record_sync_failure(directory: DataDirectory, runtime: Path, detail: str) -> None:
    """Writes both records as well as the disks allow: one that fails does not keep the other from being written."""
    record = msgspec.json.encode(SyncFailure(detail, datetime.datetime.now(datetime.UTC)))
    for path in _records(directory, runtime):
        with contextlib.suppress(OSError):
            _write_in_place(path, record)


def pending_sync_failure(directory: DataDirectory, runtime: Path) -> str | None:
    """What was recorded, in a sentence; None if no failure waits for an operator."""
    for path in _records(directory, runtime):
        try:
            failure = msgspec.json.decode(path.read_bytes(), type=SyncFailure)
        except FileNotFoundError:
            continue
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            return f"{path} stands, and can't be read: {error}"
        return f"{failure.detail} (recorded at {failure.time:%Y-%m-%d %H:%M:%S} UTC in {path})"
    return None


def acknowledge_sync_failure(directory: DataDirectory, runtime: Path) -> None:
    """Removes both records: an operator has looked, and the node may start.

    Raises:
        OSError: one of them could not be removed, and goes on to keep the node down.
    """
    for path in _records(directory, runtime):
        remove_durably(path)


def _records(directory: DataDirectory, runtime: Path) -> tuple[Path, Path]:
    return directory.fault_record, runtime / directory.fault_record.name


def _write_in_place(path: Path, record: bytes) -> None:
    # The file's being there is what counts, so it is made first: a failing disk may never get to a rename.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(record)
        file.flush()
        os.fsync(descriptor)
    sync_directory(path.parent)
