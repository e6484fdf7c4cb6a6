"""A node's page with a memory: a gateway looks at it step by step, and anything may happen in between."""

from bisect import bisect_right
from typing import TYPE_CHECKING, Generic, TypeVar

from tests.simulation.world import World
from zraft.protocol.local import CommitGroup, LeaseGroup, RoleGroup

if TYPE_CHECKING:
    from tests.simulation.actors import Clock

T = TypeVar("T")


class History(Generic[T]):
    """All values of a group, by the time of their publication."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._times: list[float] = [0.0]
        self._values: list[T | None] = [None]

    def publish(self, value: T | None) -> None:
        self._times.append(self._world.now)
        self._values.append(value)

    def newest(self) -> T | None:
        return self._values[-1]

    def at(self, time: float) -> T | None:
        return self._values[bisect_right(self._times, time) - 1]


class Page:
    """What the actors of one node publish for each other."""

    def __init__(self, world: World) -> None:
        self.role: RoleGroup | None = None
        self.leases: History[LeaseGroup] = History(world)
        self.commits: History[CommitGroup] = History(world)

    @property
    def commit(self) -> CommitGroup | None:
        return self.commits.newest()

    @commit.setter
    def commit(self, group: CommitGroup | None) -> None:
        self.commits.publish(group)

    @property
    def lease(self) -> LeaseGroup | None:
        return self.leases.newest()

    @lease.setter
    def lease(self, group: LeaseGroup | None) -> None:
        self.leases.publish(group)

    def zero(self) -> None:
        """A new incarnation takes back what the one before said."""
        self.role = self.commit = self.lease = None


class SlowLook:
    """Looks at a page (``core.lease.Published``) that began at ``since`` and end by now, with pauses in between."""

    def __init__(self, page: Page, clock: "Clock", world: World, since: float) -> None:
        self._page = page
        self._clock = clock
        self._world = world
        self._time = since

    def lease(self) -> LeaseGroup | None:
        return self._page.leases.at(self._next())

    def commit(self) -> CommitGroup | None:
        return self._page.commits.at(self._next())

    def now(self) -> float:
        return self._clock.at(self._next())

    def _next(self) -> float:
        world = self._world
        self._time = world.random.choice((self._time, world.now, world.between(self._time, world.now)))
        return self._time
