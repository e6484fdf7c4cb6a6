"""Backups as a gateway gives them: one at a time, nameless on the disk, gone when nobody asks."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.store.stored import RECORD, written
from tests.waiting import wait_until
from zraft.actors import backups
from zraft.actors.backups import IDLE_SECONDS, Backups
from zraft.config import Settings
from zraft.core.room import ENOUGH, RESERVE
from zraft.errors import ResourceExhausted, Unavailable
from zraft.protocol.local import StorageGroup
from zraft.protocol.requests import ReadBackup
from zraft.protocol.responses import BACKUP_CHUNK_BYTES, BackupChunk
from zraft.store.directory import DataDirectory
from zraft.store.snapshots import verify_snapshot

WAIT_S = 30.0
ONE, TWO = b"one", b"two"


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    return written(tmp_path / "node-1", 5, 5)


@pytest.fixture
def given(directory: DataDirectory) -> Iterator[Backups]:
    given = Backups(Settings(data_dir=str(directory.path)))
    yield given
    given.close()


def read(given: Backups, name: bytes, offset: int = 0, now: float = 10.0) -> BackupChunk:
    return given.read(ReadBackup(name, offset), StorageGroup(0, 5, 1, 5, 5, 5, 5, 0), RECORD, now)


def made(given: Backups, name: bytes) -> BackupChunk:
    def chunk() -> BackupChunk | None:
        found = read(given, name)
        return found if found.size else None

    return wait_until(chunk, WAIT_S, "the backup to be made")


def test_the_chunks_are_a_snapshot_of_the_state(given: Backups, tmp_path: Path) -> None:
    first = made(given, ONE)
    data = b""
    while len(data) < first.size:
        chunk = read(given, ONE, len(data))
        assert (chunk.offset, chunk.size) == (len(data), first.size)
        assert len(chunk.data) == min(BACKUP_CHUNK_BYTES, first.size - len(data))
        data += chunk.data
    assert read(given, ONE, first.size).data == b""
    (tmp_path / "file").write_bytes(data)
    manifest = verify_snapshot(tmp_path / "file")
    assert (manifest.index, manifest.revision, manifest.record) == (5, 5, RECORD)


def test_nothing_of_it_has_a_name_on_the_disk_once_it_is_read(given: Backups, directory: DataDirectory) -> None:
    made(given, ONE)
    assert list(directory.snapshots_path.iterdir()) == []


def test_a_second_one_waits_for_the_end_of_the_first(given: Backups) -> None:
    read(given, ONE, now=10.0)
    with pytest.raises(ResourceExhausted, match="another backup"):
        read(given, TWO, now=10.0 + IDLE_SECONDS)
    assert read(given, TWO, now=10.1 + IDLE_SECONDS).size == 0
    with pytest.raises(ResourceExhausted):
        read(given, ONE, now=10.2 + IDLE_SECONDS)


def test_one_that_was_read_to_its_end_makes_room_for_another(given: Backups) -> None:
    size = made(given, ONE).size
    assert read(given, ONE, size - 1).data == read(given, ONE, size - 1).data != b""
    assert read(given, TWO).size == 0
    with pytest.raises(Unavailable, match="begin another one"):
        read(given, ONE, size - 1)


def test_a_backup_that_has_ended_is_not_gone_on_with(given: Backups, directory: DataDirectory) -> None:
    made(given, ONE)
    given.tick(10.1 + IDLE_SECONDS)
    with pytest.raises(Unavailable, match="begin another one"):
        read(given, ONE, offset=1, now=10.2 + IDLE_SECONDS)
    assert list(directory.snapshots_path.iterdir()) == []


def test_a_failed_copy_is_told_and_another_may_begin(given: Backups, directory: DataDirectory) -> None:
    away = directory.state_path(0).rename(directory.path / "away")
    with pytest.raises(Unavailable, match="could not be made"):
        made(given, ONE)
    directory.state_path(0).mkdir()
    (directory.state_path(0) / "data.mdb").write_bytes(bytes(8192))
    with pytest.raises(Unavailable, match="could not be made"):
        made(given, ONE)
    shutil.rmtree(directory.state_path(0))
    away.rename(directory.state_path(0))
    assert made(given, TWO).size


def test_a_disk_that_can_not_read_it_ends_the_backup_alone(given: Backups, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(descriptor: int, length: int, offset: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    made(given, ONE)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", fails)
        with pytest.raises(Unavailable, match="Input/output error"):
            read(given, ONE)
    assert made(given, TWO).size


def test_a_full_disk_takes_no_backup(given: Backups, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups, "has_room", lambda path, size, worst=ENOUGH: False)
    with pytest.raises(ResourceExhausted, match="no room for a backup"):
        read(given, ONE)


def test_within_the_reserve_a_backup_may_be_made(given: Backups, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a state that is small by now can be moved to a larger disk."""
    monkeypatch.setattr(backups, "has_room", lambda path, size, worst=ENOUGH: worst == RESERVE)
    assert made(given, ONE).size


def test_a_node_that_may_have_an_old_state_gives_none(given: Backups) -> None:
    with pytest.raises(Unavailable, match="follows no leader"):
        given.read(ReadBackup(ONE, 0), None, RECORD, 10.0)
    size = made(given, ONE).size
    assert given.read(ReadBackup(ONE, 0), None, RECORD, 10.0).size == size  # what has begun is gone on with


def test_what_a_killed_gateway_left_is_removed(directory: DataDirectory) -> None:
    directory.snapshots_path.mkdir(exist_ok=True)
    (directory.snapshots_path / "backup.0123").touch()
    Backups(Settings(data_dir=str(directory.path))).close()
    assert list(directory.snapshots_path.iterdir()) == []
