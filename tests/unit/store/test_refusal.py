"""A write to the log that went wrong is the last one, whatever went wrong (S13, trap 30a)."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.logs import MAP_SIZE, MEMBER, Content, content, encoded, journaled
from tests.unit.store.journals import commits, put, reopened
from zraft.errors import SyncFailed
from zraft.protocol.entries import EntryId
from zraft.store.journal import JOURNAL_FILE, Journal
from zraft.store.log import LmdbLog
from zraft.store.recent import Recent


def without_memory(*_: object, **__: object) -> None:
    raise MemoryError


def killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def refuses_all(log: LmdbLog) -> None:
    writes: list[Callable[[], object]] = [
        log.commit,
        lambda: put(log, 1),
        lambda: log.set_term(9, 0),
        lambda: log.truncate(1),
        lambda: log.install(EntryId(100, 1), 1),
        lambda: log.keep_configurations(()),
    ]
    for write in writes:
        with pytest.raises(SyncFailed, match=r"broke off|could not be made durable"):
            write()


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
@pytest.mark.parametrize("end", [without_memory, killed])
def test_nothing_follows_a_commit_by_the_journal_that_broke_off(
    path: Path, log: LmdbLog, monkeypatch: pytest.MonkeyPatch, call: str, end: Callable[[], None]
) -> None:
    written = put(log, 1)
    before = commits(log)
    with monkeypatch.context() as patched:
        patched.setattr(os, call, end)
        with pytest.raises((MemoryError, KeyboardInterrupt)):
            put(log, 1)
    refuses_all(log)
    assert commits(log) == before
    log = reopened(log, path)
    assert list(content(log).entries)[:1] == written
    log.close()


@pytest.mark.parametrize("call", ["make", "begin"])
def test_nothing_follows_a_commit_by_lmdb_that_broke_off(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    log = journaled(path) if call == "begin" else LmdbLog(path, MEMBER, MAP_SIZE)
    log.take_format(3)
    log.set_term(2, MEMBER)
    with monkeypatch.context() as patched:
        patched.setattr(Journal, call, without_memory)
        with pytest.raises(MemoryError):
            log.commit()
    before = commits(log)
    refuses_all(log)
    assert commits(log) == before
    log = reopened(log, path)
    assert log.term == (2 if call == "begin" else 0)
    log.close()


def test_half_an_append_is_not_committed(path: Path, log: LmdbLog, monkeypatch: pytest.MonkeyPatch) -> None:
    written = put(log, 1)
    with monkeypatch.context() as patched:
        patched.setattr(Recent, "add", without_memory)
        with pytest.raises(MemoryError):
            log.append(2, encoded(2, 1))
    refuses_all(log)
    log = reopened(log, path)
    assert content(log) == Content(entries=tuple(written))
    log.close()


def test_the_disk_is_told_of_where_it_was_the_disk(path: Path, log: LmdbLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator is asked to look at it, and is so by whoever tries once more."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", refuse)
    for _ in range(2):
        with pytest.raises(SyncFailed, match="--acknowledge-fsync-failure"):
            put(log, 1)
    log.close()


def test_without_memory_for_words_nothing_follows_a_failed_sync(
    path: Path, log: LmdbLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", refuse)
        patched.setattr("zraft.store.refusal.sync_failure", without_memory)
        with pytest.raises(MemoryError):
            put(log, 1)
    refuses_all(log)
    log.close()


def test_a_journal_for_which_no_descriptor_is_left_is_made_at_the_next_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then LMDB does it alone: nothing failed to be durable, and no operator need look at the disk."""
    log = LmdbLog(path, MEMBER, MAP_SIZE)
    written = put(log, 1)
    log.take_format(3)

    def refuse(name: Path, flags: int, mode: int = 0o777) -> int:
        if Path(name).name == JOURNAL_FILE:
            raise OSError(errno.EMFILE, "Too many open files")
        return original(name, flags, mode)

    original = os.open
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        written += put(log, 1)
    written += put(log, 1)
    assert not (path / JOURNAL_FILE).exists()
    log = reopened(log, path)
    assert content(log) == Content(entries=tuple(written))
    written += put(log, 1)
    assert (path / JOURNAL_FILE).exists()
    log = reopened(log, path)
    assert content(log) == Content(entries=tuple(written))
    log.close()
