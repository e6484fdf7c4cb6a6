"""The page: what the processes of one node tell each other without a message.

A small plain file, mapped by every process of the node. It is divided into *groups*, each written by one process and
read by any. A group is two slots, and a slot is::

    offset 0   crc32     u32   of all that follows: length, sequence, payload
           4   length    u32   bytes of payload; 0 says "nothing": the group was cleared
           8   sequence  u64   of the publication; 0 in a slot that was never written
          16   payload         up to the group's capacity

The writer fills the slot with the lower sequence and writes the new sequence last, so the other slot stays whole
meanwhile, and a writer that dies half-way leaves what it had published before. A reader copies the slot with the
higher sequence and believes the copy only if its checksum matches. It never falls back to the lower one: that could
bring back a value which has been replaced or cleared. So what ``load`` returns was the newest value at some moment
during the call.

Numbers are in the machine's byte order: the file never leaves the machine. It lives in the runtime directory, and is
made anew at each start of a node. (Not ``multiprocessing.shared_memory``: a leaving reader unlinks that.)
"""

from __future__ import annotations

import enum
import mmap
import os
import struct
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from zraft.errors import FatalError, InvariantViolated

LOAD_ATTEMPTS = 8
_ALIGNMENT_BYTES = 64
_CRC_BYTES = 4
_COVERED_HEADER = struct.Struct("=IQ")
_PAYLOAD_OFFSET = _CRC_BYTES + _COVERED_HEADER.size


class Group(enum.IntEnum):
    """A part of the page with a writer of its own."""

    NODE = 0
    """What the supervisor says about the node."""
    ROLE = 1
    """What the election actor says about leadership."""
    COMMIT = 2
    """The term and the commit index, of the replication actor."""
    STORAGE = 3
    """How far storage has come."""
    IDENTITY = 4
    """Who this node is, of storage."""
    NOTICE = 5
    """Why the node is not ready, in words for people, of the election actor."""
    LEASE = 6
    """Until when this node alone leads, of the election actor."""
    ELECTION_BEAT = 7
    """Published only to be seen doing so, as are those of the others (``actors.beat``)."""
    REPLICATION_BEAT = 8
    STORAGE_BEAT = 9
    GATEWAY_BEAT = 10
    DISORDER = 11
    """What is wrong with the node's processes, in words for people, of the supervisor."""


PAYLOAD_BYTES_MAX = {
    Group.NODE: 64,
    Group.ROLE: 128,
    Group.COMMIT: 64,
    Group.STORAGE: 256,
    Group.IDENTITY: 16384,
    Group.NOTICE: 1024,
    Group.LEASE: 64,
    Group.ELECTION_BEAT: 8,
    Group.REPLICATION_BEAT: 8,
    Group.STORAGE_BEAT: 8,
    Group.GATEWAY_BEAT: 8,
    Group.DISORDER: 1024,
}


class _Slot(NamedTuple):
    """Where a slot's fields are: ``crc`` and ``length`` count 4-byte words, ``sequence`` 8-byte words, others bytes."""

    crc: int
    length: int
    sequence: int
    covered: int
    payload: int


def _layout() -> tuple[tuple[tuple[_Slot, _Slot], ...], int]:
    """The two slots of every group, in the groups' order, and the size of the page in bytes."""
    end = 0

    def place(payload_bytes_max: int) -> _Slot:
        nonlocal end
        start = end
        bytes_needed = _PAYLOAD_OFFSET + payload_bytes_max
        end += -(-bytes_needed // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
        return _Slot(start // 4, start // 4 + 1, start // 8 + 1, start + _CRC_BYTES, start + _PAYLOAD_OFFSET)

    slots = tuple((place(PAYLOAD_BYTES_MAX[group]), place(PAYLOAD_BYTES_MAX[group])) for group in Group)
    return slots, end


_SLOTS, PAGE_BYTES = _layout()


class Page:
    """One process's map of the page."""

    def __init__(self, shared: mmap.mmap) -> None:
        self._bytes = shared
        view = memoryview(shared)
        # An aligned item of such a view is read and written as a whole, never byte by byte.
        self._words32 = view.cast("I")
        self._words64 = view.cast("Q")

    @classmethod
    def create(cls, path: Path) -> Page:
        """Makes a fresh page, in which nothing was ever published, and puts it at ``path`` in one step.

        Raises:
            OSError: the file can't be made, or there is no space for it.
        """
        fresh = path.with_name(f"{path.name}.new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            # Claims the space now: for a sparse file, a full disk would be a SIGBUS at some later publication.
            os.posix_fallocate(descriptor, 0, PAGE_BYTES)
            page = cls(mmap.mmap(descriptor, PAGE_BYTES))
        finally:
            os.close(descriptor)
        # So an unpublished group is found empty at once, not after all the attempts at a slot without a checksum.
        for group in Group:
            page.clear(group)
        fresh.rename(path)
        return page

    @classmethod
    def open(cls, path: Path) -> Page:
        """Maps the page that the supervisor made.

        Raises:
            FatalError: it has another layout: the node was upgraded while it ran.
            OSError: there is none.
        """
        descriptor = os.open(path, os.O_RDWR)
        try:
            size_bytes = os.fstat(descriptor).st_size
            if size_bytes != PAGE_BYTES:
                raise FatalError(
                    f"the page {path} has {size_bytes} bytes, and this version of zraft expects {PAGE_BYTES}: "
                    "restart the whole node after an upgrade"
                )
            return cls(mmap.mmap(descriptor, PAGE_BYTES))
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Unmaps the page; the file stays."""
        self._words32.release()
        self._words64.release()
        self._bytes.close()

    def publish(self, group: Group, payload: bytes) -> None:
        """Makes ``payload`` the value of the group. Only the group's one writer may call this.

        Raises:
            InvariantViolated: the payload is larger than the group's capacity.
        """
        length = len(payload)
        if length > PAYLOAD_BYTES_MAX[group]:
            raise InvariantViolated("page-payload-fits", group=group.name, bytes=length, max=PAYLOAD_BYTES_MAX[group])
        older, newer = _SLOTS[group]
        if self._words64[older.sequence] > self._words64[newer.sequence]:
            older, newer = newer, older
        sequence = self._words64[newer.sequence] + 1
        self._bytes[older.payload : older.payload + length] = payload
        self._words32[older.length] = length
        self._words32[older.crc] = crc32(payload, crc32(_COVERED_HEADER.pack(length, sequence)))
        self._words64[older.sequence] = sequence

    def clear(self, group: Group) -> None:
        """Takes the group's value back: ``load`` gives None until the next publication.

        An empty publication does it. Bytes set to zero would not: a reader would then find the slot with the value
        before, whole and valid, to be the newest.
        """
        self.publish(group, b"")

    def sequence(self, group: Group) -> int:
        """How often the group was published: as long as that is the same, so is what ``load`` returns."""
        first, second = _SLOTS[group]
        return max(self._words64[first.sequence], self._words64[second.sequence])

    def load(self, group: Group) -> bytes | None:
        """The newest value of the group.

        Returns:
            None if nothing is published (never, or it was cleared), or if the writer was faster than this reader
            ``LOAD_ATTEMPTS`` times in a row: the caller then takes its slow path.
        """
        words32, words64 = self._words32, self._words64
        first, second = _SLOTS[group]
        for _ in range(LOAD_ATTEMPTS):
            crc, length, _, covered, payload = first if words64[first.sequence] > words64[second.sequence] else second
            # What is checked and returned is a private copy: the slot itself may change at any moment.
            copy = self._bytes[covered : payload + words32[length]]
            if crc32(copy) == words32[crc]:
                return copy[_COVERED_HEADER.size :] or None
        return None
