"""The metrics of a node, right across its processes and their restarts.

Each process counts in files of its own (prometheus-client's multiprocess mode); the supervisor adds them up when it is
asked. A process that has ended leaves its counts to one file for all the dead, so that no counter goes back and no
crash loop fills the directory.

Importing this module creates the process's files in ``$PROMETHEUS_MULTIPROC_DIR``, which the supervisor sets; without
it the metrics are plain numbers in memory.
"""

from __future__ import annotations

import bisect
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Literal

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from zraft.actors.process import ProcessStats

NODE_STATES = {"follower": 0, "candidate": 1, "leader": 2}
"""The values of ``raft_node_state``."""

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_REPORT_SECONDS = 0.25


class Reporter:
    """What is counted in plain memory, and handed over to prometheus-client four times a second.

    One increment of a metric that processes share costs several microseconds, an observation of a histogram as much
    as a whole request; and they would stand on the path of each.
    """

    def __init__(self) -> None:
        self._parts: list[Count | Counts | Level | Peak | Latencies] = []
        self._next = 0.0

    def add(self, part: Count | Counts | Level | Peak | Latencies) -> None:
        """One more to hand over."""
        self._parts.append(part)

    def tick(self, now: float, measure: Callable[[], None] = lambda: None) -> None:
        """Hand over what has changed, if it is time; ``now`` in seconds.

        ``measure`` sets what need not be told in every turn, as only its last value counts; it is called before.
        """
        if now >= self._next:
            self._next = now + _REPORT_SECONDS
            measure()
            self.flush()

    def flush(self) -> None:
        """Hand over what has changed."""
        for part in self._parts:
            part.flush()


reporter = Reporter()
"""Of this process: its actor ticks it in every turn."""


class Count:
    """A counter whose increments cost next to nothing."""

    def __init__(self, name: str, meaning: str) -> None:
        self._counter = Counter(name, meaning)
        self._more = 0
        reporter.add(self)

    def inc(self, amount: int = 1) -> None:
        """Count some more."""
        self._more += amount

    def flush(self) -> None:
        """Hand over what was counted since the last time."""
        if self._more:
            self._counter.inc(self._more)
            self._more = 0


class Counts:
    """A counter with labels whose increments cost next to nothing. Few values of labels may occur: they are kept."""

    def __init__(self, name: str, meaning: str, labels: tuple[str, ...]) -> None:
        self._counter = Counter(name, meaning, labels)
        self._more: defaultdict[tuple[str, ...], int] = defaultdict(int)
        reporter.add(self)

    def inc(self, labels: tuple[str, ...]) -> None:
        """Count one more of these values of the labels, in their order."""
        self._more[labels] += 1

    def flush(self) -> None:
        """Hand over what was counted since the last time."""
        for labels, more in self._more.items():
            self._counter.labels(*labels).inc(more)
        self._more.clear()


class Level:
    """A gauge that may be set often: only its last value counts."""

    def __init__(self, name: str, meaning: str, multiprocess_mode: Literal["max", "livemax", "livesum"]) -> None:
        self._gauge = Gauge(name, meaning, multiprocess_mode=multiprocess_mode)
        self._value: float = 0
        self._told: float = 0
        reporter.add(self)

    def set(self, value: float) -> None:
        """This is its value now."""
        self._value = value

    def flush(self) -> None:
        """Hand over the value, if it is another one."""
        if self._value != self._told:
            self._told = self._value
            self._gauge.set(self._value)


class Peak:
    """A gauge of the most that was seen since it was handed over before: what rises and falls within milliseconds."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._most = 0
        self._told = 0
        reporter.add(self)

    def see(self, value: int) -> None:
        """This is its value now."""
        if value > self._most:
            self._most = value

    def flush(self) -> None:
        """Hand over the most, if it is another one, and begin anew."""
        if self._most != self._told:
            self._told = self._most
            self._gauge.set(self._most)
        self._most = 0


class Latencies:
    """A histogram of seconds, for what happens 10,000 times a second."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._counts = [0] * (len(_SECONDS) + 1)
        self._sum = 0.0
        reporter.add(self)

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect.bisect_left(_SECONDS, seconds)] += 1
        self._sum += seconds

    def flush(self) -> None:
        """Hand over what was counted since the last time."""
        if not any(self._counts):
            return
        for bucket, count in zip(self._histogram._buckets, self._counts, strict=True):
            if count:
                bucket.inc(count)
        self._histogram._sum.inc(self._sum)
        self._counts = [0] * len(self._counts)
        self._sum = 0.0


leader_elections = Count("raft_leader_elections_total", "Elections that this node has won.")
append_entries = Count("raft_append_entries_total", "AppendEntries requests that this node has sent to others.")
request_vote = Count("raft_request_vote_total", "RequestVote requests that this node has sent to others.")
committed_entries = Count("raft_committed_entries_total", "Entries that this node has seen committed.")
divergences = Count(
    "zraft_replica_divergences_total", "Times that this node, as the leader, found replicas whose states differ."
)

# A term never goes back, and outlives the process that told it.
current_term = Level("raft_current_term", "The latest term that this node has seen.", "max")
last_heartbeat = Level(
    "raft_last_heartbeat",
    "When this node last heard a leader's heartbeat, or sent one as the leader, in unix seconds.",
    "max",
)
# Only a living election actor has a role; all others have 0, so the highest is the node's.
node_state = Level("raft_node_state", "0 follower, 1 candidate, 2 leader.", "livemax")
has_leader = Level("zraft_has_leader", "1: this node knows a leader.", "livemax")
leader_changes = Count("zraft_leader_changes_total", "How often this node has come to know another leader.")
_round_trip_seconds = Histogram(
    "zraft_peer_round_trip_seconds",
    "From a heartbeat of this node, as the leader, to the peer's answer.",
    ["peer"],
    buckets=_SECONDS,
)


@cache
def round_trip_seconds(peer: str) -> Latencies:
    """Of heartbeats to the peer of that name."""
    return Latencies(_round_trip_seconds.labels(peer))


def _latencies(name: str, meaning: str) -> Latencies:
    return Latencies(Histogram(name, meaning, buckets=_SECONDS))


log_sync_seconds = _latencies(
    "zraft_log_sync_seconds", "How long a commit of the log took, from its begin to the end of its fsync."
)
apply_seconds = _latencies("zraft_apply_seconds", "How long one slice of apply took, its publication included.")
queue_seconds = _latencies(
    "zraft_proposal_queue_seconds",
    "How long the oldest command of a proposal had waited at the gateway when it was proposed.",
)
proposals = Count("zraft_proposals_total", "Proposals that this node's gateway has sent to a leader.")
proposals_in_flight = Level(
    "zraft_proposals_in_flight", "Proposals that this node's gateway has sent and that have no result yet.", "livesum"
)
commands_waiting = Level(
    "zraft_commands_waiting", "Commands that wait at this node's gateway until they are proposed.", "livesum"
)
proposals_refused = Count("zraft_proposals_refused_total", "Proposals that certainly were not appended.")
last_log_index = Level("zraft_last_log_index", "The index of the last entry of this node's log.", "livemax")
commit_index = Level("zraft_commit_index", "The highest index that this node knows to be committed.", "livemax")
applied_index = Level("zraft_applied_index", "The index of the last entry that this node has applied.", "livemax")
revision = Level("zraft_revision", "The revision of this node's state.", "livemax")
commit_lag = Level("zraft_commit_lag_entries", "Entries of the log that are not known to be committed.", "livemax")
apply_lag = Level("zraft_apply_lag_entries", "Committed entries that are not applied yet.", "livemax")
compacted_revision = Level("zraft_compacted_revision", "The revision up to which history was dropped.", "livemax")
snapshot_index = Level("zraft_snapshot_index", "The last log index that the newest snapshot contains.", "livemax")
snapshot_seconds = Histogram(
    "zraft_snapshot_seconds",
    "How long it took to make a snapshot: copied, made durable, read back.",
    buckets=(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
snapshot_failures = Count("zraft_snapshot_failures_total", "Snapshots that could not be made.")
cluster_version = Level("zraft_cluster_version", "By whose rules entries are applied: raised by upgrades.", "livemax")
space_level = Level("zraft_space_level", "0 enough, 1 nothing that grows is taken, 2 no writes are.", "livemax")
log_bytes = Level("zraft_log_bytes", "Bytes of the log that are in use; its file may be larger.", "livemax")
state_bytes = Level("zraft_state_bytes", "Bytes of the state that are in use; its file may be larger.", "livemax")
snapshots_bytes = Level("zraft_snapshots_bytes", "Bytes of the snapshots that are kept.", "livemax")
installing_held_bytes = Level("zraft_installing_held_bytes", "Bytes held of a snapshot that is received.", "livemax")
installing_bytes = Level("zraft_installing_bytes", "Bytes in all of a snapshot that is received.", "livemax")
requests_in_flight = Level("zraft_requests_in_flight", "Requests of clients that wait for an answer.", "livesum")
_queue_depth = Gauge(
    "zraft_queue_depth",
    "What waits in an actor's queue: the most within the last quarter of a second.",
    ["actor", "queue"],
    multiprocess_mode="livemax",
)


@cache
def queue_depth(actor: str, queue: str) -> Peak:
    """Of one queue of an actor, which only that actor sees."""
    return Peak(_queue_depth.labels(actor, queue))


client_connections = Level("zraft_client_connections", "Open connections of clients.", "livesum")
_request_seconds = Histogram(
    "zraft_request_seconds",
    "From when the gateway took a client's request from its socket until the answer left, by kind.",
    ["kind"],
    buckets=_SECONDS,
)
request_seconds = {kind: Latencies(_request_seconds.labels(kind)) for kind in ("write", "read", "status")}
requests = Counts(
    "zraft_requests_total",
    "Requests of clients that were answered, by kind, and result: ok, or the error's code. Kind refused: not taken in.",
    ("kind", "result"),
)

_HEIR_BYTES = 1 << 16
_Merge = Callable[[float, float], float]
_INHERITED: dict[str, _Merge] = {"counter": float.__add__, "histogram": float.__add__, "gauge_max": max}


class NodeMetrics(Collector):
    """All metrics of a node, as the supervisor shows them."""

    def __init__(
        self,
        directory: Path,
        data_directory: Path,
        is_ready: Callable[[], bool],
        pids: Callable[[], dict[str, int]],
        restarts: Callable[[], dict[str, int]],
        voters: Callable[[], int],
    ) -> None:
        """``directory``: $PROMETHEUS_MULTIPROC_DIR. ``pids``, ``restarts``: of the node's processes, by actor."""
        self._directory = directory
        self._data_directory = data_directory
        self._is_ready = is_ready
        self._pids = pids
        self._restarts = restarts
        self._voters = voters
        self._files = threading.Lock()  # held while files are read, or one's counts move to another
        for kind in _INHERITED:
            _reserve(self._heir(kind))
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> tuple[str, bytes]:
        """The metrics in Prometheus' text format: the content type, and the content."""
        return CONTENT_TYPE_LATEST, generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing is told in advance: names are unique by construction."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The metrics of this moment."""
        with self._files:
            # A child that is just starting makes its file first and gives it a size then.
            files = [str(path) for path in self._directory.glob("*.db") if path.stat().st_size]
            metrics: list[Metric] = list(MultiProcessCollector.merge(files))  # type: ignore[no-untyped-call]
        restarts = CounterMetricFamily("zraft_actor_restarts", "Restarts of an actor's process.", labels=["actor"])
        for actor, count in self._restarts().items():
            restarts.add_metric([actor], count)
        ready = GaugeMetricFamily("zraft_node_ready", "1: this node serves requests.", float(self._is_ready()))
        voters = GaugeMetricFamily(
            "zraft_voters", "Members that count for a majority, as far as this node knows.", self._voters()
        )
        return [*metrics, restarts, ready, voters, *self._disk(), *self._processes()]

    def bury(self, pid: int) -> None:
        """A process has ended: what it had counted is kept, what described only itself goes."""
        with self._files:
            mark_process_dead(pid, str(self._directory))  # type: ignore[no-untyped-call]
            for kind, merge in _INHERITED.items():
                file = self._directory / f"{kind}_{pid}.db"
                if file.exists():
                    if file.stat().st_size:
                        _bequeath(file, self._heir(kind), merge)
                    file.unlink()

    def _heir(self, kind: str) -> Path:
        return self._directory / f"{kind}_dead.db"

    def _disk(self) -> Iterable[Metric]:
        """Of the file system that the data directory is on; free is what this user may still take."""
        try:
            disk = os.statvfs(self._data_directory)
        except OSError:
            return []
        return [
            GaugeMetricFamily(
                "zraft_disk_bytes", "Size of the data directory's file system.", disk.f_blocks * disk.f_frsize
            ),
            GaugeMetricFamily("zraft_disk_free_bytes", "Bytes that are free there.", disk.f_bavail * disk.f_frsize),
        ]

    def _processes(self) -> Iterable[Metric]:
        text = "CPU time used, user and system; of the supervisor, too."
        cpu = CounterMetricFamily("process_cpu_seconds", text, labels=["actor"])
        resident = GaugeMetricFamily("process_resident_memory_bytes", "Resident memory.", labels=["actor"])
        for actor, pid in self._pids().items():
            if stats := ProcessStats.of(pid):
                cpu.add_metric([actor], stats.cpu_seconds)
                resident.add_metric([actor], stats.resident_bytes)
        return cpu, resident


def _reserve(heir: Path) -> None:
    """Claim the file's space at the start: in a sparse file, a full disk would be a SIGBUS for the supervisor."""
    descriptor = os.open(heir, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, _HEIR_BYTES)
    finally:
        os.close(descriptor)


def _bequeath(file: Path, heir: Path, merge: _Merge) -> None:
    sums = MmapedDict(str(heir))  # type: ignore[no-untyped-call]
    for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
        so_far, _ = sums.read_value(key)  # type: ignore[no-untyped-call]
        sums.write_value(key, merge(so_far, value), 0.0)  # type: ignore[no-untyped-call]
    sums.close()  # type: ignore[no-untyped-call]
