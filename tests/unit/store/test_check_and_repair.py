"""What is found in damaged data directories, and what a repair makes of them (traps 24, 29, 36)."""

import contextlib
import errno
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.store.stored import MAP, MEMBER, RECORD, TERM, copy_unprobed, find, flip, lead_astray, written
from zraft.errors import CorruptLog, StorageFault
from zraft.protocol.entries import EntryId
from zraft.store import repair
from zraft.store.check import Findings, check
from zraft.store.directory import DataDirectory
from zraft.store.fault import record_divergence
from zraft.store.log import LmdbLog
from zraft.store.recovery import open_stores
from zraft.store.repair import Plan, force_new_cluster, perform, plan
from zraft.store.snapshots import list_snapshots, make_snapshot, read_manifest, verify_snapshot

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
ASIDE = "damaged-20260102T030405.000006"


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    """Ten entries, eight of them applied, a snapshot at eight, and a log that was cut behind five."""
    directory = written(tmp_path / "node", 10, 8)
    make_snapshot(directory.state_path(0), directory.snapshots_path, MAP, RECORD, 1.0)
    log = LmdbLog(directory.log_path, MEMBER, MAP)
    log.cut(5)
    log.commit()
    log.close()
    return directory


def damage_log(directory: DataDirectory) -> None:
    flip(directory.log_path / "data.mdb", find(directory.log_path / "data.mdb", b"key 7"))


def damage_snapshot(directory: DataDirectory) -> None:
    [path] = directory.snapshots_path.iterdir()
    flip(path, find(path, b"key 7"))


def lose_state(directory: DataDirectory) -> None:
    shutil.rmtree(directory.state_path(0))


def planned(directory: DataDirectory) -> Plan:
    found = plan(directory, check(directory))
    assert found is not None
    return found


def starts(directory: DataDirectory) -> EntryId:
    """What a node has applied that starts here."""
    stores = open_stores(directory, MEMBER, MAP, lambda seconds: None)
    stores.close_cleanly()
    return stores.applied


def test_a_sound_directory_has_no_damage_and_is_left_alone(directory: DataDirectory) -> None:
    found = check(directory)
    assert (found.base, found.last, found.applied) == (EntryId(5, TERM), EntryId(10, TERM), EntryId(8, TERM))
    assert [manifest.index for _, manifest in found.snapshots] == [8]
    assert found.damages == ()
    assert plan(directory, found) is None


def test_a_damaged_entry_is_named_and_the_whole_data_goes_aside(directory: DataDirectory) -> None:
    damage_log(directory)
    proposed = planned(directory)
    assert f"entry 7 of the log in {directory.log_path} does not match its checksum" in proposed.explains
    assert proposed.loses
    assert perform(directory, proposed, NOW) == directory.path / ASIDE
    assert [path.name for path in directory.path.iterdir()] == [ASIDE]
    assert sorted(path.name for path in (directory.path / ASIDE).iterdir()) == ["log", "snapshots", "state.0"]


def test_no_node_starts_in_the_middle_of_that(directory: DataDirectory) -> None:
    damage_log(directory)
    proposed = planned(directory)
    for path in proposed.aside[:-1]:
        path.rename(directory.path.parent / path.name)
        with pytest.raises(CorruptLog):
            starts(directory)
        shutil.rmtree(directory.log_path)  # what LMDB made when it looked


def test_a_damaged_snapshot_goes_aside_alone(directory: DataDirectory) -> None:
    [path] = directory.snapshots_path.iterdir()
    damage_snapshot(directory)
    proposed = planned(directory)
    assert (proposed.aside, proposed.loses) == ((path,), "")
    assert str(path) in proposed.explains
    perform(directory, proposed, NOW)
    assert check(directory).damages == ()
    assert starts(directory) == EntryId(8, TERM)


def test_a_snapshot_of_a_damaged_state_goes_aside_with_it(  # trap 30
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A branch page that leads a search astray has no checksum: a copy of it is as sound as any, byte for byte."""
    directory = written(tmp_path / "data", entries=300, applied=300)
    lead_astray(directory.state_path(0))
    snapshot = copy_unprobed(directory, monkeypatch)
    verify_snapshot(snapshot)
    proposed = planned(directory)
    assert set(proposed.aside) == {snapshot, directory.state_path(0)}
    assert f"the snapshot {snapshot} was made of a damaged state" in proposed.explains
    perform(directory, proposed, NOW)
    assert check(directory).damages == ()
    starts(directory)


def test_a_damaged_state_goes_aside_and_is_made_anew(directory: DataDirectory) -> None:
    flip(directory.state_path(0) / "data.mdb", find(directory.state_path(0) / "data.mdb", b"key 7"))
    proposed = planned(directory)
    assert (proposed.aside, proposed.loses) == ((directory.state_path(0),), "")
    assert f"the state in {directory.state_path(0)} is damaged" in proposed.explains
    perform(directory, proposed, NOW)
    assert check(directory).damages == ()
    assert starts(directory) == EntryId(8, TERM)


def test_a_state_that_is_lost_is_no_damage_while_a_snapshot_reaches_the_log(directory: DataDirectory) -> None:
    lose_state(directory)
    assert check(directory).damages == ()
    assert starts(directory) == EntryId(8, TERM)


def test_without_state_and_snapshot_a_cut_log_is_not_enough(directory: DataDirectory) -> None:  # trap 24
    lose_state(directory)
    damage_snapshot(directory)
    assert "begins behind 5/3" in planned(directory).explains
    with pytest.raises(CorruptLog):
        starts(directory)


def test_a_state_ahead_of_the_log_proves_that_the_log_lost_entries(directory: DataDirectory) -> None:  # trap 29
    log = LmdbLog(directory.log_path, MEMBER, MAP)
    log.truncate(7)
    log.commit()
    log.close()
    proposed = planned(directory)
    assert "the log lost entries" in proposed.explains
    # A shortened log looks sound by itself: it must be the first to go.
    assert proposed.aside[0] == directory.log_path


def test_a_state_that_differs_is_made_anew_from_a_whole_log(tmp_path: Path) -> None:
    directory = written(tmp_path / "whole", 10, 8)
    make_snapshot(directory.state_path(0), directory.snapshots_path, MAP, RECORD, 1.0)
    record_divergence(directory, "another digest at index 8")
    assert [damage.what.partition(" (")[0] for damage in check(directory).damages] == ["another digest at index 8"]
    proposed = planned(directory)
    assert [path.name for path in proposed.aside] == ["snapshots", "state.0", "diverged.json"]
    assert not proposed.loses
    perform(directory, proposed, NOW)
    assert check(directory).damages == ()
    assert starts(directory) == EntryId(0, 0)  # and applies the log from its beginning


def test_a_state_that_differs_behind_a_cut_log_takes_all_with_it(directory: DataDirectory) -> None:
    record_divergence(directory, "another digest at index 8")
    proposed = planned(directory)
    assert [path.name for path in proposed.aside] == ["log", "snapshots", "state.0", "diverged.json"]
    assert "zraft member remove" in proposed.explains
    assert proposed.loses
    perform(directory, proposed, NOW)
    assert starts(directory) == EntryId(0, 0)  # an empty directory


def test_what_differs_from_a_majority_may_still_be_all_that_is_left(directory: DataDirectory) -> None:
    record_divergence(directory, "another digest at index 8")
    aside, last, _ = force_new_cluster(directory, 0xB, MAP, NOW)
    assert (aside / "diverged.json").exists()
    assert check(directory).damages == ()
    assert starts(directory).index == last.index


def test_a_lost_log_is_damage(directory: DataDirectory) -> None:
    shutil.rmtree(directory.log_path)
    found: Findings = check(directory)
    assert [damage.what for damage in found.damages] == [f"the log in {directory.log_path} was lost"]


# --- a new cluster of what is left


def test_a_new_cluster_has_all_of_the_log_and_another_identity(directory: DataDirectory) -> None:
    aside, last, revision = force_new_cluster(directory, 0xB, MAP, NOW)
    assert (aside, last, revision) == (directory.path / ASIDE, EntryId(10, TERM), 10)
    assert sorted(path.name for path in directory.path.iterdir()) == [ASIDE, "log", "snapshots", "state.1"]
    stores = open_stores(directory, 0xC, MAP, lambda seconds: None)
    assert (stores.log.member, stores.log.record, stores.log.base) == (0xB, None, EntryId(10, TERM))
    assert len(list(stores.state.keys_from(b""))) == 10
    assert stores.log.initial_state
    stores.close_cleanly()
    assert check(directory).damages == ()


def test_the_old_files_are_kept_whole(directory: DataDirectory) -> None:
    aside, *_ = force_new_cluster(directory, 0xB, MAP, NOW)
    old = DataDirectory(aside)
    assert check(old).damages == ()
    stores = open_stores(old, 0xC, MAP, lambda seconds: None)
    assert (stores.log.member, stores.log.record, stores.log.last) == (MEMBER, RECORD, EntryId(10, TERM))
    stores.close_cleanly()


@pytest.mark.parametrize("step", range(1, 12))
def test_interrupted_anywhere_it_starts_as_before_or_not_at_all(
    directory: DataDirectory, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """After each rename: the old member with what it had, the new one, or a refusal until it is finished."""
    rename: Callable[[Path, Path], Path] = Path.rename
    left = step

    def until_then(path: Path, target: Path) -> Path:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", until_then)
    done = False
    with contextlib.suppress(KeyboardInterrupt):
        force_new_cluster(directory, 0xB, MAP, NOW)
        done = True
    monkeypatch.undo()
    if not directory.swap_record.exists():
        stores = open_stores(directory, 0xC, MAP, lambda seconds: None)
        assert stores.log.last.index == 10
        assert (stores.log.member, stores.applied.index) == ((0xB, 10) if done else (MEMBER, 8))
        assert {read_manifest(path).record for path in list_snapshots(directory.snapshots_path)} == {stores.log.record}
        stores.close_cleanly()
        return
    for refuses in (starts, check):
        with pytest.raises(CorruptLog, match=r"finish it with `zraft repair .* --force-new-cluster`"):
            refuses(directory)
    aside, last, revision = force_new_cluster(directory, 0xD, MAP, NOW + timedelta(seconds=1))
    assert (aside, last, revision) == (directory.path / ASIDE, EntryId(10, TERM), 10)
    assert sorted(path.name for path in directory.path.iterdir()) == [ASIDE, "log", "snapshots", "state.1"]
    assert (check(directory).damages, check(DataDirectory(aside)).damages) == ((), ())
    stores = open_stores(directory, 0xC, MAP, lambda seconds: None)
    assert (stores.log.member, stores.applied) == (0xB, EntryId(10, TERM))
    stores.close_cleanly()


def test_interrupted_at_its_end_it_is_finished_all_the_same(
    directory: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(repair, "remove_durably", interrupted)
    with pytest.raises(KeyboardInterrupt):
        force_new_cluster(directory, 0xB, MAP, NOW)
    monkeypatch.undo()
    with pytest.raises(CorruptLog, match="finish it"):
        starts(directory)
    assert force_new_cluster(directory, 0xD, MAP, NOW) == (directory.path / ASIDE, EntryId(10, TERM), 10)
    assert starts(directory) == EntryId(10, TERM)


def test_if_it_comes_to_nothing_the_old_member_has_applied_no_more_than_before(
    directory: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(repair, "write_snapshot", fails)
    with pytest.raises(StorageFault, match="No space left"):
        force_new_cluster(directory, 0xB, MAP, NOW)
    assert not (directory.path / "new-cluster").exists()  # which may be what filled the disk
    assert starts(directory) == EntryId(8, TERM)


def test_what_is_left_of_a_try_that_swapped_nothing_is_made_anew(
    directory: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path, content: bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(repair, "write_durably", interrupted)
    with pytest.raises(KeyboardInterrupt):
        force_new_cluster(directory, 0xB, MAP, NOW)
    monkeypatch.undo()
    assert (directory.path / "new-cluster").exists()
    assert starts(directory) == EntryId(8, TERM)
    aside, last, _ = force_new_cluster(directory, 0xD, MAP, NOW)
    assert last == EntryId(10, TERM)
    assert sorted(path.name for path in directory.path.iterdir()) == [ASIDE, "log", "snapshots", "state.1"]
    assert (check(directory).damages, check(DataDirectory(aside)).damages) == ((), ())


def test_a_damaged_log_makes_no_new_cluster(directory: DataDirectory) -> None:
    damage_log(directory)
    with pytest.raises(CorruptLog, match="entry 7"):
        force_new_cluster(directory, 0xB, MAP, NOW)
    assert sorted(path.name for path in directory.path.iterdir()) == ["log", "snapshots", "state.0"]
