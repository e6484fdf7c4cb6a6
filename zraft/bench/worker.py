"""One connection of a load, in a process of its own."""

from __future__ import annotations

import itertools
import random
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection

import msgspec

from zraft.bench.histogram import Histogram
from zraft.bench.load import Load, Work, fill_of, requests_of
from zraft.client.core import Core
from zraft.client.dealer_link import DealerLink
from zraft.client.steps import Fail, Return
from zraft.core.limits import is_write
from zraft.errors import Unavailable, Unknown, ZraftError
from zraft.protocol.requests import Get
from zraft.protocol.responses import BatchResult, ErrorInfo, GetResult, PutResult, Response

Ended = list[tuple[tuple[float, Work], Return[Response] | Fail]]
"""Of each request when it began, what it was, and how it ended."""

FILL_PIPELINE = 4
STARTED_MAX = 1_000
"""Requests that are begun at a time: the first of them wait for the last before they leave, and their time runs."""
TELL_S = 0.25
REFUSED_S = 0.1
"""A connection all of whose requests failed begins others no sooner: the load is not to be a loop of refusals."""


class Ready(msgspec.Struct, frozen=True):
    """It is connected, the keys are there, and it waits for the word."""


class Begin(msgspec.Struct, frozen=True):
    """The word: all connections begin together."""


class Progress(msgspec.Struct, frozen=True):
    """How many operations were done so far, and how many failed."""

    operations: int
    errors: int


class Failed(msgspec.Struct, frozen=True):
    """It could not begin."""

    error: ZraftError


class Tally(msgspec.Struct):
    """What one connection saw. ``errors`` counts operations by code, ``latencies`` requests; times are seconds."""

    operations: int = 0
    not_found: int = 0
    errors: Counter[str] = msgspec.field(default_factory=Counter)
    latencies: Histogram = msgspec.field(default_factory=Histogram)
    stall: float = 0.0
    """The longest time without any answer."""
    elapsed: float = 0.0
    """From the first request to the last answer."""
    cpu: float = 0.0

    def count(self, end: Return[Response] | Fail, operations: int, latency: float) -> None:
        """Counts one request and its operations."""
        if isinstance(end, Fail):
            self.errors[end.kind.code] += operations
            return
        self.latencies.add(latency)
        self.operations += operations
        for result in end.response.results if isinstance(end.response, BatchResult) else (end.response,):
            match result:
                case PutResult(error=ErrorInfo(code)) | GetResult(error=ErrorInfo(code)):
                    self.errors[code] += 1
                    self.operations -= 1
                case GetResult(found=False):
                    self.not_found += 1

    def merge(self, other: Tally) -> None:
        """Adds what another connection saw at the same time."""
        self.operations += other.operations
        self.not_found += other.not_found
        self.errors += other.errors
        self.latencies.merge(other.latencies)
        self.stall = max(self.stall, other.stall)
        self.elapsed = max(self.elapsed, other.elapsed)
        self.cpu += other.cpu


def run(load: Load, client: int, channel: Connection) -> None:
    """The body of the process: it says Ready, waits for Begin, tells its Progress, and ends with a Tally or Failed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent sees to it
    worker = _Worker(load, client, channel)
    try:
        worker.run()
    except (EOFError, BrokenPipeError):
        pass  # the parent is gone
    except ZraftError as error:
        channel.send(Failed(error))
    finally:
        worker.close()


class _Worker:
    """The connection, and what it was asked to do."""

    def __init__(self, load: Load, client: int, channel: Connection) -> None:
        first = client % len(load.endpoints)
        endpoints = load.endpoints[first:] + load.endpoints[:first]
        self._load = load
        self._client = client
        self._channel = channel
        self._core = Core(endpoints, random.random)
        self._only = endpoints[0] if load.spread else ""
        self._link: DealerLink[tuple[float, Work]] = DealerLink()

    def run(self) -> None:
        rng = random.Random(self._client)
        self._prepare([Work(Get(b"bench"), GetResult, 1)])  # so that the first latency is none of connecting
        if self._load.fill:
            self._prepare(fill_of(self._load, self._client, rng))
        self._channel.send(Ready())
        self._channel.recv()
        cpu, end = time.process_time(), time.monotonic() + self._load.seconds
        tally = self._measure(itertools.takewhile(lambda _: time.monotonic() < end, requests_of(self._load, rng)))
        tally.cpu = time.process_time() - cpu
        self._channel.send(tally)

    def close(self) -> None:
        self._link.close()

    def _prepare(self, works: Iterable[Work]) -> None:
        for ended in self._drive(works, FILL_PIPELINE):
            for _, end in ended:
                if isinstance(end, Fail):
                    raise end.exception()

    def _measure(self, works: Iterable[Work]) -> Tally:
        tally = Tally()
        begin = last = time.monotonic()
        tell = begin + TELL_S
        for ended in self._drive(works, self._load.pipeline):
            now = time.monotonic()
            if ended:
                tally.stall = max(tally.stall, now - last)
                last = now
            for (begun, work), end in ended:
                tally.count(self._in_time(end, work, now - begun), work.operations, now - begun)
            if now >= tell:
                self._channel.send(Progress(tally.operations, tally.errors.total()))
                tell = now + TELL_S
        tally.elapsed = last - begin
        return tally

    def _in_time(self, end: Return[Response] | Fail, work: Work, latency: float) -> Return[Response] | Fail:
        """How it ended for its caller, who has gone when an answer comes that this process was too busy to take."""
        if isinstance(end, Fail) or latency <= self._load.timeout:
            return end
        return Fail(Unknown if is_write(work.request) else Unavailable, "the answer came too late")

    def _drive(self, works: Iterable[Work], outstanding: int) -> Iterator[Ended]:
        """Keeps so many requests outstanding, until there are no more and all are answered; yields what ended."""
        left, free = iter(works), outstanding
        while True:
            begun = self._start(itertools.islice(left, min(free, STARTED_MAX)))
            free -= begun
            if not self._link.in_flight:
                return
            # While there are more to begin, those that have begun are only sent, and what has come is taken.
            ended = self._link.wait(0.0 if free and begun else time.monotonic() + TELL_S)
            yield ended
            if self._only and ended and not self._link.in_flight and all(isinstance(end, Fail) for _, end in ended):
                time.sleep(REFUSED_S)
            free += len(ended)

    def _start(self, works: Iterable[Work]) -> int:
        """Begins them; how many there were."""
        begun = 0
        for work in works:
            begun += 1
            now = time.monotonic()
            call = self._core.call(work.request, work.answer, now, self._load.timeout, self._only)
            self._link.start(call, (now, work), now)
        return begun
