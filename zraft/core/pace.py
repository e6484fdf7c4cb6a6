"""How fast something comes that is counted: writes, entries."""

from __future__ import annotations

SPAN_SECONDS = 0.5
"""So long is counted, or longer if nobody looked meanwhile."""


class Pace:
    """Whether it came fast in the last span that is over; at first nothing is known, and it does not.

    Attributes:
        is_fast: as said.
    """

    def __init__(self) -> None:
        self.is_fast = False
        self._begin: tuple[float, int] | None = None  # of the span that is counted: when, and the count then

    def look(self, count: int, now: float, fast: float) -> None:
        """It has come to ``count`` by ``now`` (seconds); more than ``fast`` a second are fast."""
        since, before = self._begin or (now, count)
        if self._begin is None or now - since >= SPAN_SECONDS:
            self.is_fast = count - before > fast * (now - since)
            self._begin = now, count
