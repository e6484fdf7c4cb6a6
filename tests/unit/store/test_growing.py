"""A state that is written through its map: its file has its blocks in time, and lack of room is an error."""

import errno
import os
from pathlib import Path

import pytest

from tests.unit.store.viewing import Viewer
from zraft.core.records import record_key
from zraft.core.room import ENOUGH, EXHAUSTED, RESERVE
from zraft.errors import OutOfSpace, StorageFault
from zraft.store import growing
from zraft.store.growing import GrowingMap, writes_in_place
from zraft.store.state import LmdbState

MAP_SIZE = 1 << 40
MIB = 1 << 20


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if not writes_in_place(tmp_path):
        pytest.skip("not known to be a file system that writes in place")
    monkeypatch.setattr(growing, "STEP_BYTES_MAX", MIB)
    return tmp_path / "state.1"


@pytest.fixture
def level(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How full the disk is said to be, whatever is asked for."""
    levels = [ENOUGH]
    monkeypatch.setattr(growing, "has_room", lambda path, size, worst=ENOUGH: levels[0] <= worst)
    return levels


def blocks_bytes(path: Path) -> int:
    return (path / "data.mdb").stat().st_blocks * 512


def size_bytes(path: Path) -> int:
    return (path / "data.mdb").stat().st_size


def in_place(path: Path) -> bool:
    found = GrowingMap(path, MAP_SIZE)
    found.close()
    return found.in_place


def write(state: LmdbState, number: int, size: int) -> None:
    state.append_records([(record_key(number, 0), bytes([number]) * size)])
    state.commit()


def write_all(state: LmdbState, number: int, size: int) -> int:
    """Write as much as there is room for; the number of the last one that could be written."""
    try:
        while True:
            write(state, number, size)
            number += 1
    except OutOfSpace:
        state.abort()
        return number - 1


def find_no_room(state: LmdbState, number: int, size: int) -> None:
    with pytest.raises(OutOfSpace):
        write(state, number, size)
    state.abort()


def test_the_file_grows_ahead_of_what_is_written(path: Path) -> None:
    state = LmdbState(path, MAP_SIZE)
    sizes = set()
    for number in range(1, 50):
        write(state, number, 100_000)
        assert blocks_bytes(path) >= size_bytes(path)
        assert size_bytes(path) > state.map_used_bytes
        sizes.add(size_bytes(path))
    assert sorted(sizes) == list(range(min(sizes), max(sizes) + 1, MIB))
    assert len(sizes) > 3
    for number in range(1, 50):
        assert state.record(record_key(number, 0)) == bytes([number]) * 100_000
    state.close()


def test_a_state_is_found_again_and_grows_on(path: Path) -> None:
    for number in range(1, 10):
        state = LmdbState(path, MAP_SIZE)
        write(state, number, 500_000)
        assert [state.record(record_key(one, 0)) for one in range(1, number + 1)] == [
            bytes([one]) * 500_000 for one in range(1, number + 1)
        ]
        state.close()


def test_a_reader_sees_what_was_written_behind_the_end_that_it_knew(path: Path) -> None:
    state = LmdbState(path, MAP_SIZE)
    with Viewer(path, MAP_SIZE) as viewer:
        before = size_bytes(path)
        for number in range(1, 10):
            state.set_keys([(b"a", b"%d" % number)])
            write(state, number, 400_000)
            viewer.begin()
            assert viewer.key(b"a") == b"%d" % number
        assert size_bytes(path) > before + 2 * MIB
    state.close()


def test_a_disk_that_can_not_be_asked_is_a_storage_fault(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(growing, "disk", fails)
    with pytest.raises(StorageFault, match="Input/output error"):
        LmdbState(path, MAP_SIZE)


def test_a_transaction_that_finds_no_room_makes_some_for_the_next(path: Path) -> None:
    state = LmdbState(path, MAP_SIZE)
    write(state, 1, 10)
    refusals = 0
    while state.record(record_key(2, 0)) is None:
        try:
            write(state, 2, 4 * MIB)
        except OutOfSpace:
            state.abort()
            refusals += 1
            assert refusals < 6
    assert refusals > 0
    assert state.record(record_key(1, 0)) == b"\x01" * 10
    state.close()


def test_the_map_never_grows_beyond_its_size(path: Path) -> None:
    state = LmdbState(path, 3 * MIB)
    written = write_all(state, 1, 100_000)
    assert 20 <= written <= 30
    assert size_bytes(path) == 3 * MIB
    assert state.record(record_key(written, 0)) == bytes([written]) * 100_000
    state.close()


def test_the_reserve_of_the_disk_is_for_those_who_found_no_room(path: Path, level: list[int]) -> None:
    state = LmdbState(path, MAP_SIZE)
    write(state, 1, 10)
    level[0], before = RESERVE, size_bytes(path)
    written = write_all(state, 2, 100_000)
    assert size_bytes(path) == before
    steps: list[int] = []
    for _ in range(9):
        find_no_room(state, written + 1, 64 * MIB)
        steps.append(size_bytes(path) - before - sum(steps))
    kib = 1 << 10
    assert steps == [64 * kib, 128 * kib, 256 * kib, 512 * kib, MIB, 2 * MIB, 4 * MIB, 4 * MIB, 4 * MIB]
    state.close()


def test_of_a_reserve_that_is_nearly_used_up_smaller_parts_are_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else apply would stop where writes are taken still: the log has room for them.
    state = LmdbState(path, MAP_SIZE)
    write(state, 1, 10)
    left = [700_000]
    monkeypatch.setattr(
        growing, "has_room", lambda path, size, worst=ENOUGH: worst == RESERVE and size + size_bytes(path) <= left[0]
    )
    left[0] += size_bytes(path)
    before = size_bytes(path)
    written = 1
    for _ in range(20):
        written = write_all(state, written + 1, 10_000)
    assert left[0] - (64 << 10) < size_bytes(path) <= left[0]
    assert size_bytes(path) > before
    state.close()


def test_what_the_log_needs_of_the_disk_is_for_nobody(path: Path, level: list[int]) -> None:
    state = LmdbState(path, MAP_SIZE)
    write(state, 1, 10)
    level[0], before = EXHAUSTED, size_bytes(path)
    for _ in range(3):
        find_no_room(state, 2, 8 * MIB)
    assert size_bytes(path) == before
    level[0] = ENOUGH
    write(state, 2, 100_000)
    state.close()


def test_where_the_blocks_can_not_be_had_in_advance_pages_are_written_by_calls(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = LmdbState(path, MAP_SIZE)
    write(state, 1, 100_000)
    state.close()

    def refuse(descriptor: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", refuse)
        assert not in_place(path)
        state = LmdbState(path, MAP_SIZE)
        write(state, 2, 3 * MIB)
        assert state.record(record_key(1, 0)) == b"\x01" * 100_000
        state.close()
    assert in_place(path)
    state = LmdbState(path, MAP_SIZE)
    assert state.record(record_key(2, 0)) == b"\x02" * 3 * MIB
    assert blocks_bytes(path) >= size_bytes(path)
    state.close()


def test_a_file_that_was_cut_short_gets_no_blocks_for_what_is_gone(path: Path) -> None:
    state = LmdbState(path, MAP_SIZE)
    for number in range(1, 10):
        write(state, number, 400_000)
    state.close()
    os.truncate(path / "data.mdb", MIB)
    left = blocks_bytes(path)  # one more than a MiB if it lies in pieces: the file system's list of them
    assert not in_place(path)
    assert blocks_bytes(path) <= left


MOUNT = "36 35 {number} / /somewhere rw,noatime{optional} - {kind} /dev/disk rw\n"


@pytest.mark.parametrize("optional", ["", " master:1 shared:7"])
@pytest.mark.parametrize(("kind", "known"), [("ext4", True), ("xfs", True), ("btrfs", False), ("overlay", False)])
def test_a_file_system_is_known_by_its_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, known: bool, optional: str
) -> None:
    device = tmp_path.stat().st_dev
    ours = MOUNT.format(number=f"{os.major(device)}:{os.minor(device)}", kind=kind, optional=optional)
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNT.format(number="250:251", kind="tmpfs", optional="") + ours)
    monkeypatch.setattr(growing, "_MOUNTS", mounts)
    assert writes_in_place(tmp_path) == known
    mounts.write_text(MOUNT.format(number="250:251", kind=kind, optional=""))
    assert not writes_in_place(tmp_path)
    monkeypatch.setattr(growing, "_MOUNTS", tmp_path / "nothing")
    assert not writes_in_place(tmp_path)
