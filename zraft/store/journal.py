"""The journal of a log: its newest entries in a file of their own, durable with one flush of the disk.

LMDB flushes twice for each commit: the pages, then the page that points to them. So a small append is not committed
there by itself. It is written here, and stays in LMDB's open transaction until one commit takes all of them
(``store.log``); a log that is opened takes from here what LMDB does not have yet.

The file has its blocks in advance, and consists of two areas that hold the same: a header of one block, then records.
Each record begins a block, so that no write touches what an earlier one made durable.

::

    header   b"zraft journal 1" | identity u64 | crc32c u32 of both
    record   crc32c u32 of all that follows | bytes of the entries u32 | identity u64 | epoch u64 | number u32 |
             how many entries u32 | index of the first u64 | length u32 of each | the entries, as encoded

An *epoch* is the LMDB transaction whose commit will take the entries, so that commit makes all records void, and the
next one begins at the first block again. Within an epoch they are numbered from 0. A power cut may tear the record that
was being written, which nobody was told of: the journal ends before it. Damage is something else, and must not look
like that, since the log would be shortened by what was acknowledged (trap 29). So there are two areas: a bad sector
leaves the other copy, and only a write that was cut off leaves none. Where both copies are damaged and a later record
stands, that is told.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import google_crc32c
import msgspec

from zraft.errors import StorageFault
from zraft.store.files import sync_directory

BLOCK = 4096
AREA_BYTES = 1 << 20
"""Of each of the two areas: so much is written before LMDB commits."""
RECORD_BYTES_MAX = 128 << 10
"""Larger appends go straight to LMDB, whose second flush is nothing beside writing them three times."""
IDENTITY = struct.Struct(">Q")

_MAGIC = b"zraft journal 1"
_CRC = struct.Struct(">I")
_HEAD = struct.Struct(">IQQIIQ")
_START = _CRC.size + _HEAD.size
_COPIES = 2


class Record(msgspec.Struct, frozen=True):
    """Entries that were appended together. ``bytes``: how far it reaches in its area, whole blocks."""

    epoch: int
    number: int
    first: int
    entries: tuple[bytes, ...]
    bytes: int


class Journal:
    """The journal at ``path``, which ``make`` has made with this ``identity``.

    Raises:
        ValueError: it is not there.
        StorageFault: it can't be opened.
    """

    def __init__(self, path: Path, identity: int) -> None:
        self._identity = identity
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            raise ValueError("was lost") from None
        except OSError as error:
            raise StorageFault(f"the journal {path} can't be opened: {error}") from error
        self._epoch, self._number, self._end = 0, 0, BLOCK

    @classmethod
    def make(cls, path: Path, identity: int) -> Journal:
        """A new one, durable, its name too; what stood at ``path`` is gone.

        Raises:
            OSError: it can't be made. What was made of it is removed again.
        """
        header = _MAGIC + IDENTITY.pack(identity)
        area = (header + _CRC.pack(google_crc32c.value(header))).ljust(AREA_BYTES, b"\0")
        try:
            with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                # Written, not merely reserved: the first write to a reserved block is a change of the file's metadata.
                file.write(area * _COPIES)
                file.flush()
                os.fdatasync(file.fileno())
            sync_directory(path.parent)
            return cls(path, identity)
        except OSError:
            path.unlink(missing_ok=True)
            raise

    def begin(self, epoch: int) -> None:
        """All records are void: those to come belong to the LMDB transaction with this id."""
        self._epoch, self._number, self._end = epoch, 0, BLOCK

    def takes(self, entries: Sequence[bytes]) -> bool:
        """Whether there is room for a record of these entries."""
        size = _blocks(_size(entries))
        return size <= min(RECORD_BYTES_MAX, AREA_BYTES - self._end)

    def write(self, first: int, entries: Sequence[bytes]) -> None:
        """Make the entries from index ``first`` on durable, with one flush; there is room for them.

        Raises:
            OSError: nobody knows what the disk has of them.
        """
        lengths = struct.pack(f">{len(entries)}I", *map(len, entries))
        size = sum(map(len, entries))
        head = _HEAD.pack(size, self._identity, self._epoch, self._number, len(entries), first)
        data = b"".join((head, lengths, *entries))
        record = _CRC.pack(google_crc32c.value(data)) + data
        padded = record.ljust(_blocks(len(record)), b"\0")
        for copy in range(_COPIES):
            if os.pwrite(self._file, padded, copy * AREA_BYTES + self._end) != len(padded):
                raise OSError(errno.EIO, "a write was cut short")
        os.fdatasync(self._file)
        self._number += 1
        self._end += len(padded)

    def records(self, epoch: int) -> Iterator[Record]:
        """Those of an epoch, in order; all that a predecessor wrote is synced before (S13).

        Raises:
            ValueError: the journal is damaged, so that records of the epoch may be missing; says what is wrong.
            OSError: nobody knows what the disk has of it.
        """
        os.fdatasync(self._file)
        if os.fstat(self._file).st_size < _COPIES * AREA_BYTES:
            raise ValueError("is cut short")
        return read_records([self._area(copy) for copy in range(_COPIES)], self._identity, epoch)

    def close(self) -> None:
        """Leave the file."""
        os.close(self._file)

    def _area(self, copy: int) -> bytes:
        try:
            return os.pread(self._file, AREA_BYTES, copy * AREA_BYTES)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return b""  # a bad sector: it is what the other area is there for


def read_records(areas: Sequence[bytes], identity: int, epoch: int) -> Iterator[Record]:
    """As ``Journal.records``, from what the areas hold."""
    header = _MAGIC + IDENTITY.pack(identity)
    if not any(area.startswith(header + _CRC.pack(google_crc32c.value(header))) for area in areas):
        raise ValueError("is damaged, or belongs to another log")
    number, end = 0, BLOCK
    if any(record.epoch > epoch for record in _copies(areas, end, identity)):
        raise ValueError("is newer than its tables: they were taken back to an older state")
    while record := _numbered(areas, end, identity, epoch, number):
        yield record
        number, end = number + 1, end + record.bytes
    for later in range(end, AREA_BYTES, BLOCK):
        for record in _copies(areas, later, identity):
            if record.epoch == epoch and record.number > number:
                raise ValueError(f"has lost both copies of record {number}, and has record {record.number}")


def _numbered(areas: Sequence[bytes], at: int, identity: int, epoch: int, number: int) -> Record | None:
    found = (record for record in _copies(areas, at, identity) if (record.epoch, record.number) == (epoch, number))
    return next(found, None)


def _copies(areas: Sequence[bytes], at: int, identity: int) -> list[Record]:
    """The sound ones of a record's two copies: none, if there is no record at this place."""
    return [record for area in areas if (record := _record(area, at, identity)) is not None]


def _record(area: bytes, at: int, identity: int) -> Record | None:
    if at + _START > len(area):
        return None
    (crc,) = _CRC.unpack_from(area, at)
    size, its_identity, epoch, number, count, first = _HEAD.unpack_from(area, at + _CRC.size)
    start = at + _START + _CRC.size * count
    if its_identity != identity or start + size > len(area):
        return None
    if google_crc32c.value(area[at + _CRC.size : start + size]) != crc:
        return None
    entries = []
    for length in struct.unpack_from(f">{count}I", area, at + _START):
        entries.append(area[start : start + length])
        start += length
    return Record(epoch, number, first, tuple(entries), _blocks(start - at))


def _size(entries: Sequence[bytes]) -> int:
    return _START + _CRC.size * len(entries) + sum(map(len, entries))


def _blocks(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
