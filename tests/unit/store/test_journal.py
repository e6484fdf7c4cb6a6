"""The journal by itself: what it gives back after damage, and after a power cut in the middle of a write."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.unit.store.journals import on_a_file_system
from tests.unit.store.stored import flip
from zraft.errors import StorageFault
from zraft.store import journal as module
from zraft.store.journal import AREA_BYTES, BLOCK, BLOCK_MAX, RECORD_BYTES_MAX, Journal, read_records

IDENTITY, EPOCH = 0xFEDCBA9876543210, 7
SECTOR = 512
GROUPS = [[b"a" * 300], [b"b" * 90, b"", b"c" * 5000], [b"d" * 4096], [b"e"]]
"""What is written, record by record: they take 1, 2, 2 and 1 blocks."""
BLOCKS = [2, 3, 5, 7, 8]
"""Where they begin, and where the last one ends."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def made(path: Path) -> Journal:
    journal = Journal.make(path, IDENTITY)
    assert journal is not None
    journal.begin(EPOCH)
    return journal


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = made(path)
    yield journal
    journal.close()


def write(journal: Journal, groups: list[list[bytes]], first: int = 1) -> None:
    for group in groups:
        assert journal.takes(group)
        journal.write(first, group)
        first += len(group)


def read(areas: list[bytearray]) -> list[list[bytes]]:
    records = list(read_records([bytes(area) for area in areas], IDENTITY, EPOCH))
    assert [record.number for record in records] == list(range(len(records)))
    first = 1
    for record in records:
        assert record.first == first
        first += len(record.entries)
    return [list(record.entries) for record in records]


def areas_of(path: Path) -> list[bytearray]:
    data = path.read_bytes()
    assert len(data) == 2 * AREA_BYTES
    return [bytearray(data[:AREA_BYTES]), bytearray(data[AREA_BYTES:])]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[bytearray]:
    """The areas of a journal with all the groups; none of the tests changes them."""
    path = tmp_path_factory.mktemp("whole") / "journal"
    with pytest.MonkeyPatch.context() as patch:
        on_a_file_system(patch, BLOCK)
        journal = made(path)
    write(journal, GROUPS)
    journal.close()
    return areas_of(path)


def copies(whole: list[bytearray]) -> list[bytearray]:
    return [bytearray(area) for area in whole]


def test_what_was_written_is_read(path: Path, journal: Journal) -> None:
    assert list(journal.records(EPOCH)) == []
    write(journal, GROUPS)
    again = Journal.open(path, IDENTITY)
    assert [list(record.entries) for record in again.records(EPOCH)] == GROUPS
    again.close()


def test_it_is_for_its_owner_only_and_has_its_blocks_in_advance(path: Path, journal: Journal) -> None:
    before = path.stat()
    assert (oct(before.st_mode & 0o777), before.st_size) == ("0o600", 2 * AREA_BYTES)
    assert before.st_blocks * 512 >= before.st_size
    write(journal, GROUPS)
    assert (path.stat().st_size, path.stat().st_blocks) == (before.st_size, before.st_blocks)


def test_a_new_epoch_makes_all_records_void(path: Path, journal: Journal) -> None:
    write(journal, GROUPS)
    journal.begin(EPOCH + 1)
    assert list(journal.records(EPOCH + 1)) == []
    write(journal, GROUPS[3:])
    assert [list(record.entries) for record in journal.records(EPOCH + 1)] == GROUPS[3:]
    with pytest.raises(ValueError, match="is newer than its tables"):  # trap 29
        list(journal.records(EPOCH))


@pytest.mark.parametrize("damaged", [(), (0,), (1,)])
def test_an_epoch_without_records_has_begun(path: Path, journal: Journal, damaged: tuple[int, ...]) -> None:  # trap 29
    write(journal, GROUPS)
    journal.begin(EPOCH + 1)
    for copy in damaged:
        flip(path, copy * AREA_BYTES + BLOCK + 20)
    assert list(journal.records(EPOCH + 1)) == []
    with pytest.raises(ValueError, match="is newer than its tables"):
        list(journal.records(EPOCH))


def test_a_mark_that_was_torn_says_nothing(path: Path, journal: Journal) -> None:
    """No flush waits for it: a power cut may leave the one of before, or none."""
    write(journal, GROUPS)
    for copy in range(2):
        flip(path, copy * AREA_BYTES + BLOCK + 20)
    assert [list(record.entries) for record in journal.records(EPOCH)] == GROUPS


@pytest.mark.parametrize("copy", [0, 1])
def test_a_damaged_header_is_written_anew(path: Path, journal: Journal, copy: int) -> None:
    whole = path.read_bytes()
    flip(path, copy * AREA_BYTES + 3)
    again = Journal.open(path, IDENTITY)
    assert list(again.records(EPOCH)) == []
    again.begin(EPOCH)
    again.close()
    assert path.read_bytes() == whole


@pytest.mark.parametrize("block", [BLOCK, 4 * BLOCK, BLOCK_MAX])
def test_what_was_made_durable_is_not_written_again(path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """A write that a power cut tears takes whole sectors with it: there is nothing of an earlier record in them."""
    on_a_file_system(monkeypatch, block)
    journal = made(path)
    written: list[range] = []
    synced: list[range] = []

    def pwrite(file: int, data: bytes, offset: int) -> int:
        blocks = range(offset // block, (offset + len(data)) // block)
        assert (offset % block, len(data) % block) == (0, 0)
        assert not any(block in earlier for block in blocks for earlier in synced)
        written.append(blocks)
        return original(file, data, offset)

    def fdatasync(file: int) -> None:
        synced.extend(written)
        written.clear()

    original = os.pwrite
    monkeypatch.setattr(os, "pwrite", pwrite)
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    write(journal, GROUPS)
    assert written == []
    assert len(synced) == 2 * len(GROUPS)
    monkeypatch.undo()
    assert [list(record.entries) for record in journal.records(EPOCH)] == GROUPS
    journal.close()


@pytest.mark.parametrize(
    ("told", "block"),
    [(512, BLOCK), (BLOCK, BLOCK), (2 * BLOCK, 2 * BLOCK), (BLOCK_MAX, BLOCK_MAX), (1 << 20, BLOCK), (5000, BLOCK)],
)
def test_a_record_takes_the_blocks_of_the_file_system_that_it_was_made_on(
    path: Path, monkeypatch: pytest.MonkeyPatch, told: int, block: int
) -> None:
    """Also when the file has been copied to another one, and when one of the two headers was lost."""
    with monkeypatch.context() as patched:
        on_a_file_system(patched, told)
        made(path).close()
    again = Journal.open(path, IDENTITY)
    assert list(again.records(EPOCH)) == []
    again.begin(EPOCH)
    write(again, [[b"a"], [b"b"]])
    again.close()
    for area in areas_of(path):
        assert [at // block for at in range(0, AREA_BYTES, BLOCK) if area[at]] == [0, 1, 2, 3]
    whole = path.read_bytes()
    flip(path, AREA_BYTES + len(b"zraft journal 1") + 9)  # what the second header says of the blocks
    again = Journal.open(path, IDENTITY)
    assert [list(record.entries) for record in again.records(EPOCH)] == [[b"a"], [b"b"]]
    again.begin(EPOCH)
    again.close()
    assert path.read_bytes() == whole


def test_a_large_sector_that_is_torn_takes_nothing_else_with_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sector in which the last write of each area begins can't be read any more."""
    on_a_file_system(monkeypatch, sector := 4 * BLOCK)
    journal = made(path)
    write(journal, GROUPS)
    last = (2 + len(GROUPS) - 1) * sector
    areas = areas_of(path)
    for area in areas:
        assert any(area[last : last + sector])
        area[last : last + sector] = bytes(sector)
    assert read(areas) == GROUPS[:-1]
    journal.close()


def test_a_record_has_bounds(journal: Journal) -> None:
    assert journal.takes([bytes(RECORD_BYTES_MAX - 100)])
    assert not journal.takes([bytes(RECORD_BYTES_MAX)])
    assert not journal.takes([b"x"] * (RECORD_BYTES_MAX // 5))  # a length of four bytes before each
    number = 0
    while journal.takes([bytes(RECORD_BYTES_MAX - 100)]):
        number += 1
        journal.write(number, [bytes(RECORD_BYTES_MAX - 100)])
    assert number == AREA_BYTES // RECORD_BYTES_MAX - 1
    while journal.takes([b"x"]):
        number += 1
        journal.write(number, [b"x"])
    assert [record.first for record in journal.records(EPOCH)] == list(range(1, number + 1))


@given(data=st.data(), written=st.integers(0, len(GROUPS) - 1))
def test_a_torn_write_takes_nothing_else_with_it(whole: list[bytearray], data: st.DataObject, written: int) -> None:
    """Of a write that a power cut ended, any sectors may be there, in each of the areas others."""
    torn = range(BLOCKS[written] * BLOCK // SECTOR, BLOCKS[written + 1] * BLOCK // SECTOR)
    areas = copies(whole)
    lost = []
    for area in areas:
        area[BLOCKS[written + 1] * BLOCK :] = bytes(len(area) - BLOCKS[written + 1] * BLOCK)
        lost.append(data.draw(st.sets(st.sampled_from(torn))))
        for sector in lost[-1]:
            area[sector * SECTOR : (sector + 1) * SECTOR] = bytes(SECTOR)
    found = read(areas)
    assert found in (GROUPS[:written], GROUPS[: written + 1])
    if not all(lost):
        assert found == GROUPS[: written + 1]


@given(
    area=st.integers(0, 1),
    at=st.one_of(st.integers(0, BLOCKS[-1] * BLOCK - 1), st.integers(BLOCK, BLOCK + 60), st.integers(0, 30)),
    bit=st.integers(0, 7),
    length=st.sampled_from([1, SECTOR, BLOCK, AREA_BYTES]),
)
def test_what_happens_to_one_copy_loses_nothing(
    whole: list[bytearray], area: int, at: int, bit: int, length: int
) -> None:  # trap 29
    areas = copies(whole)
    for place in range(at, min(at + length, AREA_BYTES)):
        areas[area][place] ^= 1 << bit
    assert read(areas) == GROUPS


def test_blocks_that_can_not_be_read_lose_nothing(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each for itself: another one may be bad in the other area."""
    write(journal, GROUPS)
    here_and_there = {number * BLOCK + number % 2 * AREA_BYTES for number in (0, 1, *BLOCKS[:-1])}
    for bad in ({0}, {AREA_BYTES + BLOCKS[0] * BLOCK}, here_and_there):
        with monkeypatch.context() as patched:
            patched.setattr(os, "pread", refusing(bad, errno.EIO))
            assert [list(record.entries) for record in journal.records(EPOCH)] == GROUPS
    monkeypatch.setattr(os, "pread", refusing({0}, errno.ENOMEM))
    with pytest.raises(OSError, match="as the disk says"):
        list(journal.records(EPOCH))


def refusing(bad: set[int], code: int) -> Callable[[int, int, int], bytes]:
    def pread(file: int, size: int, offset: int) -> bytes:
        if offset in bad:
            raise OSError(code, "as the disk says")
        return original(file, size, offset)

    original = os.pread
    return pread


@pytest.mark.parametrize("number", range(len(GROUPS) - 1))
def test_the_loss_of_both_copies_is_told_by_a_later_record(whole: list[bytearray], number: int) -> None:  # trap 29
    areas = copies(whole)
    for area in areas:
        area[BLOCKS[number] * BLOCK + 10] ^= 1
    with pytest.raises(ValueError, match=f"lost both copies of record {number}, and has record {number + 1}"):
        read(areas)


def test_a_journal_of_another_log_is_not_read(path: Path, journal: Journal) -> None:
    write(journal, GROUPS)
    other = Journal.open(path, IDENTITY + 1)
    with pytest.raises(ValueError, match="is damaged, or belongs to another log"):
        list(other.records(EPOCH))
    other.close()


@pytest.mark.parametrize("size", [0, BLOCK, AREA_BYTES, 2 * AREA_BYTES - 1])
def test_a_journal_that_was_cut_short_is_not_read(path: Path, journal: Journal, size: int) -> None:  # trap 29
    write(journal, GROUPS)
    os.truncate(path, size)
    with pytest.raises(ValueError, match="is cut short"):
        list(journal.records(EPOCH))


def test_a_journal_that_is_not_there_is_lost(path: Path) -> None:
    with pytest.raises(ValueError, match="was lost"):
        Journal.open(path, IDENTITY)
    path.mkdir()
    with pytest.raises(StorageFault, match="can't be opened"):
        Journal.open(path, IDENTITY)


def test_a_short_write_is_no_write(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: len(data) - 1)
    with pytest.raises(OSError, match="cut short"):
        journal.write(1, [b"x"])


@pytest.mark.parametrize("call", ["write", "fdatasync", "sync_directory"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_what_could_not_be_made_leaves_nothing_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int, call: str
) -> None:
    """No file, and no descriptor. That there is no room is no fault; what else the disk says is (S13)."""

    def refuse(*_: object, **__: object) -> Any:
        raise OSError(code, "as the disk says")

    before = os.listdir("/proc/self/fd")
    match call:
        case "write":
            monkeypatch.setattr(module, "open", refuse, raising=False)
        case "fdatasync":
            monkeypatch.setattr(os, "fdatasync", refuse)
        case _:
            monkeypatch.setattr(module, "sync_directory", refuse)
    if code == errno.ENOSPC:
        assert Journal.make(path, IDENTITY) is None
    else:
        with pytest.raises(OSError, match="as the disk says"):
            Journal.make(path, IDENTITY)
    assert not path.exists()
    assert os.listdir("/proc/self/fd") == before


def test_one_descriptor_is_enough_to_make_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To open once more what is made and durable might fail, for want of another one."""
    opened: list[object] = []

    def note(name: str | Path, flags: int, mode: int = 0o777) -> int:
        opened.append(name)
        return original(name, flags, mode)

    original = os.open
    with monkeypatch.context() as patched:  # what removes the files later opens them in its own way
        patched.setattr(os, "open", note)
        made(path).close()
    assert opened == [path, path.parent]


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
@pytest.mark.parametrize("opened", [0, 1])
def test_a_journal_for_which_no_descriptor_is_left_is_not_made(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int, opened: int
) -> None:
    """Neither for the file, or not for its directory: nothing failed to be durable."""
    original, before = os.open, os.listdir("/proc/self/fd")
    left = [None] * opened

    def refuse(name: Path, flags: int, mode: int = 0o777) -> int:
        if not left:
            raise OSError(code, os.strerror(code))
        left.pop()
        return original(name, flags, mode)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        assert Journal.make(path, IDENTITY) is None
    assert not path.exists()
    assert os.listdir("/proc/self/fd") == before
