"""Clients that nobody closed, and nobody can reach any more: Python ends them, their parts in whatever order."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wire.scripted import ScriptedNode
from zraft.protocol.client import GetResult

SCRIPT = """
import gc, os, sys, threading
from zraft import Client

class App:
    def __init__(self):
        self.client = Client(sys.argv[1], timeout=20, learn_members=False)
        self.client.get("k")
        self.pipeline = self.client.pipeline()
        self.pipeline.get("k")
        self.pipeline.execute()

def leave(cycle):
    app = App()
    if cycle:
        app.me = app

cycle = sys.argv[2] == "cycle"
leave(cycle)
gc.collect()
before = len(os.listdir("/proc/self/fd"))
for _ in range(5):
    leave(cycle)
    gc.collect()
assert len(os.listdir("/proc/self/fd")) == before
app = App()
if os.fork() == 0:
    del app
    gc.collect()
    os._exit(0)
assert os.wait()[1] == 0
assert app.client.get("k").value == b"v"
print("done")
"""


@pytest.fixture
def node() -> Iterator[ScriptedNode]:
    with ScriptedNode(lambda _: GetResult(True, b"v", None, 3)) as node:
        yield node


@pytest.mark.parametrize("how", ["cycle", "plain"])
def test_an_unclosed_client_ends_without_waiting_for_anything(node: ScriptedNode, how: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, node.endpoint, how]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    assert done.stdout == "done\n"
