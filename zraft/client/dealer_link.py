"""The pipelined link: one thread drives many calls at once, over one DEALER connection an endpoint.

Requests that wait for the same endpoint leave in one message, and answers come back in any order and grouping: what
travels together costs less. No policy lives here: ``zraft.client.core`` says what to send, to whom, and until when.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import zmq

from zraft.client.connections import CLOSED_S, Connections, NodeConnection
from zraft.client.core import Call
from zraft.client.names import RESOLVE_S, Lookup, Names
from zraft.client.steps import NO_ANSWER, Answered, Event, Fail, Go, NotAnswered, NotSent, Pause, Return, Send
from zraft.connection import received, send_frames
from zraft.errors import ClientClosed
from zraft.protocol.responses import Response

MESSAGE_BYTES_MAX = 1 << 20
"""Requests are put into one message up to here, or one that is larger."""
MESSAGES_PER_TURN = 1024
"""So many answers are taken from one endpoint before the others, and the timers, have their turn."""
LANES_MAX = 16
"""How many endpoints keep a connection that nobody uses."""
TIMERS_STALE_MAX = 1024

_IN, _BOTH = int(zmq.POLLIN), int(zmq.POLLIN | zmq.POLLOUT)

T = TypeVar("T")


class DealerLink(Generic[T]):
    """Runs the calls of one core, for one thread. Each carries a tag, by which its end is told.

    Args:
        lock: held while a call takes a step, if other threads use the core as well.
        is_closed: whether the calls are to end, as another thread may want.
    """

    def __init__(self, lock: threading.RLock | None = None, is_closed: Callable[[], bool] | None = None) -> None:
        self.in_flight = 0
        """Calls that were started and have not ended."""
        self.has_ended = False
        """It was closed, or closing it was begun."""
        self._lock = lock or threading.RLock()
        self._is_closed = is_closed
        self._connections = Connections()
        self._names = Names()
        self._lanes: dict[str, _Lane[T]] = {}
        self._timers: list[tuple[float, int, _Flight[T]]] = []
        self._numbers = itertools.count()
        self._ended: list[tuple[T, Return[Response] | Fail]] = []

    @property
    def pid(self) -> int:
        """The process whose it is."""
        return self._connections.pid

    def start(self, call: Call[Response], tag: T, now: float) -> None:
        """Begins a call, at the time for which it was made: those of one moment have one header. ``wait`` sends it."""
        self.in_flight += 1
        self._step(_Flight(call, tag), Go(), now)

    def wait(self, until: float = math.inf) -> list[tuple[T, Return[Response] | Fail]]:
        """Sends what was started, and returns the calls that have ended, as soon as there are some.

        Args:
            until: of ``time.monotonic()``: when to return without any.

        Raises:
            ClientClosed: ``is_closed`` says so. What was sent is of unknown outcome.
        """
        while self.in_flight and not self._ended and self._turn(until) < until:
            if self._is_closed is not None and self._is_closed():
                raise ClientClosed("this client was closed in the midst of a pipeline")
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """Closes all connections; what is in flight is forgotten. Closing again closes what an interrupt has left."""
        self.has_ended = True
        for connection in list(self._connections.open):
            connection.close()
        self._connections.end()

    def _turn(self, until: float) -> float:
        """Sends what can be sent, waits, and handles what came of it; the time when it did."""
        if len(self._lanes) > LANES_MAX:
            for lane in [one for one in self._lanes.values() if not one.queue and not one.flying]:
                self._drop(lane, time.monotonic())
        interests: list[tuple[zmq.Socket[bytes], int]] = []
        for lane in list(self._lanes.values()):
            connection = lane.open(self._connections)
            if connection is not None:
                lane.flush()
                # Before there is a connection the socket would take messages, which then might never leave.
                interests.append((connection.socket, _BOTH if lane.queue and connection.is_open else _IN))
                interests.append((connection.monitor, _IN))
            elif lane.lookup.is_over:
                self._drop(lane, time.monotonic())
                until = 0.0  # who waited there may have ended, or want to be sent elsewhere
            else:
                until = min(until, time.monotonic() + RESOLVE_S)
        until = min(until, self._timers[0][0])
        if self._is_closed is not None:
            until = min(until, time.monotonic() + CLOSED_S)
        timeout_ms = max(0, math.ceil((until - time.monotonic()) * 1000))
        if not interests:
            time.sleep(timeout_ms / 1000)  # a poll of nothing returns at once
        ready = dict(zmq.zmq_poll(interests, timeout_ms))
        now = time.monotonic()
        for lane in list(self._lanes.values()):
            if lane.connection is None:
                continue
            is_lost = lane.connection.monitor in ready and lane.connection.look()
            if is_lost or lane.connection.socket in ready:
                for flight, answer in lane.receive():
                    self._step(flight, answer, now)
            if is_lost:
                self._drop(lane, now)
        self._expire(now)
        return now

    def _step(self, flight: _Flight[T], event: Event, now: float) -> None:
        with self._lock:
            instruction = flight.call.step(event, now)
        match instruction:
            case Send():
                flight.number = instruction.frames[1]
                flight.lane = self._lane(instruction.endpoint)
                flight.lane.queue[flight] = instruction
                self._set_timer(flight, instruction.connect_by)
            case Pause():
                flight.lane = None
                self._set_timer(flight, instruction.until)
            case Return() | Fail():
                flight.due = math.inf
                self.in_flight -= 1
                self._ended.append((flight.tag, instruction))

    def _lane(self, endpoint: str) -> _Lane[T]:
        lane = self._lanes.get(endpoint)
        if lane is None:
            lane = self._lanes[endpoint] = _Lane(endpoint, self._names.lookup(endpoint))
        return lane

    def _drop(self, lane: _Lane[T], now: float) -> None:
        """A connection could not be made, or broke: tell those who wait there."""
        if lane.connection is not None and not lane.is_made:
            self._names.doubt(lane.endpoint, lane.lookup.address)
        lane.close()
        del self._lanes[lane.endpoint]
        for flight in lane.flying.values():
            self._step(flight, NotAnswered("the connection broke"), now)
        for flight in lane.queue:
            self._step(flight, NotSent(lane.trouble), now)

    def _set_timer(self, flight: _Flight[T], due: float) -> None:
        # One timer a flight suffices: one that fires before the flight is due is set anew.
        flight.due = due
        if due < flight.timer:
            flight.timer = due
            heapq.heappush(self._timers, (due, next(self._numbers), flight))

    def _expire(self, now: float) -> None:
        if len(self._timers) > TIMERS_STALE_MAX + 2 * self.in_flight:
            self._timers = [timer for timer in self._timers if timer[2].due < math.inf]
            heapq.heapify(self._timers)
        while self._timers and self._timers[0][0] <= now:
            flight = heapq.heappop(self._timers)[2]
            flight.timer = math.inf
            if flight.due > now:
                self._set_timer(flight, flight.due)
            else:
                self._step(flight, self._give_up(flight, flight.lane, now) if flight.lane else Go(), now)

    def _give_up(self, flight: _Flight[T], lane: _Lane[T], now: float) -> Event:
        event = lane.give_up(flight)
        if isinstance(event, NotSent) and not (lane.queue or lane.is_made) and lane.connection is not None:
            self._drop(lane, now)  # nobody answers there: another address of the name may be better
        return event


class _Flight(Generic[T]):
    """A call that has begun. ``due``: when it hears of the time; ``lane``: where it waits, or None in a pause."""

    __slots__ = ("call", "due", "lane", "number", "tag", "timer")

    def __init__(self, call: Call[Response], tag: T) -> None:
        self.call = call
        self.tag = tag
        self.lane: _Lane[T] | None = None
        self.number = b""
        self.due = self.timer = math.inf


class _Lane(Generic[T]):
    """The way to one endpoint: ``queue`` waits to be sent, ``flying`` waits for answers, by request id."""

    def __init__(self, endpoint: str, lookup: Lookup) -> None:
        self.endpoint = endpoint
        self.lookup = lookup
        self.connection: NodeConnection | None = None
        self.is_made = False
        """There has been a connection."""
        self._trouble = "its name can't be resolved"
        self.queue: OrderedDict[_Flight[T], Send] = OrderedDict()  # thousands may be given up at once
        self.flying: dict[bytes, _Flight[T]] = {}

    @property
    def trouble(self) -> str:
        """Why what waits could not be sent."""
        return self.connection.trouble if self.connection else self._trouble

    def open(self, connections: Connections) -> NodeConnection | None:
        """The connection, perhaps still being made; None: the name is being resolved, or there can't be one."""
        if self.connection is None and self.lookup.address:
            try:
                self.connection = NodeConnection(connections, zmq.DEALER, self.lookup.address)
            except zmq.ZMQError as error:
                self._trouble = f"can't connect: {error}"
        elif self.connection is not None and not self.flying and self.connection.look():
            return None  # what was sent over it now would be of unknown outcome
        return self.connection

    def flush(self) -> None:
        """Sends what waits, as far as the connection takes it."""
        self.is_made = self.is_made or (self.connection is not None and self.connection.is_open)
        while self.queue and self.connection is not None and self.connection.is_open:
            frames = self._message()
            try:
                send_frames(self.connection.socket, frames)
            except zmq.ZMQError:
                return  # there is no room
            for number in frames[2::2]:
                flight, send = self.queue.popitem(last=False)
                flight.due = send.answer_by
                self.flying[number] = flight

    def receive(self) -> Iterator[tuple[_Flight[T], Answered]]:
        """The answers that have come. What answers nobody, or one who waits no more, is ignored."""
        if self.connection is None:
            return
        for frames in received(self.connection.socket, MESSAGES_PER_TURN):
            for number, body in zip(frames[2::2], frames[3::2], strict=False):
                flight = self.flying.pop(number, None)
                if flight is not None:
                    yield flight, Answered((frames[1], number, body))
            if not self.flying:
                return

    def give_up(self, flight: _Flight[T]) -> Event:
        """Takes out a flight whose time here is up."""
        if self.flying.pop(flight.number, None) is not None:
            return NotAnswered(NO_ANSWER)
        self.queue.pop(flight, None)
        return NotSent(self.trouble)

    def close(self) -> None:
        """Closes the connection."""
        if self.connection is not None:
            self.connection.close()

    def _message(self) -> list[bytes]:
        """The first that wait and have the same header, as one message."""
        header = next(iter(self.queue.values())).frames[0]
        frames, size = [b"", header], 0
        for send in self.queue.values():
            head, number, body = send.frames
            if head != header or (size and size + len(body) > MESSAGE_BYTES_MAX):
                break
            frames += (number, body)
            size += len(body)
        return frames
