"""What ``zraft top`` shows: frames made of samples, without a terminal, a clock or a socket.

A sample is what all members told at one moment; a rate or a latency is what happened between two of them.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from zraft.cli.tables import table
from zraft.protocol.responses import StatusResult

HEAD = (
    *("NODE", "STATE", "TERM", "LEADER", "APPLIED", "BEHIND", "WRITES/S", "READS/S"),
    *("WRITE P99", "SYNC P99", "READ", "DISK", "NOTICE"),
)
ELECTIONS_SHOWN = 5
_MIB = 1 << 20


@dataclass(frozen=True)
class Counters:
    """What a node has counted since it was started.

    The histograms are in seconds: how many took at most so long, by that bound, ascending, the last one infinite.
    """

    writes: float
    reads: float
    write_seconds: Mapping[float, float] = field(default_factory=dict)
    sync_seconds: Mapping[float, float] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeSample:
    """What one member told: ``status`` is None when it is silent, ``read_ms`` when it served no linearizable read."""

    name: str
    status: StatusResult | None
    read_ms: float | None = None
    reason: str = ""
    counters: Counters | None = None


@dataclass(frozen=True)
class Sample:
    """All members at one moment, in unix seconds."""

    at: float
    nodes: tuple[NodeSample, ...]

    def leader(self) -> tuple[int, str]:
        """(term, name) of the leader of the newest term in which one is known; (0, "") when none is."""
        known = [(one.status.current_term, one.status.leader_id) for one in self.nodes if one.status]
        return max((pair for pair in known if pair[1]), default=(0, ""))


class Top:
    """Makes a frame of each sample, and remembers who led when."""

    def __init__(self) -> None:
        self._before: Sample | None = None
        self._led = (0, "")
        self._elections: deque[str] = deque(maxlen=ELECTIONS_SHOWN)

    def frame(self, sample: Sample) -> list[str]:
        """The lines to show for this sample: the cluster, a line a member, and the elections seen so far."""
        before, self._before = self._before, sample
        self._note_election(sample)
        rows = [HEAD, *(_row(one, sample, before) for one in sample.nodes)]
        lines = [_summary(sample, before), "", *table(rows).splitlines()]
        return [*lines, "", "Elections seen:", *self._elections] if self._elections else lines

    def _note_election(self, sample: Sample) -> None:
        led, leads = self._led, sample.leader()
        if leads > led:
            self._led = leads
            if led[1]:
                how = "again" if leads[1] == led[1] else f"after {led[1]}"
                self._elections.appendleft(f"{_time(sample.at)}  term {leads[0]}: {leads[1]} {how}")


def _summary(sample: Sample, before: Sample | None) -> str:
    term, name = sample.leader()
    serving = sum(one.read_ms is not None for one in sample.nodes)
    revision = _revision(sample)
    parts = [
        _time(sample.at),
        f"{name} leads in term {term}" if name else "no leader",
        f"{serving} of {len(sample.nodes)} serve",
        f"revision {revision:,}",
    ]
    if before is not None:
        parts.append(f"{_rate(revision - _revision(before), sample, before)} changes/s")
    return "  |  ".join(parts)


def _row(one: NodeSample, sample: Sample, before: Sample | None) -> tuple[object, ...]:
    status = one.status
    if status is None:
        return (one.name, "silent", *["-"] * 10, one.reason)
    behind = max(other.status.commit_index for other in sample.nodes if other.status) - status.last_applied
    disk = f"{(status.log_bytes + status.state_bytes + status.snapshots_bytes) / _MIB:.1f}MiB"
    read = "-" if one.read_ms is None else f"{one.read_ms:.1f}ms"
    role = (status.state or "-", status.current_term, status.leader_id or "-")
    flow = _flow(one, sample, before)
    return (one.name, *role, status.last_applied, max(0, behind), *flow, read, disk, status.notice or one.reason)


def _flow(one: NodeSample, sample: Sample, before: Sample | None) -> tuple[str, str, str, str]:
    """Writes and reads a second, and the 99th percentiles of writes and syncs, since the sample before."""
    then = next((other.counters for other in before.nodes if other.name == one.name), None) if before else None
    now = one.counters
    if before is None or now is None or then is None or now.writes < then.writes:  # the node was started meanwhile
        return ("-",) * 4
    return (
        _rate(now.writes - then.writes, sample, before),
        _rate(now.reads - then.reads, sample, before),
        _milliseconds(quantile(0.99, now.write_seconds, then.write_seconds)),
        _milliseconds(quantile(0.99, now.sync_seconds, then.sync_seconds)),
    )


def quantile(share: float, now: Mapping[float, float], then: Mapping[float, float]) -> float | None:
    """The value, in seconds, that so great a share of what came between two histograms does not exceed.

    Within a bucket values are taken to be spread evenly, as Prometheus does; None when nothing came.
    """
    bounds: Sequence[float] = sorted(now)
    counts = [now[bound] - then.get(bound, 0.0) for bound in bounds]
    if not counts or counts[-1] <= 0:
        return None
    rank = share * counts[-1]
    at = bisect.bisect_left(counts, rank)
    if at == len(bounds) - 1:  # beyond the greatest finite bound, which is all that is known
        return bounds[at - 1] if at else None
    low, below = (bounds[at - 1], counts[at - 1]) if at else (0.0, 0.0)
    return low + (bounds[at] - low) * (rank - below) / (counts[at] - below)


def _revision(sample: Sample) -> int:
    return max((one.status.revision for one in sample.nodes if one.status), default=0)


def _rate(more: float, sample: Sample, before: Sample) -> str:
    return f"{max(0.0, more) / max(sample.at - before.at, 0.001):,.0f}"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f}ms"


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"
