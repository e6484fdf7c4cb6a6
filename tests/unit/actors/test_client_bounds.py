"""The bounds of what a gateway takes from its clients, and keeps for them."""

import itertools
import socket

import pytest
import zmq

from tests.unit.actors.clients_stage import (
    GET,
    LIMITS,
    WAIT_S,
    Gateway,
    ask,
    connections,
    error,
    receive,
)
from tests.waiting import wait_until
from zraft.actors import clients as module
from zraft.actors.clients import SHARE_BYTES_MIN, UNREAD, UNREAD_SECONDS
from zraft.errors import ResourceExhausted
from zraft.protocol import codec
from zraft.protocol.responses import ErrorResult


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


def test_what_is_kept_for_all_clients_is_bounded_by_those_that_keep_most(gateway: Gateway) -> None:
    deafen(gateway)
    assert gateway.turn()
    clients = gateway.clients
    ((greedy, unsent),) = clients._outbox.items()
    assert (clients._kept, clients._keepers) == (unsent.size, 1)
    unsent.size, clients._unread_max = 20 << 20, 1 << 30
    clients._outbox[b"modest"] = module._Unsent([], SHARE_BYTES_MIN, 0.0)
    for kept, is_full in ((16 << 20, False), (17 << 20, True)):
        clients._all_unread_max, clients._kept, clients._keepers = 16 << 20, kept, 2
        assert (clients.is_full(greedy), clients.is_full(b"modest")) == (is_full, False)


def test_what_is_kept_for_a_client_is_bounded_whatever_it_asks(gateway: Gateway) -> None:
    deaf = deafen(gateway)
    junk = [(bytes(16), b"") for _ in range(1_000)]
    bound = 2 * LIMITS.client_bytes

    def kept() -> int:
        return sum(one.size for one in gateway.clients._outbox.values())

    def is_at_bound() -> bool:
        ask(deaf, *junk)
        gateway.turn()
        return kept() > bound

    wait_until(is_at_bound, WAIT_S * 6, "the bound of what is kept")
    for _ in range(20):
        is_at_bound()
    assert kept() < bound + 1_000


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
