"""What calls ask beside their request: addresses of host names, one after another; and the members."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.wire.scripted import ScriptedNode
from zraft import Client, ClientClosed, Unavailable
from zraft.client.links import _Process
from zraft.client.steps import Event, Send
from zraft.protocol.responses import PutResult

DONE = PutResult(success=True, error=None, index=7, revision=3, mod_revision=3)


@pytest.fixture
def node() -> Iterator[ScriptedNode]:
    with ScriptedNode(lambda _: DONE) as node:
        yield node


def test_a_name_is_resolved_and_an_unknown_one_is_unavailable(node: ScriptedNode) -> None:
    with Client(f"localhost:{node.port}") as client:
        assert client.put("k", "v") == DONE
    with (
        Client(f"no-such-host.invalid:{node.port}", timeout=1.0) as client,
        pytest.raises(Unavailable, match="can't be resolved"),
    ):
        client.put("k", "v")


def test_a_resolver_that_hangs_holds_up_no_other_endpoint(node: ScriptedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    hang = threading.Event()

    def resolve(*_: object, **__: object) -> None:
        hang.wait(60)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with Client(["hung.example:1", node.endpoint]) as client:
        assert client.put("k", "v") == DONE
    hang.set()


@pytest.mark.parametrize("pipelined", [False, True])
def test_without_room_for_the_thread_of_a_name_it_is_unavailable_for_now(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch, pipelined: bool
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with Client(f"localhost:{node.port}", timeout=0.3) as client, client.pipeline() as pipeline:
        with monkeypatch.context() as patch:
            patch.setattr("_thread.start_new_thread", refuse)
            if pipelined:
                [outcome] = pipeline.put("k", "v").execute()
                assert isinstance(outcome, Unavailable)
            else:
                with pytest.raises(Unavailable, match="can't be resolved"):
                    client.put("k", "v")
        assert client.put("k", "v", timeout=5.0) == DONE
        assert pipeline.put("k", "v").execute(timeout=5.0) == [DONE]


def test_a_name_is_resolved_without_a_thread_where_none_can_be_started_any_more(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.12 starts none once its main thread has ended, while others, and handlers of the exit, go on."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    with Client(f"localhost:{node.port}") as client, monkeypatch.context() as patch:
        patch.setattr("_thread.start_new_thread", refuse)
        patch.setattr("threading.main_thread", lambda: threading.Thread())  # which does not run
        assert client.put("k", "v") == DONE


@pytest.mark.parametrize("first", ["127.0.0.2", "192.0.2.1"])  # nobody listens; nobody ever answers (RFC 5737)
@pytest.mark.parametrize("pipelined", [False, True])
def test_a_name_with_several_addresses_is_good_as_long_as_one_of_them_is(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch, first: str, pipelined: bool
) -> None:
    port = int(node.endpoint.rpartition(":")[2])

    def resolve(host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in (first, "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with Client(f"service.example:{port}", timeout=30.0) as client:
        if not pipelined:
            assert client.put("k", "v") == DONE
            return
        with client.pipeline() as pipeline:
            pipeline.put("k", "v")
            assert pipeline.execute() == [DONE]


def test_what_becomes_of_asking_for_the_members_is_nothing_to_the_answer(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange, sent = _Process.exchange, list[Send]()

    def closes(process: _Process, send: Send, call: object) -> Event:
        sent.append(send)
        if len(sent) == 2:  # as when another thread closes the client between the answer and this question
            raise ClientClosed("closed just now")
        return exchange(process, send, call)

    monkeypatch.setattr(_Process, "exchange", closes)
    with Client(node.endpoint) as client:
        assert client.put("k", "v") == DONE
    assert len(sent) == 2
