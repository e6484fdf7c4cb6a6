import pytest

from tests.unit.client.calls import A, B, C
from zraft.client.core import Core


@pytest.fixture
def core() -> Core:
    """Of a client that was given three endpoints, and learns no others."""
    return Core((A, B, C), draw=lambda: 1.0, learns=False)
