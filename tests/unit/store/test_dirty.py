"""What a dirty mark means. That it survives a power cut is shown in tests/chaos."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, strategies as st

from zraft.store import dirty
from zraft.store.dirty import BootIdentity, DirtyMark, Mark, boot_identity, compare

NOW = BootIdentity("boot 1", 7)
BLIND = BootIdentity("boot 1", None)


@pytest.mark.parametrize(
    ("recorded", "current", "mark"),
    [
        (None, NOW, Mark.CLEAN),
        (None, BLIND, Mark.CLEAN),
        (NOW, NOW, Mark.SAME_BOOT),
        (BootIdentity("boot 0", 7), NOW, Mark.MISMATCH),
        (BootIdentity("boot 1", 6), NOW, Mark.MISMATCH),
        (BLIND, NOW, Mark.MISMATCH),
        (NOW, BLIND, Mark.MISMATCH),
        (BLIND, BLIND, Mark.MISMATCH),
    ],
)
def test_only_the_same_boot_and_unique_mount_prove_that_nothing_is_lost(
    recorded: BootIdentity | None, current: BootIdentity, mark: Mark
) -> None:
    assert compare(None if recorded is None else msgspec.json.encode(recorded), current) is mark


@given(st.binary())
def test_an_unreadable_mark_is_a_mismatch(content: bytes) -> None:
    assert compare(content, NOW) is Mark.MISMATCH


@given(st.integers(0, len(msgspec.json.encode(NOW)) - 1))
def test_a_mark_cut_short_is_a_mismatch(length: int) -> None:
    assert compare(msgspec.json.encode(NOW)[:length], NOW) is Mark.MISMATCH


def test_a_boot_is_the_same_until_the_machine_starts_again(tmp_path: Path) -> None:
    assert boot_identity(tmp_path) == boot_identity(tmp_path)


def test_another_mount_is_another_identity() -> None:
    root, proc = boot_identity(Path("/")), boot_identity(Path("/proc"))
    if root.mount_id is None:
        pytest.skip("this kernel has no unique mount ids")
    assert root.boot_id == proc.boot_id
    assert root.mount_id != proc.mount_id


def test_a_mark_is_set_and_cleared(tmp_path: Path) -> None:
    mark = DirtyMark(tmp_path / "dirty")
    mark_when_set = Mark.MISMATCH if boot_identity(tmp_path).mount_id is None else Mark.SAME_BOOT
    assert mark.state() is Mark.CLEAN
    mark.set()
    mark.set()
    assert DirtyMark(tmp_path / "dirty").state() is mark_when_set
    mark.clear()
    mark.clear()
    assert (mark.state(), list(tmp_path.iterdir())) == (Mark.CLEAN, [])


def test_a_mark_that_can_not_be_read_is_a_mismatch(tmp_path: Path) -> None:
    (tmp_path / "dirty").mkdir()
    assert DirtyMark(tmp_path / "dirty").state() is Mark.MISMATCH


def test_a_mark_that_stands_already_needs_no_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if boot_identity(tmp_path).mount_id is None:
        pytest.skip("this kernel has no unique mount ids")
    mark = DirtyMark(tmp_path / "dirty")
    mark.set()
    monkeypatch.setattr(dirty, "write_durably", None)
    mark.set()
    assert mark.state() is Mark.SAME_BOOT
