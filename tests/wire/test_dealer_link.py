"""The pipelined link against scripted nodes: what travels together, what breaks, and what the time does."""

import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.waiting import wait_until
from tests.wire.scripted import ScriptedNode
from zraft.client.connections import MUTE
from zraft.client.core import NEVER, OPEN, Core
from zraft.client.dealer_link import LANES_MAX, MESSAGE_BYTES_MAX, TIMERS_STALE_MAX, DealerLink
from zraft.client.steps import NO_ANSWER, Fail, Return
from zraft.errors import PreconditionFailed, Unavailable, Unknown
from zraft.protocol.requests import Get, Put, Request
from zraft.protocol.responses import ErrorInfo, ErrorResult, GetResult, PutResult, Response

DONE = PutResult(success=True, error=None, index=7, revision=3, mod_revision=3)
FOUND = GetResult(found=True, value=b"v", error=None, revision=3)
FAILED = PutResult(success=False, error=ErrorInfo("PreconditionFailed", "it is 4"), index=8, revision=4)


def serve(request: Request) -> Response:
    return FOUND if isinstance(request, Get) else DONE


@pytest.fixture
def link() -> Iterator[DealerLink[object]]:
    link: DealerLink[object] = DealerLink()
    yield link
    link.close()


@pytest.fixture
def node() -> Iterator[ScriptedNode]:
    with ScriptedNode(serve) as node:
        yield node


def core_of(*endpoints: str) -> Core:
    return Core(endpoints, random.random)


def begin(link: DealerLink[object], core: Core, request: Request, tag: object = None, timeout: float = 5.0) -> None:
    answer = GetResult if isinstance(request, Get) else PutResult
    now = time.monotonic()
    link.start(core.call(request, answer, now, timeout), tag, now)


def ends(link: DealerLink[object]) -> dict[object, Return[Response] | Fail]:
    """How each call ended, by its tag."""
    found: dict[object, Return[Response] | Fail] = {}
    while link.in_flight:
        found |= dict(link.wait())
    return found


def test_what_was_started_together_travels_together(link: DealerLink[object], node: ScriptedNode) -> None:
    core = core_of(node.endpoint)
    puts: list[Request] = [Put(b"%d" % number, b"v") for number in range(100)]
    for put in puts:
        begin(link, core, put, put)
    begin(link, core, Get(b"k"), "get")
    assert ends(link) == dict.fromkeys(puts, Return(DONE)) | {"get": Return(FOUND)}
    assert node.requests == [*puts, Get(b"k")]
    # A read has less time at one node than a write, and so another header.
    assert node.messages == [100, 1]
    assert [one.timeout_ms for one in node.headers] == [4750, 1417]


def test_one_message_has_its_bound(link: DealerLink[object], node: ScriptedNode) -> None:
    core = core_of(node.endpoint)
    for number in range(4):
        begin(link, core, Put(b"k", bytes(MESSAGE_BYTES_MAX // 2 - 100)), number)
    begin(link, core, Put(b"k", bytes(MESSAGE_BYTES_MAX + 100)), 4)
    assert ends(link) == dict.fromkeys(range(5), Return(DONE))
    assert node.messages == [2, 2, 1]


def test_answers_find_their_calls_in_any_order(link: DealerLink[object]) -> None:
    def echo(request: Request) -> Response:
        assert isinstance(request, Put)
        return PutResult(success=True, error=None, index=int(request.key), revision=1)

    with ScriptedNode(echo) as node:
        core = core_of(node.endpoint)
        for number in range(500):
            begin(link, core, Put(b"%d" % number, b""), number)
        found = ends(link)
    assert {tag: end.response.index for tag, end in found.items() if isinstance(end, Return)} == {  # type: ignore[union-attr]
        number: number for number in range(500)
    }


def test_an_error_is_the_error_of_its_call_alone(link: DealerLink[object]) -> None:
    with ScriptedNode(lambda request: FAILED if request == Put(b"1", b"") else DONE) as node:
        core = core_of(node.endpoint)
        for number in range(3):
            begin(link, core, Put(b"%d" % number, b""), number)
        assert ends(link) == {0: Return(DONE), 1: Fail(PreconditionFailed, "it is 4"), 2: Return(DONE)}


def test_the_leader_hint_is_followed_by_those_that_were_refused(link: DealerLink[object], node: ScriptedNode) -> None:
    with ScriptedNode(lambda _: ErrorResult("NotLeader", "not me"), leader=node.endpoint) as follower:
        core = core_of(follower.endpoint)
        for number in range(50):
            begin(link, core, Put(b"k", b"v"), number)
        assert ends(link) == dict.fromkeys(range(50), Return(DONE))
        assert (len(follower.requests), len(node.requests)) == (50, 50)


def test_a_refused_connection_costs_no_time(
    link: DealerLink[object], nobody: str, node: ScriptedNode, patient: float
) -> None:
    core = core_of(nobody, node.endpoint)
    began = time.monotonic()
    for number in range(50):
        begin(link, core, Put(b"k", b"v"), number, patient)
    assert ends(link) == dict.fromkeys(range(50), Return(DONE))
    assert time.monotonic() - began < 30


def test_a_name_that_is_none_costs_no_time(link: DealerLink[object], node: ScriptedNode, patient: float) -> None:
    began = time.monotonic()
    begin(link, core_of("nonsense", node.endpoint), Put(b"k", b"v"), "put", patient)
    assert ends(link) == {"put": Return(DONE)}
    assert time.monotonic() - began < 30


def test_nobody_there_is_unavailable_when_the_time_is_up(link: DealerLink[object], nobody: str) -> None:
    core = core_of(nobody)
    worked = time.thread_time()
    for number in range(3):
        begin(link, core, Put(b"k", b"v"), number, timeout=0.5)
    assert ends(link) == dict.fromkeys(range(3), Fail(Unavailable, f"{nobody}: no connection"))
    assert time.thread_time() - worked < 0.2  # pauses are slept through


def test_a_connection_that_is_never_accepted_is_given_up(link: DealerLink[object]) -> None:
    # The kernel takes connections for a process that stands still, and nobody ever speaks.
    with socket.create_server(("127.0.0.1", 0)) as bound:
        endpoint = f"127.0.0.1:{bound.getsockname()[1]}"
        begin(link, core_of(endpoint), Put(b"k", b"v"), "put", timeout=0.2)
        assert ends(link) == {"put": Fail(Unavailable, f"{endpoint}: {MUTE}")}


def test_silence_makes_a_write_unknown_and_sends_a_read_elsewhere(
    link: DealerLink[object], silent: ScriptedNode, node: ScriptedNode
) -> None:
    # Trap 55
    core = core_of(silent.endpoint, node.endpoint)
    begin(link, core, Put(b"k", b"v"), "put", timeout=0.6)
    begin(link, core, Get(b"k"), "get", timeout=0.6)
    reason = f"{silent.endpoint}: {NO_ANSWER}{NEVER}; {OPEN}"
    assert ends(link) == {"put": Fail(Unknown, reason), "get": Return(FOUND)}
    assert (silent.requests, node.requests) == ([Put(b"k", b"v"), Get(b"k")], [Get(b"k")])


def test_an_answer_that_comes_too_late_is_ignored(link: DealerLink[object]) -> None:
    is_given_up = threading.Event()

    def serve_late(request: Request) -> Response:
        if request == Put(b"late", b""):
            is_given_up.wait(5)
        return DONE

    with ScriptedNode(serve_late) as node:
        core = core_of(node.endpoint)
        begin(link, core, Put(b"late", b""), "late", timeout=0.1)
        [(_, end)] = ends(link).items()
        assert isinstance(end, Fail)
        is_given_up.set()
        begin(link, core, Put(b"next", b""), "next")
        assert ends(link) == {"next": Return(DONE)}


def test_a_node_that_dies_breaks_what_is_in_flight_there_and_nothing_else(
    link: DealerLink[object], silent: ScriptedNode, node: ScriptedNode
) -> None:
    core = core_of(silent.endpoint, node.endpoint)
    for number in range(20):
        begin(link, core, Put(b"k", b"v"), number, timeout=60)
    wait_until(lambda: link.wait(time.monotonic()) == [] and len(silent.requests) == 20, 5, "the puts")
    silent.kill()
    now = time.monotonic()
    link.start(core.call(Put(b"k", b"v"), PutResult, now, 5.0, only=node.endpoint), "other", now)
    reason = f"{silent.endpoint}: the connection broke; the write may have taken effect, or may still do so"
    assert ends(link) == dict.fromkeys(range(20), Fail(Unknown, reason)) | {"other": Return(DONE)}


def test_a_node_that_comes_back_is_used_again(link: DealerLink[object], node: ScriptedNode) -> None:
    core = core_of(node.endpoint)
    begin(link, core, Put(b"k", b"v"), 1)
    assert ends(link) == {1: Return(DONE)}
    node.kill()
    with ScriptedNode(serve, port=node.port):
        # Nothing is sent over the old connection once it is known to be broken.
        connection = link._lanes[node.endpoint].connection
        assert connection is not None
        wait_until(connection.look, 5, "the loss")
        begin(link, core, Put(b"k", b"v"), 2)
        assert ends(link) == {2: Return(DONE)}


def test_pauses_end(link: DealerLink[object]) -> None:
    answers = iter([ErrorResult("Unavailable", "there is no leader")] * 5)
    with ScriptedNode(lambda _: next(answers, DONE)) as node:
        begin(link, core_of(node.endpoint), Put(b"k", b"v"), "put")
        assert ends(link) == {"put": Return(DONE)}
        assert len(node.requests) == 6


def test_a_name_is_resolved_and_an_unknown_one_is_unavailable(link: DealerLink[object], node: ScriptedNode) -> None:
    names = [f"localhost:{node.port}", "no-such-host.invalid:1", "nonsense"]
    core = core_of(*names)
    now = time.monotonic()
    for name in names:
        link.start(core.call(Put(b"k", b"v"), PutResult, now, 5.0, only=name), name, now)
    assert ends(link) == {
        name: Return(DONE) if name == names[0] else Fail(Unavailable, f"{name}: its name can't be resolved")
        for name in names
    }


def test_waiting_ends_in_time(link: DealerLink[object], silent: ScriptedNode) -> None:
    assert link.wait() == []  # nothing is in flight
    begin(link, core_of(silent.endpoint), Put(b"k", b"v"), timeout=200.0)
    began = time.monotonic()
    assert link.wait(began + 0.05) == []
    assert 0.05 <= time.monotonic() - began < 30
    assert link.in_flight == 1


def test_nothing_grows_with_the_calls_that_have_ended(link: DealerLink[object], node: ScriptedNode) -> None:
    core = core_of(node.endpoint)
    for _ in range(30):
        for number in range(100):
            begin(link, core, Put(b"k", b"v"), number)
        assert ends(link) == dict.fromkeys(range(100), Return(DONE))
    assert len(link._timers) <= TIMERS_STALE_MAX + 200
    [lane] = link._lanes.values()
    assert (len(lane.queue), len(lane.flying)) == (0, 0)


def test_connections_that_nobody_uses_are_closed(link: DealerLink[object]) -> None:
    nodes = [ScriptedNode(serve) for _ in range(LANES_MAX + 3)]
    for node in nodes:
        begin(link, core_of(node.endpoint), Put(b"k", b"v"), "put")
        assert ends(link) == {"put": Return(DONE)}
        assert len(link._lanes) <= LANES_MAX
    for node in nodes:
        node.kill()
