"""The promise (S7), sentence by sentence."""

import pytest

from tests.unit.core.cast import B, C
from zraft.core.promise import Promise

TIMEOUT = 0.150


@pytest.fixture
def promise() -> Promise:
    """Of an actor that started at 10 s with its storage in term 3."""
    promise = Promise(started=10.0, election_timeout_min=TIMEOUT)
    promise.learn(3)
    return promise


def test_no_grant_within_one_time_out_of_the_own_start(promise: Promise) -> None:  # S7
    # A dead incarnation may have acknowledged a leader just before its end.
    assert not promise.may_grant(10.0)
    assert not promise.may_grant(10.149)
    assert promise.may_grant(10.15)


def test_no_grant_within_one_time_out_of_having_heard_a_leader(promise: Promise) -> None:  # S7, traps 8, 39, [D] 4.2.3
    promise.heard(20.0)
    assert not promise.may_grant(20.149)
    assert promise.may_grant(20.0 + TIMEOUT)


def test_hearing_a_leader_never_shortens_a_promise(promise: Promise) -> None:
    promise.heard(20.0)
    promise.heard(19.0)
    assert not promise.may_grant(20.149)


def test_no_leader_below_the_known_term_is_acknowledged(promise: Promise) -> None:  # S7
    assert [promise.acknowledges(term) for term in (2, 3, 4)] == [False, True, True]


def test_from_the_grant_on_no_older_leader_is_acknowledged(promise: Promise) -> None:  # S7
    promise.grant(5, B)
    assert [promise.acknowledges(term) for term in (3, 4, 5)] == [False, False, True]


def test_only_a_refusal_takes_the_promise_back(promise: Promise) -> None:  # S7
    promise.grant(5, B)
    promise.settle(5, B, granted=False, storage_term=3)
    assert promise.acknowledges(3)


def test_a_granted_vote_is_kept_by_storages_term(promise: Promise) -> None:  # S7
    promise.grant(5, B)
    promise.settle(5, B, granted=True, storage_term=5)
    assert (promise.term, promise.acknowledges(4), promise.acknowledges(5)) == (5, False, True)


def test_a_refusal_tells_storages_term(promise: Promise) -> None:
    promise.grant(5, B)
    promise.settle(5, B, granted=False, storage_term=7)
    assert (promise.term, promise.acknowledges(6)) == (7, False)


def test_one_refusal_does_not_take_back_another_grant(promise: Promise) -> None:  # S7
    promise.grant(5, B)
    promise.grant(5, C)
    promise.settle(5, C, granted=False, storage_term=3)
    assert not promise.acknowledges(4)


def test_a_request_that_came_twice_is_settled_twice(promise: Promise) -> None:  # S7
    # The second copy is still with storage, which may grant it: its log may have been cut short in between.
    promise.grant(5, B)
    promise.grant(5, B)
    promise.settle(5, B, granted=False, storage_term=3)
    assert not promise.acknowledges(4)
    promise.settle(5, B, granted=False, storage_term=3)
    assert promise.acknowledges(4)


def test_the_known_term_never_goes_back(promise: Promise) -> None:
    promise.learn(2)
    assert promise.term == 3
