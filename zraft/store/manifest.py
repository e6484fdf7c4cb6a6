"""What the end of a snapshot says of it; apart from what makes and reads snapshots, so that a client needs no LMDB."""

from __future__ import annotations

import hashlib

import msgspec

from zraft.protocol.entries import ClusterRecord, EntryId


class Manifest(msgspec.Struct, array_like=True, frozen=True):
    """What a snapshot holds. ``state_bytes`` is the size of the LMDB part, ``chunks`` a crc32c (u32) of each MiB of it.

    ``created``: seconds since 1970, for people. ``record``: the cluster that it comes from, None before it formed; a
    ``zraft.protocol.entries.ClusterRecord``.
    """

    format: int
    index: int
    term: int
    revision: int
    record: ClusterRecord | None
    created: float
    state_bytes: int
    sha256: bytes
    chunks: bytes

    @property
    def last(self) -> EntryId:
        """The last entry that the state has applied ([R] section 7: lastIncludedIndex, lastIncludedTerm)."""
        return EntryId(self.index, self.term)

    def checksum(self) -> bytes:
        """32 bytes that name the snapshot: a digest of all that the manifest says, the state's digest among it."""
        return hashlib.sha256(msgspec.msgpack.encode(self)).digest()
