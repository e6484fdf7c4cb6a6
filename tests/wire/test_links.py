"""The synchronous link against scripted nodes: real sockets, silence, death, forks and threads."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import zmq

from tests.waiting import wait_until
from tests.wire.scripted import CLUSTER, ScriptedNode
from zraft import Client, ClientClosed, InvalidArgument, PreconditionFailed, ProtocolError, Unavailable, Unknown
from zraft.client import endpoints, operations
from zraft.client.connections import SOCKETS_MAX
from zraft.client.links import IDLE_CONNECTIONS_MAX
from zraft.protocol.requests import Batch, ClusterStatus, Delete, Get, Put, Range, Request
from zraft.protocol.responses import (
    BatchResult,
    DeleteResult,
    ErrorInfo,
    ErrorResult,
    GetResult,
    KeyValue,
    MemberInfo,
    MembersResult,
    PutResult,
    RangeResult,
    Response,
    StatusResult,
)

DONE = PutResult(success=True, error=None, index=7, revision=3, mod_revision=3)
GONE = DeleteResult(success=True, error=None, index=8, revision=4, found=True)
FOUND = GetResult(found=True, value=b"v", error=None, revision=3)
STATUS = StatusResult("node-1", "leader", 1, "node-1", (), 7, 7, "", CLUSTER.hex(), 1, 7, 3)


def serve(request: Request) -> Response:
    match request:
        case Put():
            return DONE
        case Delete():
            return GONE
        case Get():
            return FOUND
        case Batch(operations):
            return BatchResult(tuple(FOUND if isinstance(one, Get) else DONE for one in operations), 7, 3)
        case Range():
            return RangeResult((), more=False, next_key=b"", revision=3)
    return STATUS


@pytest.fixture
def node() -> Iterator[ScriptedNode]:
    with ScriptedNode(serve) as node:
        yield node


def test_every_operation_has_its_own_result(node: ScriptedNode) -> None:
    with Client(node.endpoint) as client:
        assert client.put("k", "v", expected_revision=0, return_previous=True) == DONE
        assert client.get(b"k", consistency="serializable", revision=2) == FOUND
        assert client.delete("k", expected_revision=3) == GONE
        assert client.batch([operations.Put("k", "v"), operations.Put("l", "v")]) == BatchResult((DONE, DONE), 7, 3)
        assert list(client.range("a", "b", prefix="p", keys_only=True)) == []
        assert client.status() == STATUS
        assert client.status(node.endpoint) == STATUS
    assert node.requests == [
        Put(b"k", b"v", 0, True),
        Get(b"k", True, 2),
        Delete(b"k", 3),
        Batch((Put(b"k", b"v"), Put(b"l", b"v"))),
        Range(b"p", b"a", b"b", keys_only=True),
        ClusterStatus(),
        ClusterStatus(),
    ]
    assert [(header.version, header.cluster) for header in node.headers] == [(1, b""), *[(1, CLUSTER)] * 6]
    assert all(0 < header.timeout_ms <= 4750 for header in node.headers)


def test_a_refused_connection_costs_no_time(nobody: str, node: ScriptedNode, patient: float) -> None:
    with Client([nobody, node.endpoint], timeout=patient) as client:
        began = time.monotonic()
        assert client.put("k", "v") == DONE
        assert time.monotonic() - began < 30


def test_a_stopped_node_is_left_after_the_connect_time(node: ScriptedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel takes connections for its process, and nobody ever speaks."""
    monkeypatch.setattr(endpoints, "AVOID_S_MIN", 60.0)
    with (
        socket.create_server(("127.0.0.1", 0)) as stopped,
        Client([f"127.0.0.1:{stopped.getsockname()[1]}", node.endpoint]) as client,
    ):
        assert [client.put("k", "v"), client.put("k", "v")] == [DONE, DONE]
        stopped.setblocking(False)
        stopped.accept()[0].close()
        with pytest.raises(BlockingIOError):  # it was avoided by the second
            stopped.accept()


def test_nobody_there_is_unavailable_until_the_time_is_up(nobody: str) -> None:
    with Client(nobody, timeout=0.3) as client, pytest.raises(Unavailable, match="no connection"):
        client.put("k", "v")


def test_a_silent_write_is_unknown(silent: ScriptedNode, node: ScriptedNode) -> None:
    # Trap 55
    with Client([silent.endpoint, node.endpoint], timeout=0.3) as client, pytest.raises(Unknown, match="no answer"):
        client.put("k", "v")
    assert (silent.requests, node.requests) == ([Put(b"k", b"v")], [])


def test_a_silent_read_is_asked_elsewhere(silent: ScriptedNode, node: ScriptedNode) -> None:
    with Client([silent.endpoint, node.endpoint], timeout=0.6) as client:
        assert client.get("k") == FOUND
        assert client.get("k") == FOUND  # the silent one is avoided, and its socket was made anew
    assert (silent.requests, node.requests) == ([Get(b"k")], [Get(b"k"), Get(b"k")])


def test_a_node_that_dies_with_a_write_in_flight_makes_it_unknown_at_once(silent: ScriptedNode) -> None:
    with Client(silent.endpoint, timeout=60) as client, ThreadPoolExecutor() as pool:
        put = pool.submit(client.put, "k", "v")
        wait_until(lambda: silent.requests, 5, "the put")
        silent.kill()
        with pytest.raises(Unknown, match="the connection broke"):
            put.result(5)


def test_a_node_that_comes_back_is_used_again(node: ScriptedNode) -> None:
    with Client(node.endpoint) as client:
        assert client.put("k", "v") == DONE
        kill(node, client)
        with ScriptedNode(serve, port=node.port) as again:
            # The old connection is known to be broken: nothing was sent over it, so this is no Unknown.
            assert client.put("k", "v") == DONE
            assert again.requests == [Put(b"k", b"v")]


def test_the_leader_hint_is_followed(node: ScriptedNode) -> None:
    node.leader = node.endpoint
    with (
        ScriptedNode(lambda _: ErrorResult("NotLeader", "not me"), leader=node.endpoint) as follower,
        Client(follower.endpoint) as client,
    ):
        assert [client.put("k", "v"), client.put("k", "v")] == [DONE, DONE]
        assert [len(follower.requests), len(node.requests)] == [1, 2]


def test_an_unreachable_leader_hint_falls_back(nobody: str) -> None:
    with ScriptedNode(serve, leader=nobody) as node, Client(node.endpoint) as client:
        assert [client.put("k", "v"), client.put("k", "v")] == [DONE, DONE]


@pytest.mark.parametrize("hint", ["nonsense", "host:", "127.0.0.1:0"])
def test_a_leader_hint_that_is_no_endpoint_is_not_followed(hint: str) -> None:
    with ScriptedNode(serve, leader=hint) as node, Client(node.endpoint) as client:
        assert [client.put("k", "v"), client.put("k", "v")] == [DONE, DONE]


def test_a_failed_precondition_is_raised() -> None:
    failed = PutResult(False, ErrorInfo("PreconditionFailed", "it is 4"), index=8, revision=9, mod_revision=4)
    with ScriptedNode(lambda _: failed) as node, Client(node.endpoint) as client:
        with pytest.raises(PreconditionFailed, match="it is 4") as caught:
            client.put("k", "v", expected_revision=3)
        assert caught.value.revision == 4


def test_an_absent_key_is_no_error() -> None:
    absent = GetResult(found=False, value=None, error=None, revision=3)
    with ScriptedNode(lambda _: absent) as node, Client(node.endpoint) as client:
        assert client.get("k") == absent


def test_a_range_goes_on_at_one_revision() -> None:
    items = [KeyValue(b"%05d" % number, b"", 1, 1, 1) for number in range(5)]

    def page(request: Request) -> Response:
        assert isinstance(request, Range)
        rest = [item for item in items if item.key >= request.start]
        count = min(2, request.limit or 2)
        more = len(rest) > count
        return RangeResult(tuple(rest[:count]), more, rest[count].key if more else b"", 9)

    with ScriptedNode(page) as node, Client(node.endpoint) as client:
        assert list(client.range(prefix="0")) == items
        assert node.requests == [
            Range(prefix=b"0"),
            Range(prefix=b"0", start=b"00002", revision=9),
            Range(prefix=b"0", start=b"00004", revision=9),
        ]
        node.requests.clear()
        assert list(client.range(limit=3)) == items[:3]
        assert node.requests == [Range(limit=3), Range(limit=1, start=b"00002", revision=9)]
        with pytest.raises(InvalidArgument):
            client.range(limit=-1)


def tell_members(*nodes: ScriptedNode) -> None:
    for node in nodes:
        node.members = MembersResult(
            1,
            tuple(MemberInfo(f"node-{number}", number, True, "", one.endpoint) for number, one in enumerate(nodes, 1)),
        )


def kill(given: ScriptedNode, client: Client) -> None:
    """Returns when the client could know: what it sends before that is Unknown, rightly."""
    given.kill()
    wait_until(lambda: all(one.look() for one in client._link._process._idle), 5, "the end of the connections")


def test_one_endpoint_is_enough_to_find_the_others(node: ScriptedNode) -> None:
    with ScriptedNode(serve) as given, Client(given.endpoint) as client, client.pipeline() as pipeline:
        tell_members(given, node)
        assert client.put("k", "v") == DONE
        kill(given, client)
        assert client.put("k", "v") == DONE
        assert pipeline.put("k", "v").execute() == [DONE]
        assert client.endpoints == (given.endpoint,)
    assert node.requests == [Put(b"k", b"v")] * 2


def test_a_pipeline_finds_the_others_too(node: ScriptedNode) -> None:
    with ScriptedNode(serve) as given, Client(given.endpoint) as client, client.pipeline() as pipeline:
        tell_members(given, node)
        assert pipeline.put("k", "v").put("k", "v").execute() == [DONE, DONE]
        given.kill()
        assert pipeline._dealer is not None
        lane = pipeline._dealer._lanes[given.endpoint]
        wait_until(lambda: lane.connection is None or lane.connection.look(), 5, "the end of the connection")
        assert pipeline.put("k", "v").execute() == [DONE]
    assert node.requests == [Put(b"k", b"v")]


def test_a_client_that_shall_not_learn_asks_nobody_else(node: ScriptedNode) -> None:
    with ScriptedNode(serve) as given, Client(given.endpoint, timeout=0.3, learn_members=False) as client:
        tell_members(given, node)
        assert client.put("k", "v") == DONE
        kill(given, client)
        with pytest.raises(Unavailable):
            client.put("k", "v")
    assert node.requests == []


def test_threads_share_a_client(node: ScriptedNode) -> None:
    with Client(node.endpoint) as client, ThreadPoolExecutor(24) as pool:
        assert list(pool.map(lambda _: client.put("k", "v"), range(500))) == [DONE] * 500
        assert len(client._link._process._idle) <= IDLE_CONNECTIONS_MAX


def test_a_client_has_sockets_for_thousands_of_threads(node: ScriptedNode) -> None:
    with Client(node.endpoint) as client:
        assert client._link._process._connections.context.get(zmq.MAX_SOCKETS) == SOCKETS_MAX


def test_a_thread_does_not_wait_for_another_ones_silence(silent: ScriptedNode, node: ScriptedNode) -> None:
    with Client([silent.endpoint, node.endpoint], timeout=60) as client, ThreadPoolExecutor() as pool:
        stuck = pool.submit(client.put, "k", "v")
        wait_until(lambda: silent.requests, 5, "the put")
        assert client.status(node.endpoint) == STATUS
        client.close()
        with pytest.raises(Unknown):
            stuck.result(5)


def test_a_closed_client_says_so_and_closes_again(node: ScriptedNode) -> None:
    client = Client(node.endpoint)
    client.put("k", "v")
    client.close()
    client.close()
    with pytest.raises(ClientClosed):
        client.put("k", "v")


def test_closing_ends_a_pause() -> None:
    with (
        ScriptedNode(lambda _: ErrorResult("Unavailable", "there is no leader")) as node,
        Client(node.endpoint, timeout=60) as client,
        ThreadPoolExecutor() as pool,
    ):
        put = pool.submit(client.put, "k", "v")
        wait_until(lambda: len(node.requests) > 5, 5, "some attempts")
        client.close()
        with pytest.raises((ClientClosed, Unknown)):
            put.result(5)


def test_a_node_of_another_version_is_a_protocol_error() -> None:
    refusal = ErrorResult("ProtocolError", "this node speaks version 2")
    with ScriptedNode(lambda _: refusal) as node, Client(node.endpoint) as client, pytest.raises(ProtocolError):
        client.put("k", "v")


# Run in a process of its own: a fork of a process with threads is what it is about.
QUIET = ("-W", "ignore::DeprecationWarning")  # from Python 3.12 on fork sees libzmq's threads
FORK = """
import os, sys
from zraft import Client, ClientClosed

client = Client(sys.argv[1])
client.put("parent", "1")
before = client._link._process._idle[0]
child = os.fork()
if child == 0:
    client.put("child", "2")
    client.close()
    try:
        client.put("child", "3")
    except ClientClosed:
        sys.exit(0)
    sys.exit(9)
_, status = os.waitpid(child, 0)
client.put("parent", "4")
assert client._link._process._idle == [before], "the parent lost its connection"
client.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_child_has_connections_of_its_own(node: ScriptedNode) -> None:
    # Trap 60
    result = subprocess.run(
        [sys.executable, *QUIET, "-c", FORK, node.endpoint], capture_output=True, text=True, timeout=30, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert node.requests == [Put(b"parent", b"1"), Put(b"child", b"2"), Put(b"parent", b"4")]


# Signals are handled by a program's main thread.
SIGNAL = """
import signal, sys
from zraft import Client, ClientClosed, Unknown

client = Client(sys.argv[1], timeout=60)
signal.signal(signal.SIGALRM, lambda *_: client.close())
signal.setitimer(signal.ITIMER_REAL, 0.3)
try:
    if sys.argv[2:]:
        client.pipeline().put("k", "v").execute()
    client.put("k", "v")
except (ClientClosed, Unknown):
    sys.exit(7)
"""


@pytest.mark.parametrize("answer", [None, ErrorResult("Unavailable", "there is no leader")], ids=["silence", "pauses"])
@pytest.mark.parametrize("what", ["", "pipeline"])
def test_a_signals_handler_may_close_the_client_in_the_midst_of_a_call(answer: Response | None, what: str) -> None:
    with ScriptedNode(lambda _: answer) as node:
        done = subprocess.run([sys.executable, "-c", SIGNAL, node.endpoint, *what.split()], timeout=30, check=False)
    assert done.returncode == 7


def test_a_client_that_is_forgotten_does_not_hang_the_program(node: ScriptedNode) -> None:
    script = "import sys, zraft; zraft.Client(sys.argv[1]).put('k', 'v')"
    subprocess.run([sys.executable, "-c", script, node.endpoint], timeout=30, check=True, env=os.environ)
