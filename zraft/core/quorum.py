"""Majorities: the leaf that all counting goes through."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

V = TypeVar("V", int, float)


class Quorum:
    """The voters of one configuration. Learners are not in it: they count nowhere."""

    def __init__(self, voters: Collection[int]) -> None:
        self.voters = frozenset(voters)
        self.size = len(self.voters) // 2 + 1

    def reached(self, members: Collection[int]) -> bool:
        """Whether a majority of the voters is among ``members``."""
        return len(self.voters.intersection(members)) >= self.size

    def reached_by(self, values: Mapping[int, V], least: V) -> V:
        """The highest value that a majority has reached; a voter without a value counts as ``least``.

        For match indexes this is the commit rule's N ([R] 5.3); for send times, the start of a lease.
        """
        if not self.voters:
            return least
        return sorted([values.get(voter, least) for voter in self.voters], reverse=True)[self.size - 1]
