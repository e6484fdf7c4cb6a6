"""Runs a load in processes of its own, and puts together what they saw."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import msgspec

from zraft.bench import worker
from zraft.bench.load import Load
from zraft.bench.worker import Begin, Failed, Progress, Tally
from zraft.client import Client
from zraft.errors import ZraftError

JOIN_S_MAX = 5.0

_Crew = dict[Connection, BaseProcess]
"""The clients' processes, by the parent's end of their pipes."""

OnProgress = Callable[[float, int, int], None]
"""Told how many seconds have passed, how many operations were done, and how many failed."""


class Figures(msgspec.Struct, frozen=True):
    """What came of a load. ``terms``: the cluster's before and after; between equal ones the leader was the same."""

    load: Load
    tally: Tally
    terms: tuple[int, int]

    @property
    def operations_per_second(self) -> float:
        """Operations that succeeded, over the time from the first request to the last answer."""
        return self.tally.operations / self.tally.elapsed if self.tally.elapsed else 0.0

    def latency_ms(self) -> dict[str, float]:
        """Of requests, whatever they hold, from being queued to being answered, repetitions included."""
        quantile = self.tally.latencies.quantile
        shares = {"p50": quantile(0.5), "p99": quantile(0.99), "p999": quantile(0.999), "max": quantile(1.0)}
        return {name: round(seconds * 1000, 3) for name, seconds in shares.items()}

    def document(self) -> dict[str, Any]:
        """All of it for machines."""
        return {
            "operations_per_second": round(self.operations_per_second, 1),
            "latency_ms": self.latency_ms(),
            "operations": self.tally.operations,
            "errors": dict(self.tally.errors),
            "not_found": self.tally.not_found,
            "elapsed_seconds": round(self.tally.elapsed, 3),
            "longest_stall_ms": round(self.tally.stall * 1000, 3),
            "client_cpu_seconds": round(self.tally.cpu, 3),
            "terms": list(self.terms),
            "settings": msgspec.to_builtins(self.load),
        }


def measure(load: Load, on_progress: OnProgress | None = None) -> Figures:
    """Runs a load against a cluster.

    Raises:
        ZraftError: it could not begin: nobody serves, or the requests are invalid.
        ChildProcessError: a client's process ended by itself.
    """
    with Client(load.endpoints, timeout=load.timeout) as client:
        before = client.status().current_term
        tally = _run(load, on_progress or (lambda *_: None))
        try:
            after = client.status().current_term
        except ZraftError:
            after = 0
    return Figures(load, tally, (before, after))


def _run(load: Load, on_progress: OnProgress) -> Tally:
    spawn = multiprocessing.get_context("spawn")
    crew: _Crew = {}
    try:
        for client in range(load.clients):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=worker.run, args=(load, client, theirs), daemon=True)
            process.start()
            theirs.close()
            crew[ours] = process
        return _conduct(crew, on_progress)
    finally:
        for channel, member in crew.items():
            channel.close()
            member.terminate()
            member.join(JOIN_S_MAX)


def _conduct(crew: _Crew, on_progress: OnProgress) -> Tally:
    ready: set[Connection] = set()
    while len(ready) < len(crew):
        ready |= {channel for channel, _ in _heard(crew, ready)}
    begin = time.monotonic()
    for channel in crew:
        channel.send(Begin())
    total, done = Tally(), set[Connection]()
    progress: dict[Connection, Progress] = {}
    while len(done) < len(crew):
        for channel, message in _heard(crew, done):
            if isinstance(message, Tally):
                total.merge(message)
                done.add(channel)
            else:
                progress[channel] = message
        operations = sum(one.operations for one in progress.values())
        on_progress(time.monotonic() - begin, operations, sum(one.errors for one in progress.values()))
    return total


def _heard(crew: _Crew, besides: set[Connection]) -> Iterator[tuple[Connection, Any]]:
    """What the others have to say, as soon as one says something."""
    for channel in multiprocessing.connection.wait([one for one in crew if one not in besides]):
        if isinstance(channel, Connection):
            yield channel, _message(channel, crew[channel])


def _message(channel: Connection, process: BaseProcess) -> Any:
    try:
        message = channel.recv()
    except EOFError:
        process.join(JOIN_S_MAX)
        raise ChildProcessError(f"a client's process ended before it told its figures: {process.exitcode}") from None
    if isinstance(message, Failed):
        raise message.error
    return message
