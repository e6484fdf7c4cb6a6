"""What clients notice when the leader changes under load: the longest gap in their puts, for each change.

Run by ``python -m tools.transfers --transfers 30``. Three nodes are started for it. Threads put one key after the
other, each through a client of its own, while the leadership is handed over again and again. A gap is the longest time
around a change in which none of them was answered; the same before it, while all is calm, is what the machine itself
costs. ``--restarts`` restarts the leader in order instead, each time; ``--kills`` kills all its processes with SIGKILL,
and starts the node again once the others serve.
"""

from __future__ import annotations

import argparse
import itertools
import math
import threading
import time

from tools.fresh_cluster import fresh_cluster
from zraft import Client
from zraft.cluster import LocalCluster, Ports
from zraft.errors import ZraftError

PORTS = Ports(client=28_680, http=29_690, peer=27_680)
AROUND_S = 0.5
"""So long before and after a transfer puts are looked at."""
OUTAGE_S_MAX = 3.0
"""So long after a kill: ten times the largest election time-out by default. Puts have to be answered again by then."""


class _Puts:
    """Threads that put until they are stopped; when each put was answered, and which were not."""

    def __init__(self, endpoints: list[str], clients: int) -> None:
        self.answered: list[float] = []
        self.slowest = 0.0
        self.errors: list[str] = []
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(endpoints, one)) for one in range(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self, endpoints: list[str], one: int) -> None:
        turned = endpoints[one % len(endpoints) :] + endpoints[: one % len(endpoints)]
        with Client(turned) as client:
            for number in itertools.count():
                if self._stopped.is_set():
                    return
                begun = time.monotonic()
                try:
                    client.put(f"transfers/{one}/{number % 1000}", b"v" * 256)
                except ZraftError as error:
                    self.errors.append(f"{type(error).__name__}: {error}")
                else:
                    self.answered.append(time.monotonic())
                    self.slowest = max(self.slowest, self.answered[-1] - begun)


def main(arguments: list[str] | None = None) -> None:
    """Starts the cluster, hands over again and again, prints what was seen, and stops it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transfers", type=int, default=30)
    parser.add_argument("--clients", type=int, default=8)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--restarts", action="store_true", help="restart the leader in order instead")
    how.add_argument("--kills", action="store_true", help="kill the leader's node instead")
    options = parser.parse_args(arguments)
    with fresh_cluster("transfers", PORTS) as cluster:
        puts = _Puts(cluster.endpoints(), options.clients)
        calm, gaps, took, failed = list[float](), list[float](), list[float](), list[str]()
        try:
            for _ in range(options.transfers):
                time.sleep(2 * AROUND_S)
                begun = time.monotonic()
                calm.append(_gap(puts.answered, begun - 2 * AROUND_S, begun))
                leader = cluster.leader()
                begun = time.monotonic()
                try:
                    _change(cluster, leader, options)
                except ZraftError as error:
                    failed.append(f"{type(error).__name__}: {error}")
                took.append(time.monotonic() - begun)
                time.sleep(OUTAGE_S_MAX if options.kills else AROUND_S)
                gaps.append(_gap(puts.answered, begun, time.monotonic()))
                if options.kills:
                    cluster.restart(leader)
        finally:
            puts.stop()
    words = [
        f"{what}: median {_ms(all_, 0.5)}, p90 {_ms(all_, 0.9)}, p99 {_ms(all_, 0.99)}, most {_ms(all_, 1)} ms"
        for what, all_ in (("longest gap", gaps), ("in calm", calm), ("the change itself", took))
    ]
    print(f"{len(gaps)} changes, {len(puts.answered)} puts", *words, sep="\n")
    print(f"slowest put {1000 * puts.slowest:.0f} ms; failed puts {len(puts.errors)} {puts.errors[:3]}")
    print(f"failed changes {len(failed)} {failed[:3]}")


def _ms(times: list[float], part: float) -> str:
    """The smallest of them that so large a part is not above."""
    return f"{1000 * sorted(times)[math.ceil(part * len(times)) - 1]:.0f}"


def _change(cluster: LocalCluster, leader: str, options: argparse.Namespace) -> None:
    if options.kills:
        cluster.kill(leader)
        return
    if options.restarts:
        cluster.restart(leader)
        return
    with Client(cluster.endpoints()) as client:
        client.transfer_leadership()


def _gap(answered: list[float], begin: float, end: float) -> float:
    times = [begin, *sorted(one for one in list(answered) if begin <= one <= end), end]
    return max(after - before for before, after in itertools.pairwise(times))


if __name__ == "__main__":
    main()
