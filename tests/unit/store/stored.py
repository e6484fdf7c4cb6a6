"""Data directories for tests of what works on them while no node runs."""

import itertools
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zraft.core.keyspace import Keyspace
from zraft.core.records import APPLIED, read_applied
from zraft.errors import CorruptState
from zraft.protocol import codec
from zraft.protocol.entries import NO_ORIGIN, ClusterRecord, EntryKind, Member, decode_entry, encode_entry
from zraft.protocol.requests import Put
from zraft.store import snapshots
from zraft.store.directory import DataDirectory
from zraft.store.recovery import open_stores
from zraft.store.soundness import verify_state

MAP = 1 << 30
MEMBER = 0xA
TERM = 3
RECORD = ClusterRecord((Member(MEMBER, "node-1"),), 150)

PAGE = 4096
BRANCH, LEAF = 1, 2


def put(index: int) -> bytes:
    payload = codec.pack_commands([codec.encode(Put(b"key %d" % index, b"value"))])
    return encode_entry(index, TERM, EntryKind.COMMANDS, NO_ORIGIN, payload)


def written(path: Path, entries: int, applied: int) -> DataDirectory:
    """The data of a node that stopped in order, with so many entries of one put each, of which some are applied."""
    path.mkdir(exist_ok=True)
    directory = DataDirectory(path)
    stores = open_stores(directory, MEMBER, MAP, lambda seconds: None)
    stores.log.set_record(RECORD, formed=True)
    stores.log.append(1, [put(index) for index in range(1, entries + 1)])
    stores.log.set_term(TERM, MEMBER)
    stores.log.commit()
    keyspace = Keyspace(stores.state)
    for index in range(1, applied + 1):
        for _ in keyspace.apply(decode_entry(index, put(index))):
            pass
    keyspace.commit()
    stores.close_cleanly()
    return directory


def flip(path: Path, offset: int, bit: int = 0) -> None:
    """A bad disk: one bit of a file is another one."""
    with path.open("r+b") as file:
        file.seek(offset)
        [byte] = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))


def find(path: Path, what: bytes) -> int:
    """Where a file holds these bytes, for the last time."""
    return path.read_bytes().rindex(what)


def flip_all(path: Path, what: bytes) -> list[int]:
    """The last bit of it, wherever the file has it, since pages of before stay; returns where that was."""
    places = [found.end() - 1 for found in re.finditer(re.escape(what), path.read_bytes())]
    assert places
    for place in places:
        flip(path, place)
    return places


def lead_astray(state: Path) -> None:
    """Raise a separator in one of LMDB's branch pages, so that the key behind it is looked for in the wrong place."""

    def change(data: bytearray, nodes: tuple[int, ...]) -> Iterator[None]:
        for node in nodes:
            last = node + 8 + int.from_bytes(data[node + 6 : node + 8], "little") - 1
            if data[node + 8 :].startswith(b"key ") and not data[last] & 1:
                data[last] |= 1
                yield

    _damage(state, BRANCH, change, "LMDB does not find")


def hide_a_page(state: Path) -> None:
    """Have a branch page lead to one of its pages twice, and to the one before it never."""

    def change(data: bytearray, nodes: tuple[int, ...]) -> Iterator[None]:
        for node, following in itertools.pairwise(nodes[1:]):
            if data[following + 8 :].startswith(b"key "):
                data[node : node + 6] = data[following : following + 6]
                yield

    _damage(state, BRANCH, change, "")


def empty_a_key(state: Path) -> None:
    """Have a leaf page tell of a key of seven bytes that it has none: LMDB looks for no such key."""

    def change(data: bytearray, nodes: tuple[int, ...]) -> Iterator[None]:
        for node in nodes:
            if data[node + 6] == 7 and data[node + 8 :].startswith(b"key "):
                data[node + 6] = 0
                yield

    _damage(state, LEAF, change, "")


def _damage(state: Path, kind: int, change: Callable[[bytearray, tuple[int, ...]], Iterator[None]], told: str) -> None:
    """Change a page of this kind that is in use: one place after the other, until the state is found damaged."""
    file = state / "data.mdb"
    data = file.read_bytes()
    for page in range(0, len(data), PAGE):
        number, flags, lower = struct.unpack_from("<Q2xHH", data, page)
        if number * PAGE != page or not flags & kind:
            continue
        nodes = tuple(page + node for node in struct.unpack_from(f"<{(lower - 16) // 2}H", data, page + 16))
        changed = bytearray(data)
        for _ in change(changed, nodes):
            file.write_bytes(changed)
            try:
                verify_state(state, MAP)
            except CorruptState as error:
                if told in str(error):
                    return
            changed[:] = data
    pytest.fail("no page that is in use has such a place")


def copy_unprobed(directory: DataDirectory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A snapshot of the state as it is, made without a look into it."""
    monkeypatch.setattr(snapshots, "verify_checksums", lambda tables: read_applied(tables.meta(APPLIED)))
    path, _ = snapshots.make_snapshot(directory.state_path(0), directory.snapshots_path, MAP, RECORD, 0.0)
    monkeypatch.undo()
    return path
