"""A log that has a journal, for whoever does not make one of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.logs import journaled
from zraft.store.log import LmdbLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where it lies; without `log`, where it is to lie."""
    return tmp_path / "log"


@pytest.fixture
def log(path: Path) -> Iterator[LmdbLog]:
    log = journaled(path)
    yield log
    log.close()
