"""One node for all tests of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wire.served import Served, Stranger, serve


@pytest.fixture(scope="module")
def served(module_path: Path) -> Iterator[Served]:
    with serve(module_path) as served:
        yield served


@pytest.fixture
def stranger(served: Served) -> Iterator[Stranger]:
    with Stranger(served) as stranger:
        yield stranger
