"""A ballot: one attempt to be elected, from its pre-vote to its last vote ([R] 5.2, [D] 9.6)."""

from __future__ import annotations

import enum

from zraft.core.quorum import Quorum
from zraft.protocol.entries import Configuration, EntryId


class Phase(enum.Enum):
    """Where a ballot stands. Only in ``VOTE`` do votes count: storage has answered its Campaign by then (S7)."""

    ASKING_STORAGE = "asking storage"
    PRE_VOTE = "pre-vote"
    CAMPAIGN = "campaign"
    VOTE = "vote"


class Ballot:
    """Counts the votes of one ballot, with the configuration that storage's answer carried."""

    def __init__(self, number: int, term: int, transfer: bool = False) -> None:
        self.number = number
        self.term = term
        self.transfer = transfer
        """Whether the leader asked for it (S8)."""
        self.phase = Phase.ASKING_STORAGE
        self.last = EntryId(0, 0)
        self.configuration = Configuration(0, ())
        self._granted: set[int] = set()

    def enter(self, phase: Phase, last: EntryId, configuration: Configuration) -> None:
        """Begin a phase; its votes are counted anew, with ``configuration``."""
        self.phase = phase
        self.last = last
        self.configuration = configuration
        self._granted = set()

    def count(self, voter: int) -> bool:
        """Count a granted vote; whether a majority is reached now."""
        self._granted.add(voter)
        return Quorum(self.configuration.voters()).reached(self._granted)

    def accepts(self, phase: Phase, term: int, number: int) -> bool:
        """Whether an answer belongs to this ballot in this phase: a vote for another one counts nothing (S7)."""
        return (self.phase, self.term, self.number) == (phase, term, number)
