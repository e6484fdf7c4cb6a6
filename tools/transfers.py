"""What clients notice of leadership transfers under load: the longest gap in their puts, for each transfer.

Run by ``python -m tools.transfers --transfers 30``. Three nodes are started for it. Threads put one key after the
other, each through a client of its own, while the leadership is handed over again and again. A gap is the longest time
around a transfer in which none of them was answered; the same before it, while all is calm, is what the machine itself
costs. ``--restarts`` restarts the leader in order instead, each time.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import threading
import time
from pathlib import Path

from zraft import Client
from zraft.cluster import LocalCluster, Ports
from zraft.errors import ZraftError

PORTS = Ports(client=28_380, http=29_390, peer=27_380)
DIRECTORY = Path("/var/tmp")
"""A disk: what is below /tmp may be memory, where an fsync costs nothing."""
AROUND_S = 0.5
"""So long before and after a transfer puts are looked at."""


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
    parser.add_argument("--restarts", action="store_true", help="restart the leader in order instead")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="zraft-transfers-", dir=DIRECTORY) as directory:
        cluster = LocalCluster(Path(directory), 3, ports=PORTS)
        cluster.up()
        puts = _Puts(cluster.endpoints(), options.clients)
        calm, gaps, took, failed = list[float](), list[float](), list[float](), list[str]()
        try:
            for _ in range(options.transfers):
                time.sleep(2 * AROUND_S)
                begun = time.monotonic()
                calm.append(_gap(puts.answered, begun - 2 * AROUND_S, begun))
                try:
                    _hand_over(cluster, options.restarts)
                except ZraftError as error:
                    failed.append(f"{type(error).__name__}: {error}")
                took.append(time.monotonic() - begun)
                time.sleep(AROUND_S)
                gaps.append(_gap(puts.answered, begun, time.monotonic()))
        finally:
            puts.stop()
            cluster.down()
    words = [
        f"{what}: median {1000 * statistics.median(all_):.0f} ms, most {1000 * max(all_):.0f} ms"
        for what, all_ in (("longest gap", gaps), ("in calm", calm), ("hand-over", took))
    ]
    print(f"{len(gaps)} hand-overs, {len(puts.answered)} puts; {'; '.join(words)}")
    print(f"slowest put {1000 * puts.slowest:.0f} ms; failed puts {len(puts.errors)} {puts.errors[:3]}")
    print(f"failed hand-overs {len(failed)} {failed[:3]}")


def _hand_over(cluster: LocalCluster, restarts: bool) -> None:
    if restarts:
        cluster.restart(cluster.leader())
        return
    with Client(cluster.endpoints()) as client:
        client.transfer_leadership()


def _gap(answered: list[float], begin: float, end: float) -> float:
    times = [begin, *sorted(one for one in list(answered) if begin <= one <= end), end]
    return max(after - before for before, after in itertools.pairwise(times))


if __name__ == "__main__":
    main()
