"""A ballot: one attempt to be elected, from its pre-vote to its last vote ([R] 5.2, [D] 9.6)."""

from __future__ import annotations

import enum
from collections.abc import Callable

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


class Patience:
    """How long this node waits for a leader, or for the votes of its ballot: drawn anew each time ([R] 5.2).

    It grows with each ballot in a row, from the second on, that ended while a storage had its Campaign or a vote of it:
    where a commit takes longer than the time-out, nobody would ever be elected. ``limit`` bounds it (seconds).
    """

    def __init__(self, low: float, high: float, limit: float, jitter: Callable[[], float]) -> None:
        self._low, self._high, self._limit = low, high, limit
        self._jitter = jitter
        self._failed = 0

    def ended(self, ballot: Ballot | None) -> None:
        """A ballot was not won in time."""
        if ballot is not None and ballot.phase in (Phase.CAMPAIGN, Phase.VOTE):
            self._failed += 1

    def led(self) -> None:
        """There is a leader."""
        self._failed = 0

    def draw(self) -> float:
        """In seconds."""
        drawn = self._low + self._jitter() * (self._high - self._low)
        return float(min(drawn * 2 ** max(0, self._failed - 1), max(self._limit, drawn)))
