import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import lmdb
import msgspec
import pytest

from tests.unit.store.stored import empty_a_key, hide_a_page, lead_astray, written
from zraft.core.keyspace import Keyspace
from zraft.errors import CorruptSnapshot, CorruptState
from zraft.protocol import codec
from zraft.protocol.entries import Entry, EntryId, EntryKind, Origin
from zraft.protocol.requests import Put
from zraft.store import snapshots
from zraft.store.environment import DATA_FILE
from zraft.store.snapshots import (
    CHUNK_BYTES,
    list_snapshots,
    make_snapshot,
    read_manifest,
    remove_leftovers,
    set_aside,
    snapshot_path,
    verify_snapshot,
)
from zraft.store.state import LmdbState

MAP = 1 << 30


def fill(path: Path, first: int, count: int, size: int = 100) -> list[tuple[bytes, bytes]]:
    """Apply so many puts to a state; returns its table of keys."""
    state = LmdbState(path, MAP)
    keyspace = Keyspace(state)
    for index in range(first, first + count):
        body = codec.encode(Put(b"key %d" % (index % 50), bytes(size)))
        entry = Entry(index, 3, EntryKind.COMMANDS, Origin(1, 0, 1, index), codec.pack_commands([body]))
        for _ in keyspace.apply(entry):
            pass
    keyspace.commit()
    keys = list(state.keys_from(b""))
    state.abort()
    state.close()
    return keys


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state.0"
    fill(path, 1, 40)
    return path


def made(state: Path) -> Path:
    path, _ = make_snapshot(state, state.parent / "snapshots", MAP, None, 1.0)
    return path


def test_a_snapshot_tells_what_it_holds_and_not_what_came_later(state: Path) -> None:
    path = made(state)
    fill(state, 41, 10)
    manifest = verify_snapshot(path)
    assert path == snapshot_path(state.parent / "snapshots", 40)
    assert (manifest.last, manifest.revision, manifest.created) == (EntryId(40, 3), 40, 1.0)
    assert read_manifest(path) == manifest
    later = made(state)
    assert list_snapshots(path.parent) == [later, path]
    assert verify_snapshot(later).checksum() != manifest.checksum()


def test_a_copy_of_a_snapshot_is_a_state(state: Path) -> None:
    path = made(state)
    copy = state.with_name("state.1")
    copy.mkdir()
    (copy / DATA_FILE).write_bytes(path.read_bytes())
    assert fill(copy, 41, 0) == fill(state, 41, 0)
    assert fill(copy, 41, 2_000, size=4_000) == fill(state, 41, 2_000, size=4_000)  # it grows over the trailer


def test_a_flipped_bit_anywhere_in_a_snapshot_is_found(state: Path) -> None:  # traps 29, 30
    fill(state, 41, 1_000, size=2_000)
    path = made(state)
    whole = path.read_bytes()
    assert len(whole) > CHUNK_BYTES
    for at in [*range(0, len(whole), len(whole) // 50), *range(len(whole) - 40, len(whole))]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(CorruptSnapshot, match=str(path)):
            verify_snapshot(path)


@pytest.mark.parametrize("kept", [0, 10, 5_000, -1])
def test_a_snapshot_that_was_cut_short_is_found(state: Path, kept: int) -> None:
    path = made(state)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CorruptSnapshot):
        verify_snapshot(path)


def test_what_has_no_finished_name_is_no_snapshot(state: Path) -> None:
    path = made(state)
    (path.parent / f"making.{os.getpid()}").write_bytes(b"")
    (path.parent / "incoming.00").write_bytes(b"")
    assert list_snapshots(path.parent) == [path]


@pytest.mark.parametrize("kind", [lmdb.CorruptedError, lmdb.PageNotFoundError])
def test_a_state_that_lmdb_finds_damaged_is_no_failure_of_the_disk(
    state: Path, monkeypatch: pytest.MonkeyPatch, kind: type[lmdb.Error]
) -> None:
    """A disk may do better the next time. From a damaged state there is never a snapshot, and the log would grow."""

    def damaged(*_: object) -> None:
        raise kind("a page")

    monkeypatch.setattr(snapshots, "copy_paced", damaged)
    with pytest.raises(CorruptState, match="LMDB can't read it"):
        made(state)
    assert list_snapshots(state.parent / "snapshots") == []


def test_what_is_set_aside_is_no_snapshot_any_more_and_goes_at_the_next_start(state: Path) -> None:
    path = made(state)
    aside = set_aside(path)
    assert aside.exists()
    assert list_snapshots(path.parent) == []
    remove_leftovers(path.parent)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("damage", [lead_astray, hide_a_page, empty_a_key])
def test_a_state_with_damaged_pages_is_not_copied(tmp_path: Path, damage: Callable[[Path], None]) -> None:  # trap 30
    """No checksum covers LMDB's pages: what they hide would be absent, and every copy be as sound as this."""
    directory = written(tmp_path / "data", entries=600, applied=600)
    damage(directory.state_path(0))
    with pytest.raises(CorruptState, match=r"LMDB (does not find|comes by|can't read)"):
        made(directory.state_path(0))
    assert list(directory.snapshots_path.iterdir()) == []


def test_a_stranger_verifies_a_file_by_the_page_of_the_wire(state: Path) -> None:
    """``proto_schemas/README.md``, *ReadBackup*, step by step."""
    fill(state, 41, 1_000, size=2_000)
    whole = made(state).read_bytes()
    assert whole[-8:] == bytes.fromhex("7a72616674736e01")
    length, crc = int.from_bytes(whole[-16:-12]), int.from_bytes(whole[-12:-8])
    manifest = whole[-16 - length : -16]
    assert google_crc32c.value(manifest) == crc
    form, index, term, revision, record, created, size, sha256, chunks = msgspec.msgpack.decode(manifest)
    assert (form, index, term, revision, record, created) == (1, 1_040, 3, 1_040, None, 1.0)
    assert len(whole) == size + length + 16
    assert hashlib.sha256(whole[:size]).digest() == sha256
    parts = [google_crc32c.value(whole[at : min(at + (1 << 20), size)]) for at in range(0, size, 1 << 20)]
    assert len(parts) > 1
    assert b"".join(part.to_bytes(4) for part in parts) == chunks
