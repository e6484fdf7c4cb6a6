"""Scripted nodes for command lines, and a directory without a cluster."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.asking import Serve
from tests.unit.conftest import small_states as small_states
from tests.wire.scripted import Script, ScriptedNode
from zraft.protocol.responses import Response


@pytest.fixture
def serve() -> Iterator[Serve]:
    nodes: list[ScriptedNode] = []

    def start(response: Response | Script) -> ScriptedNode:
        nodes.append(ScriptedNode(response if callable(response) else lambda _: response))
        return nodes[-1]

    yield start
    for node in nodes:
        node.kill()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cluster of this directory, and none that the environment names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZRAFT_ENDPOINTS", raising=False)
