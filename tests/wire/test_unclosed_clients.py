"""Clients that nobody closed, and nobody can reach any more: Python ends them, their parts in whatever order."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wire.scripted import ScriptedNode
from zraft.protocol.requests import Request
from zraft.protocol.responses import GetResult, Response

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


EXIT = """
import os, sys, threading
from zraft import Client

class Service:
    def __init__(self):
        self.client = Client(sys.argv[1], timeout=60, learn_members=False)

    def __del__(self, write=os.write):  # there is no sys.stdout any more
        self.client.close()
        write(1, b"closed")

service = Service()
client = service.client
if sys.argv[2] == "call":
    threading.Thread(target=client.get, args=("k",), daemon=True).start()
else:
    thread = threading.Thread(target=client._link.lock.acquire)
    thread.start()
    thread.join()  # gone in the midst of a step
sys.stdin.read()
sys.exit(3)
"""


@pytest.mark.parametrize("what", ["call", "step"])
def test_a_program_exits_that_closes_a_client_last_of_all_in_the_midst_of_a(what: str) -> None:
    """Daemon threads go on no more by then, so that nothing waits for what they have: a connection, or the lock."""
    asked, answered = threading.Event(), threading.Event()

    def answer(_: Request) -> Response:
        asked.set()
        answered.wait()
        return GetResult(True, b"v", None, 3)

    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with ScriptedNode(answer) as node:
        command = [sys.executable, "-W", "ignore", "-c", EXIT, node.endpoint, what]
        with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            try:
                assert what != "call" or asked.wait(30)
                assert process.stdin is not None
                process.stdin.close()
                assert process.wait(30) == 3
                assert process.stdout is not None
                assert process.stdout.read() == b"closed"
            finally:
                process.kill()
                answered.set()
