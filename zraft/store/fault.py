"""Records that keep a node down until an operator has acted: whoever starts it next must find them.

After a failed fsync of the log nobody knows what is on the disk, and the next one would succeed with data lost (S13).
That record is written to the data directory and to the runtime directory, since the disk of the former has just shown
that it can't be trusted. After the leader found that the applied state is not what a majority has, nothing in the data
directory shows it: each checksum is right.
"""

from __future__ import annotations

import contextlib
import datetime
from pathlib import Path

import msgspec

from zraft.store.directory import DataDirectory
from zraft.store.files import remove_durably, sync_directory, write_durably, write_synced


class Record(msgspec.Struct, frozen=True):
    """What a record says."""

    detail: str
    time: datetime.datetime
    runtime: str = ""
    """The runtime directory of the node, which depends on its user and environment: an operator's is another one."""


def record_sync_failure(directory: DataDirectory, runtime: Path, detail: str) -> None:
    """Writes both records as well as the disks allow: one that fails does not keep the other from being written."""
    record = _encoded(detail, str(runtime))
    for path in reversed(_records(directory, runtime)):  # that of the data last: its disk may hang
        with contextlib.suppress(OSError):
            # In place: that the file is there is what counts, and a failing disk may never get to a rename.
            write_synced(path, record)
            sync_directory(path.parent)


def pending_sync_failure(directory: DataDirectory, runtime: Path) -> str | None:
    """What was recorded, in a sentence; None if no failure waits for an operator."""
    return next(filter(None, map(_read, _records(directory, runtime))), None)


def recorded_sync_failure(directory: DataDirectory) -> str | None:
    """The same, as far as the data directory tells: an operator may have another runtime directory."""
    return _read(directory.fault_record)


def acknowledge_sync_failure(directory: DataDirectory, runtime: Path) -> None:
    """Removes all records: an operator has looked, and the node may start.

    Args:
        directory: the node's.
        runtime: the operator's own, which the node may share.

    Raises:
        OSError: one of them could not be removed, and goes on to keep the node down.
    """
    of_data, *others = _records(directory, runtime)
    with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
        if of_node := _decoded(of_data).runtime:
            others.append(Path(of_node) / of_data.name)
    for path in others:
        with contextlib.suppress(FileNotFoundError):  # nor its directory
            remove_durably(path)
    remove_durably(of_data)  # the last one: it tells where the others are


def record_divergence(directory: DataDirectory, detail: str) -> None:
    """Writes the record that the state differs from a majority's.

    Raises:
        OSError: it may not be there. A node that starts with that state will be told once more.
    """
    write_durably(directory.divergence_record, _encoded(detail))


def pending_divergence(directory: DataDirectory) -> str | None:
    """What was recorded, in a sentence; None if the state is in nobody's doubt."""
    return _read(directory.divergence_record)


def _read(path: Path) -> str | None:
    try:
        record = _decoded(path)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        return f"{path} stands, and can't be read: {error}"
    return f"{record.detail} (recorded at {record.time:%Y-%m-%d %H:%M:%S} UTC in {path})"


def _decoded(path: Path) -> Record:
    return msgspec.json.decode(path.read_bytes(), type=Record)


def _encoded(detail: str, runtime: str = "") -> bytes:
    return msgspec.json.encode(Record(detail, datetime.datetime.now(datetime.UTC), runtime))


def _records(directory: DataDirectory, runtime: Path) -> tuple[Path, Path]:
    return directory.fault_record, runtime / directory.fault_record.name
