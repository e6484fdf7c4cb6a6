"""The time-out of one call, against a node that never answers."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable

import pytest

from tests.wire.scripted import ScriptedNode
from zraft import Client, PutResult, Unavailable, Unknown, ZraftError
from zraft.client.arguments import TIMEOUT_S_MAX
from zraft.client.connections import MUTE

WITHIN_S = 0.3
DONE = PutResult(success=True, error=None, index=7, revision=3, mod_revision=3)


@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        (lambda client: client.put("k", "v", timeout=WITHIN_S), Unknown),
        (lambda client: client.get("k", timeout=WITHIN_S), Unavailable),
        (lambda client: next(client.range(timeout=WITHIN_S)), Unavailable),
        (lambda client: _raised(client.pipeline().put("k", "v").execute(timeout=WITHIN_S)), Unknown),
    ],
)
def test_a_call_ends_within_its_own_time_and_the_node_is_told(
    silent: ScriptedNode, ask: Callable[[Client], object], kind: type[ZraftError]
) -> None:
    with Client(silent.endpoint, timeout=60) as client:
        began = time.monotonic()
        with pytest.raises(kind, match=r"no answer in time, nor ever before \(is it a node's client port\?\)"):
            ask(client)
        assert time.monotonic() - began < 10
    assert all(header.timeout_ms < WITHIN_S * 1000 for header in silent.headers)
    assert silent.headers


@pytest.mark.parametrize("speaks", [True, False])
@pytest.mark.parametrize("pipelined", [False, True])
def test_a_server_of_another_kind_is_told_from_nobody(speaks: bool, pipelined: bool) -> None:
    """As a node's HTTP port: who took one port for the other is told so."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as exits:
        if speaks:
            speaker = threading.Thread(target=_speak, args=(server,))
            speaker.start()
            exits.callback(speaker.join)
        endpoint = f"127.0.0.1:{server.getsockname()[1]}"
        with Client(endpoint, timeout=WITHIN_S) as client, pytest.raises(Unavailable) as caught:
            _raised([*client.pipeline().get("k").execute()]) if pipelined else client.get("k")
    assert str(caught.value) == f"{endpoint}: {MUTE}"


def test_the_longest_time_out_works_on_every_way() -> None:
    # Beyond 24 days a poll has no number for it any more: a write would fail when it has been sent already.
    with ScriptedNode(lambda _: DONE) as node, Client(node.endpoint, timeout=TIMEOUT_S_MAX) as client:
        assert client.put("k", "v") == DONE
        assert client.pipeline().put("k", "v").execute() == [DONE]


@pytest.mark.parametrize("pipelined", [False, True])
def test_a_short_write_is_not_all_given_to_a_stopped_node(pipelined: bool) -> None:
    # The kernel takes connections for it, and nobody ever speaks.
    with (
        socket.create_server(("127.0.0.1", 0)) as stopped,
        ScriptedNode(lambda _: DONE) as node,
        Client([f"127.0.0.1:{stopped.getsockname()[1]}", node.endpoint], timeout=1.0) as client,
    ):
        assert (client.pipeline().put("k", "v").execute() if pipelined else [client.put("k", "v")]) == [DONE]


def _speak(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")


def _raised(outcomes: list[object]) -> None:
    [outcome] = outcomes
    assert isinstance(outcome, ZraftError)
    raise outcome
