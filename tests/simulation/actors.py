"""What all simulated actors share: an inbox, a clock of the node's own, turns that take time, pipes between them."""

import math
from collections.abc import Callable
from typing import Any

from tests.simulation.world import World
from zraft.core.lease import CLOCK_DRIFT_MAX
from zraft.protocol.codec import Channel, encode

LATENCY = 0.000_03
"""Seconds from an event to the turn that it causes, at least."""


class Clock:
    """A node's clock: it began somewhere and runs a little too fast or too slow."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._offset = world.between(0, 1000)
        self._rate = world.between(1 - CLOCK_DRIFT_MAX, 1 + CLOCK_DRIFT_MAX)

    def now(self) -> float:
        return self.at(self._world.now)

    def at(self, world_time: float) -> float:
        """What this clock shows at a time of the world."""
        return self._offset + world_time * self._rate

    def world_time(self, now: float) -> float:
        """When this clock shows ``now``."""
        return (now - self._offset) / self._rate


class Actor:
    """One single-threaded process. ``turn`` handles what has come; ``deadline`` says when it must run all the same."""

    def __init__(self, world: World, clock: Clock, name: str) -> None:
        self.world = world
        self.clock = clock
        self.name = name
        self.alive = True
        self.free_at = 0.0
        self._alarm = math.inf

    def turn(self) -> None:
        raise NotImplementedError

    def idle(self) -> bool:
        """Whether nothing waits to be handled."""
        raise NotImplementedError

    def deadline(self) -> float | None:
        """On the node's clock."""
        raise NotImplementedError

    def wake(self) -> None:
        """Something has come."""
        self._wake_by(self.world.now + self.world.seldom_long(LATENCY, 0.003))

    def pause(self, seconds: float) -> None:
        """Not scheduled for a while: SIGSTOP, a stolen CPU, a page fault."""
        self.world.note(self.name, f"pauses for {seconds:.3f} s")
        self.free_at = max(self.free_at, self.world.now + seconds)

    def busy(self, seconds: float) -> None:
        """The turn goes on for so long."""
        self.free_at = max(self.free_at, self.world.now + seconds)

    def _wake_by(self, time: float) -> None:
        time = max(time, self.free_at)
        if time < self._alarm:
            self._alarm = time
            self.world.at(time, lambda: self._ring(time))

    def _ring(self, time: float) -> None:
        if time != self._alarm or not self.alive:
            return  # an earlier alarm took its place
        self._alarm = math.inf
        if self.world.now >= self.free_at:
            self.turn()
        if not self.alive:
            return
        if not self.idle() or self.world.now < self.free_at:
            self.wake()
        deadline = self.deadline()
        if deadline is not None:
            self._wake_by(max(self.clock.world_time(deadline), self.world.now) + LATENCY)


class Pipe:
    """A local socket between two actors of one incarnation: nothing is lost or reordered, and all is encoded."""

    def __init__(self, world: World, channel: Channel[Any], receive: Callable[[Any], None]) -> None:
        self._world = world
        self._channel = channel
        self._receive = receive
        self._ready = 0.0

    def send(self, message: object) -> None:
        frame = encode(message)
        delay = self._world.seldom_long(0.000_05, 0.02)
        self._ready = max(self._ready, self._world.now + delay)
        self._world.at(self._ready, lambda: self._receive(self._channel.decode(frame)))
