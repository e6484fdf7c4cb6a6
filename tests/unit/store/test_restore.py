"""Restoring: what a restored directory holds, and what is refused."""

import shutil
from pathlib import Path

import pytest

from tests.unit.store.stored import MAP, RECORD, TERM, copy_unprobed, find, flip, lead_astray, written
from zraft.core.records import APPLIED, read_applied
from zraft.errors import ConfigurationError, CorruptLog, CorruptSnapshot, DataDirectoryInUse
from zraft.protocol.entries import EntryId
from zraft.store.check import check
from zraft.store.directory import DataDirectory
from zraft.store.recovery import Stores, open_stores
from zraft.store.restore import BUMP_MAX, initial_state, restore
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


def test_a_snapshot_of_a_damaged_state_is_refused_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = written(tmp_path / "old", entries=300, applied=300)
    lead_astray(directory.state_path(0))
    file = copy_unprobed(directory, monkeypatch)
    with pytest.raises(CorruptSnapshot, match=f"{file} was made of a damaged state: .* LMDB does not find"):
        restore(file, tmp_path / "new", NEW, MAP)
    assert not (tmp_path / "new").exists()


def test_a_file_that_is_replaced_meanwhile_is_not_taken_for_the_one_that_was_verified(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = written(tmp_path / "other", 7, 5)  # of the same last entry and revision
    copied, _ = make_snapshot(other.state_path(0), other.snapshots_path, MAP, RECORD, 2.0)
    copyfile = shutil.copyfile
    monkeypatch.setattr("zraft.store.restore.shutil.copyfile", lambda _, target: copyfile(copied, target))
    with pytest.raises(CorruptSnapshot, match="was replaced while it was restored"):
        restore(file, tmp_path / "new", NEW, MAP)
    monkeypatch.undo()
    restore(file, tmp_path / "new", NEW, MAP)
    assert check(DataDirectory(tmp_path / "new")).damages == ()


@pytest.mark.parametrize(
    "step", ["shutil.copyfile", "LmdbState", "make_snapshot", "LmdbLog", "LmdbLog.install", "Path.rename"]
)
def test_interrupted_anywhere_no_node_starts_until_it_is_repeated(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"zraft.store.restore.{step}", interrupted)
    with pytest.raises(KeyboardInterrupt):
        restore(file, tmp_path / "new", NEW, MAP, generation=1)
    monkeypatch.undo()
    directory = DataDirectory(tmp_path / "new")
    for refuses in (opened, lambda path: check(DataDirectory(path))):
        with pytest.raises(CorruptLog, match="repeat `zraft snapshot restore`"):
            refuses(directory.path)
    restore(file, directory.path, NEW, MAP)
    assert sorted(path.name for path in directory.path.iterdir()) == ["lock", "log", "snapshots", "state.0"]
    assert check(directory).damages == ()
    stores = opened(directory.path)
    assert (stores.log.member, stores.applied) == (NEW, EntryId(5, TERM))
    stores.close_cleanly()


def test_what_else_came_to_lie_beside_an_interrupted_one_is_left_as_it_is(file: Path, tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "new")
    for path in (directory.state_path(0), directory.path / "state.kept", directory.restoring_path):
        path.mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"is not empty, there is state\.kept"):
        restore(file, directory.path, NEW, MAP)
    assert sorted(path.name for path in directory.path.iterdir()) == ["log.restoring", "state.0", "state.kept"]


def test_what_a_node_has_written_since_is_not_restored_over(file: Path, tmp_path: Path) -> None:
    """A node of before knows nothing of an unfinished restoration, and may have begun with nothing beside it."""
    directory = written(tmp_path / "node", 7, 5)
    directory.restoring_path.mkdir()
    assert check(directory).damages == ()
    opened(directory.path).close_cleanly()
    with pytest.raises(ConfigurationError, match=r"it holds a node's data.*zraft check"):
        restore(file, directory.path, NEW, MAP)
    assert check(directory).last == EntryId(7, TERM)


def test_a_file_within_the_directory_is_not_cleared_away(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zraft.store.restore.LmdbLog", interrupted)
    with pytest.raises(KeyboardInterrupt):
        restore(file, tmp_path / "new", NEW, MAP)
    monkeypatch.undo()
    [only] = list_snapshots(tmp_path / "new" / "snapshots")
    with pytest.raises(ConfigurationError, match="move it out of there"):
        restore(only, tmp_path / "new", NEW, MAP)
    assert verify_snapshot(only).index == 5


def test_a_revision_stays_below_the_highest(file: Path, tmp_path: Path) -> None:
    restore(file, tmp_path / "first", NEW, MAP, bump=BUMP_MAX)
    [first] = list_snapshots(tmp_path / "first" / "snapshots")
    with pytest.raises(ConfigurationError, match="is the highest"):
        restore(first, tmp_path / "second", NEW, MAP, bump=BUMP_MAX)
    assert not (tmp_path / "second").exists()


def test_one_process_restores_to_a_directory(file: Path, tmp_path: Path) -> None:
    other = DataDirectory(tmp_path / "new")
    other.acquire()
    with pytest.raises(DataDirectoryInUse):
        restore(file, other.path, NEW, MAP)
    other.release()
    restore(file, other.path, NEW, MAP)
