"""How much room is left, and when that is looked at."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, strategies as st

from zraft.core.room import ENOUGH, EXHAUSTED, RESERVE
from zraft.store import space
from zraft.store.space import (
    CHECK_SECONDS,
    COPIED_BYTES,
    RESERVE_BYTES_MAX,
    Space,
    Use,
    copy_file,
    has_room,
    level_of,
)

GIB = 1 << 30


@pytest.mark.parametrize(
    ("free", "total", "level"),
    [
        (GIB, 100 * GIB, ENOUGH),
        (GIB - 1, 100 * GIB, RESERVE),
        (GIB // 4, 100 * GIB, RESERVE),
        (GIB // 4 - 1, 100 * GIB, EXHAUSTED),
        (0, 100 * GIB, EXHAUSTED),
        (100, 1000, ENOUGH),
        (99, 1000, RESERVE),
        (25, 1000, RESERVE),
        (24, 1000, EXHAUSTED),
    ],
)
def test_the_reserve_is_a_tenth_of_the_disk_or_one_gib(free: int, total: int, level: int) -> None:
    assert level_of(free, total) == level


@given(st.integers(0, 1 << 50), st.integers(0, 1 << 50), st.integers(0, 1 << 50))
def test_less_room_is_never_a_better_level(free: int, less: int, total: int) -> None:
    assert level_of(min(free, less), total) >= level_of(free, total)
    assert level_of(RESERVE_BYTES_MAX, total) == ENOUGH


@pytest.mark.parametrize(
    ("free", "reusable", "level"),
    [
        (900, 100, ENOUGH),
        (900, 99, RESERVE),
        (500, 500, ENOUGH),
        (500, 499, RESERVE),
        (499, 10_000, RESERVE),  # half of the reserve is on the disk itself
        (250, 10_000, RESERVE),
        (249, 10_000, EXHAUSTED),
    ],
)
def test_free_pages_of_the_state_count_for_half_of_the_reserve(free: int, reusable: int, level: int) -> None:
    assert level_of(free, 10_000, reusable) == level


class Disk:
    """A disk of 1,000 blocks, and stores in maps of 100,000 bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = 500
        self.use = Use(0, 0, 0)
        self.looks = 0
        self.now = 10.0
        monkeypatch.setattr(os, "statvfs", self._statvfs)

    def space(self, path: Path) -> Space:
        return Space(path, 100_000, lambda: self.use, lambda: self.now)

    def _statvfs(self, path: Path) -> SimpleNamespace:
        self.looks += 1
        # What is free for root alone is not free.
        return SimpleNamespace(f_bavail=self.free, f_bfree=self.free + 100, f_frsize=4096, f_blocks=1000)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_the_disk_is_looked_at_now_and_then(disk: Disk, tmp_path: Path) -> None:
    space = disk.space(tmp_path)
    assert (space.level(), disk.looks) == (ENOUGH, 1)
    disk.free = 50
    assert (space.level(), disk.looks) == (ENOUGH, 1)
    disk.now += CHECK_SECONDS
    assert (space.level(), space.exhausted(), disk.looks) == (RESERVE, False, 2)
    disk.free = 10
    disk.now += CHECK_SECONDS
    assert (space.level(), space.exhausted(), disk.looks) == (EXHAUSTED, True, 3)
    disk.free = 500
    disk.now += CHECK_SECONDS
    assert (space.level(), space.exhausted()) == (ENOUGH, False)


@pytest.mark.parametrize("which", ["log_bytes", "state_bytes"])
@pytest.mark.parametrize(
    ("used", "level"),
    [(90_000, ENOUGH), (90_001, RESERVE), (97_500, RESERVE), (97_501, EXHAUSTED), (100_000, EXHAUSTED)],
)
def test_a_map_has_a_reserve_as_the_disk_has(disk: Disk, tmp_path: Path, which: str, used: int, level: int) -> None:
    disk.use = Use(**{"log_bytes": 0, "state_bytes": 0, "state_file_bytes": used, which: used})
    assert disk.space(tmp_path).level() == level


def test_a_map_whose_pages_were_freed_has_room_again(disk: Disk, tmp_path: Path) -> None:
    space = disk.space(tmp_path)
    disk.use = Use(0, 95_000, 95_000)
    assert space.level() == RESERVE
    disk.use = Use(0, 80_000, 95_000)  # the file does not shrink
    disk.now += CHECK_SECONDS
    assert space.level() == ENOUGH


def test_deletes_bring_service_back_on_a_disk_at_its_reserve(disk: Disk, tmp_path: Path) -> None:
    """A file never shrinks: if only the disk counted, the refusals would never end."""
    space = Space(tmp_path, 1 << 40, lambda: disk.use, lambda: disk.now)
    disk.free, disk.use = 60, Use(0, 100 * 4096, 139 * 4096)
    assert space.level() == RESERVE
    disk.use = Use(0, 99 * 4096, 139 * 4096)
    disk.now += CHECK_SECONDS
    assert space.level() == ENOUGH


def test_a_file_has_room_above_the_reserve_or_none(disk: Disk, tmp_path: Path) -> None:
    assert has_room(tmp_path, 400 * 4096)
    assert not has_room(tmp_path, 400 * 4096 + 1)
    assert disk.looks == 2


def test_a_real_file_system_has_a_level(tmp_path: Path) -> None:
    assert Space(tmp_path, 1 << 30, lambda: Use(0, 0, 0)).level() in (ENOUGH, RESERVE, EXHAUSTED)


def test_a_copy_is_the_same(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for content in (b"", os.urandom(COPIED_BYTES), os.urandom(2 * COPIED_BYTES + 1)):
        source.write_bytes(content)
        copy_file(source, target, ENOUGH)
        assert target.read_bytes() == content


@pytest.mark.parametrize("worst", [ENOUGH, RESERVE])
def test_a_copy_stops_where_somebody_else_has_taken_its_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worst: int
) -> None:
    """Not at the last byte of the disk: the log must find room meanwhile."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(3 * COPIED_BYTES))
    total = 100 * COPIED_BYTES
    kept = total // 10 if worst == ENOUGH else total // 40

    def disk(_: Path) -> tuple[int, int]:
        """It had room for all of it, and has not any more once the first piece is there."""
        copied = target.stat().st_size
        return kept + 3 * COPIED_BYTES - copied - (copied > 0), total

    monkeypatch.setattr(space, "disk", disk)
    with pytest.raises(OSError, match="no room left for a copy") as caught:
        copy_file(source, target, worst)
    assert caught.value.errno == errno.ENOSPC
    assert target.stat().st_size == COPIED_BYTES


def test_a_copy_of_a_file_that_is_cut_short_meanwhile_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    monkeypatch.setattr(os, "sendfile", lambda *_: 0)
    with pytest.raises(OSError, match="ended before its size"):
        copy_file(source, tmp_path / "target", ENOUGH)
