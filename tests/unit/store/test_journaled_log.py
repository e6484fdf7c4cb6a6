"""The log with a journal before LMDB: what goes where, what a start finds, and what stops it."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings, strategies as st

from tests.conformance.logs import MAP_SIZE, MEMBER, Content, content, encoded, journaled
from tests.unit.store.journals import commits, put, reopened
from zraft.errors import OutOfSpace, StorageFault, SyncFailed
from zraft.protocol.entries import EntryId
from zraft.store.journal import AREA_BYTES, BLOCK, JOURNAL_FILE, RECORD_BYTES_MAX, Journal
from zraft.store.log import LmdbLog


def test_a_log_of_before_has_no_journal(path: Path) -> None:
    """0.1.0 would open the log, and know nothing of what stands beside it."""
    log = LmdbLog(path, MEMBER, MAP_SIZE)
    before = commits(log)
    put(log, 1)
    put(log, 1)
    assert commits(log) == before + 2
    assert not (path / JOURNAL_FILE).exists()
    log.close()


def test_entries_alone_are_made_durable_by_the_journal(path: Path, log: LmdbLog) -> None:
    before = commits(log), (path / "data.mdb").read_bytes()
    written = [*put(log, 1), *put(log, 1, 1), *put(log, 2)]
    assert (commits(log), (path / "data.mdb").read_bytes()) == before
    log = reopened(log, path)
    assert content(log) == Content(entries=tuple(written))
    log.close()


def test_what_a_start_found_in_the_journal_is_committed_by_lmdb_first(path: Path, log: LmdbLog) -> None:
    written = [*put(log, 1), *put(log, 1)]
    log = reopened(log, path)
    before = commits(log)
    log.commit()
    assert commits(log) == before + 1
    log.commit()
    written += put(log, 1)
    assert commits(log) == before + 1
    log = reopened(log, path)
    assert content(log) == Content(entries=tuple(written))
    log.close()


@pytest.mark.parametrize("journaled_before", [False, True])
def test_each_start_commits_by_lmdb_once_whatever_there_is_to_write(path: Path, journaled_before: bool) -> None:  # S13
    """A predecessor that was killed in a commit that failed left a page cache that passes for the disk."""
    log = LmdbLog(path, MEMBER, MAP_SIZE)
    if journaled_before:
        log.take_format(3)
    log.commit()
    log = reopened(log, path)
    before = commits(log)
    log.commit()
    assert commits(log) == before + 1
    log.commit()
    assert commits(log) == before + 1
    log.close()


@pytest.mark.parametrize("start", range(3))
def test_to_open_a_log_changes_nothing(path: Path, log: LmdbLog, start: int) -> None:
    """Whoever only looks, as `zraft check` does, leaves all of it to the next start."""
    for _ in range(start):
        put(log, 1)
    log.close()
    before = {file.name: file.read_bytes() for file in path.iterdir() if file.name != "lock.mdb"}
    for _ in range(2):
        log = LmdbLog(path, MEMBER, MAP_SIZE)
        assert log.last == EntryId(start, 1 if start else 0)
        log.close()
    assert {file.name: file.read_bytes() for file in path.iterdir() if file.name != "lock.mdb"} == before


def test_a_term_and_a_vote_go_to_lmdb_and_take_all_with_them(path: Path, log: LmdbLog) -> None:
    before = commits(log)
    written = put(log, 1)
    log.set_term(2, MEMBER)
    log.commit()
    assert commits(log) == before + 1
    log = reopened(log, path)
    assert content(log) == Content(2, MEMBER, entries=tuple(written))
    log.close()


def test_a_full_journal_gives_way_to_lmdb(path: Path, log: LmdbLog) -> None:
    before = commits(log)
    written: list[bytes] = []
    for _ in range(2 * AREA_BYTES // BLOCK + 10):
        written += put(log, 1)
    assert commits(log) == before + 2
    log = reopened(log, path)
    assert content(log) == Content(entries=tuple(written))
    log.close()


def test_a_large_append_goes_to_lmdb(path: Path, log: LmdbLog) -> None:
    before = commits(log)
    written = [*put(log, 1), *put(log, 1, payload=bytes(RECORD_BYTES_MAX))]
    assert commits(log) == before + 1
    written += put(log, 1)
    assert commits(log) == before + 1
    log = reopened(log, path)
    assert content(log) == Content(entries=tuple(written))
    log.close()


def test_what_the_journal_held_before_comes_back_with_no_later_start(path: Path, log: LmdbLog) -> None:
    """Records of entries that were truncated since, and of a term that is over."""
    put(log, 1, 1)
    put(log, 1, 1)
    log.truncate(2)
    log.commit()
    written = [*log.entries(1, 1 << 20), *put(log, 3)]
    log = reopened(log, path)
    assert content(log) == Content(entries=tuple(written))
    log.close()


def test_each_commit_to_the_journal_is_measured(path: Path) -> None:
    journaled(path).close()
    seconds: list[float] = []
    log = LmdbLog(path, MEMBER, MAP_SIZE, seconds.append)
    put(log, 1)
    assert len(seconds) == 1
    log.commit()
    assert len(seconds) == 1
    log.close()


def test_a_log_that_begins_with_a_newer_state_has_a_journal(path: Path) -> None:
    """It came with a snapshot, or was restored: no entry of the log has raised the cluster version."""
    log = LmdbLog(path, MEMBER, MAP_SIZE)
    log.install(EntryId(100, 1), 1)
    log.take_format(3)
    log.commit()
    before = commits(log)
    written = put(log, 1)
    assert commits(log) == before
    log = reopened(log, path)
    assert content(log) == Content(entries=tuple(written), base=EntryId(100, 1), generation=1)
    log.take_format(2)
    log.commit()
    put(log, 1)
    assert commits(log) == before + 1  # the first of this start
    log.close()


def test_without_room_for_a_journal_lmdb_does_it_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "make", lambda path, identity: None)
        log = journaled(path)
        before = commits(log)
        written = [*put(log, 1), *put(log, 1)]
        assert commits(log) == before + 2
    log = reopened(log, path)
    written += put(log, 1)  # with room again it is made
    assert (path / JOURNAL_FILE).exists()
    before = commits(log)
    written += put(log, 1)
    assert commits(log) == before
    log = reopened(log, path)
    assert content(log) == Content(entries=tuple(written))
    log.close()


def test_a_disk_that_refuses_to_make_a_journal_stops_the_node(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, identity: int) -> Journal:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Journal, "make", refuse)
    with pytest.raises(SyncFailed, match="Input/output error"):
        journaled(path)


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_nothing_goes_on_after_a_failed_write_to_the_journal(
    path: Path, log: LmdbLog, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:  # S13, trap 30a
    written = put(log, 1)

    def refuse(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, refuse)
        with pytest.raises(SyncFailed, match="--acknowledge-fsync-failure"):
            put(log, 1)
    for write in (lambda: put(log, 1), log.commit, lambda: log.set_term(2, 0), lambda: log.truncate(1)):
        with pytest.raises(SyncFailed):
            write()
    log.close()
    log = LmdbLog(path, MEMBER, MAP_SIZE)
    assert list(content(log).entries)[:1] == written
    log.close()


def test_a_start_syncs_the_journal_before_it_reads_it(
    path: Path, log: LmdbLog, monkeypatch: pytest.MonkeyPatch
) -> None:  # S13
    put(log, 1)
    log.close()

    def refuse(file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", refuse)
    with pytest.raises(SyncFailed, match="Input/output error"):
        LmdbLog(path, MEMBER, MAP_SIZE)


def test_a_write_that_lmdb_refused_is_never_committed(path: Path) -> None:
    journaled(path).close()
    log = LmdbLog(path, MEMBER, 1 << 20)
    written = put(log, 1)
    with pytest.raises(OutOfSpace, match="no space left"):
        log.append(2, encoded(2, 1, payload=bytes(2 << 20)))
    with pytest.raises(StorageFault):
        log.commit()
    log = reopened(log, path)
    assert content(log) == Content(entries=tuple(written))
    log.close()


class Killed(BaseException):
    """The process ends here."""


class Dying:
    """``os.pwrite`` of a process that ends within one of its calls, when a part of that one is done."""

    def __init__(self, calls: int, part: float) -> None:
        self._calls, self._part = calls, part
        self._pwrite = os.pwrite

    def pwrite(self, file: int, frame: bytes, offset: int) -> int:
        self._calls -= 1
        if self._calls < 0:
            self._pwrite(file, frame[: int(self._part * len(frame))], offset)
            raise Killed
        return self._pwrite(file, frame, offset)


class Life(NamedTuple):
    """What a process commits: so many entries each time, and whether in a new term; and when it ends."""

    commits: list[tuple[int, bool]]
    calls: int
    part: float


LIVES = st.lists(
    st.builds(
        Life,
        st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=6),
        st.integers(0, 15),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(lives=LIVES)
def test_nothing_that_was_committed_is_lost_wherever_a_life_ends(
    tmp_path_factory: pytest.TempPathFactory, lives: list[Life]
) -> None:
    """Real kills and power cuts are in tests/chaos; here any part of any write is as likely as any other."""
    path = tmp_path_factory.mktemp("lives") / "log"
    journaled(path).close()
    durable: list[bytes] = []
    under_way = 0  # entries of the commit in which the life before ended
    for number, life in enumerate(lives, 1):
        log = LmdbLog(path, MEMBER, MAP_SIZE)
        found = list(content(log).entries)
        assert found[: len(durable)] == durable
        assert len(found) - len(durable) in {0, under_way}
        durable, under_way = found, 0
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(os, "pwrite", Dying(life.calls, life.part).pwrite)
            with contextlib.suppress(Killed):
                for under_way, newer in life.commits:
                    if newer:
                        log.set_term(log.term + 1, MEMBER)
                    durable += put(log, *[number] * under_way)
                under_way = 0
        log.close()
