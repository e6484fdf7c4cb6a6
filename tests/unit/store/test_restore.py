"""Restoring: what a restored directory holds, and what is refused."""

from pathlib import Path

import pytest

from tests.unit.store.stored import MAP, RECORD, TERM, find, flip, written
from zraft.core.records import APPLIED, read_applied
from zraft.errors import ConfigurationError, CorruptSnapshot
from zraft.protocol.entries import EntryId
from zraft.store.directory import DataDirectory
from zraft.store.recovery import Stores, open_stores
from zraft.store.restore import initial_state, restore
from zraft.store.snapshots import list_snapshots, make_snapshot, verify_snapshot

NEW = 0xB


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A snapshot of a state with five keys."""
    directory = written(tmp_path / "old", 7, 5)
    path, _ = make_snapshot(directory.state_path(0), directory.snapshots_path, MAP, RECORD, 1.0)
    return path


def opened(path: Path) -> Stores:
    return open_stores(DataDirectory(path), 0xC, MAP, lambda seconds: None)


def test_a_restored_node_begins_where_the_snapshot_ends(file: Path, tmp_path: Path) -> None:
    manifest = restore(file, tmp_path / "new", NEW, MAP)
    stores = opened(tmp_path / "new")
    log = stores.log
    assert (stores.rebuilt, stores.generation, stores.applied) == ("", 0, EntryId(5, TERM))
    assert (log.member, log.term, log.vote, log.record, log.formed) == (NEW, TERM, 0, None, False)
    assert (log.base, log.last) == (EntryId(5, TERM), EntryId(5, TERM))
    assert log.initial_state == initial_state(manifest, 0)
    assert [key for key, _ in stores.state.keys_from(b"")] == [b"key %d" % index for index in range(1, 6)]
    stores.close_cleanly()


def test_a_restored_node_can_make_its_state_anew(file: Path, tmp_path: Path) -> None:  # trap 24
    restore(file, tmp_path / "new", NEW, MAP)
    directory = DataDirectory(tmp_path / "new")
    directory.state_path(0).rename(tmp_path / "lost")
    stores = opened(directory.path)
    assert stores.applied == EntryId(5, TERM)
    stores.close_cleanly()


def test_a_bump_raises_the_revision_alone_in_state_and_snapshot(file: Path, tmp_path: Path) -> None:
    restore(file, tmp_path / "new", NEW, MAP, bump=1_000)
    stores = opened(tmp_path / "new")
    assert read_applied(stores.state.meta(APPLIED))[:2] == (EntryId(5, TERM), 1_005)
    stores.close_cleanly()
    [snapshot] = list_snapshots(tmp_path / "new" / "snapshots")
    assert verify_snapshot(snapshot).revision == 1_005


def test_what_a_cluster_begins_with_is_told_by_file_and_bump(file: Path) -> None:
    manifest = verify_snapshot(file)
    path, other = make_snapshot(file.parents[1] / "state.0", file.parent, MAP, RECORD, 2.0)
    assert len({initial_state(manifest, 0), initial_state(manifest, 1), initial_state(other, 0)}) == 3
    assert initial_state(other, 0) == initial_state(verify_snapshot(path), 0)


def test_a_damaged_file_is_refused_and_nothing_is_made(file: Path, tmp_path: Path) -> None:
    flip(file, find(file, b"value"))
    with pytest.raises(CorruptSnapshot, match=r"do not match their checksum"):
        restore(file, tmp_path / "new", NEW, MAP)
    assert not (tmp_path / "new").exists()


def test_a_directory_with_something_in_it_is_refused_and_left_as_it_is(file: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "precious").touch()
    with pytest.raises(ConfigurationError, match="is not empty"):
        restore(file, tmp_path / "new", NEW, MAP)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["precious"]
