"""Ballots: what counts, and for which of them."""

import pytest

from tests.unit.core.cast import CONFIGURATION, A, B, C, D, record_of
from zraft.core.ballot import Ballot, Patience, Phase
from zraft.protocol.entries import EntryId

LAST = EntryId(4, 2)


@pytest.fixture
def ballot() -> Ballot:
    """The second ballot of its candidate, for term 3, its campaign answered."""
    ballot = Ballot(number=2, term=3)
    ballot.enter(Phase.VOTE, LAST, CONFIGURATION)
    return ballot


@pytest.mark.parametrize(
    ("phase", "term", "number"),
    [(Phase.PRE_VOTE, 3, 2), (Phase.CAMPAIGN, 3, 2), (Phase.VOTE, 2, 2), (Phase.VOTE, 4, 2), (Phase.VOTE, 3, 1)],
)
def test_a_vote_for_another_ballot_counts_nothing(  # S7
    ballot: Ballot, phase: Phase, term: int, number: int
) -> None:
    assert not ballot.accepts(phase, term, number)
    assert ballot.accepts(Phase.VOTE, 3, 2)


def test_a_majority_of_different_voters_elects(ballot: Ballot) -> None:
    assert [ballot.count(voter) for voter in (A, A, A, B)] == [False, False, False, True]


def test_strangers_and_learners_elect_nobody() -> None:  # traps 11, 34
    ballot = Ballot(1, 3)
    ballot.enter(Phase.VOTE, LAST, record_of(A, B, C, learners=(C,)).configuration())
    assert [ballot.count(voter) for voter in (A, C, D)] == [False, False, False]


def test_pre_votes_are_not_votes(ballot: Ballot) -> None:  # S7: each phase is counted anew
    ballot = Ballot(1, 3)
    ballot.enter(Phase.PRE_VOTE, LAST, CONFIGURATION)
    assert [ballot.count(voter) for voter in (A, B)] == [False, True]
    ballot.enter(Phase.VOTE, LAST, CONFIGURATION)
    assert not ballot.count(A)


def test_a_phase_is_counted_with_its_own_configuration(ballot: Ballot) -> None:  # S7: the one that the answer carried
    ballot.enter(Phase.VOTE, LAST, record_of(A).configuration())
    assert ballot.count(A)


def ballot_in(phase: Phase) -> Ballot:
    ballot = Ballot(1, 2)
    ballot.phase = phase
    return ballot


def test_patience_grows_while_votes_are_with_storages_and_ends_with_a_leader() -> None:
    patience = Patience(0.150, 0.300, limit=2.0, jitter=lambda: 1.0)
    assert patience.draw() == 0.300
    waits = []
    for _ in range(6):
        patience.ended(ballot_in(Phase.VOTE))
        waits.append(patience.draw())
    assert waits == [0.300, 0.600, 1.200, 2.0, 2.0, 2.0]  # a split vote alone costs nothing more
    patience.led()
    assert patience.draw() == 0.300


@pytest.mark.parametrize("ballot", [None, ballot_in(Phase.ASKING_STORAGE), ballot_in(Phase.PRE_VOTE)])
def test_patience_stays_while_nobody_is_reached(ballot: Ballot | None) -> None:
    patience = Patience(0.150, 0.300, limit=2.0, jitter=lambda: 0.0)
    for _ in range(5):
        patience.ended(ballot)
    assert patience.draw() == 0.150


def test_time_outs_beyond_the_limit_stay_what_they_are() -> None:
    patience = Patience(5.0, 10.0, limit=2.0, jitter=lambda: 1.0)
    for _ in range(5):
        patience.ended(ballot_in(Phase.CAMPAIGN))
    assert patience.draw() == 10.0
