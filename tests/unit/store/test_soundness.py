"""A state is read from end to end before anything of it is believed: a flipped bit is found in every kind of page."""

import contextlib
import os
import random
import struct
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import lmdb
import pytest

from tests.unit.store import scanning
from tests.unit.store.scanning import BELIEVED, FOUND
from tests.unit.store.stored import MAP, MEMBER, written
from zraft.core.keyspace import Keyspace
from zraft.core.records import APPLIED
from zraft.errors import CorruptLog, CorruptState, IdentityRefused, StorageFault
from zraft.protocol.codec import encode, pack_commands
from zraft.protocol.entries import NO_ORIGIN, Entry, EntryId, EntryKind
from zraft.protocol.requests import Compact, Delete, Put
from zraft.store import recovery
from zraft.store.check import check
from zraft.store.processes import module_process
from zraft.store.recovery import open_stores
from zraft.store.repair import plan
from zraft.store.soundness import NOTHING, verify_log, verify_state
from zraft.store.state import LmdbState

ROOT = Path(__file__).resolve().parents[3]
PAGE = 4096
BRANCH, LEAF, OVERFLOW = 1, 2, 4


@pytest.fixture(scope="module")
def whole(module_path: Path) -> Path:
    """A state of some hundred keys with a compacted history, large values among them."""
    path = module_path / "state.0"
    state = LmdbState(path, MAP)
    keyspace = Keyspace(state)
    draw = random.Random(1)
    for index in range(1, 41):
        key = b"key %04d" % draw.randrange(400)
        puts = [Put(b"key %04d" % draw.randrange(400), draw.randbytes(draw.choice((20, 200, 3000)))) for _ in range(20)]
        commands = [*puts, Delete(key), *([Compact(keyspace.revision - 50)] if index % 10 == 0 else [])]
        payload = pack_commands([encode(command) for command in commands])
        for _ in keyspace.apply(Entry(index, 1, EntryKind.COMMANDS, NO_ORIGIN, payload)):
            pass
        keyspace.commit()
    state.sync()
    state.close()
    return path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "state.0"
    copy.mkdir()
    (copy / "data.mdb").write_bytes((whole / "data.mdb").read_bytes())
    return copy


def change(path: Path, table: bytes, key: bytes, data: bytes | None) -> None:
    with lmdb.open(str(path), max_dbs=8, map_size=MAP) as env:
        handle = env.open_db(table)
        with env.begin(write=True) as txn:
            assert txn.delete(key, db=handle) if data is None else txn.put(key, data, db=handle)


def test_a_sound_state_passes_and_tells_what_it_holds(path: Path) -> None:
    told: list[tuple[int, int]] = []
    facts = verify_state(path, MAP, lambda done, whole: told.append((done, whole)))
    assert facts.applied == EntryId(40, 1)
    assert facts.records >= facts.keys > 0


def test_a_flipped_bit_is_found_in_every_kind_of_page(path: Path) -> None:  # trap 29
    data = (path / "data.mdb").read_bytes()
    pages = defaultdict(list)
    for number in range(2, len(data) // PAGE):
        (stored, _, flags) = struct.unpack_from("<QHH", data, number * PAGE)
        if stored == number:
            pages[flags & 7].append(number)
    draw = random.Random(2)
    places, kinds = [], []
    for kind in (BRANCH, LEAF, OVERFLOW):
        for number in draw.sample(pages[kind], min(20, len(pages[kind]))):
            (upper,) = struct.unpack_from("<H", data, number * PAGE + 14)
            # In the midst of what the page holds.
            places.append(number * PAGE + (20 if kind == OVERFLOW else min(upper + 12, PAGE - 1)))
            kinds.append(kind)
    command = [sys.executable, "-m", scanning.__name__, str(path), *map(str, places)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    found = Counter(zip(kinds, told, strict=True))
    assert not [kind for kind, what in found if what == BELIEVED]
    assert {kind for kind, what in found if what == FOUND} == {BRANCH, LEAF, OVERFLOW}


@pytest.mark.parametrize(("table", "key"), [(b"meta", APPLIED), (b"meta", b"format")])
def test_what_the_state_says_of_itself_can_not_get_lost(path: Path, table: bytes, key: bytes) -> None:
    change(path, table, key, None)
    with pytest.raises(CorruptState, match=r"digest|format"):
        verify_state(path, MAP)


def test_a_page_that_ends_lmdb_is_damage_and_not_the_end_of_the_node(path: Path) -> None:
    file = path / "data.mdb"
    data = file.read_bytes()
    file.write_bytes(data[: 2 * PAGE])  # all pages that the roots point to are beyond the end
    with pytest.raises(CorruptState, match=r"LMDB can't read it \(SIGBUS\)"):
        verify_state(path, MAP)


def test_a_page_of_the_log_that_ends_lmdb_is_damage(  # trap 29
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = written(tmp_path / "data", entries=200, applied=200)
    file = directory.log_path / "data.mdb"
    data = file.read_bytes()
    verify_log(directory.log_path, MAP)
    found = []
    monkeypatch.setattr(recovery, "LmdbLog", lambda *_, **__: pytest.fail("opened by this process: LMDB may end it"))
    for number in range(len(data) // PAGE):
        file.write_bytes(data[: number * PAGE] + bytes(PAGE) + data[(number + 1) * PAGE :])
        with contextlib.suppress(CorruptLog):  # a page that is in use no more changes nothing
            verify_log(directory.log_path, MAP)
            continue
        repair = plan(directory, check(directory))
        assert repair is not None
        assert repair.aside[0] == directory.log_path
        with pytest.raises(CorruptLog) as caught:
            open_stores(directory, MEMBER, MAP, lambda seconds: None)
        found.append(str(caught.value))
    assert any("LMDB can't read it (SIGABRT)" in error for error in found)


def test_a_log_of_another_format_is_refused_and_not_repaired(tmp_path: Path) -> None:
    path = written(tmp_path / "data", entries=1, applied=1).log_path
    change(path, b"meta", b"format", (9).to_bytes(4, "big"))
    with pytest.raises(IdentityRefused, match="is of format 9"):
        verify_log(path, MAP)


def test_a_log_that_can_not_be_read_now_is_not_damaged(tmp_path: Path) -> None:
    path = written(tmp_path / "data", entries=1, applied=1).log_path
    with pytest.raises(StorageFault, match=r"could not be verified: .*Cannot allocate memory") as caught:
        verify_log(path, 1 << 60)
    assert not isinstance(caught.value, CorruptLog)


def test_a_state_is_verified_without_room_for_anything(path: Path) -> None:
    verify_state(path, MAP)
    assert [file.name for file in path.iterdir()] == ["data.mdb"]


def test_nothing_of_the_working_directory_is_imported(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit('who put me here?')")
    monkeypatch.chdir(tmp_path)
    assert verify_state(path, MAP).applied == EntryId(40, 1)


def test_what_keeps_from_reading_is_no_damage(path: Path) -> None:
    with pytest.raises(StorageFault, match=r"could not be verified: .*Cannot allocate memory") as caught:
        verify_state(path, 1 << 60)
    assert not isinstance(caught.value, CorruptState)


def test_a_file_of_something_else_is_damage(path: Path) -> None:
    (path / "data.mdb").write_bytes(b"x" * 3 * PAGE)
    with pytest.raises(CorruptState, match="not an LMDB file"):
        verify_state(path, MAP)


def test_another_format_is_no_damage(path: Path) -> None:
    change(path, b"meta", b"format", b"\x09")
    with pytest.raises(IdentityRefused, match="is of format 9"):
        verify_state(path, MAP)


@pytest.mark.parametrize("made", [False, True])
def test_a_state_whose_process_died_while_it_was_made_holds_nothing(tmp_path: Path, made: bool) -> None:
    if made:
        (tmp_path / "data.mdb").write_bytes(b"")
    assert verify_state(tmp_path, MAP) == NOTHING


def test_the_process_that_verifies_does_not_outlive_who_waits_for_it(path: Path) -> None:
    """Nor begins, if that one is gone already: a node that is killed again and again would leave many of them."""

    def run(parent: int) -> tuple[int, bytes]:
        command, environment = module_process("zraft.store.soundness", str(path), str(MAP), "state", str(parent))
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        return done.returncode, done.stdout

    assert run(os.getppid()) == (1, b"")
    code, told = run(os.getpid())
    assert code == 0
    assert told
