"""A simulated node's directory of snapshots: real bytes, so that real pieces of them travel."""

import hashlib

import msgspec

from tests.simulation.memory import MemoryLog, MemoryState
from zraft.core.records import APPLIED, CLUSTER_VERSION, read_applied, read_cluster_version
from zraft.protocol.entries import EntryId
from zraft.protocol.peer import SnapshotId


def pack(state: MemoryState, number: int) -> tuple[SnapshotId, bytes]:
    """A snapshot of what the state has committed; ``number`` tells it from others of the same entry."""
    data = msgspec.msgpack.encode((number, state.tables()))
    last = read_applied(state.meta(APPLIED)).applied
    return SnapshotId(last.index, last.term, len(data), hashlib.sha256(data).digest()), data


def unpack(data: bytes, state: MemoryState) -> None:
    """Fill an empty state."""
    _, tables = msgspec.msgpack.decode(data, type=tuple[int, tuple[dict[bytes, bytes], ...]])
    state.fill(tables)


def version_of(data: bytes) -> int:
    """The cluster version of the state in it."""
    _, (_, _, meta) = msgspec.msgpack.decode(data, type=tuple[int, tuple[dict[bytes, bytes], ...]])
    return read_cluster_version(meta.get(CLUSTER_VERSION))


class Snapshots:
    """Finished snapshots, and what is staged of one that comes: all of it outlives a killed process."""

    def __init__(self) -> None:
        self.finished: dict[SnapshotId, bytes] = {}
        self.staged: SnapshotId | None = None
        self.bytes = bytearray()
        self._checked = False
        self._number = 0

    def take(self, state: MemoryState) -> SnapshotId:
        """Of the state as it is; older ones are removed."""
        self._number += 1
        snapshot, data = pack(state, self._number)
        self.finished[snapshot] = data
        self.remove_older(snapshot)
        return snapshot

    def newest(self) -> SnapshotId | None:
        return max(self.finished, key=lambda one: one.index, default=None)

    def set_aside(self, log: MemoryLog) -> None:
        """A snapshot that the log does not reach was not installed before the crash: it is staged again."""
        for snapshot in list(self.finished):
            if log.term_at(snapshot.index) != snapshot.term and snapshot.index > log.base.index:
                self.staged, self.bytes = snapshot, bytearray(self.finished.pop(snapshot))

    def remove_older(self, snapshot: SnapshotId) -> None:
        self.finished = {snapshot: self.finished[snapshot]}

    def stage(self, snapshot: SnapshotId) -> int:
        """How much of it is there."""
        self._checked = False
        if self.staged != snapshot:
            self.staged = snapshot
            self.bytes.clear()
        return len(self.bytes)

    def write(self, offset: int, data: bytes) -> None:
        self.bytes[offset : offset + len(data)] = data

    def discard(self) -> None:
        self.staged = None
        self.bytes.clear()

    def sound(self, snapshot: SnapshotId) -> bool:
        """Whether what is staged is what the checksum says."""
        self._checked = hashlib.sha256(self.bytes).digest() == snapshot.checksum
        return self._checked

    def adopt(self, snapshot: SnapshotId) -> None:
        """What is staged gets its name."""
        self.finished[snapshot] = bytes(self.bytes)
        self.discard()

    def read(self, snapshot: SnapshotId) -> bytes | None:
        """All of it; None: it is gone, or damaged."""
        data = self.finished.get(snapshot)
        return data if data is not None and hashlib.sha256(data).digest() == snapshot.checksum else None

    def damage(self, at: int) -> bool:
        """Flip a bit of what is staged, if anything is; what has been checked is not looked at again."""
        if self.bytes and not self._checked:
            self.bytes[at % len(self.bytes)] ^= 1
            return True
        return False

    def tear(self, left: int) -> None:
        """The power failed: of what was staged a part is left, and then zeros."""
        self.bytes[left:] = bytes(len(self.bytes[left:]))


def entry_of(snapshot: SnapshotId) -> EntryId:
    return EntryId(snapshot.index, snapshot.term)
