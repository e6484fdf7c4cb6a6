"""A follower that was away comes back under load: how long until it has it all, and what the load notices.

Run by ``make catch-up``::

    python -m tools.catch_up --writes 500000

Three nodes are started for it. One follower is killed, so many writes are made, and it is started again while a load of
puts goes on. It has caught up when it has applied what the leader had committed when it answered first. Printed are the
time, how far the log had been cut meanwhile, and the load's latencies before, during and after.
"""

from __future__ import annotations

import argparse
import threading
import time

from msgspec.structs import replace

from tools.fresh_cluster import fresh_cluster
from zraft.bench import Figures, Load, measure
from zraft.cli.bench import HEAD, row
from zraft.cli.tables import table
from zraft.cluster import LocalCluster, Ports

PORTS = Ports(client=28_280, http=29_290, peer=27_280)
CATCH_UP_S_MAX = 600.0
POLL_S = 0.1


def main(arguments: list[str] | None = None) -> None:
    """Starts the cluster, lets a follower miss the writes and come back, prints what was seen, and stops it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writes", type=int, default=500_000)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--value-size", type=int, default=256)
    parser.add_argument("--pipeline", type=int, default=32, help="puts outstanding of each of the load's two clients")
    options = parser.parse_args(arguments)
    with fresh_cluster("catch-up", PORTS) as cluster:
        base = Load(endpoints=tuple(cluster.endpoints()), keys=options.keys, value_size=options.value_size)
        load = replace(base, pipeline=options.pipeline, seconds=10.0)
        short = replace(load, seconds=1.0)  # so that little of what is counted comes after the node is back
        follower = next(name for name in cluster.names if name != cluster.leader())
        cluster.kill(follower)
        _write(replace(base, batch=100, pipeline=8, seconds=5.0), options.writes)
        before = measure(load)
        seconds, during = come_back(cluster, follower, short)
        rows = [("LOAD", *HEAD), ("one node away", *row(before)), ("it catches up", *row(during))]
        rows.append(("all three", *row(measure(load))))
        first = max(answer.first_log_index for answer in cluster.status().values() if answer)
        print(table(rows))
        print(f"\n{follower} caught up in {seconds:.1f} s; logs begin at index {first} now")


def _write(load: Load, writes: int) -> None:
    done = 0
    while done < writes:
        done += measure(load).tally.operations


def come_back(cluster: LocalCluster, follower: str, load: Load) -> tuple[float, Figures]:
    """Starts a node that is down, under a load that goes on until it has caught up.

    Returns:
        Seconds from the start of the node until then, and the figures of the load meanwhile.

    Raises:
        TimeoutError: it has not caught up in time.
    """
    goal = max(answer.commit_index for answer in cluster.status().values() if answer)
    caught_up = 0.0
    began = time.monotonic()

    def watch() -> None:
        nonlocal caught_up
        cluster.restart(follower, timeout=CATCH_UP_S_MAX)
        while time.monotonic() - began < CATCH_UP_S_MAX:
            answer = cluster.status()[follower]
            if answer is not None and answer.last_applied >= goal:
                caught_up = time.monotonic() - began
                return
            time.sleep(POLL_S)

    watcher = threading.Thread(target=watch)
    watcher.start()
    figures = measure(load)
    while watcher.is_alive():
        more = measure(load)
        seconds = figures.tally.elapsed + more.tally.elapsed
        figures.tally.merge(more.tally)
        figures.tally.elapsed = seconds
    watcher.join()
    if not caught_up:
        raise TimeoutError(f"{follower} has not caught up within {CATCH_UP_S_MAX:g} s")
    return caught_up, figures


if __name__ == "__main__":
    main()
