"""The leader lease ([D] 6.4.1): reads that need no round, because nobody else can lead yet.

Who acknowledged a round votes for nobody within one minimum election time-out (S7). So for that long, counted from when
the round was *sent*, a leader whom a majority acknowledged is the only one, and a read of its node that knows what it
has committed is linearizable. Both sides measure a duration on a clock of their own, never a time of day.

Election publishes the end of the lease on the page; whoever reads under it does so by ``leased_commit`` (S12).
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from zraft.protocol.local import CommitGroup, LeaseGroup

CLOCK_DRIFT_MAX = 0.10
"""No clock runs faster or slower than true time by more than this part.

A quartz is wrong by some 0.01 %, but a time daemon may slew the clock, CLOCK_BOOTTIME too: chrony by up to 8.3 %.
"""


def lease_seconds(election_timeout_min: float) -> float:
    """How long a lease lasts on the leader's clock, for a minimum election time-out on the followers' (trap 42).

    The leader's clock may be the slowest that is allowed, and the followers' the fastest.
    """
    return election_timeout_min * (1 - CLOCK_DRIFT_MAX) / (1 + CLOCK_DRIFT_MAX)


class PublishLease(msgspec.Struct, frozen=True):
    """Publish this on the page; None: clear it, before anything that follows is done."""

    lease: LeaseGroup | None


class Lease:
    """What one election actor has published: a leader extends it, and clears it before it is none any more.

    ``seconds`` is 0 where reads are to be confirmed by rounds only: then nothing is ever published.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._published = False
        self._surrendered = 0

    def extend(self, term: int, sent: float) -> list[PublishLease]:
        """A majority acknowledged the round of ``term`` whose first message was sent at ``sent`` (S12)."""
        if not self._seconds or self.is_surrendered(term):
            return []
        self._published = True
        return [PublishLease(LeaseGroup(term, sent + self._seconds))]

    def clear(self) -> list[PublishLease]:
        """The leader steps down: only after this may it grant a vote (S7)."""
        published, self._published = self._published, False
        return [PublishLease(None)] if published else []

    def surrender(self, term: int) -> list[PublishLease]:
        """The leader of ``term`` is about to ask for its successor's campaign: it never has a lease in it again (S8).

        Who loaded the lease before it was cleared may still answer reads under it: they had arrived by then, and
        nobody else could lead yet.
        """
        self._surrendered = term
        return self.clear()

    def is_surrendered(self, term: int) -> bool:
        """Whether the lease of ``term`` was surrendered, so that others may vote as if this leader were silent."""
        return term == self._surrendered


class Published(Protocol):
    """What a gateway can look at: each call looks anew."""

    def lease(self) -> LeaseGroup | None:
        """What election published last."""

    def commit(self) -> CommitGroup | None:
        """What replication published last."""

    def now(self) -> float:
        """Seconds of the clock that the lease's end is a time of."""


def leased_commit(published: Published) -> CommitGroup | None:
    """The index that reads which have arrived *before this call* must see; None: there is no valid lease (S12).

    The clock is looked at last: so a pause at any point before is found out, and one behind it is harmless, since all
    that was acknowledged by the time of that look stands in what was loaded, or was acknowledged while the reads
    waited. The commit index must be of the lease's term: a leader that has not committed in its own term yet does not
    know what is committed (trap 40).
    """
    lease = published.lease()
    if lease is None:
        return None
    commit = published.commit()
    if commit is None or commit.term != lease.term:
        return None
    return commit if published.now() < lease.end else None
