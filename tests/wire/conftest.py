"""One node for all tests of a module, and endpoints at which nothing is to be had."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wire.scripted import ScriptedNode
from tests.wire.served import Served, Stranger, serve
from zraft.client import core


@pytest.fixture(scope="module")
def served(module_path: Path) -> Iterator[Served]:
    with serve(module_path) as served:
        yield served


@pytest.fixture
def silent() -> Iterator[ScriptedNode]:
    """A node that takes requests and never answers."""
    with ScriptedNode(lambda _: None) as node:
        yield node


@pytest.fixture
def nobody() -> Iterator[str]:
    """An endpoint that refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> float:
    """The time-out of a call that waits a minute for a connection: what takes less than half of one did not wait."""
    monkeypatch.setattr(core, "CONNECT_S_MAX", 60.0)
    return 200.0


@pytest.fixture
def stranger(served: Served) -> Iterator[Stranger]:
    with Stranger(served) as stranger:
        yield stranger
