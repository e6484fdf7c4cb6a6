"""The blocks that the log's file has beyond its end: when some are taken, and that nothing else changes."""

import errno
import os
from pathlib import Path

import pytest

from tests.conformance.logs import MAP_SIZE, MEMBER, content, encoded, journaled
from zraft.core.room import ENOUGH, EXHAUSTED, RESERVE
from zraft.store import ahead
from zraft.store.ahead import AHEAD_BYTES_MAX, BlocksAhead
from zraft.store.environment import map_used_bytes
from zraft.store.growing import writes_in_place
from zraft.store.journal import AREA_BYTES, RECORD_BYTES_MAX
from zraft.store.log import LmdbLog

KEEP_SIZE = 1
DISK_BYTES = 4 << 30


class Disk:
    """One that a log lies on, and what is taken of it: (flags, from, bytes) of each call."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.bytes = DISK_BYTES
        self.level = ENOUGH
        self.error = 0
        self.taken: list[tuple[int, int, int]] = []
        monkeypatch.setattr(ahead, "writes_in_place", lambda path: True)
        monkeypatch.setattr(ahead, "disk", lambda path: (self.bytes, self.bytes))
        monkeypatch.setattr(ahead, "has_room", lambda path, size, worst: self.level <= worst)
        monkeypatch.setattr(ahead, "fallocate", self._fallocate)

    def grow(self, size: int) -> None:
        with (self.path / "data.mdb").open("ab") as file:
            os.truncate(file.fileno(), size)

    def _fallocate(self, file: int, mode: int, start: int, size: int) -> None:
        self.taken.append((mode, start, size))
        if self.error:
            raise OSError(self.error, os.strerror(self.error))


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    found = Disk(tmp_path, monkeypatch)
    found.grow(10_000)
    return found


def test_some_are_taken_at_once_and_again_when_half_of_them_is_left(disk: Disk) -> None:
    blocks = BlocksAhead(disk.path)
    blocks.renew()
    first = (KEEP_SIZE, 10_000, AHEAD_BYTES_MAX)
    assert disk.taken == [first]
    half = 10_000 + AHEAD_BYTES_MAX // 2
    disk.grow(half - 1)
    blocks.renew()
    assert disk.taken == [first]
    disk.grow(half)
    blocks.renew()
    blocks.renew()
    assert disk.taken == [first, (KEEP_SIZE, half, AHEAD_BYTES_MAX)]


def test_a_small_disk_gives_a_sixteenth_of_its_reserve(disk: Disk) -> None:
    disk.bytes = 160_000
    BlocksAhead(disk.path).renew()
    assert disk.taken == [(KEEP_SIZE, 10_000, 1_000)]


@pytest.mark.parametrize("size", [1_000, 2_100, 4_090, 12_300])
def test_half_of_them_holds_what_a_full_journal_becomes(tmp_path: Path, size: int) -> None:
    """At worst an entry is a little larger than a page, or two of them than one, and LMDB gives it twice as much."""
    log = journaled(tmp_path / "log")
    index, many = 1, RECORD_BYTES_MAX // (size + 100)
    while log._journal is not None and log._journal.takes(entries := encoded(index, *[1] * many, payload=bytes(size))):
        log.append(index, entries)
        log.commit()
        index += many
    before = map_used_bytes(log._env)
    log.set_term(2, MEMBER)
    log.commit()
    assert AREA_BYTES // 2 < map_used_bytes(log._env) - before < AHEAD_BYTES_MAX // 2
    log.close()


def test_what_would_have_entries_refused_is_not_taken_until_there_is_room(disk: Disk) -> None:
    blocks = BlocksAhead(disk.path)
    disk.level = EXHAUSTED
    blocks.renew()
    assert disk.taken == []
    disk.level = RESERVE
    blocks.renew()
    assert len(disk.taken) == 1


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EOPNOTSUPP, errno.EIO])
def test_a_disk_that_gives_none_is_no_error_and_asked_again(disk: Disk, error: int) -> None:
    blocks = BlocksAhead(disk.path)
    disk.error = error
    blocks.renew()
    blocks.renew()
    assert len(disk.taken) == 2


def test_none_are_taken_where_there_is_no_log(disk: Disk) -> None:
    (disk.path / "data.mdb").unlink()
    BlocksAhead(disk.path).renew()
    assert disk.taken == []


def test_none_are_taken_where_pages_are_written_elsewhere(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "writes_in_place", lambda path: False)
    BlocksAhead(disk.path).renew()
    assert disk.taken == []


def test_a_log_goes_on_in_them_and_its_file_is_no_longer_than_before(tmp_path: Path) -> None:
    if not writes_in_place(tmp_path):
        pytest.skip("not known to be a file system that writes in place")
    file = tmp_path / "log" / "data.mdb"
    log = LmdbLog(tmp_path / "log", MEMBER, MAP_SIZE)
    before = file.stat()
    BlocksAhead(tmp_path / "log").renew()
    after = file.stat()
    assert after.st_size == before.st_size
    assert after.st_blocks * 512 >= before.st_size + AHEAD_BYTES_MAX // 2
    for index in range(1, 50):
        log.append(index, encoded(index, 1, payload=bytes(10_000)))
        log.set_term(index, MEMBER)
        log.commit()
    assert before.st_size < file.stat().st_size
    assert file.stat().st_blocks == after.st_blocks
    found = content(log)
    log.close()
    log = LmdbLog(tmp_path / "log", MEMBER, MAP_SIZE)
    assert content(log) == found
    assert file.stat().st_blocks == after.st_blocks
    log.close()
