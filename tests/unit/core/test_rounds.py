"""Heartbeat rounds: what they prove, and to which reads."""

import pytest

from tests.unit.core.cast import A, B, C, D
from zraft.core.quorum import Quorum
from zraft.core.rounds import Rounds

GATEWAY = 0


@pytest.fixture
def rounds() -> Rounds:
    """Of leader A of three, since 10 s."""
    return Rounds(3, A, Quorum((A, B, C)), now=10.0)


def test_a_majority_confirms_a_round_from_its_sending(rounds: Rounds) -> None:
    # [D] 6.4.1: a lease, like check-quorum, counts from when the round was sent, not from when it was answered
    assert (rounds.begin(10.0), rounds.begin(10.05)) == (1, 2)
    assert (rounds.confirm(), rounds.confirmed, rounds.confirmed_sent) == ([], 0, 10.0)
    rounds.answered(B, 2)
    assert (rounds.confirm(), rounds.confirmed, rounds.confirmed_sent) == ([], 2, 10.05)


def test_an_answer_to_a_round_answers_every_earlier_one(rounds: Rounds) -> None:
    for now in (10.0, 10.05, 10.1):
        rounds.begin(now)
    rounds.answered(B, 2)
    rounds.confirm()
    assert (rounds.confirmed, rounds.confirmed_sent) == (2, 10.05)


def test_confirmation_never_goes_back(rounds: Rounds) -> None:
    rounds.begin(10.0)
    rounds.begin(10.05)
    rounds.answered(B, 2)
    rounds.confirm()
    rounds.answered(B, 1)
    rounds.answered(C, 1)
    assert (rounds.confirm(), rounds.confirmed, rounds.confirmed_sent) == ([], 2, 10.05)


def test_a_round_that_was_never_sent_counts_nothing(rounds: Rounds) -> None:
    rounds.begin(10.0)
    rounds.answered(B, 9)
    assert (rounds.confirm(), rounds.confirmed) == ([], 0)


def test_who_does_not_vote_confirms_nothing(rounds: Rounds) -> None:
    rounds.begin(10.0)
    rounds.answered(D, 1)
    assert (rounds.confirm(), rounds.confirmed) == ([], 0)


def test_a_read_is_confirmed_only_by_a_round_that_begins_after_it_arrived(rounds: Rounds) -> None:  # S7, traps 40, 41
    rounds.begin(10.0)
    rounds.wait(GATEWAY, 71)
    rounds.answered(B, 1)
    assert rounds.confirm() == []
    assert rounds.wanted()
    rounds.begin(10.01)
    rounds.answered(B, 2)
    assert rounds.confirm() == [(GATEWAY, 71)]
    assert not rounds.wanted()


def test_one_round_serves_all_reads_that_wait(rounds: Rounds) -> None:
    for request in (71, 72):
        rounds.wait(GATEWAY, request)
    rounds.begin(10.0)
    rounds.wait(1, 73)
    rounds.answered(C, 1)
    assert rounds.confirm() == [(GATEWAY, 71), (GATEWAY, 72)]
    assert rounds.wanted()


def test_no_round_is_wanted_while_one_is_under_way(rounds: Rounds) -> None:
    rounds.begin(10.0)
    rounds.wait(GATEWAY, 71)
    assert not rounds.wanted()


def test_a_leader_that_steps_down_drops_its_reads_once(rounds: Rounds) -> None:
    rounds.wait(GATEWAY, 71)
    rounds.begin(10.0)
    rounds.wait(1, 72)
    assert rounds.drop() == [(GATEWAY, 71), (1, 72)]
    assert rounds.drop() == []


def test_a_single_voter_confirms_itself() -> None:
    rounds = Rounds(3, A, Quorum((A,)), now=10.0)
    rounds.wait(GATEWAY, 71)
    rounds.begin(10.0)
    assert rounds.confirm() == [(GATEWAY, 71)]
