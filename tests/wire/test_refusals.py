"""What a node makes of requests that are wrong, and of frames that are none: an answer, and no harm."""

import socket
from typing import Any, get_args

import pytest
import zmq
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.wire.served import (
    BATCH,
    DELETE,
    GET,
    PUT,
    RANGE,
    STATUS,
    VERSION_1,
    WAIT_MS,
    Served,
    Stranger,
    error_code,
    pack,
)
from zraft.actors.process import ProcessStats
from zraft.protocol.requests import PROTOCOL_VERSION, REQUEST_BYTES_MAX
from zraft.protocol.responses import Response

pytestmark = pytest.mark.cluster

KEY = bytes(400)
MIB = 1 << 20
FLOOD_CONNECTIONS, FLOOD_MESSAGES = 40, 100
FLOOD_GROWTH_BYTES = 8 * MIB
ANSWERS = {answer.__struct_config__.tag for answer in get_args(Response)}
FLOODS_MAX = 8
"""The four floods that are looked at send some 20 MiB."""


def is_served(stranger: Stranger) -> bool:
    answer = stranger.ask([PUT, b"still", b"served"])
    return bool(answer[:2] == [PUT, True])


# --- requests that are wrong


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (b"", "malformed request"),
        (b"\xc1", "malformed request"),
        (b"nonsense", "malformed request"),
        (b"\x93\x01\xc4\x01k", "malformed request"),
        (b"\x92\x03\xdd\xff\xff\xff\xff", "malformed request"),
        (b"\x91" * 5_000, "malformed request"),
        (pack([STATUS]) + b"\x00", "malformed request"),
        ({"key": b"k"}, "malformed request"),
        ([99], "malformed request"),
        ([PUT], "malformed request"),
        ([PUT, "text", b"v"], "malformed request"),
        ([PUT, b"k", 7], "malformed request"),
        ([PUT, b"k", b"v", None, False, 0, 0, 0, "a field of the future"], "malformed request"),
        ([PUT, b"", b"v"], "a key has 1 to 400 bytes, this one has 0"),
        ([PUT, bytes(401), b"v"], "a key has 1 to 400 bytes, this one has 401"),
        ([DELETE, bytes(401)], "a key has 1 to 400 bytes, this one has 401"),
        ([GET, b""], "a key has 1 to 400 bytes, this one has 0"),
        ([PUT, b"k", b"v", -1], "a revision is within 0..2^63-1, this one is -1"),
        ([GET, b"k", False, 2**63], "a revision is within 0..2^63-1"),
        ([PUT, b"k", b"v", None, False, 1], "session, sequence and lease are reserved"),
        ([PUT, b"k", b"v", None, False, 0, 1], "session, sequence and lease are reserved"),
        ([PUT, b"k", b"v", None, False, 0, 0, 1], "session, sequence and lease are reserved"),
        ([DELETE, b"k", None, False, 1], "session and sequence are reserved"),
        ([DELETE, b"k", None, False, 0, 1], "session and sequence are reserved"),
        ([BATCH, []], "a batch has 1 to 10000 operations, this one has 0"),
        ([BATCH, [[PUT, b"k", b"v"]] * 10_001], "a batch has 1 to 10000 operations, this one has 10001"),
        ([BATCH, [[PUT, b"k", b"v"], [GET, b"k"]]], "a batch is all writes or all Gets"),
        ([BATCH, [[GET, b"k"], [GET, b"k", True]]], "all linearizable or all serializable"),
        ([BATCH, [[PUT, b"k", b"v"], [PUT, b"", b"v"]]], "operation 1: a key has 1 to 400 bytes"),
        ([BATCH, [[DELETE, b"k", None, True]]], "operation 0: the previous value is returned to single commands only"),
        ([BATCH, [[BATCH, [[PUT, b"k", b"v"]]]]], "malformed request"),
        ([RANGE, b"", b"", None, 10_001], "a range's limit is within 0..10000"),
        ([RANGE, b"", b"", None, -1], "a range's limit is within 0..10000"),
        ([RANGE, bytes(402)], "the bounds of a range have up to 401 bytes"),
        (bytes(REQUEST_BYTES_MAX + 1), "a request has up to 1572864 bytes, this one has 1572865: split it"),
    ],
)
def test_a_wrong_request_is_refused_and_told_why(stranger: Stranger, request_: Any, said: str) -> None:
    answer = stranger.ask(request_)
    assert error_code(answer) == "InvalidArgument"
    assert said in answer[2]
    assert is_served(stranger)


def test_what_is_just_within_the_limits_is_served(stranger: Stranger) -> None:
    room = REQUEST_BYTES_MAX - len(pack([PUT, KEY, bytes(MIB)])) + MIB
    largest = pack([PUT, KEY, bytes(room)])
    assert len(largest) == REQUEST_BYTES_MAX
    assert stranger.ask(largest)[:2] == [PUT, True]
    assert stranger.ask([GET, KEY])[2] == bytes(room)
    assert stranger.ask([RANGE, KEY, b"", KEY + b"\x00"])[1][0][0] == KEY


# --- headers


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"\x91\x02", f"this node speaks protocol version {PROTOCOL_VERSION}, not 2"),
        (b"\x91\x00", f"this node speaks protocol version {PROTOCOL_VERSION}, not 0"),
        (b"\x92\x01\xc4\x10" + b"z" * 16, f"not to {(b'z' * 16).hex()}"),
        (b"\x92\x01\xc4\x01x", "not to 78"),
        (b"\x93\x01\xc4\x00\xff", "timeout_ms is 0, for the node's own, or more; this one is -1"),
        (b"", "undecodable message of 0 bytes"),
        (b"\x90", "undecodable message"),
        (b"hello", "undecodable message"),
        (b"\x91" * 200, "undecodable message"),
        (bytes(1000), "a header has up to 256 bytes, this one has 1000"),
    ],
)
def test_a_wrong_header_is_told_under_each_requests_name(stranger: Stranger, header: bytes, said: str) -> None:
    stranger.send([STATUS], [GET, b"k"], header=header)
    answers = stranger.receive_all(2)
    assert [name for name, _ in answers] == [b"1", b"2"]
    for _, answer in answers:
        assert error_code(answer) == "ProtocolError"
        assert said in answer[2]
    assert is_served(stranger)


def test_the_right_cluster_is_served(stranger: Stranger) -> None:
    stranger.ask([STATUS])
    cluster = stranger.header[1]
    for known in (cluster, b"", bytes(16)):  # nothing, or zeros: any
        assert stranger.ask([STATUS], header=pack([1, known]))[0] == STATUS
    assert stranger.ask([STATUS], header=pack([1, cluster, 0, "a field of the future"]))[0] == STATUS


# --- frames


@pytest.mark.parametrize(
    "frames",
    [
        (b"",),
        (b"", VERSION_1),
        (b"", VERSION_1, b"id"),
        (b"", VERSION_1, b"id", b"\x91\x06", b"odd"),
        (VERSION_1, b"id", b"\x91\x06"),
        (VERSION_1, b"id", b"\x91\x06", b"x"),
        (b"x",),
        (b"",) * 101,
    ],
    ids=lambda frames: f"{len(frames)} frames",
)
def test_frames_that_are_no_pairs_are_answered_without_a_name(stranger: Stranger, frames: tuple[bytes, ...]) -> None:
    stranger.send_frames(*frames)
    ((name, answer),) = stranger.receive()
    assert (name, error_code(answer)) == (b"", "ProtocolError")
    assert answer[2] == "frames must be: empty, header, then pairs of request id and body"
    assert is_served(stranger)


@pytest.mark.parametrize("frames", [(b"",), (VERSION_1,), (VERSION_1, b"id"), (VERSION_1, b"id", b"?")])
def test_a_req_is_never_left_in_silence(served: Served, frames: tuple[bytes, ...]) -> None:
    with Stranger(served, zmq.REQ) as req:
        req.socket.send_multipart(frames)
        ((_, answer),) = req.receive()
        assert error_code(answer) in ("ProtocolError", "InvalidArgument")


def test_a_long_name_is_refused_and_its_beginning_comes_back(stranger: Stranger) -> None:
    body = pack([STATUS])
    stranger.send_frames(b"", VERSION_1, b"0123456789abcdefX", body, b"0123456789abcdef", body)
    answers: list[tuple[bytes, Any]] = []
    while len(answers) < 2:
        answers += stranger.receive()
    (long, refused), (short, status) = sorted(answers, key=lambda pair: pair[1][0] == STATUS)
    assert (long, short, status[0]) == (b"0123456789abcdef", b"0123456789abcdef", STATUS)
    assert error_code(refused) == "ProtocolError"
    assert refused[2] == "a request id has up to 16 bytes, this one has 17"


def test_a_frame_beyond_all_bounds_ends_its_connection_and_nothing_else(served: Served, stranger: Stranger) -> None:
    """Trap 62."""
    with Stranger(served) as other:
        monitor = other.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        other.send(bytes((64 << 20) + 1))
        assert monitor.poll(WAIT_MS)
        monitor.close(0)
    assert is_served(stranger)


def test_what_is_not_zeromq_at_all_does_no_harm(served: Served, stranger: Stranger) -> None:
    for noise in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(1000), b"\xff" * 1000):
        with socket.create_connection(("127.0.0.1", served.node.settings.port)) as connection:
            connection.sendall(noise)
    assert is_served(stranger)


# --- fuzz

VALID = [
    [PUT, b"fuzz", b"value"],
    [PUT, b"fuzz", b"value", 0, True, 0, 0, 0],
    [DELETE, b"fuzz", None, True],
    [BATCH, [[PUT, b"fuzz", b"1"], [DELETE, b"fuzz"]]],
    [BATCH, [[GET, b"fuzz"], [GET, b"fuzz", False, 1]]],
    [GET, b"fuzz", True],
    [RANGE, b"f", b"", None, 2, 0, False, True],
    [STATUS],
]
numbers = st.one_of(st.integers(0, 8), st.integers(-(2**63), 2**64 - 1))
values = st.recursive(
    st.one_of(numbers, st.binary(max_size=5), st.none(), st.booleans(), st.floats(), st.text(max_size=3)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=8,
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A valid request with some bytes changed, cut out or doubled."""
    body = bytearray(pack(draw(st.sampled_from(VALID))))
    for _ in range(draw(st.integers(0, 3))):
        if body:
            at = draw(st.integers(0, len(body) - 1))
            body[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(body)


bodies = st.one_of(damaged(), values.map(pack), st.binary(max_size=50))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
@given(body=bodies)
def test_every_body_has_one_answer(stranger: Stranger, body: bytes) -> None:
    answer = stranger.ask(body)
    assert answer[0] in ANSWERS  # a few bodies are requests by chance, [8, 8] a Compact


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(frames=st.lists(st.one_of(st.just(b""), st.just(VERSION_1), bodies), min_size=1, max_size=6))
def test_all_frames_have_an_answer(stranger: Stranger, frames: list[bytes]) -> None:
    stranger.send_frames(*frames)
    stranger.receive()
    while stranger.socket.poll(0):
        stranger.receive()


@pytest.mark.parametrize("port", ["client", "control", "data", "gateways"])
def test_a_flood_of_nonsense_leaves_memory_as_it_was(served: Served, stranger: Stranger, port: str) -> None:
    node = served.node.settings
    ports = {"client": node.port, "control": node.peer_port, "data": node.peer_port + 1, "gateways": node.peer_port + 2}
    nonsense = [b"", VERSION_1, *(pack(value) for value in ([1], [2, b"x"], {"a": 1}, -5)), bytes(1_000)]

    def flood() -> None:
        """From many connections, each of which the node has never seen."""
        with zmq.Context() as context:
            for number in range(FLOOD_CONNECTIONS):
                with context.socket(zmq.DEALER) as dealer:
                    dealer.setsockopt(zmq.LINGER, 1_000)
                    dealer.connect(f"tcp://127.0.0.1:{ports[port]}")
                    for at in range(FLOOD_MESSAGES):
                        dealer.send_multipart([nonsense[(number + at + turn) % len(nonsense)] for turn in range(4)])

    def resident() -> int:
        found = [ProcessStats.of(pid) for pid in served.roster().actors.values()]
        return sum(stats.resident_bytes for stats in found if stats)

    def grows() -> bool:
        before = resident()
        for _ in range(4):
            flood()
            assert is_served(stranger)
        return resident() >= before + FLOOD_GROWTH_BYTES

    # A backlog that is larger than any before stays with the allocator. What leaks grows with each flood.
    assert not all(grows() for _ in range(FLOODS_MAX))
