"""One connection of a load, in a process of its own."""

from __future__ import annotations

import itertools
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection

import msgspec

from zraft.bench.histogram import Histogram
from zraft.bench.load import Load, Work, fill_of, requests_of
from zraft.client.core import Core, Fail, Return
from zraft.client.dealer_link import DealerLink
from zraft.errors import ZraftError
from zraft.protocol.client import BatchResult, Get, GetResult, Response

FILL_PIPELINE = 4
TELL_S = 0.25


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
    """What one connection saw, in operations and seconds. ``errors`` are counted by code, ``latencies`` by request."""

    operations: int = 0
    not_found: int = 0
    errors: Counter[str] = msgspec.field(default_factory=Counter)
    latencies: Histogram = msgspec.field(default_factory=Histogram)
    stall: float = 0.0
    """The longest time without any answer."""
    elapsed: float = 0.0
    """From the first request to the last answer."""
    cpu: float = 0.0


def run(load: Load, client: int, channel: Connection) -> None:
    """The body of the process: says Ready, waits for Begin, tells its Progress, and ends with a Tally; or with Failed."""
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
    def __init__(self, load: Load, client: int, channel: Connection) -> None:
        first = client % len(load.endpoints)
        endpoints = load.endpoints[first:] + load.endpoints[:first]
        self._load = load
        self._client = client
        self._channel = channel
        self._core = Core(endpoints, random.random)
        self._only = endpoints[0] if load.spread else ""
        self._link: DealerLink[tuple[float, int]] = DealerLink()
        self._failure = ""

    def run(self) -> None:
        rng = random.Random(self._client)
        self._prepare(iter([Work(Get(b"bench"), GetResult, 1)]))  # so that the first latency is none of connecting
        if self._load.fill:
            self._prepare(fill_of(self._load, self._client, rng))
        self._channel.send(Ready())
        self._channel.recv()
        cpu, end = time.process_time(), time.monotonic() + self._load.seconds
        works = itertools.takewhile(lambda _: time.monotonic() < end, requests_of(self._load, rng))
        tally = self._loop(works, self._load.pipeline)
        tally.cpu = time.process_time() - cpu
        self._channel.send(tally)

    def close(self) -> None:
        self._link.close()

    def _prepare(self, works: Iterator[Work]) -> None:
        failures = self._loop(works, FILL_PIPELINE)....

    def _loop(self, works: Iterator[Work], outstanding: int) -> Tally:
        """Keeps so many requests outstanding until there are no more, and all are answered."""
        tally = Tally()
        begin = last = time.monotonic()
        tell = begin + TELL_S
        for work in itertools.islice(works, outstanding):
            self._start(work)
        while self._link.in_flight:
            ended = self._link.wait(tell)
            now = time.monotonic()
            for (begun, operations), end in ended:
                self._count(tally, ...)
                work = next(works, None)
                if work is not None: self._start(work)
        tally.elapsed = last - begin
        return tally
