"""Overwrites the same keys at full load, and tells what becomes of disk, memory and latency: ``make endurance``.

    python -m tools.endurance --minutes 30

Three nodes are started for it, with default settings. Every interval prints a line: the rate and the latencies of the
interval, and of the node that has most of it, the bytes in its data directory and the resident memory of its processes.
At the end stands the most that any node ever had, and what lone puts beside that load took while any node made a
snapshot, against while none did. All nodes and clients share one machine and one disk.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from tools.beside_snapshots import HEAD, Probe, Span, rows, snapshots_in
from tools.fresh_cluster import fresh_cluster
from zraft.actors.process import ProcessStats
from zraft.actors.roster import Roster
from zraft.bench import Load, measure
from zraft.cli.tables import table
from zraft.cluster import LocalCluster, Ports
from zraft.store.directory import runtime_directory

PORTS = Ports(client=28_180, http=29_190, peer=27_180)
LINE = "{:>7} {:>8} {:>8} {:>8} {:>8} {:>10} {:>10} {:>7}"
_MIB = 1 << 20


def disk_bytes(directory: Path) -> int:
    """What a node's files occupy on the disk; files that vanish meanwhile count as gone."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.stat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def memory_bytes(data_directory: Path) -> int:
    """The resident memory of a node's processes, shared pages of the maps included."""
    roster = Roster.read(runtime_directory(data_directory))
    pids = (roster.supervisor, *roster.actors.values()) if roster else ()
    return sum(stats.resident_bytes for stats in map(ProcessStats.of, pids) if stats)


def main(arguments: list[str] | None = None) -> None:
    """Starts the cluster, loads it, prints a line an interval and the maxima, and stops the cluster."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--interval", type=float, default=30.0, help="seconds")
    parser.add_argument("--keys", type=int, default=1_000)
    parser.add_argument("--value-size", type=int, default=1_024)
    options = parser.parse_args(arguments)
    print(LINE.format("s", "puts/s", "p50 ms", "p99 ms", "max ms", "disk MiB", "RSS MiB", "errors"), flush=True)
    with fresh_cluster("endurance", PORTS) as cluster:
        load = Load(
            endpoints=tuple(cluster.endpoints()),
            keys=options.keys,
            value_size=options.value_size,
            seconds=options.interval,
        )
        with Probe(cluster, options.value_size) as probe:
            loaded = _run(cluster, load, time.monotonic() + options.minutes * 60)
        snapshots = snapshots_in(cluster)
        print(table([HEAD, *rows(probe.puts, loaded, snapshots)]))
        print(f"snapshots={len(snapshots)} failed_puts={probe.errors}")


def _run(cluster: LocalCluster, load: Load, end: float) -> list[Span]:
    """Prints the lines; returns when the load was there, without the pauses between two intervals."""
    began = time.monotonic()
    loaded: list[Span] = []
    most_disk = most_memory = operations = 0
    while time.monotonic() < end:
        figures = measure(load)
        loaded.append(Span(time.time() - figures.tally.elapsed, time.time()))
        latency = figures.latency_ms()
        paths = [cluster.settings(name).data_path() for name in cluster.names]
        disk, memory = max(map(disk_bytes, paths)), max(map(memory_bytes, paths))
        most_disk, most_memory = max(most_disk, disk), max(most_memory, memory)
        operations += figures.tally.operations
        shown = (f"{time.monotonic() - began:.0f}", f"{figures.operations_per_second:.0f}")
        times = (f"{latency[name]:.1f}" for name in ("p50", "p99", "max"))
        errors = sum(figures.tally.errors.values())
        print(LINE.format(*shown, *times, f"{disk / _MIB:.0f}", f"{memory / _MIB:.0f}", errors), flush=True)
    print(f"operations={operations} disk_mib_max={most_disk / _MIB:.0f} rss_mib_max={most_memory / _MIB:.0f}")
    return loaded


if __name__ == "__main__":
    main()
