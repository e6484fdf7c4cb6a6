"""Majorities."""

from itertools import combinations

import pytest

from tests.unit.core.cast import A, B, C, D, E, record_of
from zraft.core.quorum import Quorum


@pytest.mark.parametrize("voters", [(A,), (A, B), (A, B, C), (A, B, C, D), (A, B, C, D, E)])
def test_any_two_majorities_share_a_voter(voters: tuple[int, ...]) -> None:
    quorum = Quorum(voters)
    reached = [
        set(some) for size in range(len(voters) + 1) for some in combinations(voters, size) if quorum.reached(some)
    ]
    assert reached
    assert all(one & other for one in reached for other in reached)


@pytest.mark.parametrize(("size", "majority"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_a_majority_is_more_than_half(size: int, majority: int) -> None:
    assert Quorum(range(1, size + 1)).size == majority


def test_who_does_not_vote_counts_nowhere() -> None:  # traps 11, 34: learners, strangers
    quorum = Quorum(record_of(A, B, C, D, learners=(C, D)).configuration().voters())
    assert not quorum.reached({A, C, D, E})
    assert quorum.reached({A, B})
    assert quorum.reached_by({A: 7, C: 9, D: 9, E: 9}, 0) == 0
    assert quorum.reached_by({A: 7, B: 5, C: 9, D: 9, E: 9}, 0) == 5


@pytest.mark.parametrize(
    ("values", "reached"),
    [
        ({}, 0),
        ({A: 9}, 0),
        ({A: 9, B: 4}, 4),
        ({A: 9, B: 4, C: 6}, 6),
        ({A: 2, B: 2, C: 8}, 2),
    ],
)
def test_the_highest_value_that_a_majority_has_reached(values: dict[int, int], reached: int) -> None:
    # "a majority of matchIndex[i] >= N" ([R] 5.3); who has not answered counts as the least
    assert Quorum((A, B, C)).reached_by(values, 0) == reached


def test_without_voters_nothing_is_reached() -> None:
    assert not Quorum(()).reached({A, B, C})
    assert Quorum(()).reached_by({A: 3}, 0) == 0
