"""Whether an actor makes progress on the work it has: a leader must be able to work. And whether it lives at all."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from zraft.protocol.local import Ping, Pong

STORAGE = "storage"
REPLICATION = "replication"
GATEWAY = "gateway"
SIGN_OF_LIFE = Pong(0, 0, False, 0)
"""What a gateway's beat counts for. It is not asked, and what work it has is not looked at."""
GATEWAY_PATIENCE = 2
"""A gateway may be silent for so many times the limit: it is started anew by itself, and clients go elsewhere."""
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

    def pong(self, done: int, pending: bool, now: float) -> None:
        """The actor answered."""
        if not pending or done > self._done:
            self._progressed = now
        self._done = done
        self._answered = now

    def stalled(self, now: float) -> bool:
        """Whether the actor has made no progress for longer than the limit."""
        return now - self._progressed > self._limit

    def silent(self, now: float) -> bool:
        """Whether it has not even answered for longer than the limit, as one whose disk hangs."""
        return now - self._answered > self._limit


class Pulse:
    """The pings of an election actor to storage and replication, and what is heard of all; ``limit`` in seconds."""

    def __init__(self, now: float, limit: float) -> None:
        self._limit = limit
        self._vitality = {name: Vitality(now, limit) for name in (STORAGE, REPLICATION)}
        self._vitality[GATEWAY] = Vitality(now, GATEWAY_PATIENCE * limit)
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
        """The actor gets work of a new kind: what it did before says nothing."""
        self._vitality[actor] = Vitality(now, self._limit)

    def stalled(self, now: float) -> list[str]:
        """Which of the actors make no progress."""
        return [name for name, vitality in self._vitality.items() if vitality.stalled(now)]

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
