"""Whether an actor makes progress on the work it has: a leader must be able to work."""

from __future__ import annotations


class Vitality:
    """Judges one actor by its answers to pings.

    Progress is an answer that reports nothing pending, or more work done than the answer before. An actor without
    any for ``limit`` seconds is stalled: a stuck process or a dead disk, as opposed to a busy one.
    """

    def __init__(self, now: float, limit: float) -> None:
        self._limit = limit
        self._progressed = now
        self._done = -1

    def pong(self, done: int, pending: bool, now: float) -> None:
        """The actor answered."""
        if not pending or done > self._done:
            self._progressed = now
        self._done = done

    def stalled(self, now: float) -> bool:
        """Whether the actor has made no progress for longer than the limit."""
        return now - self._progressed > self._limit
