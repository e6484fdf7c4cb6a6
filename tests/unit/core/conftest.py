"""What several tests of the core begin with."""

import pytest

from tests.unit.core import electing
from zraft.core.election import Election


@pytest.fixture
def election() -> Election:
    return electing.new()
