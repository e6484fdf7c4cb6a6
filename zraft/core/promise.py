"""The promise (S7): what a member gives up by acknowledging a leader, and by granting a vote.

To acknowledge a heartbeat is to promise: no vote of mine for anybody for one minimum election timeout. To grant is to
promise: no acknowledgement for an older leader, from the moment that the request is on its way to storage. Reads and
leases of the leader rest on both, so each is kept even while storage has not answered, and across restarts.
"""

from __future__ import annotations


class Promise:
    """What one election actor promised. ``term`` is what its storage is known to hold; 0 before it was asked."""

    def __init__(self, started: float, election_timeout_min: float) -> None:
        self._quiet_until = started + election_timeout_min  # a dead incarnation may have promised just before its end
        self._start_over = self._quiet_until
        self._timeout = election_timeout_min
        self._grants: list[tuple[int, int]] = []  # a request that came twice is with storage twice
        self.term = 0

    def heard(self, now: float) -> None:
        """A leader was heard (the leader hears itself with each round): stay with it for one minimum time-out."""
        self._quiet_until = max(self._quiet_until, now + self._timeout)

    def silence(self, now: float) -> float:
        """Seconds since a leader was heard, or since this actor's start."""
        return now - (self._quiet_until - self._timeout)

    def may_grant(self, now: float, transfer: bool = False) -> bool:
        """Whether stickiness allows a grant ([D] 4.2.3, traps 8, 39).

        None is given within one minimum election time-out of having heard a leader, nor of this actor's own start,
        since it does not remember whom it heard before. ``transfer``: the leader that was heard gave up its lease and
        asked for this ballot, so only the own start counts (S8).
        """
        if transfer:
            return now >= self._start_over
        return now >= self._quiet_until

    def grant(self, term: int, candidate: int) -> None:
        """A Vote or our own Campaign for ``term`` goes to storage: from now on no older leader is acknowledged."""
        self._grants.append((term, candidate))

    def settle(self, term: int, candidate: int, granted: bool, storage_term: int) -> None:
        """Storage decided the request; only its refusal takes the promise back (else its term keeps it)."""
        if (term, candidate) in self._grants:
            self._grants.remove((term, candidate))
        self.learn(max(storage_term, term if granted else 0))

    def learn(self, storage_term: int) -> None:
        """Storage, or a leader that storage follows, is at this term."""
        self.term = max(self.term, storage_term)

    def acknowledges(self, term: int) -> bool:
        """Whether a heartbeat of ``term`` may be acknowledged."""
        return term >= self.term and all(term >= granted for granted, _ in self._grants)
