"""Data directories for tests of what works on them while no node runs."""

import re
import struct
from pathlib import Path

import pytest

from zraft.core.keyspace import Keyspace
from zraft.core.records import APPLIED, read_applied
from zraft.errors import CorruptState
from zraft.protocol import codec
from zraft.protocol.client import Put
from zraft.protocol.entries import NO_ORIGIN, ClusterRecord, EntryKind, Member, decode_entry, encode_entry
from zraft.store import snapshots
from zraft.store.directory import DataDirectory
from zraft.store.recovery import open_stores
from zraft.store.soundness import verify_state

MAP = 1 << 30
MEMBER = 0xA
TERM = 3
RECORD = ClusterRecord((Member(MEMBER, "node-1"),), 150)

PAGE = 4096
BRANCH = 1


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
    file = state / "data.mdb"
    data = file.read_bytes()
    for page in range(0, len(data), PAGE):
        number, flags, lower = struct.unpack_from("<Q2xHH", data, page)
        if number * PAGE != page or not flags & BRANCH:
            continue
        for node in struct.unpack_from(f"<{(lower - 16) // 2}H", data, page + 16):
            (size,) = struct.unpack_from("<H", data, page + node + 6)
            last = page + node + 8 + size - 1
            if not data[page + node + 8 :].startswith(b"key ") or data[last] & 1:
                continue
            file.write_bytes(data[:last] + bytes([data[last] | 1]) + data[last + 1 :])
            try:
                verify_state(state, MAP)
            except CorruptState as error:
                if "LMDB does not find" in str(error):
                    return
    pytest.fail("no branch page that is in use has such a separator")


def copy_unprobed(directory: DataDirectory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A snapshot of the state as it is, made without a look into it."""
    monkeypatch.setattr(snapshots, "verify_checksums", lambda tables: read_applied(tables.meta(APPLIED)))
    path, _ = snapshots.make_snapshot(directory.state_path(0), directory.snapshots_path, MAP, RECORD, 0.0)
    monkeypatch.undo()
    return path
