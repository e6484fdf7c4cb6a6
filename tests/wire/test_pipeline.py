"""Pipelines against scripted nodes: outcomes in order, bounds, forks and ends."""

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.wire.scripted import ScriptedNode
from zraft import Client, ClientClosed, InvalidArgument, PreconditionFailed, Unknown
from zraft.client import operations
from zraft.client.pipeline import BYTES_MAX, REQUESTS_MAX
from zraft.protocol.requests import Batch, Delete, Get, Put, Request
from zraft.protocol.responses import BatchResult, DeleteResult, ErrorInfo, GetResult, PutResult, Response

DONE = PutResult(success=True, error=None, index=7, revision=3, mod_revision=3)
GONE = DeleteResult(success=True, error=None, index=8, revision=4, found=True)
FOUND = GetResult(found=True, value=b"v", error=None, revision=3)
NOT_EXPECTED = ErrorInfo("PreconditionFailed", "it is 4")
FAILED = PutResult(success=False, error=NOT_EXPECTED, index=8, revision=9, mod_revision=4)


def serve(request: Request) -> Response:
    match request:
        case Put(expected_revision=None):
            return DONE
        case Put():
            return FAILED
        case Delete():
            return GONE
        case Batch(operations):
            return BatchResult(tuple(DONE for _ in operations), 7, 3)
    return FOUND


@pytest.fixture
def node() -> Iterator[ScriptedNode]:
    with ScriptedNode(serve) as node:
        yield node


@pytest.fixture
def client(node: ScriptedNode) -> Iterator[Client]:
    with Client(node.endpoint) as client:
        yield client


def test_each_operation_has_its_outcome_in_order(node: ScriptedNode, client: Client) -> None:
    with client.pipeline() as pipeline:
        pipeline.put("a", "1", return_previous=True).get("a", consistency="serializable", revision=2)
        pipeline.put("b", "2", expected_revision=9).delete("c", expected_revision=3)
        pipeline.batch([operations.Put("d", "4"), operations.Put("e", "5")])
        pipeline.batch([operations.Get("f")], consistency="serializable")
        assert len(pipeline) == 6
        found = pipeline.execute()
        assert len(pipeline) == 0
        assert pipeline.put("f", "6").execute() == [DONE]  # it may be filled again
        assert pipeline.execute() == []
    failed = found.pop(2)
    assert isinstance(failed, PreconditionFailed)
    assert (str(failed), failed.revision) == ("it is 4", 4)
    assert found == [DONE, FOUND, GONE, BatchResult((DONE, DONE), 7, 3), BatchResult((DONE,), 7, 3)]
    expected: list[Request] = [
        Put(b"a", b"1", None, True),
        Put(b"b", b"2", 9),
        Delete(b"c", 3),
        Batch((Put(b"d", b"4"), Put(b"e", b"5"))),
        Batch((Get(b"f", serializable=True),)),
        Put(b"f", b"6"),
        Get(b"a", True, 2),
    ]
    assert sorted(map(repr, node.requests)) == sorted(map(repr, expected))


def test_a_wrong_operation_is_an_outcome_like_any_other(client: Client) -> None:
    with client.pipeline() as pipeline:
        found = pipeline.put("k" * 401, "v").put("k", "v").execute()
        assert isinstance(found[0], InvalidArgument)
        assert found[1:] == [DONE]
        [alone] = pipeline.put("", "v").execute()
        assert isinstance(alone, InvalidArgument)
        with pytest.raises(InvalidArgument):
            pipeline.put(7, "v")  # type: ignore[arg-type]


def test_what_is_in_flight_is_bounded(node: ScriptedNode, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with client.pipeline() as pipeline:
        for number in range(3 * REQUESTS_MAX):
            pipeline.put(f"{number}", "v")
        assert pipeline.execute() == [DONE] * 3 * REQUESTS_MAX
        assert len(node.messages) >= 3
        assert max(node.messages) <= REQUESTS_MAX
        monkeypatch.setattr("zraft.client.pipeline.BYTES_MAX", 1)
        node.messages.clear()
        assert pipeline.put("k", "v").put("k", "v").execute() == [DONE, DONE]
        assert node.messages == [1, 1]
    assert BYTES_MAX < 64 << 20  # a node's bound for one connection


def test_what_was_not_executed_is_dropped(node: ScriptedNode, client: Client) -> None:
    with client.pipeline() as pipeline:
        pipeline.put("k", "v")
    assert pipeline.execute() == []
    pipeline.close()
    assert node.requests == []


def test_an_interrupted_run_leaves_nothing_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    is_interrupted = threading.Event()

    def serve_late(request: Request) -> Response:
        is_interrupted.wait(5)
        return GONE if isinstance(request, Delete) else DONE

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with ScriptedNode(serve_late) as node, Client(node.endpoint) as client, client.pipeline() as pipeline:
        monkeypatch.setattr("zraft.client.dealer_link.DealerLink.wait", interrupt)
        with pytest.raises(KeyboardInterrupt):
            pipeline.put("k", "v").execute()
        monkeypatch.undo()
        is_interrupted.set()
        assert pipeline.delete("k").execute() == [GONE]


def test_a_closed_client_has_no_pipelines(client: Client) -> None:
    pipeline = client.pipeline().put("k", "v")
    client.close()
    with pytest.raises(ClientClosed):
        pipeline.execute()
    pipeline.close()


def test_silence_makes_each_write_unknown() -> None:  # trap 55
    with (
        ScriptedNode(lambda _: None) as node,
        Client(node.endpoint, timeout=0.2) as client,
        client.pipeline() as pipeline,
    ):
        found = pipeline.put("k", "v").put("l", "v").execute()
        assert [type(one) for one in found] == [Unknown, Unknown]


def test_threads_have_pipelines_of_one_client(node: ScriptedNode, client: Client) -> None:
    found: dict[int, list[object]] = {}

    def run(number: int) -> None:
        with client.pipeline() as pipeline:
            for _ in range(200):
                pipeline.put("k", "v") if random.random() < 0.5 else pipeline.put("k", "v", expected_revision=1)
            found[number] = [type(one) for one in pipeline.execute()]
            client.put("k", "v")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(found[number]) for number in range(4)] == [200] * 4
    assert {kind for kinds in found.values() for kind in kinds} == {PutResult, PreconditionFailed}


# Run in a process of its own: a fork of a process with threads is what it is about.
QUIET = ("-W", "ignore::DeprecationWarning")  # from Python 3.12 on fork sees libzmq's threads
FORK = """
import os, sys
from zraft import Client

client = Client(sys.argv[1])
pipeline = client.pipeline()
pipeline.put("parent", "1").execute()
pipeline.put("both", "2")
child = os.fork()
assert len(pipeline.execute()) == 1
pipeline.close()
assert len(pipeline.put("again", "3").execute()) == 1
pipeline.close()
client.close()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if child else 0)
"""


def test_a_forked_child_has_connections_of_its_own(node: ScriptedNode) -> None:  # trap 60
    result = subprocess.run(
        [sys.executable, *QUIET, "-c", FORK, node.endpoint], capture_output=True, text=True, timeout=30, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    keys = sorted(request.key for request in node.requests if isinstance(request, Put))
    assert keys == [b"again", b"again", b"both", b"both", b"parent"]


def test_a_pipeline_that_is_forgotten_does_not_hang_the_program(node: ScriptedNode) -> None:
    script = "import sys, zraft; zraft.Client(sys.argv[1]).pipeline().put('k', 'v').execute()"
    subprocess.run([sys.executable, "-c", script, node.endpoint], timeout=30, check=True, env=os.environ)
