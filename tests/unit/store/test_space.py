"""How much room is left, and when that is looked at."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, strategies as st

from zraft.store.space import CHECK_SECONDS, ENOUGH, EXHAUSTED, RESERVE, RESERVE_BYTES_MAX, Space, level_of

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


class Disk:
    """A disk of 1,000 blocks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = 500
        self.looks = 0
        self.now = 10.0
        monkeypatch.setattr(os, "statvfs", self._statvfs)

    def _statvfs(self, path: Path) -> SimpleNamespace:
        self.looks += 1
        # What is free for root alone is not free.
        return SimpleNamespace(f_bavail=self.free, f_bfree=self.free + 100, f_frsize=4096, f_blocks=1000)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_the_disk_is_looked_at_now_and_then(disk: Disk, tmp_path: Path) -> None:
    space = Space(tmp_path, lambda: disk.now)
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


def test_a_real_file_system_has_a_level(tmp_path: Path) -> None:
    assert Space(tmp_path).level() in (ENOUGH, RESERVE, EXHAUSTED)
