"""Links that are late, hold everything back, or lose a part: one direction of one plane, at any time.

What is late stays in its order, as on a connection of TCP that stands still or that is far too long.
"""

import enum
import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.world import World
from zraft.protocol.peer import AppendAnswer, HeartbeatAnswer, InstallAnswer, PreVoteAnswer, VoteAnswer

if TYPE_CHECKING:
    from tests.simulation.network import Parcel, Plane

ANSWERS = (HeartbeatAnswer, PreVoteAnswer, VoteAnswer, AppendAnswer, InstallAnswer)
"""What takes the way of its question. Gateways answer each other over links of their own."""
MINGLING_SECONDS = 0.5
"""So long a receiver may go on reading what came by the connection before, beside what comes by the new one."""


class End(enum.Enum):
    """What becomes of that which is still under way when a link is well again."""

    BURST = "arrives at once"
    MINGLED = "arrives beside what is new"
    """A new connection was made, and its receiver still has the old one's messages; but answers end with it."""
    LOST = "is lost"


class _Queue:
    """What is under way on one link."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.rising = 0.0
        self.since = 0.0
        self.due = 0.0
        self.parcels: deque[Parcel] = deque()


class Lateness:
    """All links that are not as the others. ``arrive`` is called with (plane, sender, target, parcel)."""

    def __init__(self, world: World, arrive: "Callable[[Plane, int, int, Parcel], None]") -> None:
        self._world = world
        self._arrive = arrive
        self._queues: dict[tuple[Plane, int, int], _Queue] = {}
        self._losses: dict[tuple[Plane, int, int], float] = {}
        self.delayed = 0
        """Messages that were late."""

    def delay(self, plane: "Plane", sender: int, target: int, seconds: float, rising: float = 0.0) -> None:
        """What ``sender`` says to ``target`` arrives so much later from now on; infinite: not before ``end``.

        With ``rising`` it is later by so many seconds each second, up to ``seconds``: a queue on the way fills up.
        """
        queue = self._queues.setdefault((plane, sender, target), _Queue())
        queue.seconds, queue.rising, queue.since = seconds, rising, self._world.now

    def lose(self, plane: "Plane", sender: int, target: int, part: float) -> None:
        """Such a part of what ``sender`` says to ``target`` is lost from now on."""
        self._losses[plane, sender, target] = part

    def end(self, plane: "Plane", sender: int, target: int, how: End) -> None:
        """The link is well again, whatever it had."""
        self._losses.pop((plane, sender, target), None)
        queue = self._queues.pop((plane, sender, target), None)
        if queue is None:
            return
        if how is End.LOST:
            queue.parcels.clear()
        if how is End.MINGLED:
            queue.parcels = deque(parcel for parcel in queue.parcels if not isinstance(parcel[1], ANSWERS))
        for _ in queue.parcels:
            wait = self._world.between(0, MINGLING_SECONDS) if how is End.MINGLED else 0.0
            self._world.after(wait, self._pass, plane, sender, target, queue)

    def end_all(self) -> None:
        """All links are well again, and what is under way arrives at once."""
        for plane, sender, target in [*self._queues, *self._losses]:
            self.end(plane, sender, target, End.BURST)

    def loses(self, plane: "Plane", sender: int, target: int) -> bool:
        """Whether a message that leaves now is lost."""
        part = self._losses.get((plane, sender, target), 0.0)
        return part > 0 and self._world.chance(part)

    def takes(self, plane: "Plane", sender: int, target: int, parcel: "Parcel", usual: float) -> bool:
        """Whether this link is late, and has taken the message; ``usual`` is how long it takes in any case."""
        queue = self._queues.get((plane, sender, target))
        if queue is None:
            return False
        self.delayed += 1
        queue.parcels.append(parcel)
        now = self._world.now
        late = min(queue.seconds, queue.rising * (now - queue.since)) if queue.rising else queue.seconds
        if late < math.inf:
            queue.due = max(queue.due, now + usual + late)
            self._world.at(queue.due, self._pass, plane, sender, target, queue)
        return True

    def _pass(self, plane: "Plane", sender: int, target: int, queue: _Queue) -> None:
        if queue.parcels:
            self._arrive(plane, sender, target, queue.parcels.popleft())
