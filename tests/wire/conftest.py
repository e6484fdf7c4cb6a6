"""One node for all tests of a module."""

from collections.abc import Iterator

import pytest

from tests.wire.served import Served, Stranger, serve


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("served")) as served:
        yield served


@pytest.fixture
def stranger(served: Served) -> Iterator[Stranger]:
    with Stranger(served) as stranger:
        yield stranger
