"""The network between the nodes: three planes that lose, delay, double and reorder, each by itself."""

import enum
from collections.abc import Callable
from typing import NamedTuple

from tests.simulation.lateness import ANSWERS, Lateness
from tests.simulation.world import World
from zraft.protocol.peer import PeerHeader, VoteAnswer

HOARD_MAX = 300


class Plane(enum.Enum):
    CONTROL = "control"
    DATA = "data"
    GATEWAYS = "gateways"


class Weather(NamedTuple):
    """Probabilities, and seconds. ``delay`` is the usual one; now and then it is up to ``delay_max``."""

    loss: float = 0.0
    doubled: float = 0.0
    delay: float = 0.000_5
    delay_max: float = 0.002


CALM = Weather()

Parcel = tuple[PeerHeader, object]
"""(header, message)"""
Deliver = Callable[[Plane, int, Parcel], None]
"""(plane, target, parcel)"""


class Kind(enum.Enum):
    """How likely a message is kept, to be carried once more later; those sent once at most never are (S9)."""

    ONCE = 0.0
    USUAL = 0.02
    RARE = 0.2


class Network:
    """Carries messages between members. What it has carried once it may carry again, any time later."""

    def __init__(self, world: World, deliver: Deliver) -> None:
        self._world = world
        self._deliver = deliver
        self._cut: set[tuple[Plane, int, int]] = set()
        self._severed: set[tuple[Plane, int, int]] = set()
        self._hoard: list[tuple[Plane, int, Parcel]] = []
        self._stalled: dict[int, float] = {}
        self._held: list[tuple[Plane, int, Parcel]] = []
        self._holding: set[tuple[Plane, int]] = set()
        self._votes_kept_from: set[int] = set()
        self._copied = 0, 0
        self._copies: list[tuple[Plane, int, Parcel]] = []
        self._begins: dict[tuple[Plane, int, int], float] = {}
        self.weather = dict.fromkeys(Plane, CALM)
        self.lateness = Lateness(world, self._arrive)
        self.lost = 0
        self.late = 0

    def send(self, plane: Plane, sender: int, target: int, parcel: Parcel, kind: Kind = Kind.USUAL) -> None:
        world, weather = self._world, self.weather[plane]
        if (sender, target) == self._copied and kind is not Kind.ONCE:
            self._copies.append((plane, target, parcel))
        if (plane, sender) in self._holding or (target in self._votes_kept_from and isinstance(parcel[1], VoteAnswer)):
            self._held.append((plane, target, parcel))
            return
        if world.now < self._begins.get((plane, sender, target), 0.0) and not isinstance(parcel[1], ANSWERS):
            self.late += 1
            return
        is_lost = (plane, sender, target) in self._cut or world.chance(weather.loss)
        if is_lost or self.lateness.loses(plane, sender, target):
            self.lost += 1
            return
        delays = [world.seldom_long(weather.delay, weather.delay_max) for _ in range(1 + world.chance(weather.doubled))]
        for delay in delays:
            usual = delays[0] if kind is Kind.ONCE else delay
            if not self.lateness.takes(plane, sender, target, parcel, usual):
                world.after(usual, self._arrive, plane, sender, target, parcel)
        if world.chance(kind.value):
            if len(self._hoard) >= HOARD_MAX:
                self._hoard.pop(world.random.randrange(HOARD_MAX))
            self._hoard.append((plane, target, parcel))

    def begin_later(self, plane: Plane, sender: int, target: int, seconds: float) -> None:
        """What ``sender`` asks of ``target`` in that time is lost: no connection is made before.

        An answer takes the connection of its question, so each of two nodes may ask while the other can't.
        """
        self._begins[plane, sender, target] = self._world.now + seconds

    def cut(self, senders: set[int], targets: set[int], planes: tuple[Plane, ...] = tuple(Plane)) -> None:
        """Nothing from ``senders`` reaches ``targets`` any more on these planes, nor what is under way."""
        self._cut |= {(plane, a, b) for plane in planes for a in senders for b in targets if a != b}

    def sever(self, senders: set[int], targets: set[int], planes: tuple[Plane, ...] = tuple(Plane)) -> None:
        """As ``cut``, and what a plot of the storm still wants to mend stays cut, until all is healed."""
        self.cut(senders, targets, planes)
        self._severed |= {(plane, a, b) for plane in planes for a in senders for b in targets if a != b}

    def mend(self, senders: set[int], targets: set[int]) -> None:
        """What ``senders`` say reaches ``targets`` again."""
        mended = {(plane, a, b) for plane, a, b in self._cut if a in senders and b in targets}
        self._cut -= mended - self._severed

    def stall(self, target: int, seconds: float) -> None:
        """What comes to ``target`` waits for a while, and then arrives in its order: a congested link."""
        self._stalled[target] = self._world.now + seconds

    def hold(self, sender: int, planes: tuple[Plane, ...] = tuple(Plane)) -> None:
        """What ``sender`` says from now on waits for ``release``."""
        self._holding |= {(plane, sender) for plane in planes}

    def keep_votes_from(self, candidate: int) -> None:
        """The votes that it is given wait for ``release``."""
        self._votes_kept_from.add(candidate)

    def release(self) -> None:
        """All that was held arrives, in no order, whatever term it is by now."""
        for plane, target, parcel in self._held:
            self._world.after(self._world.between(0, 0.02), self._deliver, plane, target, parcel)
        self._held.clear()
        self._holding.clear()
        self._votes_kept_from.clear()

    def copy(self, sender: int, target: int) -> None:
        """What ``sender`` says to ``target`` from now on arrives a second time, by ``deliver_copies``."""
        self._copied = sender, target
        self._copies.clear()

    def deliver_copies(self) -> None:
        """In no order, whatever term it is by now."""
        for plane, target, parcel in self._copies:
            self._world.after(self._world.between(0, 0.02), self._deliver, plane, target, parcel)
        self._copied = 0, 0
        self._copies.clear()

    def heal(self) -> None:
        self._cut.clear()
        self._severed.clear()

    def replay(self, target: int = 0) -> None:
        """Old messages arrive once more, a few of those to ``target`` (0: to anybody)."""
        for plane, to, parcel in self._hoard:
            if target in (0, to) and self._world.chance(0.2):
                self._world.after(self._world.between(0, 0.05), self._deliver, plane, to, parcel)

    def calm_down(self) -> None:
        """No faults from now on."""
        self.heal()
        self.release()
        self._hoard.clear()
        self._copied = 0, 0
        self._copies.clear()
        self._stalled.clear()
        self._begins.clear()
        self.lateness.end_all()
        self.weather = dict.fromkeys(Plane, CALM)

    def _arrive(self, plane: Plane, sender: int, target: int, parcel: Parcel) -> None:
        if (plane, sender, target) in self._cut:
            self.lost += 1
        elif self._world.now < self._stalled.get(target, 0.0):
            self._world.at(self._stalled[target], self._deliver, plane, target, parcel)
        else:
            self._deliver(plane, target, parcel)
