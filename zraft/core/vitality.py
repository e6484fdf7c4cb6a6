"""Whether an actor makes progress on the work it has: a leader must be able to work. And whether it lives at all."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping

from zraft.protocol.local import Ping, Pong

STORAGE = "storage"
REPLICATION = "replication"
GATEWAY = "gateway"
SIGN_OF_LIFE = Pong(0, 0, False, 0)
"""What a gateway's beat counts for. It is not asked, and what work it has is not looked at."""
GATEWAY_PATIENCE, GATEWAY_SECONDS_MIN = 2, 3.0
"""A gateway may be silent for so many times the limit, and so long in any case: it gives a sign twice a second at most,
and once in one and a half at least. One that ends is started anew by itself, and clients go elsewhere."""
RESORT_SECONDS_MIN, RESORT_SECONDS_MAX = 5.0, 320.0
"""After so long without any leader a node campaigns though it could not serve: nobody else may have all entries. It
hands them on, and then the office. The pause is twice as long after each try that came to nothing."""
RESORTS_APART = 4
"""Tries that are so many pauses apart have nothing to do with each other."""
PINGS_IN_LIMIT = 8
"""So often are the actors asked within the time that they may make no progress."""
LOOK_SECONDS_MAX = 2.0
"""So much silence is counted from one look to the next, at most: after a long pause nobody has had time to move."""


class Vitality:
    """Judges one actor by its answers to pings.

    Progress is an answer that reports nothing pending, or more work done than the answer before. An actor without
    any for ``limit`` seconds is stalled: a stuck process or a dead disk, as opposed to a busy one.
    """

    def __init__(self, now: float, limit: float) -> None:
        self._limit = limit
        self._progressed = self._answered = now
        self._done = -1

    def begin(self, now: float) -> None:
        """The actor gets work of a new kind: what it did before says nothing. If it was silent, it still is."""
        self._progressed = now
        self._done = -1

    def pong(self, done: int, pending: bool, now: float) -> None:
        """The actor answered."""
        if not pending or done > self._done:
            self._progressed = now
        self._done = done
        self._answered = now

    def stalled(self, now: float) -> bool:
        """Whether the actor has made no progress, or has not answered, for longer than the limit."""
        return now - min(self._progressed, self._answered) > self._limit

    def silent(self, now: float) -> bool:
        """Whether it has not even answered for longer than the limit, as one whose disk hangs."""
        return now - self._answered > self._limit


class Pulse:
    """The pings of an election actor to storage and replication, and what is heard of all; ``limit`` in seconds."""

    def __init__(self, now: float, limit: float) -> None:
        self._limit = limit
        self._vitality = {name: Vitality(now, limit) for name in (STORAGE, REPLICATION)}
        self._vitality[GATEWAY] = Vitality(now, max(GATEWAY_PATIENCE * limit, GATEWAY_SECONDS_MIN))
        self._resort = RESORT_SECONDS_MIN
        self._resorted = -math.inf
        self._number = 0
        self.next_ping = now

    def ping(self, now: float) -> Ping:
        """The question to both, how they get on."""
        self._number += 1
        self.next_ping = now + self._limit / PINGS_IN_LIMIT
        return Ping(self._number)

    def pong(self, actor: str, message: Pong, now: float) -> None:
        """Storage or replication answered, or the gateway gave a sign of life."""
        self._vitality[actor].pong(message.done, message.pending, now)

    def begin(self, actor: str, now: float) -> None:
        """The actor gets work of a new kind."""
        self._vitality[actor].begin(now)

    def stalled(self, now: float) -> list[str]:
        """Which of the actors make no progress."""
        return [name for name, vitality in self._vitality.items() if vitality.stalled(now)]

    def hinders(self, now: float, leaderless: float) -> str:
        """Which actor forbids that this node campaigns; empty: none does. ``leaderless``: no leader for so long."""
        stalled = self.stalled(now)
        dead = [name for name in stalled if name != GATEWAY and self.silent(name, now)]
        if not stalled or dead or leaderless < self._resort:
            return (*dead, *stalled, "")[0]
        is_new = now - self._resorted > RESORTS_APART * self._resort
        self._resort = 2 * RESORT_SECONDS_MIN if is_new else min(2 * self._resort, RESORT_SECONDS_MAX)
        self._resorted = now
        return ""

    def silent(self, actor: str, now: float) -> bool:
        """Whether the actor does not answer."""
        return self._vitality[actor].silent(now)


class Beats:
    """For how long processes have been silent that show signs of life by themselves, about once a second."""

    def __init__(self) -> None:
        self._seen: dict[str, Hashable] = {}
        self._silent: dict[str, float] = {}
        self._looked = 0.0

    def look(self, signs: Mapping[str, Hashable], now: float) -> dict[str, float]:
        """Seconds of silence, by the actor's name.

        Args:
            signs: what is another thing after each sign of life, and for each process, by the actor's name.
            now: in seconds.
        """
        gap = min(now - self._looked, LOOK_SECONDS_MAX)
        self._looked = now
        self._silent = {
            actor: self._silent[actor] + gap if self._seen.get(actor) == sign else 0.0 for actor, sign in signs.items()
        }
        self._seen = dict(signs)
        return self._silent
