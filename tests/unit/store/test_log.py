"""What only the log on LMDB has to show: what it finds wrong at its start, and what it does when LMDB refuses."""

from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import lmdb
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from zraft.core.versions import SUPPORTED
from zraft.errors import CorruptLog, IdentityRefused, InvariantViolated, OutOfSpace, StorageFault, SyncFailed
from zraft.protocol.codec import encode
from zraft.protocol.entries import NO_ORIGIN, ClusterRecord, Configuration, EntryId, EntryKind, Member, encode_entry
from zraft.store import environment
from zraft.store.log import LmdbLog

MEMBER = 0xFEDCBA9876543210
MAP_SIZE = 1 << 40
PAGE = 4096
META_ID = 16 + 8 + 16 + 2 * 48 + 8
"""Where a meta page has the id of its commit: behind a header, what file it is, its map, two tables, the last page."""
RECORD = ClusterRecord((Member(MEMBER, "node-1"),), 150)
ENTRIES = [encode_entry(index, 1, EntryKind.COMMANDS, NO_ORIGIN, bytes([index]) * 50) for index in range(1, 6)]

Change: TypeAlias = "Callable[[lmdb.Transaction[bytes], lmdb._Database, lmdb._Database], object]"


def at(index: int) -> bytes:
    return index.to_bytes(8, "big")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def written(path: Path) -> Path:
    """A log of five entries, in term 2."""
    log = LmdbLog(path, MEMBER, MAP_SIZE)
    log.append(1, ENTRIES)
    log.set_term(2, MEMBER)
    log.set_record(RECORD, formed=True)
    log.set_generation(3)
    log.commit()
    log.close()
    return path


def change(path: Path, what: Change) -> None:
    """Change a closed log behind its back: `what` gets a transaction, the table `meta` and the table `entries`."""
    with lmdb.open(str(path), max_dbs=8, map_size=MAP_SIZE) as env:
        meta, entries = env.open_db(b"meta"), env.open_db(b"entries")
        with env.begin(write=True) as txn:
            what(txn, meta, entries)


def flipped(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data, "big") ^ 1 << bit).to_bytes(len(data), "big")


def refusal(path: Path) -> str:
    """What the log says when it is opened and found to be corrupt."""
    with pytest.raises(CorruptLog) as caught:
        LmdbLog(path, MEMBER, MAP_SIZE)
    assert "zraft repair" in str(caught.value)
    return str(caught.value)


def test_a_new_log_takes_the_id_that_it_is_given_and_keeps_it(path: Path) -> None:
    log = LmdbLog(path, MEMBER, MAP_SIZE)
    assert (log.member, log.created) == (MEMBER, True)
    log.close()
    log = LmdbLog(path, 99, MAP_SIZE)
    assert (log.member, log.created) == (MEMBER, False)
    log.close()


def test_the_members_that_entries_brought_are_kept(written: Path) -> None:  # trap 33
    learned = (
        Configuration(2, RECORD.members),
        Configuration(5, (*RECORD.members, Member(7, "node-2", False, "two:1"))),
    )
    log = LmdbLog(written, MEMBER, MAP_SIZE)
    assert log.configurations == ()
    log.keep_configurations(learned)
    log.commit()
    log.close()
    log = LmdbLog(written, MEMBER, MAP_SIZE)
    assert log.configurations == learned
    log.close()


def test_the_generation_of_the_state_is_kept(written: Path) -> None:
    log = LmdbLog(written, MEMBER, MAP_SIZE)
    assert log.generation == 3
    log.set_generation(4)
    assert log.generation == 4
    log.close()  # without a commit
    log = LmdbLog(written, MEMBER, MAP_SIZE)
    assert log.generation == 3
    log.close()


@pytest.mark.parametrize("content", [None, b""])
def test_a_lost_log_is_refused_again_and_again(path: Path, content: bytes | None) -> None:  # trap 28
    if content is not None:
        path.mkdir()
        (path / "data.mdb").write_bytes(content)
    for _ in range(3):
        with pytest.raises(CorruptLog, match="was lost"):
            LmdbLog(path, MEMBER, MAP_SIZE, create=False)


@pytest.mark.parametrize("member", [-1, 0, 1 << 64])
def test_a_member_id_has_64_bits_and_is_not_zero(path: Path, member: int) -> None:
    with pytest.raises(InvariantViolated, match="0 < member"):
        LmdbLog(path, member, MAP_SIZE)
    assert not path.exists()


def test_the_directory_is_for_its_owner_only(written: Path) -> None:
    assert [oct(file.stat().st_mode & 0o777) for file in (written, written / "data.mdb")] == ["0o700", "0o600"]


def test_a_log_of_a_newer_format_is_refused(written: Path) -> None:
    change(written, lambda txn, meta, entries: txn.put(b"format", (9).to_bytes(4, "big"), db=meta))
    with pytest.raises(
        IdentityRefused, match=f"is of format 9, that of cluster version 8, .* knows only up to {SUPPORTED}[.]"
    ):
        LmdbLog(written, MEMBER, MAP_SIZE)


@pytest.mark.parametrize("restarted", [False, True])
def test_an_entry_that_needs_a_newer_format_raises_the_logs(path: Path, restarted: bool) -> None:
    """So that 0.1.0, which would pass over the entry, refuses the log; and it stays so when the entry is truncated."""
    log = LmdbLog(path, MEMBER, MAP_SIZE)
    if restarted:
        log.close()
        log = LmdbLog(path, MEMBER, MAP_SIZE)
    log.append(1, [encode_entry(1, 1, EntryKind.EMPTY)])
    log.commit()
    assert format_of(path, log) == 2
    log.append(2, [encode_entry(2, 1, EntryKind.CLUSTER_VERSION, payload=encode(2))])
    log.commit()
    assert format_of(path, log) == 3
    log.truncate(2)
    log.append(2, [encode_entry(2, 1, EntryKind.EMPTY)])
    log.commit()
    assert format_of(path, log) == 3
    log.close()
    LmdbLog(path, MEMBER, MAP_SIZE).close()


def format_of(path: Path, log: LmdbLog) -> int:
    with log._env.begin() as txn:
        return int.from_bytes(txn.get(b"format", b"", log._meta), "big")


def test_a_log_without_a_format_is_not_made_anew(written: Path) -> None:  # trap 28
    change(written, lambda txn, *tables: [txn.drop(table, delete=False) for table in tables])
    assert "holds no format version" in refusal(written)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bit=st.integers(0, 8 * len(ENTRIES[2]) - 1))
def test_a_flipped_bit_is_found_at_the_start(written: Path, bit: int) -> None:  # trap 29
    change(written, lambda txn, meta, entries: txn.put(at(3), flipped(ENTRIES[2], bit), db=entries))
    assert f"entry 3 of the log in {written} does not match its checksum" in refusal(written)


def test_an_entry_in_the_place_of_another_is_found_at_the_start(written: Path) -> None:
    change(written, lambda txn, meta, entries: txn.put(at(3), ENTRIES[3], db=entries))
    assert f"entry 3 of the log in {written} does not match its checksum" in refusal(written)


@pytest.mark.parametrize("missing", [1, 3, 5])
def test_a_missing_entry_is_found_at_the_start(written: Path, missing: int) -> None:  # traps 24, 29
    change(written, lambda txn, meta, entries: txn.delete(at(missing), db=entries))
    assert f"entry {missing} of the log in {written} is missing" in refusal(written)


@pytest.mark.parametrize("index", [0, 6])
def test_an_entry_that_nobody_knows_of_is_found_at_the_start(written: Path, index: int) -> None:
    change(written, lambda txn, meta, entries: txn.put(at(index), ENTRIES[0], db=entries))
    assert "holds 6 entries where 5 are known" in refusal(written)


def test_a_last_entry_of_another_term_is_found_at_the_start(written: Path) -> None:
    other = encode_entry(5, 2, EntryKind.EMPTY)
    change(written, lambda txn, meta, entries: txn.put(at(5), other, db=entries))
    assert "is of term 2, and known to be of term 1" in refusal(written)


@pytest.mark.parametrize("name", [b"member", b"hard", b"record", b"generation"])
def test_damage_to_what_is_known_is_found_at_the_start(written: Path, name: bytes) -> None:  # trap 1
    def flip(txn: lmdb.Transaction[bytes], meta: lmdb._Database, entries: lmdb._Database) -> None:
        txn.put(name, flipped(txn.get(name, b"", meta), 13), db=meta)

    change(written, flip)
    assert f"has a damaged {name.decode()}" in refusal(written)


@pytest.mark.parametrize("name", [b"member", b"hard"])
def test_the_loss_of_what_is_known_is_found_at_the_start(written: Path, name: bytes) -> None:
    change(written, lambda txn, meta, entries: txn.delete(name, db=meta))
    assert f"has a damaged {name.decode()}" in refusal(written)


def test_a_refused_log_is_left_as_it_was(written: Path) -> None:
    change(written, lambda txn, meta, entries: txn.delete(at(2), db=entries))
    before = (written / "data.mdb").read_bytes()
    refusal(written)
    refusal(written)
    assert (written / "data.mdb").read_bytes() == before


def test_a_file_cut_short_is_found_at_the_start(written: Path) -> None:
    """Reading behind the end of a mapped file would kill the process without a word."""
    os.truncate(written / "data.mdb", 3 * 4096)
    refusal(written)


def test_a_file_that_is_none_of_lmdb_is_refused(written: Path) -> None:
    (written / "data.mdb").write_bytes(b"\xa5" * 65536)
    assert "damaged first meta page" in refusal(written)


def test_a_format_that_is_no_number_is_damage(written: Path) -> None:
    change(written, lambda txn, meta, entries: txn.put(b"format", b"\x02", db=meta))
    assert "holds no format version" in refusal(written)


@pytest.mark.parametrize("number", [0, 1])
def test_a_lost_meta_page_is_found_at_the_start(written: Path, number: int) -> None:  # trap 29
    file = written / "data.mdb"
    data = bytearray(file.read_bytes())
    data[number * PAGE : (number + 1) * PAGE] = bytes(PAGE)
    file.write_bytes(data)
    assert "meta page" in refusal(written)


# Of the older page's id, 5, the bit of 2 is the one that nothing finds: see store.meta_pages.
@pytest.mark.parametrize(("number", "bit"), sorted({(page, bit) for page in (0, 1) for bit in range(64)} - {(1, 1)}))
def test_a_log_that_a_flipped_bit_takes_back_by_a_commit_is_refused(path: Path, number: int, bit: int) -> None:
    """LMDB would open it as it was before the last commit, and the last vote would be forgotten (trap 29)."""
    log = LmdbLog(path, MEMBER, MAP_SIZE)
    for term in range(1, 7):
        log.set_term(term, MEMBER)
        log.commit()
    log.close()
    file = path / "data.mdb"
    data = bytearray(file.read_bytes())
    data[number * PAGE + META_ID + bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)
    assert "do not follow each other" in refusal(path)


def test_a_log_that_was_made_and_never_written_is_a_new_one(path: Path) -> None:
    lmdb.open(str(path), max_dbs=8, map_size=MAP_SIZE).close()
    log = LmdbLog(path, MEMBER, MAP_SIZE)
    assert log.created
    log.close()


def test_damage_that_comes_later_is_found_when_the_entry_is_read(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LmdbLog(written, MEMBER, MAP_SIZE)
    monkeypatch.setattr("zraft.store.log_contents.entry_is_sound", lambda index, data: index != 3)
    assert log.entries(1, len(ENTRIES[0]) * 2 - 1) == ENTRIES[:1]
    with pytest.raises(CorruptLog, match="entry 3 of the log in"):
        log.entries(1, 1 << 20)
    log.close()


def test_a_build_of_lmdb_for_shorter_keys_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "KEY_BYTES_MIN", 512)
    with pytest.raises(StorageFault, match="keys of 511 bytes, and zraft needs 512"):
        LmdbLog(path, MEMBER, MAP_SIZE)


def test_a_directory_that_can_not_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFault, match="can't be made"):
        LmdbLog(tmp_path / "file" / "log", MEMBER, MAP_SIZE)


def test_an_append_beyond_the_map_is_refused(path: Path) -> None:
    log = LmdbLog(path, MEMBER, 1 << 20)
    log.append(1, ENTRIES)
    log.commit()
    with pytest.raises(OutOfSpace, match="no space left"):
        log.append(6, [encode_entry(6, 1, EntryKind.COMMANDS, NO_ORIGIN, bytes(2 << 20))])
    with pytest.raises(StorageFault):
        log.commit()
    log.close()
    log = LmdbLog(path, MEMBER, 1 << 20)
    assert log.last == EntryId(5, 1)
    log.close()


def test_an_append_that_lmdb_skips_is_not_taken_for_done(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = LmdbLog(written, MEMBER, MAP_SIZE)
    monkeypatch.setattr(log, "last", EntryId(2, 1))
    with pytest.raises(InvariantViolated, match="all entries appended"):
        log.append(3, ENTRIES[2:4])
    log.close()


def test_each_commit_that_wrote_is_measured(path: Path) -> None:
    seconds: list[float] = []
    log = LmdbLog(path, MEMBER, MAP_SIZE, seconds.append)
    seconds.clear()
    log.commit()
    assert seconds == []
    log.set_term(1, 0)
    log.commit()
    assert len(seconds) == 1
    assert 0 < seconds[0] < 60
    log.close()


def test_the_log_tells_its_size(path: Path) -> None:
    log = LmdbLog(path, MEMBER, MAP_SIZE)
    assert log.size_bytes == 0
    log.append(1, [encode_entry(1, 1, EntryKind.COMMANDS, NO_ORIGIN, bytes(1 << 20))])
    assert 1 << 20 < log.size_bytes < 2 << 20
    log.commit()
    log.truncate(1)
    log.commit()
    assert log.size_bytes == 0
    log.close()


def test_nothing_goes_on_after_a_failed_sync(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # S13, trap 30a
    log = LmdbLog(written, MEMBER, MAP_SIZE)
    monkeypatch.setattr(log, "_txn", FailingTransaction())
    log.set_term(3, MEMBER)
    with pytest.raises(SyncFailed, match="--acknowledge-fsync-failure") as caught:
        log.commit()
    with pytest.raises(SyncFailed):
        log.commit()
    assert pickle.loads(pickle.dumps(caught.value)).exit_code == 76
    with pytest.raises(SyncFailed):
        log.set_term(3, 0)
    with pytest.raises(SyncFailed):
        log.append(6, [encode_entry(6, 2, EntryKind.EMPTY)])
    with pytest.raises(SyncFailed):
        log.truncate(5)
    log.close()


def test_a_disk_that_tells_nothing_at_all_fails_like_any_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said of a failed sync asks how much room there is, and must not fail itself (S13)."""

    def refuse(path: Path) -> os.statvfs_result:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "statvfs", refuse)
    said = environment.sync_failure(OSError(5, "Input/output error"), path)
    assert "--acknowledge-fsync-failure" in said
    assert "is full" not in said


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_start_without_a_descriptor_is_no_failed_sync(
    written: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Nothing was synced: it is tried again, and no operator need look at the disk."""
    original = os.open

    def refuse(name: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECTORY:
            raise OSError(code, os.strerror(code))
        return original(name, flags, mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(StorageFault, match="can't be opened") as caught:
            LmdbLog(written, MEMBER, MAP_SIZE)
    assert not isinstance(caught.value, SyncFailed)
    LmdbLog(written, MEMBER, MAP_SIZE).close()


class FailingTransaction:
    """As LMDB's, on a disk that refuses; the real refusal is in tests/chaos."""

    def put(self, key: bytes, value: bytes, db: lmdb._Database) -> bool:
        return True

    def commit(self) -> None:
        raise OSError(5, "Input/output error")
