"""Which of a node's troubles its log tells of: one that lasts, once, then ever more rarely; and its end."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

PATIENCE_SECONDS = 5.0
"""What is over sooner, as an election is, is not worth a line."""
AGAIN_SECONDS_MIN, AGAIN_SECONDS_MAX = 60.0, 3_600.0
"""A trouble that goes on is told again after so long, then after twice that, and so on."""


class Lasts(msgspec.Struct, frozen=True):
    """It has lasted for ``seconds``."""

    reason: str
    seconds: float


class Over(msgspec.Struct, frozen=True):
    """It is over, after ``seconds``."""

    seconds: float


class Trouble:
    """Decides that for one thing that may be in trouble; times are in seconds."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._tell_at = 0.0
        self._pause = 0.0

    def look(self, reason: str, now: float) -> Lasts | Over | None:
        """What to tell now.

        Args:
            reason: what is wrong; empty: nothing is.
            now: the time.
        """
        if not reason:
            since, self._since = self._since, None
            return Over(now - since) if since is not None and self._pause else None
        if self._since is None:
            self._since, self._tell_at, self._pause = now, now + PATIENCE_SECONDS, 0.0
        if now < self._tell_at:
            return None
        self._pause = min(max(2 * self._pause, AGAIN_SECONDS_MIN), AGAIN_SECONDS_MAX)
        self._tell_at = now + self._pause
        return Lasts(reason, now - self._since)


LOOK_SECONDS = 1.0
"""A leader looks so often who has answered since: each is sent several heartbeats in that time."""


class Contacts:
    """As a leader has them: which of the other members do not answer its heartbeats. Times are in seconds."""

    def __init__(self) -> None:
        self._troubles: dict[int, Trouble] = {}
        self._answered: set[int] = set()
        self._next_look = 0.0

    def answered(self, member: int) -> None:
        """A heartbeat of this node was answered."""
        self._answered.add(member)

    def look(self, members: Iterable[int], now: float) -> list[tuple[int, Lasts | Over]]:
        """What to tell of whom; ``members``: those that are sent heartbeats, nobody when this node does not lead."""
        if now < self._next_look:
            return []
        self._next_look = now + LOOK_SECONDS
        answered, self._answered = self._answered, set()
        self._troubles = {member: self._troubles.get(member, Trouble()) for member in members}
        found = (
            (member, trouble.look("" if member in answered else "silent", now))
            for member, trouble in self._troubles.items()
        )
        return [(member, what) for member, what in found if what is not None]
