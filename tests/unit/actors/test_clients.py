"""The gateway's side of its clients, over real sockets: what is asked, and what is refused."""

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from prometheus_client import REGISTRY

from tests.unit.actors.clients_stage import (
    CLUSTER,
    GET,
    HEADER,
    TIMEOUT_S,
    WAIT_S,
    Gateway,
    Pair,
    ask,
    error,
    receive,
)
from tests.waiting import wait_until
from zraft.actors import clients as module, metrics
from zraft.actors.sockets import Frames
from zraft.errors import InvalidArgument, ProtocolError, Unavailable
from zraft.protocol.codec import encode
from zraft.protocol.requests import (
    PROTOCOL_VERSION,
    Batch,
    ClusterStatus,
    Delete,
    Get,
    Put,
    Range,
    Request,
    RequestHeader,
)
from zraft.protocol.responses import BatchResult, ErrorInfo, ErrorResult, GetResult, PutResult, Response

# --- requests


def test_a_message_of_several_requests_is_answered_in_one(gateway: Gateway) -> None:
    client = gateway.connect()
    ask(client, (b"1", GET), (b"2", encode(Put(b"k", b"v"))), (b"2", GET))
    gateway.turns_until(lambda: len(gateway.asked) == 3, "the requests")
    assert [(one.caller.request, one.request) for one in gateway.asked] == [
        (b"1", Get(b"k")),
        (b"2", Put(b"k", b"v")),
        (b"2", Get(b"k")),
    ]
    gateway.turn(answer=b"answer")
    assert receive(client) == [(b"1", b"answer"), (b"2", b"answer"), (b"2", b"answer")]
    assert gateway.clients.in_flight == 0


def test_a_request_takes_until_its_answer_has_left(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that comes and is answered within one turn of the gateway, as most reads."""
    monkeypatch.setattr(module, "clock", lambda: 7.0)
    metrics.reporter.flush()
    before = REGISTRY.get_sample_value("zraft_request_seconds_sum", {"kind": "read"})
    client = gateway.connect()
    ask(client, (b"1", GET), (b"2", GET))
    gateway.turns_until(lambda: len(gateway.asked) == 2, "the requests")
    gateway.turn(now=3.0, answer=b"answer")
    gateway.turn(now=4.0)
    metrics.reporter.flush()
    assert REGISTRY.get_sample_value("zraft_request_seconds_sum", {"kind": "read"}) == (before or 0.0) + 2 * 7.0


def test_answers_find_their_client(gateway: Gateway) -> None:
    first, second = gateway.connect(), gateway.connect()
    ask(first, (b"1", GET))
    gateway.turns_until(lambda: len(gateway.asked) == 1, "the first request")
    ask(second, (b"1", GET))
    gateway.turns_until(lambda: len(gateway.asked) == 2, "the second request")
    for one, answer in zip(gateway.asked, (b"first", b"second"), strict=True):
        gateway.clients.tell(one.caller, answer, 0.0)
    gateway.turn()
    assert (receive(first), receive(second)) == ([(b"1", b"first")], [(b"1", b"second")])


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (ErrorResult("Unknown", "who knows"), "Unknown"),
        (PutResult(False, ErrorInfo("PreconditionFailed", "it is at 7"), 9, 8), "PreconditionFailed"),
        (PutResult(True, None, 9, 8), "ok"),
        (GetResult(False, None, None), "ok"),
        (GetResult(False, None, ErrorInfo("Compacted", "3 is gone")), "Compacted"),
        (BatchResult((), 9, 8), "ok"),
    ],
)
def test_requests_are_counted_by_their_results(gateway: Gateway, answer: Response, result: str) -> None:
    def counted(kind: str, result: str) -> float:
        metrics.reporter.flush()
        labels = {"kind": kind, "result": result}
        return REGISTRY.get_sample_value("zraft_requests_total", labels) or 0

    before = counted("read", result), counted("refused", "InvalidArgument")
    ask(gateway.connect(), (b"1", GET), (b"2", b"no request"))
    gateway.turns_until(lambda: gateway.asked, "the request")
    gateway.turn(answer=encode(answer))
    assert (counted("read", result), counted("refused", "InvalidArgument")) == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (Put(b"k", b"v"), "write"),
        (Batch((Put(b"k", b"v"), Delete(b"k"))), "write"),
        (Batch((Get(b"k"),)), "read"),
        (Range(), "read"),
        (ClusterStatus(), "status"),
    ],
)
def test_requests_are_counted_by_their_kind(gateway: Gateway, request_: Request, kind: str) -> None:
    ask(gateway.connect(), (b"1", encode(request_)))
    gateway.turns_until(lambda: gateway.asked, "the request")
    assert [one.caller.kind for one in gateway.asked] == [kind]


@pytest.mark.parametrize(("timeout_ms", "seconds"), [(0, TIMEOUT_S), (250, 0.25), (10**9, 600.0), (2**63, 600.0)])
def test_the_deadline_is_the_clients_or_the_nodes(gateway: Gateway, timeout_ms: int, seconds: float) -> None:
    client = gateway.connect()
    ask(client, (b"1", GET), header=encode(RequestHeader(PROTOCOL_VERSION, b"", timeout_ms)))
    assert client.poll(0) == 0
    gateway.turns_until(lambda: gateway.asked, "the request")
    assert gateway.asked[0].deadline == seconds


def test_a_bad_request_does_not_harm_its_neighbours(gateway: Gateway) -> None:
    client = gateway.connect()
    ask(client, (b"1", b"nonsense"), (b"x" * 17, GET), (b"3", GET))
    gateway.turns_until(lambda: gateway.asked, "the good one")
    refused = [(request, error(body).code) for request, body in receive(client)]
    assert refused == [(b"1", InvalidArgument.code), (b"x" * 16, ProtocolError.code)]
    gateway.turn(answer=b"answer")
    assert receive(client) == [(b"3", b"answer")]


def test_a_long_header_is_not_even_decoded_nor_kept(gateway: Gateway) -> None:
    client = gateway.connect()
    ask(client, (b"1", GET), header=encode(RequestHeader(PROTOCOL_VERSION, bytes(1 << 20))))
    gateway.turns_until(lambda: client.poll(0), "the refusal")
    ((_, body),) = receive(client)
    assert error(body) == ErrorResult(ProtocolError.code, "a header has up to 256 bytes, this one has 1048584")
    assert gateway.clients._headers == {}


def test_a_time_out_below_zero_is_refused(gateway: Gateway) -> None:
    client = gateway.connect()
    ask(client, (b"1", GET), header=encode(RequestHeader(PROTOCOL_VERSION, b"", -1)))
    gateway.turns_until(lambda: client.poll(0), "the refusal")
    ((_, body),) = receive(client)
    assert error(body) == ErrorResult(
        ProtocolError.code, "timeout_ms is 0, for the node's own, or more; this one is -1"
    )
    assert gateway.asked == []


def test_so_many_headers_are_remembered_and_no_more(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each client may send another one with each request."""
    monkeypatch.setattr(module, "HEADERS_MAX", 4)
    client, kept, deadlines = gateway.connect(), [], []
    for timeout_ms in range(1, 10):
        ask(client, (b"1", GET), header=encode(RequestHeader(PROTOCOL_VERSION, b"", timeout_ms)))
        gateway.turns_until(lambda: gateway.asked, "the request")
        kept.append(len(gateway.clients._headers))
        deadlines.append(gateway.asked[0].deadline)
        gateway.turn(answer=b"answer")
    assert kept == [1, 2, 3, 4, 1, 2, 3, 4, 1]
    assert deadlines == [timeout_ms / 1000 for timeout_ms in range(1, 10)]


def test_who_knows_no_cluster_tells_clients_of_one_what_it_waits_for(gateway: Gateway) -> None:
    client = gateway.connect()
    ask(client, (b"1", encode(ClusterStatus())), header=encode(RequestHeader(PROTOCOL_VERSION, CLUSTER)))
    gateway.turns_until(lambda: gateway.asked, "the request")
    assert isinstance(gateway.asked[0].request, ClusterStatus)


def test_headers_that_are_remembered_are_checked_again(gateway: Gateway) -> None:
    """A node that has not formed yet refuses a cluster's clients for now, and serves them afterwards."""
    client = gateway.connect()
    header = encode(RequestHeader(PROTOCOL_VERSION, CLUSTER))
    ask(client, (b"1", GET), header=header)
    gateway.turns_until(lambda: client.poll(0), "the refusal")
    ((_, body),) = receive(client)
    assert error(body) == ErrorResult(
        Unavailable.code, "this node does not know its cluster (yet): zraft status tells why"
    )
    gateway.clients.cluster = CLUSTER
    ask(client, (b"2", GET), header=header)
    gateway.turns_until(lambda: gateway.asked, "the request")
    gateway.clients.cluster = b"another"
    ask(client, (b"3", GET), header=header)
    gateway.turns_until(lambda: client.poll(0), "the refusal")
    ((_, body),) = receive(client)
    message = f"this node belongs to cluster {b'another'.hex()}, not to {CLUSTER.hex()}"
    assert error(body) == ErrorResult(ProtocolError.code, message)


# --- whatever comes


keys = st.binary(max_size=4)
numbers = st.integers(-1, 2**63)
operations = st.one_of(st.builds(Put, keys, keys), st.builds(Delete, keys), st.builds(Get, keys))
requests: st.SearchStrategy[Request] = st.one_of(
    st.builds(Put, keys, keys, st.none() | numbers, st.booleans(), numbers, numbers, numbers),
    st.builds(Delete, keys, st.none() | numbers, st.booleans(), numbers, numbers),
    st.builds(Get, keys, st.booleans(), numbers),
    st.builds(Range, keys, keys, st.none() | keys, numbers, numbers, st.booleans(), st.booleans()),
    st.builds(Batch, st.lists(operations, max_size=3).map(tuple)),
    st.just(ClusterStatus()),
)
bodies = st.one_of(requests.map(encode), st.binary(max_size=40))
headers = st.one_of(
    st.just(HEADER), st.builds(RequestHeader, numbers, keys, numbers).map(encode), st.binary(max_size=9)
)
frames = st.one_of(st.just(b""), st.just(HEADER), headers, bodies)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(header=headers, pairs=st.lists(st.tuples(st.binary(max_size=20), bodies), min_size=1, max_size=4))
def test_every_request_in_whole_frames_has_one_answer(gateway: Gateway, header: bytes, pairs: list[Pair]) -> None:
    client = gateway.connect()
    ask(client, *pairs, header=header)
    answers: list[bytes] = []

    def are_answered() -> bool:
        gateway.turn(answer=b"answer")
        while client.poll(0):
            answers.extend(request for request, _ in receive(client))
        return len(answers) >= len(pairs)

    wait_until(are_answered, WAIT_S, "the answers")
    assert sorted(answers) == sorted(request[:16] for request, _ in pairs)
    client.close(0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(message=st.lists(frames, min_size=1, max_size=6))
def test_no_frames_whatsoever_do_any_harm(gateway: Gateway, message: Frames) -> None:
    client = gateway.connect()
    client.send_multipart(message)
    answers: list[Frames] = []

    def is_answered() -> bool:
        gateway.turn(answer=b"answer")
        while client.poll(0):
            answers.append(client.recv_multipart())
        return bool(answers)

    wait_until(is_answered, WAIT_S, "an answer")
    assert all(answer[:2] == [b"", b"header"] for answer in answers)
    client.close(0)
