"""Campaigns: runs over all cores for as long as one likes, summed with those that went before on the same core."""

import gc
import hashlib
import os
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

import msgspec

from tests.simulation.run import Failure, Report, run
from zraft.store.processes import die_with_parent

ROOT = Path(__file__).resolve().parents[2]
DIRECTORY = ROOT / ".simulation"
SEED_MIN = 1_000
"""The fixed corpus has the seeds below."""
GARBAGE_OBJECTS = 100_000
"""Runs leave little garbage in cycles: to look for it less often than Python does by itself saves a tenth."""


class Totals(msgspec.Struct):
    """What campaigns have come to. Only runs count in which a leader was elected and a fault struck."""

    next_seed: int = SEED_MIN
    seeds: int = 0
    virtual_seconds: float = 0.0
    faults: int = 0
    operations: int = 0
    broken: dict[int, str] = {}
    """The rule that broke, by seed."""

    def count(self, report: Report) -> None:
        if report.leaders and report.faults:
            self.seeds += 1
            self.virtual_seconds += report.virtual_seconds
            self.faults += report.faults
            self.operations += report.writes + report.reads

    def line(self) -> str:
        hours = self.virtual_seconds / 3600
        return f"seeds={self.seeds} hours={hours:.2f} faults={self.faults} violations={len(self.broken)}"


def state_path() -> Path:
    """Where the totals of this very core are kept: another core begins to count anew."""
    return DIRECTORY / f"{_digest('zraft/core', 'zraft/protocol')[:12]}.json"


def fresh_seed() -> int:
    """The first of the seeds that are this very tree's own.

    Each change of the core or of the simulator is judged by seeds that no other one was, and the verdict is the same
    wherever it is asked for.
    """
    return int(_digest("zraft/core", "zraft/protocol", "tests/simulation")[:10], 16)


def _digest(*folders: str) -> str:
    digest = hashlib.sha256()
    for path in sorted(chain.from_iterable((ROOT / folder).glob("*.py") for folder in folders)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _begin(parent: int) -> None:
    """What each process of a campaign does first: it is not to outlive one that is killed."""
    die_with_parent(parent)
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS)


class Campaign:
    """Runs seeds that no campaign on this core has run."""

    def __init__(self, state: Path, processes: int) -> None:
        self._state = state
        self._processes = processes
        self.totals = Totals()
        if state.exists():
            self.totals = msgspec.json.decode(state.read_bytes(), type=Totals)

    def run(self, seconds: float) -> int:
        """Go on for so long; the last line printed is the sum. The exit code is 0 if no rule was ever broken."""
        totals = self.totals
        started, before = time.monotonic(), totals.virtual_seconds
        pending: dict[Future[Report], int] = {}
        spawn = get_context("spawn")
        with ProcessPoolExecutor(self._processes, spawn, _begin, (os.getpid(),)) as pool:
            while pending or time.monotonic() < started + seconds:
                while len(pending) < 2 * self._processes and time.monotonic() < started + seconds:
                    pending[pool.submit(run, totals.next_seed)] = totals.next_seed
                    totals.next_seed += 1
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    self._take(pending.pop(future), future)
                self._save()
        rate = (totals.virtual_seconds - before) / (time.monotonic() - started)
        print(f"{rate:.1f} virtual seconds a second, {totals.operations} operations in all; kept in {self._state}")
        for seed, rule in totals.broken.items():
            print(f"seed {seed}: {rule}")
        print(totals.line())
        return 1 if totals.broken else 0

    def _take(self, seed: int, future: "Future[Report]") -> None:
        try:
            self.totals.count(future.result())
        except Failure as failure:
            print(failure, flush=True)
            self.totals.broken[seed] = failure.rule

    def _save(self) -> None:
        self._state.parent.mkdir(exist_ok=True)
        new = self._state.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(self.totals))
        new.replace(self._state)
