"""The client in pseudo code of the page is right: a stranger's, line by line, and ours do the same where it matters."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import wait_until
from tests.wire import by_page
from tests.wire.by_page import PageClient, Refused
from tests.wire.scripted import CLUSTER, ScriptedNode
from tests.wire.served import GET, PUT, Served
from tests.wire.zmtp import greet, message, receive
from tools.schemas import SCHEMAS
from zraft import Client, ZraftError
from zraft.protocol import codec
from zraft.protocol.requests import Put, Request, RequestHeader
from zraft.protocol.responses import ErrorResult, GetResult, PutResult, Response, ResponseHeader

DONE = PutResult(success=True, error=None, index=7, revision=3, mod_revision=3)
FOUND = GetResult(found=True, value=b"v", error=None, revision=3)
UNAVAILABLE = ErrorResult("Unavailable", "there is no leader")
UNKNOWN = ErrorResult("Unknown", "no result came in time")
OTHER_CLUSTER = b"another cluster!"


class Both:
    """A client of the page, or ours, in the same words."""

    def __init__(self, client: PageClient | Client, timeout: float) -> None:
        self._client = client
        self._timeout = timeout

    def put(self) -> str:
        return self._ask([PUT, b"k", b"v"])

    def get(self) -> str:
        return self._ask([GET, b"k"])

    def _ask(self, request: list[Any]) -> str:
        try:
            if isinstance(self._client, PageClient):
                self._client.call(request, self._timeout)
            elif request[0] == PUT:
                self._client.put("k", "v")
            else:
                self._client.get("k")
        except (Refused, ZraftError) as error:
            return str(error) if isinstance(error, Refused) else error.code
        return ""


Connect = Callable[..., contextlib.AbstractContextManager[Both]]


@pytest.fixture(params=["the page's", "ours"])
def connect(request: pytest.FixtureRequest) -> Connect:
    @contextlib.contextmanager
    def connect(*endpoints: str, timeout: float = 5.0) -> Iterator[Both]:
        if request.param == "ours":
            with Client(endpoints, timeout=timeout, learn_members=False) as client:
                yield Both(client, timeout)
        else:
            with PageClient(list(endpoints)) as page:
                yield Both(page, timeout)

    return connect


@pytest.fixture
def node() -> Iterator[ScriptedNode]:
    with ScriptedNode(serve) as node:
        yield node


def serve(request: Request) -> Response:
    return DONE if isinstance(request, Put) else FOUND


def test_the_client_of_the_page_is_what_these_tests_run() -> None:
    page = (SCHEMAS / "README.md").read_text(encoding="utf-8").partition("## A client in pseudo code")[2]
    code = page.partition("```\n")[2].partition("```\n")[0]
    text = Path(by_page.__file__).read_text(encoding="utf-8")
    lines = sorted(line.strip() for line in code.splitlines() if line.strip())
    assert sorted(re.findall(r"^ *# \| (.*)$", text, re.MULTILINE)) == lines


@pytest.mark.parametrize(("timeout", "last_ms"), [(0.6, 150), (1.2, 250)])
def test_a_refused_write_does_not_become_unknown_at_the_end_of_its_time(
    connect: Connect, timeout: float, last_ms: int
) -> None:
    # As a node without a leader: it says so while there is time for that, which is told by what it is told.
    told: list[RequestHeader] = []
    with ScriptedNode(lambda _: None if told[-1].timeout_ms < last_ms else UNAVAILABLE) as node:
        told = node.headers
        with connect(node.endpoint, timeout=timeout) as client:
            assert client.put() == "Unavailable"
    assert len(told) > 2


def test_a_hint_that_leads_to_another_cluster_is_left(connect: Connect, node: ScriptedNode) -> None:
    refusal = ErrorResult("ProtocolError", "this is another cluster")
    with ScriptedNode(lambda _: refusal, cluster=OTHER_CLUSTER) as foreign, connect(node.endpoint) as client:
        node.leader = foreign.endpoint
        assert [client.get(), client.get(), client.put(), client.get()] == [""] * 4
    assert foreign.requests


def test_a_given_endpoint_of_another_cluster_is_told(connect: Connect, node: ScriptedNode) -> None:
    refusal = ErrorResult("ProtocolError", "this is another cluster")
    with ScriptedNode(lambda _: refusal, cluster=OTHER_CLUSTER) as foreign:
        node.leader = foreign.endpoint
        with connect(node.endpoint, foreign.endpoint) as client:
            assert [client.get(), client.put()] == ["", "ProtocolError"]


def test_one_that_takes_connections_and_is_silent_leaves_time_for_others(connect: Connect, node: ScriptedNode) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        connect(f"127.0.0.1:{mute.getsockname()[1]}", node.endpoint, timeout=1.0) as client,
    ):
        assert [client.put(), client.put()] == ["", ""]


def test_dead_nodes_are_told_at_once(connect: Connect, node: ScriptedNode) -> None:
    # Were each given its time to connect, there would be none left for the third.
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        dead = [f"127.0.0.1:{bound.getsockname()[1]}" for bound in (first, second)]
        with connect(*dead, node.endpoint, timeout=1.0) as client:
            assert client.put() == ""


def test_a_leader_that_gets_nothing_done_is_not_followed(connect: Connect, node: ScriptedNode) -> None:
    with ScriptedNode(lambda _: UNKNOWN) as cut_off:
        cut_off.leader = cut_off.endpoint
        with connect(cut_off.endpoint, node.endpoint) as client:
            assert [client.put(), client.put()] == ["Unknown", ""]


def test_a_connection_that_broke_since_is_not_sent_over() -> None:
    with ScriptedNode(serve) as node, PageClient([node.endpoint]) as client:
        client.call([PUT, b"k", b"v"])
        [(_, monitor)] = client.kept.values()
        node.kill()
        wait_until(lambda: monitor.poll(0), 5, "the end of the connection")
        with ScriptedNode(serve, port=node.port):
            client.call([PUT, b"k", b"v"])


def test_an_answer_that_came_before_the_end_of_a_connection_is_read(connect: Connect) -> None:
    def answer_and_hang_up(listener: socket.socket) -> None:
        conn, _ = listener.accept()
        with conn:
            greet(conn, b"ROUTER")
            frames = [receive(conn, receive(conn, 2)[1]) for _ in range(4)]
            header = codec.encode(ResponseHeader(1, CLUSTER, "node-1", "", "", 1))
            conn.sendall(message(b"", header, frames[2], codec.encode(DONE)))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_and_hang_up, args=(listener,))
        thread.start()
        with connect(f"127.0.0.1:{listener.getsockname()[1]}") as client:
            assert client.put() == ""
        thread.join()


@pytest.mark.cluster
def test_a_node_serves_the_client_of_the_page(served: Served) -> None:
    with PageClient([served.endpoint.removeprefix("tcp://")]) as client:
        assert client.call([PUT, b"page", b"v"])[1] is True
        assert client.call([GET, b"page"])[1:3] == [True, b"v"]
        with pytest.raises(Refused, match="PreconditionFailed"):
            client.call([PUT, b"page", b"w", 0])
        with pytest.raises(Refused, match="InvalidArgument"):
            client.call([PUT, b"", b"w"])
