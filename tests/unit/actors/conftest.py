"""A gateway for a test."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.actors.gateway_stage import Node
from tests.unit.actors.kept import KeptSockets


@pytest.fixture
def node() -> Iterator[Node]:
    sockets = KeptSockets()
    # Not pytest's directory for the test: the paths of sockets are short.
    with tempfile.TemporaryDirectory(prefix="zraft-") as home:
        node = Node(Path(home), sockets)
        yield node
        node.close()
        sockets.close()
