"""Logs on LMDB that have a journal, written and opened again."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conformance.logs import MAP_SIZE, MEMBER, encoded
from zraft.errors import CorruptLog
from zraft.store.log import LmdbLog

SMALL = bytes(100)


def on_a_file_system(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Whose blocks have so many bytes, wherever the files of a test lie."""
    monkeypatch.setattr(os, "fstatvfs", lambda file: SimpleNamespace(f_frsize=block))


def put(log: LmdbLog, *terms: int, payload: bytes = SMALL) -> list[bytes]:
    entries = encoded(log.last.index + 1, *terms, payload=payload)
    log.append(log.last.index + 1, entries)
    log.commit()
    return entries


def commits(log: LmdbLog) -> int:
    """How often LMDB has committed."""
    return int(log._env.info()["last_txnid"])


def reopened(log: LmdbLog, path: Path) -> LmdbLog:
    log.close()
    return LmdbLog(path, MEMBER, MAP_SIZE)


def refusal(path: Path) -> str:
    with pytest.raises(CorruptLog) as caught:
        LmdbLog(path, MEMBER, MAP_SIZE)
    assert "zraft repair" in str(caught.value)
    return str(caught.value)
