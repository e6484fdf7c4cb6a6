"""A log whose journal or tables were changed, by a bad disk or by hand: it goes on with all of it, or is refused."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.conformance.logs import MAP_SIZE, MEMBER, Content, content, encoded, journaled
from tests.unit.store.journals import put, refusal
from tests.unit.store.stored import flip
from tests.unit.store.test_log import META_ID
from zraft.errors import CorruptLog, IdentityRefused
from zraft.store.journal import AREA_BYTES, BLOCK, JOURNAL_FILE
from zraft.store.log import LmdbLog


def test_a_log_without_its_journal_is_refused(path: Path, log: LmdbLog) -> None:  # traps 28, 29
    put(log, 1)
    log.close()
    (path / JOURNAL_FILE).unlink()
    for _ in range(2):
        assert "has a journal that was lost" in refusal(path)


@pytest.mark.parametrize("later", [False, True])
def test_a_log_whose_tables_were_taken_back_is_refused(path: Path, log: LmdbLog, later: bool) -> None:  # trap 29
    """By a copy from yesterday: the last vote is forgotten, whether or not the journal had a record since."""
    put(log, 1)
    log.set_term(2, MEMBER)
    log.commit()
    yesterday = (path / "data.mdb").read_bytes()
    log.set_term(3, MEMBER)
    log.commit()
    if later:
        put(log, 3)
    log.close()
    (path / "data.mdb").write_bytes(yesterday)
    assert "has a journal that is newer than its tables" in refusal(path)


@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize("bit", range(64))
@pytest.mark.parametrize("commits", [6, 7])
def test_no_bit_of_a_meta_page_takes_the_log_back(path: Path, commits: int, bit: int, page: int) -> None:  # trap 29
    """Of a log without a journal one of them does, in half of all cases (``store.meta_pages``)."""
    log = journaled(path)
    while log.term < commits:
        log.set_term(log.term + 1, MEMBER)
        log.commit()
    put(log, log.term)
    log.close()
    flip(path / "data.mdb", page * BLOCK + META_ID + bit // 8, bit % 8)
    refusal(path)


def test_no_bit_of_the_tables_makes_a_log_forget_its_journal(path: Path, log: LmdbLog) -> None:  # trap 29
    """What no checksum of ours covers is LMDB's: what a value is called, for one."""
    log.set_term(2, MEMBER)
    log.commit()
    written = [*put(log, 2), *put(log, 2)]
    log.close()
    whole = (path / "data.mdb").read_bytes()
    for name in (b"hard", b"format", b"member"):
        for at in [found.start() for found in re.finditer(name, whole)]:
            for place in range(at, at + len(name)):
                for bit in range(8):
                    (path / "data.mdb").write_bytes(whole)
                    flip(path / "data.mdb", place, bit)
                    assert sound_or_refused(path, written)


def sound_or_refused(path: Path, entries: list[bytes]) -> bool:
    try:
        log = LmdbLog(path, MEMBER, MAP_SIZE)
    except (CorruptLog, IdentityRefused):
        return True
    found = content(log)
    log.close()
    return found == Content(2, MEMBER, entries=tuple(entries))


def test_a_log_whose_tables_are_gone_is_not_made_anew(path: Path, log: LmdbLog) -> None:  # trap 28
    put(log, 1)
    log.close()
    (path / "data.mdb").unlink()
    for _ in range(2):
        assert "was lost" in refusal(path)


def test_a_log_with_another_ones_journal_is_refused(path: Path, log: LmdbLog, tmp_path: Path) -> None:
    put(log, 1)
    log.close()
    other = journaled(tmp_path / "other")
    put(other, 1, 1)
    other.close()
    shutil.copy(tmp_path / "other" / JOURNAL_FILE, path / JOURNAL_FILE)
    assert "has a journal that is damaged, or belongs to another log" in refusal(path)


def test_a_log_whose_journal_has_a_gap_is_refused(path: Path, log: LmdbLog) -> None:  # trap 29
    for _ in range(3):
        put(log, 1)
    log.close()
    for copy in range(2):
        flip(path / JOURNAL_FILE, copy * AREA_BYTES + 3 * BLOCK + 50)
    assert "has lost both copies of record 1, and has record 2" in refusal(path)


@pytest.mark.parametrize("copy", [0, 1])
def test_one_bad_sector_loses_nothing(path: Path, log: LmdbLog, copy: int) -> None:  # trap 29
    written = [*put(log, 1), *put(log, 1)]
    log.close()
    flip(path / JOURNAL_FILE, copy * AREA_BYTES + 3 * BLOCK + 50)
    log = LmdbLog(path, MEMBER, MAP_SIZE)
    assert content(log) == Content(entries=tuple(written))
    log.close()


def test_a_journal_that_does_not_go_on_where_lmdb_ends_is_refused(path: Path, log: LmdbLog) -> None:
    put(log, 1)
    assert log._journal is not None
    log._journal.write(7, encoded(7, 1))
    log.close()
    assert "has a journal that goes on at entry 7, and the tables end with 1" in refusal(path)


def test_an_entry_of_the_journal_is_checked_as_any_other(path: Path, log: LmdbLog) -> None:
    assert log._journal is not None
    log._journal.write(1, [encoded(1, 1)[0][:-1] + b"\1"])
    log.close()
    assert "entry 1 of the log in" in refusal(path)
