"""Snapshots: the applied state of one moment as one file, checksummed from end to end.

A file is LMDB's compacting copy of the state, and behind it a trailer::

    LMDB data file | manifest (msgpack) | its length u32 | its crc32c u32 | magic, 8 bytes

The trailer stands behind the last page that LMDB knows of, and LMDB never looks there. So a plain copy of a snapshot
*is* the ``data.mdb`` of a new state: nothing is imported, converted or loaded. The manifest says which entry the state
has applied, and holds a checksum of each chunk and one of the whole.

A snapshot gets its name only when it is whole and durable: whatever has another name is a leftover.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import google_crc32c
import lmdb

from zraft.core.integrity import verify_checksums
from zraft.errors import CorruptSnapshot, CorruptState, OutOfSpace, ProtocolError, StorageFault
from zraft.protocol import codec
from zraft.protocol.entries import ClusterRecord
from zraft.store.environment import lacks_space, open_read_only
from zraft.store.files import make_directory, sync_directory
from zraft.store.manifest import Manifest
from zraft.store.paced import copy_paced
from zraft.store.probed import tables_in

FORMAT = 1
CHUNK_BYTES = 1 << 20
MANIFEST_BYTES_MAX = 16 << 20
"""Room for the checksums of 4 TiB: a longer manifest is damage, and is not read into memory."""
SUFFIX = ".snapshot"

_MAGIC = b"zraftsn\x01"
_U32 = struct.Struct(">I")
_END = struct.Struct(">II8s")

Progress = Callable[[int, int], None]
"""(bytes done, bytes in all), more or less: called now and then while something large is made or checked."""


def snapshot_path(directory: Path, index: int) -> Path:
    """Where the snapshot that ends at ``index`` stands in the directory of snapshots."""
    return directory / f"{index:020}{SUFFIX}"


def list_snapshots(directory: Path) -> list[Path]:
    """The finished snapshots in ``directory``, the newest first."""
    return sorted(directory.glob(f"{'[0-9]' * 20}{SUFFIX}"), reverse=True)


def set_aside(path: Path) -> Path:
    """Take its name from a snapshot, whole or not, that is to be removed; returns the one that it has now.

    One that somebody else has just removed is none the worse for that.
    """
    aside = path.with_name(f"making.{path.name}")
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
    return aside


def remove_leftovers(directory: Path) -> None:
    """Remove what a killed process was making, and what it had set aside.

    What a peer was sending (``incoming.*``) is gone on with.
    """
    for path in directory.glob("making.*"):
        path.unlink(missing_ok=True)


def incoming_path(directory: Path, checksum: bytes) -> Path:
    """Where the snapshot of that checksum is staged while it comes from the leader, until it is installed."""
    return directory / f"incoming.{checksum.hex()}"


def list_incoming(directory: Path) -> list[Path]:
    """All that is staged."""
    return list(directory.glob("incoming.*"))


def make_snapshot(
    state: Path,
    directory: Path,
    map_size: int,
    record: ClusterRecord | None,
    created: float,
    progress: Progress = lambda done, whole: None,
) -> tuple[Path, Manifest]:
    """Copy a state that another process may be writing, as of now, and give it its name once it is durable.

    Args:
        state: the directory of the state's environment.
        directory: where snapshots stand; made if it is missing.
        map_size: bytes, that of the state.
        record: of the cluster, for the manifest.
        created: seconds since 1970.
        progress: is told how much of the file has been checksummed.

    Returns:
        The snapshot's path, and its manifest. One of the same index is replaced.

    Raises:
        CorruptState: the state is damaged. Nothing is left of the copy (trap 30).
        OutOfSpace: there is no room for it. Nothing is left of it.
        StorageFault: the state can't be read, or the disk refused.
    """
    fresh = directory / f"making.{os.getpid()}"
    try:
        make_directory(directory)
        manifest = write_snapshot(state, fresh, map_size, record, created, progress)
        path = snapshot_path(directory, manifest.index)
        fresh.rename(path)
        sync_directory(directory)
    except OSError as error:
        raise _fault(error, directory) from error
    finally:
        fresh.unlink(missing_ok=True)
    return path, manifest


def write_snapshot(
    state: Path,
    path: Path,
    map_size: int,
    record: ClusterRecord | None,
    created: float,
    progress: Progress = lambda done, whole: None,
) -> Manifest:
    """As ``make_snapshot``, into a file of any name, which is durable (its name in the directory is not) on return.

    The copy is checked by the checksums of the state itself, and by a search for each item: damage is not to be copied,
    and then to pass for sound.
    """
    try:
        with path.open("w+b", buffering=0) as file:
            env = open_read_only(state, map_size)
            try:
                copy_paced(env, file.fileno())
            finally:
                env.close()
            with tables_in(path, map_size) as tables:
                applied, revision, *_ = verify_checksums(tables)
            size = file.seek(0, os.SEEK_END)
            sha256, chunks = _checksums(file, size, progress)
            manifest = Manifest(FORMAT, applied.index, applied.term, revision, record, created, size, sha256, chunks)
            encoded = codec.encode(manifest)
            file.seek(size)
            end = encoded + _END.pack(len(encoded), google_crc32c.value(encoded), _MAGIC)
            while end:  # a disk that is nearly full takes a part of it first
                end = end[file.write(end) :]
            os.fsync(file.fileno())
    except (lmdb.CorruptedError, lmdb.PageNotFoundError) as error:
        raise CorruptState(f"LMDB can't read it ({error})") from error
    except (lmdb.Error, OSError) as error:
        raise _fault(error, path) from error
    return manifest


def read_manifest(path: Path) -> Manifest:
    """The manifest of a file, checked by itself; the state before it is not looked at.

    Raises:
        CorruptSnapshot: the file is no whole snapshot, or of a format that this version does not know.
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        return _manifest_in(file, path)


def verify_snapshot(path: Path, progress: Progress = lambda done, whole: None) -> Manifest:
    """Check every byte of a snapshot against its manifest, in flat memory.

    Raises:
        CorruptSnapshot: names the file, and the first chunk that is damaged.
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        manifest = _manifest_in(file, path)
        sha256, chunks = _checksums(file, manifest.state_bytes, progress)
    for number, (found, noted) in enumerate(zip(_each(chunks), _each(manifest.chunks), strict=False)):
        if found != noted:
            raise CorruptSnapshot(
                f"the snapshot {path} is damaged: the {CHUNK_BYTES} bytes from {number * CHUNK_BYTES} on do not match "
                "their checksum"
            )
    if sha256 != manifest.sha256 or len(chunks) != len(manifest.chunks):
        raise CorruptSnapshot(f"the snapshot {path} is damaged: it does not match its checksum")
    return manifest


def _manifest_in(file: BinaryIO, path: Path) -> Manifest:
    size = file.seek(0, os.SEEK_END)
    if size < _END.size:
        raise CorruptSnapshot(f"{path} is no snapshot: it has {size} bytes")
    file.seek(size - _END.size)
    length, crc, magic = _END.unpack(file.read(_END.size))
    if magic != _MAGIC:
        raise CorruptSnapshot(f"{path} is no whole snapshot: its end is missing, or damaged")
    if not length <= min(MANIFEST_BYTES_MAX, size - _END.size):
        raise CorruptSnapshot(f"the snapshot {path} is damaged: its manifest can't have {length} bytes")
    file.seek(size - _END.size - length)
    encoded = file.read(length)
    if google_crc32c.value(encoded) != crc:
        raise CorruptSnapshot(f"the snapshot {path} is damaged: its manifest does not match its checksum")
    try:
        manifest = codec.Channel[Manifest](Manifest).decode(encoded)
    except ProtocolError as error:
        raise CorruptSnapshot(f"the snapshot {path} is of a format that this version does not know: {error}") from None
    if manifest.format != FORMAT:
        raise CorruptSnapshot(f"the snapshot {path} is of format {manifest.format}; this version knows {FORMAT}")
    if manifest.state_bytes + length + _END.size != size:
        raise CorruptSnapshot(f"the snapshot {path} is damaged: it has {size} bytes, and its manifest tells of others")
    return manifest


def _checksums(file: BinaryIO, size: int, progress: Progress) -> tuple[bytes, bytes]:
    """(SHA-256, the crc32c of each chunk) of the first ``size`` bytes."""
    whole, chunks = hashlib.sha256(), bytearray()
    file.seek(0)
    for start in range(0, size, CHUNK_BYTES):
        chunk = file.read(min(CHUNK_BYTES, size - start))
        whole.update(chunk)
        chunks += _U32.pack(google_crc32c.value(chunk))
        progress(min(start + CHUNK_BYTES, size), size)
    return whole.digest(), bytes(chunks)


def _each(chunks: bytes) -> Iterator[bytes]:
    return (chunks[at : at + _U32.size] for at in range(0, len(chunks), _U32.size))


def _fault(error: lmdb.Error | OSError, path: Path) -> StorageFault:
    if lacks_space(error, path.parent):
        return OutOfSpace(f"no space left for a snapshot in {path.parent}: {error}")
    return StorageFault(f"the snapshot {path} could not be made: {error}")
