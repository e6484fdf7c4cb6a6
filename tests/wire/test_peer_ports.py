"""What a node makes of what strangers send to the ports of its peers: noise, and messages that are well-formed."""

import socket
from typing import Any

import msgspec
import pytest
import zmq
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.waiting import wait_until
from tests.wire.by_schema import ARRIVING, RECORDS
from tests.wire.served import GET, PUT, STATUS, WAIT_MS, WAIT_S, Served, Stranger, pack
from tools import golden
from zraft.protocol.peer import CONTROL_BYTES_MAX, GATEWAY_BYTES_MAX, MESSAGE_BYTES_MAX
from zraft.protocol.responses import StatusResult

pytestmark = pytest.mark.cluster

PLANES = ("control", "data", "gateways")
STRANGER = 4711
STATUS_FIELDS = [field.name for field in msgspec.structs.fields(StatusResult)]
EDGES = [bound + step for bound in (2**31, 2**32, 2**62, 2**63) for step in (-1, 0, 1)] + [2**64 - 1, -1, -(2**63)]


def port_of(served: Served, plane: str) -> int:
    return served.node.settings.peer_port + PLANES.index(plane)


def is_served(stranger: Stranger) -> bool:
    """Whether it takes a write, as soon as it leads again: a term that it did not know ends an office."""
    wait_until(lambda: stranger.ask([PUT, b"still", b"served"])[:2] == [PUT, True], WAIT_S, "a write to be taken")
    return bool(stranger.ask([GET, b"before"])[2] == b"value")


@pytest.fixture(autouse=True)
def before(stranger: Stranger) -> None:
    assert stranger.ask([PUT, b"before", b"value"])[1] is True


# --- noise

values = st.recursive(
    st.one_of(
        st.integers(-(2**63), 2**64 - 1),
        st.binary(max_size=5),
        st.none(),
        st.booleans(),
        st.floats(),
        st.text(max_size=3),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("plane", "most"), [("control", CONTROL_BYTES_MAX), ("data", MESSAGE_BYTES_MAX), ("gateways", GATEWAY_BYTES_MAX)]
)
def test_a_frame_beyond_all_bounds_ends_its_connection_and_nothing_else(
    served: Served, stranger: Stranger, plane: str, most: int
) -> None:
    """Trap 62."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        monitor = dealer.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        dealer.connect(f"tcp://127.0.0.1:{port_of(served, plane)}")
        dealer.send(bytes(most + 1))
        assert monitor.poll(WAIT_MS)
        dealer.disable_monitor()
        monitor.close(0)
    assert is_served(stranger)


@pytest.mark.parametrize("plane", PLANES)
def test_what_is_not_zeromq_at_all_does_no_harm(served: Served, stranger: Stranger, plane: str) -> None:
    before = served.roster()
    for noise in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(1000), b"\xff" * 1000):
        with socket.create_connection(("127.0.0.1", port_of(served, plane))) as connection:
            connection.sendall(noise)
    assert is_served(stranger)
    assert served.roster() == before


@pytest.mark.parametrize("plane", PLANES)
def test_frames_of_any_kind_do_no_harm(served: Served, stranger: Stranger, plane: str) -> None:
    before = served.roster()
    headers = [header(stranger, sender, target=0) for sender in (0, 1, 2**64 - 1)]
    frame = st.one_of(st.sampled_from(headers), values.map(pack), st.binary(max_size=30))
    throw_all(served, plane, st.lists(frame, max_size=4).map(lambda frames: frames or [b""]), 150)
    assert is_served(stranger)
    assert served.roster() == before


@pytest.mark.parametrize("plane", PLANES)
def test_the_golden_refused_frames_are_dropped_unanswered(served: Served, stranger: Stranger, plane: str) -> None:
    before = served.roster()
    ours, theirs = header(stranger, STRANGER, member_of(stranger)), pack([6, 0, 1])
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 1_000)
        dealer.connect(f"tcp://127.0.0.1:{port_of(served, plane)}")
        for line in golden.load("refused_peer.jsonl"):
            frame = bytes.fromhex(line["hex"])
            dealer.send_multipart([frame, theirs] if line["frame"] == "peer_header" else [ours, frame])
        if plane == "control":  # what comes behind them is answered: a heartbeat of a term that is over
            dealer.send_multipart([ours, theirs])
            assert dealer.poll(WAIT_MS)
            assert msgspec.msgpack.decode(dealer.recv_multipart()[1])[:4] == [7, 0, 1, False]
        assert is_served(stranger)
        assert not dealer.poll(0)
    assert served.roster() == before


# --- messages as they should be, but for who sends them, and what they say


def of_type(alternatives: list[Any]) -> st.SearchStrategy[Any]:
    """A value of one of the types of a field, as the schemas name them."""
    return st.one_of([_of_one(one) for one in alternatives])


def _of_one(one: Any) -> st.SearchStrategy[Any]:
    if isinstance(one, dict):
        return st.lists(of_type(one["array_of"]), max_size=3)
    plain: dict[str, st.SearchStrategy[Any]] = {
        "nil": st.none(),
        "bool": st.booleans(),
        "int": st.one_of(st.integers(0, 8), st.sampled_from(EDGES)),
        "bytes": st.one_of(st.just(b""), st.binary(max_size=60), st.just(bytes(45))),
        "str": st.one_of(st.sampled_from(["", "node-1"]), st.text(max_size=5)),
    }
    return plain[one] if one in plain else of_record(one)


def of_record(name: str) -> st.SearchStrategy[list[Any]]:
    """An array of the fields of a message, or of what stands within one."""
    record = RECORDS[name]
    tag = [] if record["tag"] is None else [st.just(record["tag"])]
    return st.tuples(*tag, *(of_type(field["type"]) for field in record["fields"])).map(list)


@pytest.mark.parametrize("plane", PLANES)
def test_messages_that_say_anything_leave_the_data_and_the_service(
    served: Served, stranger: Stranger, plane: str
) -> None:
    """Nor does any process end, not even when another one says to lead the term that this node leads."""
    before = served.roster()
    headers = [header(stranger, sender, member_of(stranger)) for sender in (STRANGER, 0, member_of(stranger))]
    body = st.one_of([of_record(name) for name in ARRIVING[plane]]).map(pack)
    throw_all(served, plane, st.tuples(st.sampled_from(headers), body).map(list), 600)
    assert is_served(stranger)
    assert [line for line in served.node.log().splitlines() if " level=error " in line] == []
    assert served.roster() == before


def member_of(stranger: Stranger) -> int:
    answer = stranger.ask([STATUS])
    return int(dict(zip(STATUS_FIELDS, answer[1:], strict=False))["member_id"], 16)


def header(stranger: Stranger, sender: int, target: int) -> bytes:
    stranger.ask([STATUS])
    return pack([1, stranger.header[1], sender, target, 0])


def throw_all(served: Served, plane: str, messages: st.SearchStrategy[list[bytes]], count: int) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 1_000)
        dealer.connect(f"tcp://127.0.0.1:{port_of(served, plane)}")

        @settings(max_examples=count, suppress_health_check=[HealthCheck.too_slow])
        @given(messages)
        def throw(frames: list[bytes]) -> None:
            dealer.send_multipart(frames)

        throw()
