"""A log that has a journal, for whoever does not make one of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.logs import journaled
from tests.unit.store.journals import on_a_file_system
from zraft.store.journal import BLOCK
from zraft.store.log import LmdbLog


@pytest.fixture(autouse=True)
def blocks_of_4_kib(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that damage a journal know where in it what stands."""
    on_a_file_system(monkeypatch, BLOCK)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where it lies; without `log`, where it is to lie."""
    return tmp_path / "log"


@pytest.fixture
def log(path: Path) -> Iterator[LmdbLog]:
    log = journaled(path)
    yield log
    log.close()
