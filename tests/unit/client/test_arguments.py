"""What a program may pass, and what it is told otherwise: before anything is sent."""

from array import array
from collections.abc import Callable
from typing import Any

import pytest

from zraft import Client, InvalidArgument
from zraft.client import operations
from zraft.client.arguments import (
    MEMBER_ID_MAX,
    TIMEOUT_S_MAX,
    body_of,
    bytes_of,
    change_of,
    compact_of,
    endpoints_of,
    is_serializable,
    seconds_of,
    transfer_of,
)
from zraft.client.operations import batch_of
from zraft.protocol import codec
from zraft.protocol.requests import (
    KEY_BYTES_MAX,
    REQUEST_BYTES_MAX,
    Batch,
    ChangeMember,
    Compact,
    Delete,
    Get,
    Put,
    Request,
    TransferLeadership,
)

PUT_OVERHEAD_BYTES = len(codec.encode(Put(b"k", bytes(REQUEST_BYTES_MAX)))) - REQUEST_BYTES_MAX


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("a:1", ("a:1",)),
        ("a:1, b:2,a:1", ("a:1", "b:2")),
        (["[::1]:1", "b:2"], ("[::1]:1", "b:2")),
    ],
)
def test_endpoints_come_as_text_or_as_a_list(given: str | list[str], taken: tuple[str, ...]) -> None:
    assert endpoints_of(given) == taken


@pytest.mark.parametrize("given", ["", "a", "a:", ":1", "a:0", "a:x", "a:1,,b:2", "tcp://", []])
def test_what_is_no_endpoint_is_refused(given: str | list[str]) -> None:
    with pytest.raises(InvalidArgument, match="host:port"):
        endpoints_of(given)


def test_without_endpoints_the_environment_is_asked_and_then_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZRAFT_ENDPOINTS", "a:1,b:2")
    with Client() as client:
        assert client.endpoints == ("a:1", "b:2")
    monkeypatch.delenv("ZRAFT_ENDPOINTS")
    with Client() as client:
        assert client.endpoints == ("127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083", "127.0.0.1:8080")


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_out_is_a_number_of_seconds_above_zero(timeout: float) -> None:
    with pytest.raises(InvalidArgument, match="timeout"):
        Client("a:1", timeout=timeout)


@pytest.mark.parametrize("timeout", [86_400.5, 86_401, 1e8, 1e17, 1e300, pytest.param(10**5_000, id="10**5000")])
def test_a_time_out_is_a_day_at_most(timeout: float) -> None:
    # Longer ones overflow where the time is counted in milliseconds, for a write when it has been sent already.
    with pytest.raises(InvalidArgument, match="must be a number of seconds above 0 and up to 86,400"):
        Client("a:1", timeout=timeout)


@pytest.mark.parametrize("timeout", [TIMEOUT_S_MAX, 1])
def test_a_time_out_is_counted_with_as_a_float(timeout: float) -> None:
    found = seconds_of(timeout)
    assert (found, type(found)) == (timeout, float)


def test_text_is_utf_8() -> None:
    assert [bytes_of("größe", "a key"), bytes_of(b"\xff\x00", "a key")] == ["größe".encode(), b"\xff\x00"]


def test_a_batch_is_of_operations_in_the_clients_words() -> None:
    put, delete = operations.Put("k", bytearray(b"v"), 3), operations.Delete(memoryview(b"k"), expected_revision=4)
    assert batch_of([put, delete], "linearizable") == Batch((Put(b"k", b"v", 3), Delete(b"k", 4)))
    reads = [operations.Get("k"), operations.Get(b"l", revision=7)]
    for consistency, is_local in (("linearizable", False), ("serializable", True)):
        assert batch_of(reads, consistency) == Batch((Get(b"k", is_local), Get(b"l", is_local, 7)))


def test_an_error_says_which_operation_of_a_batch_is_wrong() -> None:
    good = operations.Put("k", "v")
    with pytest.raises(InvalidArgument, match=r"^operation 1: a value must be bytes or str, not NoneType$"):
        batch_of([good, operations.Put("k", None), good], "linearizable")  # type: ignore[arg-type]


def test_bytes_may_come_in_any_form_and_are_taken_as_they_are_now() -> None:
    value = bytearray(b"value")
    taken = [bytes_of(value, "a value"), bytes_of(memoryview(value)[::2], "a value")]
    value[:] = b"other"
    assert taken == [b"value", b"vle"]
    assert {type(one) for one in taken} == {bytes}


def test_what_is_derived_from_bytes_is_taken_as_bytes() -> None:
    class Name(bytes):
        pass

    assert type(bytes_of(Name(b"k"), "a key")) is bytes
    assert body_of(Put(bytes_of(Name(b"k"), "a key"), b"v")) == body_of(Put(b"k", b"v"))


def test_a_memoryview_of_larger_items_is_an_invalid_argument() -> None:
    with pytest.raises(InvalidArgument, match="a key of items of 8 bytes depends on the machine"):
        bytes_of(memoryview(b"12345678").cast("Q"), "a key")


def test_a_memoryview_that_was_released_is_an_invalid_argument() -> None:
    released = memoryview(b"k")
    released.release()
    with pytest.raises(InvalidArgument, match="released"):
        bytes_of(released, "a key")


@pytest.mark.parametrize(
    "make",
    [
        lambda: bytes_of(1, "a key"),  # type: ignore[arg-type]
        lambda: bytes_of(None, "a value"),  # type: ignore[arg-type]
        lambda: bytes_of("\ud800", "a key"),
        lambda: batch_of([operations.Put(1, b"")], "linearizable"),  # type: ignore[arg-type]
        lambda: batch_of(["k"], "linearizable"),  # type: ignore[list-item]
        lambda: batch_of([Put(b"k", b"v")], "linearizable"),  # type: ignore[list-item]
        lambda: batch_of([operations.Put("k", "v")], "eventual"),
        lambda: is_serializable("eventual"),
    ],
)
def test_a_wrong_type_or_name_is_an_invalid_argument(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidArgument):
        make()


WRONG: list[Callable[[Any], object]] = [
    lambda client: client.put(1, "v"),
    lambda client: client.put("k", 1.5),
    lambda client: client.put("k", [1]),
    lambda client: client.put("k", array("b", [1])),  # what its bytes are depends on the machine
    lambda client: client.put("k", "v", expected_revision="3"),
    lambda client: client.put("k", "v", expected_revision=True),
    lambda client: client.get(None),
    lambda client: client.get("k", revision="3"),
    lambda client: client.get("k", consistency=["linearizable"]),
    lambda client: client.delete("k", expected_revision=2.5),
    lambda client: client.range(limit="3"),
    lambda client: client.range(limit=2.5),
    lambda client: client.range(limit=True),
    lambda client: client.range(prefix="p" * 500),
    lambda client: client.range(revision=-1),
    lambda client: client.range(end=b""),
    lambda client: client.batch(operations.Put("k", "v")),
    lambda client: client.batch(None),
    lambda client: client.batch([operations.Put("k", "v", expected_revision="3")]),  # type: ignore[arg-type]
    lambda client: client.batch([operations.Get("k", revision="3")]),  # type: ignore[arg-type]
    lambda client: client.batch([operations.Get("k")], consistency="eventual"),
    lambda client: client.pipeline().put("k", "v", expected_revision="3").execute(),
    lambda client: client.compact("3"),
    lambda client: client.transfer_leadership(5),
    lambda client: client.transfer_leadership(endpoint=5),
    lambda client: client.add_member(5),
    lambda client: client.add_member("n", 5),
    lambda client: client.add_member("n", member="x"),
    lambda client: client.promote_member(None),
    lambda client: client.status(7),
    lambda _: Client(7),  # type: ignore[arg-type]
    lambda _: Client([("127.0.0.1", 1)]),  # type: ignore[list-item]
    lambda _: Client("a:1", timeout="5"),  # type: ignore[arg-type]
    lambda _: Client("a:1", timeout=None),  # type: ignore[arg-type]
    lambda _: Client("a:1", timeout=True),
]


@pytest.mark.parametrize("call", WRONG)
def test_a_wrong_argument_is_an_invalid_argument_at_once(call: Callable[[Any], object]) -> None:
    """Never an error of a lower layer, nor after a connection was tried."""
    with Client("127.0.0.1:1", timeout=60) as client, pytest.raises(InvalidArgument):
        call(client)


INT = r"must be an int within 0\.\.2\^63-1, not"
HUGE = 10**5_000
SAID: list[tuple[Callable[[Any], object], str]] = [
    (lambda client: client.compact("5"), f"a revision {INT} '5'"),
    (lambda client: client.compact(None), f"a revision {INT} None"),
    (lambda client: client.compact(1, resume="no"), "resume must be True or False, not 'no'"),
    (lambda client: client.get("a", revision=2**70), f"a revision {INT} {2**70}"),
    (lambda client: client.get("a", revision=HUGE), f"a revision {INT} one of 16610 bits"),
    (lambda client: client.range(revision=HUGE), f"a revision {INT} one of 16610 bits"),
    (lambda client: client.range(limit=HUGE), rf"a range's limit \(0: all\) {INT} one of 16610 bits"),
    (lambda client: client.put("a", "1", expected_revision=-1), f"an expected revision {INT} -1"),
    (lambda client: client.transfer_leadership(5), "a member's name must be a str, not 5"),
    (lambda client: client.transfer_leadership(False), "a member's name must be a str, not False"),
    (lambda client: client.transfer_leadership(0), "a member's name must be a str, not 0"),
    (lambda client: client.transfer_leadership(b""), "a member's name must be a str, not b''"),
    (lambda client: client.transfer_leadership("\ud800"), "a member's name has no UTF-8 form"),
    (lambda client: client.add_member(None), "a member's name must be a str, not None"),
    (lambda client: client.add_member("n", None), "a member's address must be a str, not None"),
    (lambda client: client.add_member("n", member="x"), r"a member id must be an int within 0\.\.2\^64-1, not 'x'"),
    (lambda client: client.add_member("n", member=1 << 64), r"a member id must be an int within 0\.\.2\^64-1"),
    (lambda client: client.promote_member(7), "a member's name must be a str, not 7"),
    (lambda client: client.promote_member("n", force="no"), "force must be True or False, not 'no'"),
    (lambda client: client.remove_member("n", force=1), "force must be True or False, not 1"),
    (lambda client: client.add_member("n", force=1), "force must be True or False, not 1"),
    (lambda client: client.status(b"a:1"), "an endpoint is a str, host:port, not b'a:1'"),
    (lambda _: Client(b"a:1"), "endpoints are str, host:port, or several of them, not bytes"),  # type: ignore[arg-type]
    (lambda _: Client(memoryview(b"a:1")), "endpoints are str, host:port, or several of them, not memoryview"),
]


@pytest.mark.parametrize(("call", "said"), SAID, ids=[said for _, said in SAID])
def test_who_passes_a_wrong_argument_is_told_what_to_give(call: Callable[[Any], object], said: str) -> None:
    with Client("127.0.0.1:1", timeout=60) as client, pytest.raises(InvalidArgument, match=f"^{said}"):
        call(client)


def test_nobody_named_and_an_unknown_id_are_right_arguments() -> None:
    assert [transfer_of(None), transfer_of(""), transfer_of("n")] == [
        TransferLeadership(),
        TransferLeadership(),
        TransferLeadership("n"),
    ]
    assert change_of("add", "n", "h:1", MEMBER_ID_MAX) == ChangeMember("add", "n", MEMBER_ID_MAX, "h:1")
    assert change_of("remove", "n", force=True) == ChangeMember("remove", "n", force=True)
    assert compact_of(5, resume=True) == Compact(5, resume=True)


@pytest.mark.parametrize(
    "request_",
    [
        Put(b"", b"v"),
        Put(bytes(KEY_BYTES_MAX + 1), b"v"),
        Put(b"k", bytes(REQUEST_BYTES_MAX - PUT_OVERHEAD_BYTES + 1)),
        Put(b"k", b"v", expected_revision=-1),
        Put(b"k", b"v", expected_revision=1 << 70),
        Put(b"k", b"v", expected_revision="1"),  # type: ignore[arg-type]
        Put(b"k", b"v", return_previous=object()),  # type: ignore[arg-type]
        Get(b"k", revision=-1),
        Batch(()),
        Batch((Get(b"k"), Delete(b"k"))),
        Batch((Delete(b"k"),) * 10_001),
    ],
)
def test_a_request_that_a_node_would_refuse_is_never_sent(request_: Request) -> None:
    with pytest.raises(InvalidArgument):
        body_of(request_)


@pytest.mark.parametrize(
    "request_",
    [
        Put(bytes(KEY_BYTES_MAX), b""),
        Put(b"k", bytes(REQUEST_BYTES_MAX - PUT_OVERHEAD_BYTES)),
        Batch((Delete(b"k"),) * 10_000),
    ],
)
def test_a_request_at_the_limit_is_sent_as_it_is(request_: Request) -> None:
    assert codec.decode_request(body_of(request_)) == request_
