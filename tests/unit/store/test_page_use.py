"""LMDB's pages are in use once, or free once: damage of what LMDB goes by when it takes one is found before it does."""

from __future__ import annotations

import random
import struct
from collections import defaultdict
from pathlib import Path

import lmdb
import pytest

from tests.unit.store.stored import MAP, MEMBER, PAGE, flip, written
from zraft.errors import CorruptLog, CorruptState, StorageFault
from zraft.store.check import check
from zraft.store.directory import DataDirectory
from zraft.store.log import LmdbLog
from zraft.store.meta_pages import newest_roots
from zraft.store.page_use import fault_of_page_use
from zraft.store.recovery import open_stores

HEADER, NODE, ID = 16, 8, 8
BRANCH, LEAF, LONG = 1, 2, 4
LAST_GIVEN_OUT = HEADER + 24 + 2 * 48
"""Where a meta page has the number of the last page that was given out."""


def lived(path: Path, seed: int, commits: int, writemap: bool = False) -> Path:
    """The file of an environment with a history: values of all sizes, tables that grew, and were emptied."""
    draw = random.Random(seed)
    with lmdb.open(str(path), max_dbs=8, map_size=MAP, sync=False, writemap=writemap, lib_version=0) as env:
        tables = [env.open_db(name) for name in (b"meta", b"entries")]
        for number in range(commits):
            with env.begin(write=True) as txn:
                for _ in range(draw.choice((1, 10, 100, 1000))):
                    key, table = b"key %05d" % draw.randrange(2000), draw.choice(tables)
                    if draw.random() < 0.3:
                        txn.delete(key, db=table)
                    else:
                        txn.put(key, bytes(draw.choice((1, 200, 1500, 5000, 9000))), db=table)
                if number % 20 == 19:
                    txn.drop(draw.choice(tables), delete=False)
                if draw.random() < 0.1:
                    txn.abort()
            assert fault_of_page_use(path / "data.mdb") == ""
    return path / "data.mdb"


@pytest.fixture(scope="module")
def whole(module_path: Path) -> bytes:
    return lived(module_path, 1, 12).read_bytes()


@pytest.fixture
def file(whole: bytes, tmp_path: Path) -> Path:
    file = tmp_path / "data.mdb"
    file.write_bytes(whole)
    return file


def free_tree(file: Path) -> list[int]:
    """The pages of the table of free pages, and of the lists that have pages of their own: branches, leaves, lists."""
    data = file.read_bytes()
    with file.open("rb") as opened:
        pages = [newest_roots(opened.fileno()).free]
    for number in pages:
        kind, lower = struct.unpack_from("<HH", data, number * PAGE + 10)
        if kind == LONG:
            continue
        for node in struct.unpack_from(f"<{(lower - HEADER) // 2}H", data, number * PAGE + HEADER):
            low, high, flags, key = struct.unpack_from("<HHHH", data, number * PAGE + node)
            if kind == BRANCH:
                pages.append(low | high << 16)
            elif flags:
                pages += struct.unpack_from("<Q", data, number * PAGE + node + NODE + key)
    return pages


@pytest.mark.parametrize("writemap", [False, True])
@pytest.mark.parametrize("seed", range(2, 4))
def test_a_sound_environment_passes_after_each_commit(tmp_path: Path, seed: int, writemap: bool) -> None:
    file = lived(tmp_path, seed, 30, writemap)
    with lmdb.open(str(tmp_path), readonly=True, lib_version=0) as env:
        (tmp_path / "copy").mkdir()
        env.copy(str(tmp_path / "copy"), compact=True)
    assert fault_of_page_use(tmp_path / "copy" / "data.mdb") == ""
    assert file.stat().st_size > 200 * PAGE


def test_an_environment_that_holds_nothing_passes(tmp_path: Path) -> None:
    lmdb.open(str(tmp_path), map_size=MAP, lib_version=0).close()
    assert fault_of_page_use(tmp_path / "data.mdb") == ""


def test_no_bit_of_a_list_of_free_pages_is_another_one_unnoticed(file: Path) -> None:
    tried: dict[int, int] = defaultdict(int)
    draw = random.Random(6)
    whole = file.read_bytes()
    for number in free_tree(file):
        kind, data = kind_of(whole, number), whole[number * PAGE : (number + 1) * PAGE]
        if kind == BRANCH:
            continue
        places = range(HEADER + ID, HEADER + 400 * ID, ID) if kind == LONG else _numbers(data)
        for place in draw.sample(places, min(4, len(places))):
            for bit in range(64):
                flip(file, number * PAGE + place + bit // 8, bit % 8)
                assert "has damaged pages" in fault_of_page_use(file)
                flip(file, number * PAGE + place + bit // 8, bit % 8)
        tried[kind] += len(places)
    assert tried[LONG]
    assert tried[LEAF]
    assert fault_of_page_use(file) == ""


def _numbers(leaf: bytes) -> list[int]:
    """Where the page has the numbers of free pages."""
    (lower,) = struct.unpack_from("<H", leaf, 12)
    found: list[int] = []
    for node in struct.unpack_from(f"<{(lower - HEADER) // 2}H", leaf, HEADER):
        size, _, flags, key = struct.unpack_from("<HHHH", leaf, node)
        if not flags:
            found += range(node + NODE + key + ID, node + NODE + key + size, ID)
    return found


def test_a_commit_that_has_not_been_yet_frees_no_pages(file: Path) -> None:
    number, leaf = first_leaf_of_the_free(file)
    node = int.from_bytes(leaf[HEADER : HEADER + 2], "little")
    flip(file, number * PAGE + node + NODE + 6)
    assert "pages were freed by commit" in fault_of_page_use(file)


def kind_of(data: bytes, page: int) -> int:
    return int.from_bytes(data[page * PAGE + 10 : page * PAGE + 12], "little")


def first_leaf_of_the_free(file: Path) -> tuple[int, bytes]:
    data = file.read_bytes()
    number = next(page for page in free_tree(file) if kind_of(data, page) == LEAF)
    return number, data[number * PAGE : (number + 1) * PAGE]


@pytest.mark.parametrize(("kind", "place"), [(BRANCH, 0), (LEAF, 0), (LEAF, 12), (LONG, 0), (LONG, 12)])
def test_what_a_page_says_of_itself_is_checked(file: Path, whole: bytes, kind: int, place: int) -> None:
    """Its number, by which it is freed; where its nodes are; how many pages a value has."""

    def is_found(page: int) -> bool:
        flip(file, page * PAGE + place, 3)
        found = bool(fault_of_page_use(file))
        flip(file, page * PAGE + place, 3)
        return found

    pages = [page for page in range(2, len(whole) // PAGE) if kind_of(whole, page) == kind]
    assert any(map(is_found, reversed(pages)))  # many are in use no more


def test_pages_that_were_never_given_out_are_in_no_use(file: Path, whole: bytes) -> None:
    """LMDB would give them out once more."""
    for meta in range(2):
        at = meta * PAGE + LAST_GIVEN_OUT
        last = int.from_bytes(whole[at : at + 8], "little")
        flip(file, at + (last.bit_length() - 1) // 8, (last.bit_length() - 1) % 8)
    assert "was never given out" in fault_of_page_use(file)


@pytest.mark.parametrize("size", [0, 100, PAGE, 2 * PAGE, 40 * PAGE])
def test_a_file_that_was_cut_short_is_damaged(file: Path, whole: bytes, size: int) -> None:
    file.write_bytes(whole[:size])
    assert "has damaged pages" in fault_of_page_use(file)


def test_a_file_that_can_not_be_read_is_not_damaged(tmp_path: Path) -> None:
    with pytest.raises(StorageFault, match="can't be read"):
        fault_of_page_use(tmp_path / "data.mdb")


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    return written(tmp_path / "node", entries=200, applied=200)


def free_another_page(file: Path) -> None:
    """A page that is in use passes for a free one: the last of a list is the one before, then."""
    number, leaf = first_leaf_of_the_free(file)
    flip(file, number * PAGE + _numbers(leaf)[-1])


def test_a_log_that_would_be_written_over_is_refused(directory: DataDirectory) -> None:  # trap 29
    free_another_page(directory.log_path / "data.mdb")
    LmdbLog(directory.log_path, MEMBER, MAP).close()  # no read finds it
    found = check(directory)
    assert found.log_damage is not None
    assert "has damaged pages" in found.log_damage.what
    with pytest.raises(CorruptLog, match="has damaged pages"):
        open_stores(directory, MEMBER, MAP, lambda seconds: None)


def test_a_state_that_would_be_written_over_is_refused(directory: DataDirectory) -> None:
    free_another_page(directory.state_path(0) / "data.mdb")
    found = check(directory)
    assert found.state_damage is not None
    assert "has damaged pages" in found.state_damage.what
    with pytest.raises(CorruptState, match="has damaged pages"):
        open_stores(directory, MEMBER, MAP, lambda seconds: None)
