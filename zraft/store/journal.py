"""The journal of a log: its newest entries in a file of their own, durable with one flush of the disk.

LMDB flushes twice for each commit: the pages, then the page that points to them. So a small append is not committed
there by itself. It is written here, and stays in LMDB's open transaction until one commit takes all of them
(``store.log``); a log that is opened takes from here what LMDB does not have yet.

The file has its blocks in advance, and consists of two areas that hold the same: a header and a mark, a block each, and
then records. Each record begins a block, so that no write touches what an earlier one made durable. A block has 4 KiB,
or as many as the file system says that its own have, if that is more: it writes them whole, and no sector of its disk
is larger. (What a disk writes at once beneath its sectors no file system tells.)

::

    header   b"zraft journal 1" | identity u64 | bytes of a block u32 | crc32c u32 of all before
    record   crc32c u32 of all that follows | bytes of the entries u32 | identity u64 | epoch u64 | number u32 |
             how many entries u32 | index of the first u64 | length u32 of each | the entries, as encoded
    mark     a record without entries: which epoch has begun

An *epoch* is the LMDB transaction whose commit will take the entries, so that commit makes all records void, and the
next one begins at the first block again. Within an epoch they are numbered from 0. A power cut may tear the record that
was being written, which nobody was told of: the journal ends before it. Damage is something else, and must not look
like that, since the log would be shortened by what was acknowledged (trap 29). So there are two areas: a bad sector
leaves the other copy, and only a write that was cut off leaves none. Where both copies are damaged and a later record
stands, that is told. And a mark, or a record, of an epoch that LMDB has not come to shows that its tables were taken
back; nothing else rests on the mark, so it waits for no flush.
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
from zraft.store.environment import lacks_space
from zraft.store.files import sync_directory

JOURNAL_FILE = "journal"
BLOCK = 4096
"""Bytes, at the least."""
BLOCK_MAX = 64 << 10
"""Bytes, at the most: a file system that names more, as NFS may, means what it likes to be asked for."""
AREA_BYTES = 1 << 20
"""Of each of the two areas: so much is written before LMDB commits."""
RECORD_BYTES_MAX = 128 << 10
"""Larger appends go straight to LMDB, whose second flush is nothing beside writing them three times."""

_MAGIC = b"zraft journal 1"
_CRC, _MADE = struct.Struct(">I"), struct.Struct(">QI")
_HEAD = struct.Struct(">IQQIIQ")
_START = _CRC.size + _HEAD.size
_COPIES = 2
_NO_DESCRIPTOR = {errno.EMFILE, errno.ENFILE}
_AHEAD = 2
"""The blocks before the first record: header and mark."""


class Record(msgspec.Struct, frozen=True):
    """Entries that were appended together. ``size``: its bytes, the blank ones up to the end of its block left out."""

    epoch: int
    number: int
    first: int
    entries: tuple[bytes, ...]
    size: int


class Journal:
    """The journal in an open file: one that ``make`` has made, or that ``open`` found. Read it, ``begin`` an epoch."""

    def __init__(self, file: int, identity: int, block: int = BLOCK) -> None:
        self.identity = identity
        self._file, self._block = file, block
        self._epoch, self._number, self._end = 0, 0, _AHEAD * block
        self._damaged: list[int] = []  # areas whose header is

    @classmethod
    def open(cls, path: Path, identity: int) -> Journal:
        """The one at ``path``, which was made with this identity.

        Raises:
            ValueError: it is not there.
            StorageFault: it can't be opened.
        """
        try:
            return cls(os.open(path, os.O_RDWR | os.O_CLOEXEC), identity)
        except FileNotFoundError:
            raise ValueError("was lost") from None
        except OSError as error:
            raise StorageFault(f"the journal {path} can't be opened: {error}") from error

    @classmethod
    def make(cls, path: Path, identity: int) -> Journal | None:
        """A new one, durable, its name too; what stood at ``path`` is gone. None: there is no room for it.

        No room is no space on the disk, and no descriptor for one more file: then nothing failed to be durable.

        Raises:
            OSError: it can't be made. What was made of it is removed again, as it is where there is no room.
        """
        file = -1
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            block = _block_bytes(file)
            # Written, not merely reserved: the first write to a reserved block is a change of the file's metadata.
            with open(file, "wb", closefd=False) as stream:
                stream.write(_header(identity, block).ljust(AREA_BYTES, b"\0") * _COPIES)
            os.fdatasync(file)
            sync_directory(path.parent)
        except BaseException as error:
            if file >= 0:
                os.close(file)
            path.unlink(missing_ok=True)
            if isinstance(error, OSError) and (error.errno in _NO_DESCRIPTOR or lacks_space(error, path.parent)):
                return None
            raise
        return cls(file, identity, block)

    def begin(self, epoch: int) -> None:
        """All records are void: those to come belong to the LMDB transaction with this id.

        Raises:
            OSError: nobody knows what the disk has of it.
        """
        self._epoch, self._number, self._end = epoch, 0, _AHEAD * self._block
        mark = self._record(0, ())
        for copy in range(_COPIES):
            self._put(copy, self._block, mark)
        for copy in self._damaged:  # the other one is sound
            self._put(copy, 0, _header(self.identity, self._block).ljust(self._block, b"\0"))
        self._damaged = []

    def takes(self, entries: Sequence[bytes]) -> bool:
        """Whether there is room for a record of these entries."""
        size = _whole(_size(entries), self._block)
        return size <= min(RECORD_BYTES_MAX, AREA_BYTES - self._end)

    def write(self, first: int, entries: Sequence[bytes]) -> None:
        """Make the entries from index ``first`` on durable, with one flush; there is room for them.

        Raises:
            OSError: nobody knows what the disk has of them.
        """
        record = self._record(first, entries)
        for copy in range(_COPIES):
            self._put(copy, self._end, record)
        os.fdatasync(self._file)
        self._number += 1
        self._end += len(record)

    def records(self, epoch: int) -> Iterator[Record]:
        """Those of an epoch, in order; all that a predecessor wrote is synced before (S13).

        Raises:
            ValueError: the journal is damaged, so that records of the epoch may be missing; says what is wrong.
            OSError: nobody knows what the disk has of it.
        """
        os.fdatasync(self._file)
        if os.fstat(self._file).st_size < _COPIES * AREA_BYTES:
            raise ValueError("is cut short")
        areas = [self._area(copy) for copy in range(_COPIES)]
        self._block = _block_of(areas, self.identity)
        self._damaged = [copy for copy, area in enumerate(areas) if not _block_in(area, self.identity)]
        return read_records(areas, self.identity, epoch)

    def close(self) -> None:
        """Leave the file."""
        os.close(self._file)

    def _record(self, first: int, entries: Sequence[bytes]) -> bytes:
        """Whole blocks."""
        size = sum(map(len, entries))
        head = _HEAD.pack(size, self.identity, self._epoch, self._number, len(entries), first)
        data = b"".join((head, struct.pack(f">{len(entries)}I", *map(len, entries)), *entries))
        record = _CRC.pack(google_crc32c.value(data)) + data
        return record.ljust(_whole(len(record), self._block), b"\0")

    def _put(self, copy: int, at: int, blocks: bytes) -> None:
        if os.pwrite(self._file, blocks, copy * AREA_BYTES + at) != len(blocks):
            raise OSError(errno.EIO, "a write was cut short")

    def _area(self, copy: int) -> bytes:
        return b"".join(self._read(copy * AREA_BYTES + at) for at in range(0, AREA_BYTES, BLOCK))

    def _read(self, at: int) -> bytes:
        try:
            return os.pread(self._file, BLOCK, at)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return bytes(BLOCK)  # a bad sector: it is what the other area is there for


def read_records(areas: Sequence[bytes], identity: int, epoch: int) -> Iterator[Record]:
    """As ``Journal.records``, from what the areas hold."""
    block = _block_of(areas, identity)
    begun = [*_copies(areas, block, identity), *_copies(areas, _AHEAD * block, identity)]
    if any(record.epoch > epoch for record in begun):
        raise ValueError("is newer than its tables: they were taken back to an older state")
    number, end = 0, _AHEAD * block
    while record := _numbered(areas, end, identity, epoch, number):
        yield record
        number, end = number + 1, end + _whole(record.size, block)
    for later in range(end, AREA_BYTES, block):
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
    return Record(epoch, number, first, tuple(entries), start - at)


def _header(identity: int, block: int) -> bytes:
    header = _MAGIC + _MADE.pack(identity, block)
    return header + _CRC.pack(google_crc32c.value(header))


def _block_of(areas: Sequence[bytes], identity: int) -> int:
    """The bytes of a block, as a header says that is sound."""
    if found := max(_block_in(area, identity) for area in areas):
        return found
    raise ValueError("is damaged, or belongs to another log")


def _block_in(area: bytes, identity: int) -> int:
    """As the header of this area says; 0: it is damaged, or that of another log."""
    _, block = _MADE.unpack_from(area, len(_MAGIC))
    return block if area.startswith(_header(identity, block)) else 0


def _block_bytes(file: int) -> int:
    """What a block is to have on the file system of an open file."""
    found = os.fstatvfs(file).f_frsize
    return found if BLOCK < found <= BLOCK_MAX and not AREA_BYTES % found else BLOCK


def _size(entries: Sequence[bytes]) -> int:
    return _START + _CRC.size * len(entries) + sum(map(len, entries))


def _whole(size: int, block: int) -> int:
    """In whole blocks."""
    return -(-size // block) * block
