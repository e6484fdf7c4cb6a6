"""The dirty mark on a disk whose power is cut."""

from collections.abc import Iterator

import pytest

from tests.chaos.power import PowerCutDisk, available
from zraft.store.dirty import DirtyMark, Mark, boot_identity
from zraft.store.files import make_directory, write_durably

pytestmark = pytest.mark.chaos


@pytest.fixture
def disk() -> Iterator[PowerCutDisk]:
    if reason := available():
        pytest.skip(reason)
    with PowerCutDisk(16) as disk:
        yield disk


def test_a_cut_takes_unsynced_writes_and_nothing_else(disk: PowerCutDisk) -> None:
    overwritten, created = disk.path / "overwritten", disk.path / "created"
    write_durably(overwritten, b"synced")
    overwritten.write_bytes(b"unsynced")
    created.write_bytes(b"unsynced")
    disk.cut()
    assert (overwritten.read_bytes(), created.exists()) == (b"synced", False)


def test_a_directory_that_was_made_survives_a_cut(disk: PowerCutDisk) -> None:
    make_directory(disk.path / "outer" / "inner")
    (disk.path / "unsynced").mkdir()
    disk.cut()
    assert ((disk.path / "outer" / "inner").is_dir(), (disk.path / "unsynced").exists()) == (True, False)


def test_a_mark_found_after_a_cut_is_a_mismatch(disk: PowerCutDisk) -> None:
    mark = DirtyMark(disk.path / "dirty")
    mark.set()
    disk.cut()
    assert mark.state() is Mark.MISMATCH
    mark.set()
    disk.cut()
    assert mark.state() is Mark.MISMATCH


def test_a_mark_found_by_the_next_process_is_of_the_same_boot(disk: PowerCutDisk) -> None:
    if boot_identity(disk.path).mount_id is None:
        pytest.skip("this kernel has no unique mount ids")
    DirtyMark(disk.path / "dirty").set()
    assert DirtyMark(disk.path / "dirty").state() is Mark.SAME_BOOT


def test_a_cleared_mark_does_not_come_back_with_a_cut(disk: PowerCutDisk) -> None:
    mark = DirtyMark(disk.path / "dirty")
    mark.set()
    mark.clear()
    disk.cut()
    assert mark.state() is Mark.CLEAN
