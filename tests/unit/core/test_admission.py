"""Admission: what clients may have in flight, of one and of all."""

from collections import Counter

import pytest
from hypothesis import given, strategies as st

from zraft.core.admission import Admission, Limits

LIMITS = Limits(client_requests=3, client_bytes=100, gateway_requests=5, gateway_bytes=250)


@pytest.fixture
def admission() -> Admission:
    return Admission(LIMITS)


def test_requests_of_a_client_are_bounded(admission: Admission) -> None:
    assert [admission.admit(b"a", 1) for _ in range(4)] == [
        "",
        "",
        "",
        "this client has 3 requests in flight: wait for answers",
    ]
    assert admission.admit(b"b", 1) == ""


def test_bytes_of_a_client_are_bounded(admission: Admission) -> None:
    assert admission.admit(b"a", 60) == ""
    assert admission.admit(b"a", 41) == "this client has 60 bytes in flight: wait for answers"
    assert admission.admit(b"a", 40) == ""
    assert admission.admit(b"b", 60) == ""


def test_requests_of_all_clients_are_bounded(admission: Admission) -> None:
    for client in (b"a", b"a", b"a", b"b", b"b"):
        assert admission.admit(client, 1) == ""
    assert admission.admit(b"c", 1) == "the node has 5 requests, 5 bytes in flight: try again later"


def test_bytes_of_all_clients_are_bounded(admission: Admission) -> None:
    for client in (b"a", b"b"):
        assert admission.admit(client, 100) == ""
    assert admission.admit(b"c", 51) == "the node has 2 requests, 200 bytes in flight: try again later"
    assert admission.admit(b"c", 50) == ""


def test_a_request_larger_than_the_bound_is_let_in_alone(admission: Admission) -> None:
    assert admission.admit(b"a", 1000) == ""
    assert admission.admit(b"a", 1) == "this client has 1000 bytes in flight: wait for answers"
    admission.release(b"a", 1000)
    assert admission.admit(b"a", 1000) == ""


def test_an_answer_makes_room(admission: Admission) -> None:
    for _ in range(3):
        admission.admit(b"a", 30)
    assert admission.admit(b"a", 30) != ""
    admission.release(b"a", 30)
    assert admission.admit(b"a", 30) == ""
    assert (admission.requests, admission.bytes) == (3, 90)


def test_what_was_refused_is_not_counted(admission: Admission) -> None:
    admission.admit(b"a", 90)
    admission.admit(b"a", 90)
    assert (admission.requests, admission.bytes) == (1, 90)


Step = tuple[bytes, int, bool]
steps = st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(0, 120), st.booleans()), max_size=60)


@given(steps)
def test_no_bound_is_exceeded_by_whatever_order(steps: list[Step]) -> None:
    admission = Admission(LIMITS)
    flying: list[tuple[bytes, int]] = []
    for client, size, answer in steps:
        if answer and flying:
            admission.release(*flying.pop(0))
        elif not admission.admit(client, size):
            flying.append((client, size))
        requests = Counter(client for client, _ in flying)
        for client in requests:
            held = [size for other, size in flying if other == client]
            assert len(held) <= LIMITS.client_requests
            assert sum(held) <= LIMITS.client_bytes or len(held) == 1
        assert (admission.requests, admission.bytes) == (len(flying), sum(size for _, size in flying))
        assert admission.requests <= LIMITS.gateway_requests
        assert admission.bytes <= LIMITS.gateway_bytes
    for client, size in flying:
        admission.release(client, size)
    assert vars(admission) == vars(Admission(LIMITS)), "a client without anything in flight costs no memory"
