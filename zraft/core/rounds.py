"""Heartbeat rounds of one leader: who answered which, how long ago a majority did, and which reads they confirm."""

from __future__ import annotations

from zraft.core.quorum import Quorum


class Rounds:
    """The rounds of one term.

    An answer to a round answers every earlier one. A round is confirmed once a majority (the leader included)
    answered it or a later one.
    """

    def __init__(self, term: int, me: int, quorum: Quorum, now: float) -> None:
        self.term = term
        self._me = me
        self._quorum = quorum
        self._answered: dict[int, int] = {}
        self._sent: dict[int, float] = {}
        self._waiting: list[tuple[int, int, int]] = []
        self.number = 0
        self.confirmed = 0
        self.confirmed_sent = now  # the election itself was a round of its kind

    def count(self, quorum: Quorum) -> None:
        """Confirm with another quorum from now on: the members have changed."""
        self._quorum = quorum

    def begin(self, now: float) -> int:
        """Start the next round; returns its number."""
        self.number += 1
        self._sent[self.number] = now
        self._answered[self._me] = self.number
        return self.number

    def answered(self, member: int, number: int) -> None:
        """``member`` acknowledged round ``number``; one that was never sent counts nothing."""
        if number <= self.number:
            self._answered[member] = max(number, self._answered.get(member, 0))

    def confirm(self) -> list[tuple[int, int]]:
        """Take notice of what a majority answered; returns the reads, as (gateway, request), that it confirms."""
        reached = self._quorum.reached_by(self._answered, 0)
        if reached <= self.confirmed:
            return []
        self.confirmed = reached
        self.confirmed_sent = self._sent[reached]
        self._sent = {number: sent for number, sent in self._sent.items() if number > reached}
        done = [(gateway, request) for number, gateway, request in self._waiting if number <= reached]
        self._waiting = [waiting for waiting in self._waiting if waiting[0] > reached]
        return done

    def wait(self, gateway: int, request: int) -> None:
        """A read arrived: only a round whose first message is sent from now on can confirm it (traps 40, 41)."""
        self._waiting.append((self.number + 1, gateway, request))

    def wanted(self) -> bool:
        """Whether reads wait for a round that has not begun while none is under way."""
        return self.confirmed == self.number and bool(self._waiting)

    def drop(self) -> list[tuple[int, int]]:
        """The leader stepped down: the reads that nothing will confirm."""
        dropped = [(gateway, request) for _, gateway, request in self._waiting]
        self._waiting = []
        return dropped
