"""A gateway for a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.actors.gateway_stage import Node
from tests.unit.actors.kept import KeptSockets


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    sockets = KeptSockets()
    node = Node(tmp_path, sockets)
    yield node
    node.close()
    sockets.close()
