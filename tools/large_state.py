"""What a state of a GB costs: the pause that a snapshot makes, and two ways back for a follower: ``make large-state``.

    python -m tools.large_state --mib 1024

Three nodes are started for it, with default settings, and filled. Then, all in one run:

1. Batches of puts until each node has made a snapshot of it all, and lone puts beside them: what those took while any
   node made one, against while none did. The slowest is the longest pause of writes.
2. A follower is killed, its state removed, and started again: it makes the state anew from its snapshot and its log.
3. A follower is killed, and batches follow until the others have cut from their logs what it lacks; then it is started
   again, and is sent a snapshot.

For 2 and 3, a load of single puts goes on: its latencies before, meanwhile and after. All nodes and clients share one
machine and one disk.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable

from msgspec.structs import replace

from tools import beside_snapshots
from tools.beside_snapshots import Probe, Span, snapshots_in, snapshots_of
from tools.catch_up import come_back
from tools.fresh_cluster import fresh_cluster
from zraft.bench import Load, measure
from zraft.cli.bench import HEAD, row
from zraft.cli.tables import table
from zraft.cluster import LocalCluster, Ports

PORTS = Ports(client=28_580, http=29_590, peer=27_580)
WRITE_S_MAX = 1_800.0
_MIB = 1 << 20


def main(arguments: list[str] | None = None) -> None:
    """Starts the cluster, fills it, prints what was seen, and stops it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1_024, help="size of all values together")
    parser.add_argument("--value-size", type=int, default=1_024)
    parser.add_argument("--pipeline", type=int, default=32, help="puts outstanding of each of the load's two clients")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the load is measured at a time")
    options = parser.parse_args(arguments)
    with fresh_cluster("large-state", PORTS) as cluster:
        base = Load(
            endpoints=tuple(cluster.endpoints()),
            keys=options.mib * _MIB // options.value_size,
            value_size=options.value_size,
            seconds=options.seconds,
            timeout=30.0,
        )
        batches = replace(base, batch=50, pipeline=4)
        measure(replace(batches, fill=True, seconds=0.1))
        _pause(cluster, batches, options.value_size)
        load = replace(base, pipeline=options.pipeline)
        _state_removed(cluster, load)
        _log_too_old(cluster, batches, load)


def _pause(cluster: LocalCluster, batches: Load, value_size: int) -> None:
    """Part 1."""
    began = time.time()
    loaded: list[Span] = []

    def have_all() -> bool:
        logs = (cluster.log_path(name).read_text() for name in cluster.names)
        return all(any(span.begin > began for span in snapshots_of(log)) for log in logs)

    with Probe(cluster, value_size) as probe:
        _write_until(have_all, batches, loaded)
        _write_until(lambda: True, batches, loaded)
    rows = beside_snapshots.rows(probe.puts, loaded, snapshots_in(cluster))
    print(table([beside_snapshots.HEAD, *rows]))
    whole = max(span.end - span.begin for span in snapshots_in(cluster))
    print(f"failed_puts={probe.errors}; the slowest snapshot took {whole:.1f} s; {_sizes(cluster)}\n", flush=True)


def _state_removed(cluster: LocalCluster, load: Load) -> None:
    """Part 2."""
    follower = _follower(cluster)
    before = measure(load)
    cluster.kill(follower)
    for path in cluster.settings(follower).data_path().glob("state.*"):
        shutil.rmtree(path)
    seconds, during = come_back(cluster, follower, load)
    rows = [("STATE REMOVED", *HEAD), ("before", *row(before)), ("it comes back", *row(during))]
    print(table([*rows, ("after", *row(measure(load)))]))
    print(f"{follower} had its state again, and all of the log applied, after {seconds:.1f} s\n", flush=True)


def _log_too_old(cluster: LocalCluster, batches: Load, load: Load) -> None:
    """Part 3."""
    follower = _follower(cluster)
    status = cluster.status()[follower]
    last = status.last_log_index if status else 0
    cluster.kill(follower)

    def is_cut() -> bool:
        return all(answer is None or answer.first_log_index > last + 1 for answer in cluster.status().values())

    _write_until(is_cut, batches, [])
    before = measure(load)
    seconds, during = come_back(cluster, follower, load)
    rows = [("LOG TOO OLD", *HEAD), ("it is away", *row(before)), ("it is sent a snapshot", *row(during))]
    print(table([*rows, ("after", *row(measure(load)))]))
    print(f"{follower} had caught up after {seconds:.1f} s; {_sizes(cluster)}", flush=True)


def _write_until(is_done: Callable[[], bool], load: Load, loaded: list[Span]) -> None:
    """Writes at least once, and notes when the load was there."""
    end = time.monotonic() + WRITE_S_MAX
    while True:
        figures = measure(load)
        loaded.append(Span(time.time() - figures.tally.elapsed, time.time()))
        if is_done():
            return
        if time.monotonic() > end:
            raise TimeoutError(f"the nodes have not made their snapshots within {WRITE_S_MAX:g} s")


def _follower(cluster: LocalCluster) -> str:
    leader = cluster.leader()
    return next(name for name in cluster.names if name != leader)


def _sizes(cluster: LocalCluster) -> str:
    found = [answer for answer in cluster.status().values() if answer]
    state = max(answer.state_bytes for answer in found) / _MIB
    return f"state {state:.0f} MiB, snapshot {max(answer.snapshots_bytes for answer in found) / _MIB:.0f} MiB"


if __name__ == "__main__":
    main()
