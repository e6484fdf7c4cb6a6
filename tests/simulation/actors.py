"""What all simulated actors share: an inbox, a clock of the node's own, turns that take time, pipes between them."""

import math
from collections.abc import Callable
from typing import Any

from tests.simulation.invariants import require
from tests.simulation.world import World
from zraft.core.lease import CLOCK_DRIFT_MAX
from zraft.protocol.codec import Channel, encode

LATENCY = 0.000_03
"""Seconds from an event to the turn that it causes, at least."""


class Clock:
    """A node's clock: it began somewhere and runs a little too fast or too slow, and now and then at another rate."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._offset = world.between(0, 1000)
        self.rate = world.between(1 - CLOCK_DRIFT_MAX, 1 + CLOCK_DRIFT_MAX)
        self._since = -math.inf
        self._stands_until = 0.0
        self._before: list[tuple[float, float, float]] = []
        """(since, offset, rate) of the times before ``_since``."""

    def now(self) -> float:
        return self.at(self._world.now)

    def at(self, world_time: float) -> float:
        """What this clock shows at a time of the world."""
        if world_time >= self._since:
            return self._offset + world_time * self.rate
        _, offset, rate = next(part for part in reversed(self._before) if world_time >= part[0])
        return offset + world_time * rate

    def world_time(self, now: float) -> float:
        """When this clock shows ``now``, if its rate stays what it is, or when it did."""
        parts = ((self._since, self._offset, self.rate), *reversed(self._before))
        times = ((since, (now - offset) / rate) for since, offset, rate in parts)
        return next(time for since, time in times if time >= since)

    def change(self, rate: float, ahead: float) -> None:
        """It runs at this rate from now on, and shows so much more than it did; where it stands still it goes on so."""
        left = max(0.0, self._stands_until - self._world.now)
        self._go_on(rate, self.now() + left * (self.rate - rate) + ahead, self._world.now)

    def stand_still(self, seconds: float) -> None:
        """As for so long the machine does, from now on; nobody on it looks at the clock meanwhile."""
        self.go_on()
        self._go_on(self.rate, self.now() - seconds * self.rate, self._world.now)
        self._stands_until = self._world.now + seconds

    def go_on(self) -> None:
        """The machine does not stand still any more: if that is sooner than it should, the clock must not go back."""
        left = max(0.0, self._stands_until - self._world.now)
        self._stands_until = 0.0
        if left:
            self._go_on(self.rate, self.now() + left * self.rate, self._world.now)

    def _go_on(self, rate: float, shown: float, since: float) -> None:
        self._before.append((self._since, self._offset, self.rate))
        self._since, self._offset, self.rate = since, shown - since * rate, rate


class Died(Exception):
    """The process ends at this very step."""


class Actor:
    """One single-threaded process. ``turn`` handles what has come; ``deadline`` says when it must run all the same."""

    def __init__(self, world: World, clock: Clock, name: str) -> None:
        self.world = world
        self.clock = clock
        self.name = name
        self.alive = True
        self.free_at = 0.0
        self._steps_left = -1  # before it dies; -1: it lives on
        self._alarm = math.inf  # when the next turn is due, since something has come
        self._timer = math.inf  # when the deadline is looked at next: it may have moved by then, but only away

    def turn(self) -> None:
        raise NotImplementedError

    def on_death(self) -> None:
        """It ended by itself."""
        raise NotImplementedError

    def idle(self) -> bool:
        """Whether nothing waits to be handled."""
        raise NotImplementedError

    def deadline(self) -> float | None:
        """On the node's clock."""
        raise NotImplementedError

    def wake(self) -> None:
        """Something has come."""
        if self._alarm == math.inf:
            self._alarm = max(self.world.now + self.world.seldom_long(LATENCY, 0.003), self.free_at)
            self.world.at(self._alarm, self._ring)

    def met(self) -> None:
        """A message has come, and often finds the actor waiting for it; now and then others come before it looks."""
        if self._alarm == math.inf and self.free_at <= self.world.now and self.world.chance(0.7):
            if self.alive:
                self._run()
        else:
            self.wake()

    def pause(self, seconds: float) -> None:
        """Not scheduled for a while: SIGSTOP, a stolen CPU, a page fault."""
        self.world.note(self.name, f"pauses for {seconds:.3f} s")
        self.free_at = max(self.free_at, self.world.now + seconds)

    def doom(self, steps: int) -> None:
        """Die after so many more things done to the world outside: perhaps between two messages of one turn."""
        self._steps_left = steps

    def survive(self) -> None:
        """Called before each thing that this actor does to the world outside."""
        if self._steps_left >= 0:
            self._steps_left -= 1
            if self._steps_left < 0:
                raise Died

    def recover(self) -> None:
        """It goes on at once, and nothing kills it."""
        self._steps_left = -1
        self.free_at = min(self.free_at, self.world.now)
        self._alarm = math.inf  # that was for the end of a pause, perhaps
        self.wake()

    def clock_changed(self) -> None:
        """What is due may be due sooner."""
        if self.alive:
            self._set_timer()

    def busy(self, seconds: float) -> None:
        """The turn goes on for so long."""
        self.free_at = max(self.free_at, self.world.now + seconds)

    def _ring(self) -> None:
        self._alarm = math.inf
        if self.alive:
            self._run()

    def _run(self) -> None:
        if self.world.now >= self.free_at:
            try:
                self.turn()
            except Died:
                self.world.note(self.name, "dies here")
                self.alive = False
                self.on_death()
                return
        if not self.idle() or self.world.now < self.free_at:
            self.wake()
        elif (deadline := self.deadline()) is not None:
            now = self.clock.now()
            require(deadline > now, "what is due is done", actor=self.name, deadline=deadline, now=now)
        self._set_timer()

    def _set_timer(self) -> None:
        deadline = self.deadline()
        if deadline is not None:
            time = max(self.clock.world_time(deadline) + LATENCY, self.world.now + LATENCY, self.free_at)
            if time < self._timer:
                self._timer = time
                self.world.at(time, self._look_at_deadline, time)

    def _look_at_deadline(self, time: float) -> None:
        if time != self._timer or not self.alive:
            return  # an earlier one took its place
        self._timer = math.inf
        deadline = self.deadline()
        if deadline is None:
            return
        if self.clock.world_time(deadline) <= self.world.now:
            self._run()
        else:
            self._set_timer()


class Pipe:
    """A local socket between two actors of one incarnation: nothing is lost or reordered."""

    def __init__(self, world: World, channel: Channel[Any], receive: Callable[[Any], None]) -> None:
        self._world = world
        self._channel = channel
        self._receive = receive
        self._ready = 0.0

    def send(self, message: object) -> None:
        world = self._world
        if world.encoded:
            message = self._channel.decode(encode(message))
        self._ready = max(self._ready, world.now + world.seldom_long(0.000_05, 0.02))
        world.at(self._ready, self._receive, message)
