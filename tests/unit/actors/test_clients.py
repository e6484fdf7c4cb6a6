"""The gateway's side of its clients, over real sockets: what is asked, what is refused, what is kept for whom."""

import itertools
import socket
from collections.abc import Callable, Iterator

import pytest
import zmq
from hypothesis import HealthCheck, given, settings, strategies as st
from prometheus_client import REGISTRY

from tests.unit.actors.kept import KeptSockets
from tests.waiting import wait_until
from zraft.actors import clients as module, metrics
from zraft.actors.clients import UNREAD, UNREAD_SECONDS, Ask, Clients
from zraft.actors.logs import Log
from zraft.actors.sockets import Frames
from zraft.core.admission import Limits
from zraft.errors import InvalidArgument, ProtocolError, ResourceExhausted, Unavailable
from zraft.protocol import codec
from zraft.protocol.client import (
    PROTOCOL_VERSION,
    Batch,
    BatchResult,
    ClusterStatus,
    Delete,
    ErrorInfo,
    ErrorResult,
    Get,
    GetResult,
    Put,
    PutResult,
    Range,
    Request,
    RequestHeader,
    Response,
)
from zraft.protocol.codec import encode, response

WAIT_S, WAIT_MS = 10.0, 10_000
HEADER = encode(RequestHeader(PROTOCOL_VERSION))
CLUSTER = b"0123456789abcdef"
LIMITS = Limits(client_requests=8, client_bytes=1 << 20, gateway_requests=100, gateway_bytes=1 << 30)
TIMEOUT_S = 5.0
GET = encode(Get(b"k"))
Pair = tuple[bytes, bytes]


class Gateway:
    """All of a gateway but its work: requests end up in ``asked``."""

    def __init__(self) -> None:
        self.asked: list[Ask] = []
        self.sockets = KeptSockets()
        self.clients = Clients(
            self.sockets, ("127.0.0.1", 0), LIMITS, TIMEOUT_S, self.asked.append, Log("node-1", "gateway")
        )
        self.endpoint = self.clients.socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._context = zmq.Context()
        self._kept: list[zmq.Socket[bytes]] = []  # closed at the end, by the context

    def connect(self, kind: int = zmq.DEALER, **options: int) -> zmq.Socket[bytes]:
        client = self._context.socket(kind)
        self._kept.append(client)
        for name, value in options.items():
            client.setsockopt(getattr(zmq, name), value)
        client.connect(self.endpoint)
        return client

    def turn(self, now: float = 0.0, answer: bytes | None = None) -> bool:
        """Take what has come, answer it, send what can be sent; whether something had to be kept."""
        self.clients.take({self.clients.socket: zmq.POLLIN, self.clients.monitor: zmq.POLLIN}, now)
        if answer is not None:
            for ask in self.asked:
                self.clients.tell(ask.caller, answer, now)
            self.asked.clear()
        return self.clients.flush(lambda: b"header", now)

    def turns_until(self, condition: Callable[[], object], what: str) -> None:
        def try_again() -> object:
            self.turn()
            return condition()

        wait_until(try_again, WAIT_S, what)

    def close(self) -> None:
        self._context.destroy(0)
        self.clients.close()
        self.sockets.close()


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    monkeypatch.setattr(module, "tcp", lambda host, _: f"tcp://{host}:*")
    gateway = Gateway()
    yield gateway
    gateway.close()


def ask(client: zmq.Socket[bytes], *pairs: Pair, header: bytes = HEADER) -> None:
    client.send_multipart([b"", header, *(frame for pair in pairs for frame in pair)])


def receive(client: zmq.Socket[bytes]) -> list[Pair]:
    """The pairs of one message."""
    assert client.poll(WAIT_MS), "no answer"
    empty, header, *frames = client.recv_multipart()
    assert (empty, header) == (b"", b"header")
    return list(zip(frames[::2], frames[1::2], strict=True))


def error(body: bytes) -> ErrorResult:
    result = response.decode(body)
    assert isinstance(result, ErrorResult)
    return result


def connections(gateway: Gateway) -> int:
    return len(gateway.clients._connections)


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
    ("timeout_ms", "seconds"), [(0, TIMEOUT_S), (-1, TIMEOUT_S), (250, 0.25), (10**9, 600.0), (2**63, 600.0)]
)
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


# --- bounds


def test_a_bound_of_requests_in_flight_is_told(gateway: Gateway) -> None:
    client = gateway.connect()
    ask(client, *((b"%d" % number, GET) for number in range(LIMITS.client_requests + 1)))
    gateway.turns_until(lambda: client.poll(0), "the refusal")
    ((request, body),) = receive(client)
    reason = "this client has 8 requests in flight: wait for answers"
    assert (request, error(body)) == (b"8", ErrorResult(ResourceExhausted.code, reason))
    gateway.turn(answer=b"answer")
    receive(client)
    ask(client, (b"again", GET))
    gateway.turns_until(lambda: gateway.asked, "another request")


def test_what_is_beyond_a_bound_is_refused_before_it_is_taken_apart(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = gateway.connect()
    ask(client, *((b"%d" % number, GET) for number in range(LIMITS.client_requests)))
    gateway.turns_until(lambda: len(gateway.asked) == LIMITS.client_requests, "the requests")
    monkeypatch.setattr(codec, "decode_request", None)
    ask(client, (b"more", GET))
    gateway.turns_until(lambda: client.poll(0), "the refusal")
    ((request, body),) = receive(client)
    assert (request, error(body).code) == (b"more", ResourceExhausted.code)


def test_what_is_refused_for_its_content_holds_no_place(gateway: Gateway) -> None:
    client = gateway.connect()
    for number in range(2 * LIMITS.client_requests):
        ask(client, (b"%d" % number, b"nonsense"))
        gateway.turns_until(lambda: client.poll(0), "the refusal")
        ((_, body),) = receive(client)
        assert error(body).code != ResourceExhausted.code
    assert gateway.clients.in_flight == 0


def test_a_turn_takes_in_so_many_bytes_and_no_more(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAIN_BYTES", 2 * len(GET))
    client = gateway.connect()
    for number in range(4):
        ask(client, (b"%d" % number, GET))
    seen: list[int] = []

    def all_have_come() -> bool:
        seen.append(len(gateway.asked))
        return len(gateway.asked) == 4

    gateway.turns_until(all_have_come, "all of them")
    assert max(after - before for before, after in itertools.pairwise([0, *seen])) <= 2


def deafen(gateway: Gateway) -> zmq.Socket[bytes]:
    """A client that has sent requests, and reads none of its answers: its bound is exceeded."""
    client = gateway.connect(RCVHWM=1, RCVBUF=4096)
    large = bytes(127 << 10)  # all 8 may be answered in one turn, and must not go beyond twice the bound

    def is_full() -> bool:
        ask(client, (b"1", GET))
        gateway.turn(answer=large)
        return any(gateway.clients.is_full(route) for route in gateway.clients._outbox)

    wait_until(is_full, WAIT_S, "a full outbox")
    return client


def test_a_client_that_reads_no_answers_is_refused_more_and_others_are_served(gateway: Gateway) -> None:
    deaf, other = deafen(gateway), gateway.connect()
    assert gateway.turn()
    (unsent,) = gateway.clients._outbox.values()
    kept = unsent.size
    for _ in range(100):
        ask(deaf, (b"2", GET))
    ask(other, (b"1", GET))
    gateway.turns_until(lambda: gateway.asked, "the other client's request")
    gateway.turn(answer=b"answer")
    assert receive(other) == [(b"1", b"answer")]
    gateway.turns_until(lambda: len(unsent.frames) >= 100, "the refusals")
    assert unsent.size < kept + 100 * 200
    refusals = {error(body) for request, body in zip(unsent.frames[::2], unsent.frames[1::2]) if request == b"2"}  # noqa: B905
    assert refusals == {ErrorResult(ResourceExhausted.code, UNREAD)}


def test_what_is_kept_for_a_client_is_bounded_whatever_it_asks(gateway: Gateway) -> None:
    deaf = deafen(gateway)
    (unsent,) = gateway.clients._outbox.values()
    junk = [(bytes(16), b"") for _ in range(1_000)]
    bound = 2 * LIMITS.client_bytes

    def is_at_bound() -> bool:
        ask(deaf, *junk)
        gateway.turn()
        return unsent.size > bound

    wait_until(is_at_bound, WAIT_S * 3, "the bound of what is kept")
    for _ in range(20):
        is_at_bound()
    assert unsent.size < bound + 1_000


def test_answers_that_nobody_reads_are_dropped_in_the_end(gateway: Gateway) -> None:
    deafen(gateway)
    assert gateway.turn(UNREAD_SECONDS - 1)
    assert not gateway.turn(UNREAD_SECONDS + 1)


def test_large_answers_leave_in_parts_and_in_order(gateway: Gateway) -> None:
    client = gateway.connect()
    ask(client, *((b"%d" % number, GET) for number in range(8)))
    gateway.turns_until(lambda: len(gateway.asked) == 8, "the requests")
    gateway.turn(answer=bytes(700 << 10))
    gateway.turns_until(lambda: client.poll(0), "the answers")
    messages: list[list[bytes]] = []
    while sum(len(message) for message in messages) < 8:
        gateway.turn()
        messages.append([request for request, _ in receive(client)])
    assert messages == [[b"0", b"1"], [b"2", b"3"], [b"4", b"5"], [b"6", b"7"]]


def test_a_client_that_is_gone_is_forgotten_with_its_next_answer(gateway: Gateway) -> None:
    client = gateway.connect()
    ask(client, (b"1", GET))
    gateway.turns_until(lambda: gateway.asked, "the request")
    client.close(0)
    gateway.turns_until(lambda: not connections(gateway), "the end of the connection")
    assert not gateway.turn(answer=b"answer")
    assert (gateway.clients.in_flight, gateway.clients._outbox) == (0, {})


def test_connections_are_counted_whatever_they_say(gateway: Gateway) -> None:
    kept = gateway.connect()
    gateway.turns_until(lambda: connections(gateway) == 1, "one connection")
    port = int(gateway.endpoint.rpartition(":")[2])
    for _ in range(3):  # as a probe of the port does
        socket.create_connection(("127.0.0.1", port)).close()
    ask(kept, (b"1", GET))
    gateway.turns_until(lambda: gateway.asked and connections(gateway) == 1, "the probes to be gone")
    kept.close(0)
    gateway.turns_until(lambda: not connections(gateway), "no connection")


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
