"""Signals in the midst of calls: what their handlers may do, at whatever moment Python runs them.

A hang is a failure: of ``pytest-timeout``.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import zraft
from tests.interrupts import Point, points
from tests.waiting import wait_until
from tests.wire.scripted import ScriptedNode
from zraft import Client, ClientClosed, Unknown
from zraft.client.pipeline import Pipeline
from zraft.protocol.responses import GetResult

ZRAFT = str(Path(zraft.__file__).parent)
FOUND = GetResult(found=True, value=b"v", error=None, revision=3)

pytestmark = [
    pytest.mark.timeout(100),
    # A context that is being made has nobody yet; and what is raised within a finalizer goes no further.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def node() -> Iterator[ScriptedNode]:
    with ScriptedNode(lambda _: FOUND) as node:
        yield node


def wait_until_closed(client: Client, point: Point) -> None:
    wait_until(lambda: not open_sockets(client), 5, f"the end, at point {point.number}")


def open_sockets(client: Client) -> int:
    return len(client._link._process._connections.open)


@pytest.mark.parametrize("is_warm", [False, True])
def test_an_interrupt_anywhere_in_a_call_leaves_a_client_that_works_and_closes(
    node: ScriptedNode, is_warm: bool
) -> None:
    for point in points():
        client = Client(node.endpoint)
        if is_warm:
            assert client.get("k") == FOUND
        error = point.interrupt(client.get, "k")
        assert client.get("k") == FOUND, point.number
        assert client._link._process.calls == {}, point.number
        assert open_sockets(client) == 1, point.number  # what the interrupt left was closed
        client.close()  # while there is the error, as at the end of ``with``: its traceback has all that was under way
        assert open_sockets(client) == 0, point.number
        assert not point.came or isinstance(error, KeyboardInterrupt | None), point.number
    assert point.number > 100


def test_a_call_that_is_interrupted_while_it_waits_leaves_a_usable_client(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with Client(node.endpoint) as client:
        client.get("k")
        monkeypatch.setattr("zraft.client.links.receive_frames", interrupt)
        with pytest.raises(KeyboardInterrupt):
            client.get("k")
        monkeypatch.undo()
        assert client.get("k") == FOUND


@pytest.mark.parametrize("is_warm", [False, True])
def test_a_client_closes_at_once_after_an_interrupt(node: ScriptedNode, is_warm: bool) -> None:
    for point in points(ZRAFT):
        client = Client(node.endpoint)
        if is_warm:
            client.get("k")
        error = point.interrupt(client.get, "k")
        client.close()
        assert open_sockets(client) == 0, (point.number, error)
    assert point.number > 50


def test_an_interrupt_while_a_name_is_looked_up_does_not_last(node: ScriptedNode) -> None:
    for point in points(f"{ZRAFT}/client/names.py"):
        with Client(f"localhost:{node.port}") as client:
            point.interrupt(client.get, "k")
            assert client.get("k") == FOUND, point.number
    assert point.number > 10


def test_an_interrupted_end_can_be_repeated(node: ScriptedNode) -> None:
    for point in points():
        client = Client(node.endpoint)
        client.get("k")
        point.interrupt(client.close)
        client.close()
        assert open_sockets(client) == 0, point.number
        with pytest.raises(ClientClosed):
            client.get("k")
    assert point.number > 20


def run(pipeline: Pipeline) -> None:
    assert pipeline.get("k").execute() == [FOUND]


@pytest.mark.parametrize("what", ["run", "run again", "close"])
def test_an_interrupted_pipeline_works_and_closes(node: ScriptedNode, what: str) -> None:
    for point in points(ZRAFT):
        with Client(node.endpoint) as client:
            pipeline = client.pipeline()
            if what != "run":
                run(pipeline)
            if what == "close":
                point.interrupt(pipeline.close)
            else:
                point.interrupt(run, pipeline)
            pipeline.close()
            run(pipeline)
            run(pipeline)
            pipeline.close()
    assert point.number > 10


def test_a_run_that_is_interrupted_twice_leaves_nothing_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    values = iter((b"old", b"new"))
    with (
        ScriptedNode(lambda _: GetResult(True, next(values), None, 3)) as node,
        Client(node.endpoint, learn_members=False) as client,
        client.pipeline() as pipeline,
    ):
        with monkeypatch.context() as patch:
            patch.setattr("zraft.client.dealer_link.DealerLink.close", interrupt)
            patch.setattr("zraft.client.dealer_link.DealerLink._drop", interrupt)
            patch.setattr("zraft.client.dealer_link._Lane.receive", interrupt)
            with pytest.raises(KeyboardInterrupt):
                pipeline.get("k").execute()
        assert [one.value for one in pipeline.get("k").execute() if isinstance(one, GetResult)] == [b"new"]


def test_a_pipeline_whose_end_was_interrupted_twice_closes(node: ScriptedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with Client(node.endpoint) as client:
        pipeline = client.pipeline()
        run(pipeline)
        for _ in range(2):
            with monkeypatch.context() as patch:
                patch.setattr("zraft.client.dealer_link.DealerLink.close", interrupt)
                with pytest.raises(KeyboardInterrupt):
                    pipeline.close()
        pipeline.close()
        run(pipeline)
        pipeline.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("is_warm", [False, True])
def test_a_handler_may_call_anywhere_in_a_call(node: ScriptedNode, host: str, is_warm: bool) -> None:
    def get(client: Client, found: list[GetResult]) -> None:
        found.append(client.get("k"))

    for point in points(ZRAFT):
        found: list[GetResult] = []
        with Client(f"{host}:{node.port}") as client:
            if is_warm:
                client.get("k")
            point.run(partial(get, client, found), get, client, found)
        assert found == [FOUND] * (1 + point.came), point.number
    assert point.number > 50


def test_a_handler_may_call_anywhere_in_a_pipeline(node: ScriptedNode) -> None:
    for point in points(ZRAFT):
        with Client(node.endpoint) as client, client.pipeline() as pipeline:
            point.run(partial(client.get, "n"), run, pipeline)
    assert point.number > 50


@pytest.mark.parametrize("what", ["call", "first call", "pipeline", "end"])
def test_a_handler_may_close_anywhere(node: ScriptedNode, what: str) -> None:
    def act(client: Client) -> None:
        if what == "end":
            client.close()
        elif what == "pipeline":
            run(client.pipeline())
        else:
            client.get("k")

    for point in points(ZRAFT):
        client = Client(node.endpoint)
        if what in ("call", "end"):
            client.get("k")
        with contextlib.suppress(ClientClosed, Unknown):
            point.run(client.close, act, client)
        client.close()
        wait_until_closed(client, point)
    assert point.number > 10


# Run in a process of its own: where there are no descriptors libzmq aborts.
DESCRIPTORS = """
import os, resource, select, sys
if sys.argv[2] == "without epoll":
    del select.epoll  # as gevent does
from zraft import Client, Unavailable

client = Client(sys.argv[1], timeout=0.3)
client.get("k")
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
held = []
try:
    while True:
        held.append(os.dup(0))
except OSError:
    pass
for spare in range(0, 20, 2):
    [outcome] = client.pipeline().get("k").execute()
    assert not isinstance(outcome, Exception) or isinstance(outcome, Unavailable), outcome
    fresh = Client(sys.argv[1], timeout=0.3)
    try:
        fresh.get("k")
    except Unavailable as error:
        assert "Too many open files" in str(error), error
        assert spare < 15
    fresh.close()
    assert client.get("k").found
    os.close(held.pop())
    os.close(held.pop())
assert fresh.endpoints and not isinstance(outcome, Exception), outcome
"""


@pytest.mark.parametrize("system", ["with epoll", "without epoll"])
def test_without_descriptors_for_another_context_a_client_is_unavailable(node: ScriptedNode, system: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DESCRIPTORS, node.endpoint, system],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ,
    )
    assert (done.returncode, done.stderr) == (0, "")
