"""Virtual time: events happen in the order of their times, and one seeded generator decides all the rest."""

import random
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from tests.simulation.describe import describe

TRACE_LINES_MAX = 20_000


class World:
    """One run. The same seed gives the same events in the same order."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.encoded = self.chance(0.2)
        """Whether every message of this run crosses the real codec; it costs time, and needn't be shown in each run."""
        self.now = 0.0
        self.events = 0
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._scheduled = 0
        self._trace: deque[tuple[float, str, object]] = deque(maxlen=TRACE_LINES_MAX)

    def at(self, time: float, act: Callable[..., None], *arguments: Any) -> None:
        """Do ``act`` at ``time``; what is due at the same time happens in the order of the calls."""
        self._scheduled += 1
        if time < self.now:
            time = self.now
        heappush(self._queue, (time, self._scheduled, act, arguments))

    def after(self, seconds: float, act: Callable[..., None], *arguments: Any) -> None:
        self.at(self.now + seconds, act, *arguments)

    def run_until(self, end: float) -> None:
        queue = self._queue
        while queue and queue[0][0] <= end:
            self.now, _, act, arguments = heappop(queue)
            self.events += 1
            act(*arguments)
        self.now = end

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random.random()

    def seldom_long(self, usual: float, long: float, probability: float = 0.02) -> float:
        """A time around ``usual``, and now and then one up to ``long``."""
        drawn = self.random.random() - probability
        if drawn < 0:
            return long + (long - usual) * drawn / probability
        return usual * (0.5 + 1.5 * drawn)

    def note(self, who: str, what: object) -> None:
        """Add a line to the trace; ``what`` is put into words only when somebody reads it."""
        self._trace.append((self.now, who, what))

    def trace(self, lines: int = TRACE_LINES_MAX) -> list[str]:
        newest = list(self._trace)[-lines:]
        return [f"{now:9.4f} {who:<22} {describe(what)}" for now, who, what in newest]
