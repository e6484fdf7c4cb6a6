"""The second node's log and state: entries in the bytes of ``proto_schemas/peers.md``, applied when committed."""

from __future__ import annotations

import tempfile
from typing import Any

import google_crc32c
import lmdb
import msgspec

from tests.wire.second_state import SecondState

HEAD_BYTES = 39
CHECKPOINT_ENTRIES = 256
MAGIC = bytes.fromhex("7a72616674736e01")
MAP_BYTES = 1 << 30


def entry(index: int, term: int, kind: int, origin: list[int], payload: bytes) -> bytes:
    """The bytes of an entry."""
    member, gateway, nonce, number = origin
    numbers = [(term, 8), (kind, 1), (member, 8), (gateway, 2), (nonce, 8), (number, 8)]
    rest = b"".join(number.to_bytes(size, "big") for number, size in numbers) + payload
    return int(google_crc32c.value(index.to_bytes(8, "big") + rest)).to_bytes(4, "big") + rest


def is_sound(index: int, data: bytes) -> bool:
    """Whether these are the bytes of the entry at that index."""
    crc = google_crc32c.value(index.to_bytes(8, "big") + data[4:])
    return len(data) >= HEAD_BYTES and crc == int.from_bytes(data[:4], "big")


def term_of(data: bytes) -> int:
    """The term of an entry."""
    return int.from_bytes(data[4:12], "big")


class SecondLog:
    """Entries, which are behind ``base`` (index and term), and what those up to ``applied`` came to."""

    def __init__(self) -> None:
        self.base = [0, 0]
        self.entries: list[bytes] = []
        self.state = SecondState()
        self.applied = 0
        self.checkpoints: dict[int, int] = {0: 0}

    @property
    def last(self) -> list[int]:
        """Index and term of the last entry."""
        return [self.base[0] + len(self.entries), term_of(self.entries[-1]) if self.entries else self.base[1]]

    @property
    def checkpoint(self) -> list[int]:
        """The newest one."""
        index = max(self.checkpoints)
        return [index, self.checkpoints[index]]

    def term_at(self, index: int) -> int | None:
        """The term of an entry; None: it is not here."""
        if index == self.base[0]:
            return self.base[1]
        place = index - self.base[0] - 1
        return term_of(self.entries[place]) if 0 <= place < len(self.entries) else None

    def put(self, index: int, data: bytes) -> None:
        """That entry stands at that index, and nothing behind it."""
        self.entries[index - self.base[0] - 1 :] = [data]

    def behind(self, index: int) -> list[bytes]:
        """All entries behind that index."""
        return self.entries[index - self.base[0] :]

    def apply_to(self, commit: int) -> None:
        """Apply what is committed, as far as it is here."""
        while self.applied < min(commit, self.last[0]):
            self.applied += 1
            self.state.apply(self.applied, self.entries[self.applied - self.base[0] - 1])
            if self.applied % CHECKPOINT_ENTRIES == 0:
                self.checkpoints[self.applied] = self.state.checkpoint()

    def install(self, index: int, term: int, file: bytes) -> None:
        """Begin behind a snapshot that was checked."""
        keeps = self.term_at(index) == term
        self.entries, self.base = self.behind(index) if keeps else [], [index, term]
        self.state, self.applied, self.checkpoints = state_in(file, [index, term]), index, {0: 0}


def manifest_of(file: bytes) -> tuple[bytes, list[Any]]:
    """The manifest at the end of a snapshot, in its bytes and read."""
    assert file[-8:] == MAGIC
    size = int.from_bytes(file[-16:-12], "big")
    manifest = file[-16 - size : -16]
    assert google_crc32c.value(manifest) == int.from_bytes(file[-12:-8], "big")
    return manifest, msgspec.msgpack.decode(manifest)


def state_in(file: bytes, last: list[int]) -> SecondState:
    """The state in a snapshot whose last entry is that one."""
    state = SecondState()
    with tempfile.NamedTemporaryFile() as copy:
        copy.write(file)
        copy.flush()
        with lmdb.open(copy.name, MAP_BYTES, subdir=False, readonly=True, lock=False, max_dbs=3) as opened:
            records, keys, meta = (dict(_items(opened, name)) for name in (b"records", b"keys", b"meta"))
    for at, data in records.items():
        state.records[int.from_bytes(at[:8], "big"), int.from_bytes(at[8:], "big")] = data
    for key, data in keys.items():
        assert google_crc32c.value(key + data[:-4]) == int.from_bytes(data[-4:], "little")
        ends = ((0, 8), (8, 12), (12, 20), (20, 28))
        mod, sub, create, version = (int.from_bytes(data[a:b], "big") for a, b in ends)
        state.keys[key] = (mod, sub, create, version)
    numbers = [int.from_bytes(_checked(meta[b"applied"])[at : at + 8], "big") for at in range(0, 48, 8)]
    assert numbers[:2] == last
    state.revision, state.compacted, state.swept, state.sum = numbers[2:]
    if b"cluster version" in meta:
        state.version = int.from_bytes(_checked(meta[b"cluster version"]), "big")
    if b"configuration" in meta:
        index, members = msgspec.msgpack.decode(_checked(meta[b"configuration"]))
        state.configuration = (index, members)
    assert meta[b"format"] == bytes([1 + state.version])
    return state


def _items(opened: lmdb.Environment, name: bytes) -> list[tuple[bytes, bytes]]:
    with opened.begin(db=opened.open_db(name, create=False)) as reading:
        return list(reading.cursor())


def _checked(data: bytes) -> bytes:
    assert google_crc32c.value(data[:-4]) == int.from_bytes(data[-4:], "little")
    return data[:-4]
