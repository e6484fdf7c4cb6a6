"""An actor for a test: one of the trio, a gateway, or that one's side towards the clients."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.actors.clients_stage import Gateway
from tests.unit.actors.gateway_stage import Node
from tests.unit.actors.kept import KeptSockets
from tests.unit.actors.trio_stage import Stage
from zraft.actors import clients


@pytest.fixture
def short_home() -> Iterator[Path]:
    """Not pytest's directory for the test: the paths of sockets are short."""
    with tempfile.TemporaryDirectory(prefix="zraft-") as home:
        yield Path(home)


@pytest.fixture
def kept() -> Iterator[KeptSockets]:
    """The test's own sockets, closed behind what it tests."""
    sockets = KeptSockets()
    yield sockets
    sockets.close()


@pytest.fixture
def node(short_home: Path, kept: KeptSockets) -> Iterator[Node]:
    node = Node(short_home, kept)
    yield node
    node.close()


@pytest.fixture
def stage(short_home: Path, kept: KeptSockets) -> Iterator[Stage]:
    """Of the trio's actors."""
    stage = Stage(short_home, kept)
    yield stage
    stage.close()


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    monkeypatch.setattr(clients, "tcp", lambda host, _: f"tcp://{host}:*")
    gateway = Gateway()
    yield gateway
    gateway.close()
