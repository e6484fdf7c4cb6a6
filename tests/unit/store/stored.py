"""Data directories for tests of what works on them while no node runs."""

import re
from pathlib import Path

from zraft.core.keyspace import Keyspace
from zraft.protocol import codec
from zraft.protocol.client import Put
from zraft.protocol.entries import NO_ORIGIN, ClusterRecord, EntryKind, Member, decode_entry, encode_entry
from zraft.store.directory import DataDirectory
from zraft.store.recovery import open_stores

MAP = 1 << 30
MEMBER = 0xA
TERM = 3
RECORD = ClusterRecord((Member(MEMBER, "node-1"),), 150)


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
