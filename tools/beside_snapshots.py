"""What snapshots cost whoever writes: lone puts beside a load, told apart by whether a snapshot was being made.

When one was made is read from the nodes' logs, so that nothing is asked of them meanwhile.
"""

from __future__ import annotations

import datetime
import re
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple, Self

from zraft.bench.histogram import Histogram
from zraft.client import Client
from zraft.cluster import LocalCluster
from zraft.errors import ZraftError

HEAD = ("LONE PUTS", "NUMBER", "P50 MS", "P99 MS", "SLOWEST MS")
TIMEOUT_S = 10.0
_MADE = re.compile(r'^time=(\S+) .*event="snapshot made".* seconds=(\S+)', re.MULTILINE)


class Span(NamedTuple):
    """From when to when, in seconds since 1970."""

    begin: float
    end: float


class Probe:
    """Puts one key after the other while its context lasts, one at a time, and notes how long each took.

    A put that failed counts with the time that it took to fail.
    """

    def __init__(self, cluster: LocalCluster, value_size: int) -> None:
        self._endpoints = cluster.endpoints()
        self._value = bytes(value_size)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probe")
        self.puts: list[Span] = []
        self.errors = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        with Client(self._endpoints, timeout=TIMEOUT_S) as client:
            while not self._end.is_set():
                begin = time.time()
                try:
                    client.put("probe", self._value)
                except ZraftError:
                    self.errors += 1
                self.puts.append(Span(begin, time.time()))


def snapshots_of(log: str) -> list[Span]:
    """When the node of this log made snapshots: from the start of the process that does it to its end."""
    found = []
    for at, seconds in _MADE.findall(log):
        end = datetime.datetime.fromisoformat(at).timestamp()
        found.append(Span(end - float(seconds), end))
    return found


def snapshots_in(cluster: LocalCluster) -> list[Span]:
    """When any node of the cluster made one."""
    return sorted(span for name in cluster.names for span in snapshots_of(cluster.log_path(name).read_text()))


def rows(puts: Iterable[Span], loaded: list[Span], snapshots: list[Span]) -> list[tuple[object, ...]]:
    """For a table with ``HEAD``: of the puts under load, those beside which a snapshot was made, and the others."""
    beside, alone = Histogram(), Histogram()
    for put in puts:
        if not any(span.begin <= put.begin and put.end <= span.end for span in loaded):
            continue
        is_beside = any(put.begin < span.end and span.begin < put.end for span in snapshots)
        (beside if is_beside else alone).add(put.end - put.begin)
    return [_row("beside a snapshot", beside), _row("beside none", alone)]


def _row(name: str, latencies: Histogram) -> tuple[object, ...]:
    shown = (f"{latencies.quantile(share) * 1000:.1f}" for share in (0.5, 0.99, 1.0))
    return (name, f"{sum(latencies.counts.values()):,}", *shown)
