"""Two versions of zraft under the same loads, in turn: ``make compare WITH=../zraft-before``.

    python -m tools.compare ../zraft-before --rounds 20 --seconds 1

How fast a machine is changes by a factor of two within minutes, with its neighbours. So both versions have a cluster
that is up all the time, each load runs for a second on one and then on the other, the order changes from round to
round, and what counts is the ratio within a round: its median and quartiles. What stays for a whole run, such as the
cores on which a leader's processes lie, is in all of its rounds: for a few per cent of a latency compare several runs.

The other version is a checkout. Nodes and clients of both run on this Python, with the libraries that are installed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tools.bench import loads
from tools.fresh_cluster import DIRECTORY
from zraft.bench import Load
from zraft.cli.tables import table

HERE = Path(__file__).resolve().parents[1]
PORTS = {"before": (28_480, 29_490, 27_480), "now": (24_480, 25_490, 23_480)}
"""Client, HTTP and peer ports; none of those that systems give out by themselves, from 32,768 on."""
HEAD = ("LOAD", "OPERATIONS/S BEFORE", "NOW", "RATIO", "QUARTILES", "P50 MS BEFORE", "NOW", "RATIO", "QUARTILES")
_CLUSTER = """
import sys
from pathlib import Path
from zraft.cluster import LocalCluster, Ports
what, directory, *ports = sys.argv[1:]
cluster = LocalCluster(Path(directory), 3, ports=Ports(**dict(zip(("client", "http", "peer"), map(int, ports)))))
if what == "up":
    cluster.up()
    print(",".join(cluster.endpoints()))
else:
    cluster.down()
"""


class Figures(NamedTuple):
    """What one load came to on one version."""

    rate: float
    p50_ms: float


class Version:
    """One checkout, and its cluster."""

    def __init__(self, tree: Path, directory: Path, ports: tuple[int, int, int]) -> None:
        self._tree = tree
        self._cluster = (str(directory), *map(str, ports))
        directory.mkdir()

    def up(self) -> None:
        """Start the cluster, and write each key once."""
        self._endpoints = self._python("-c", _CLUSTER, "up", *self._cluster).split()[-1]
        self._bench("--seconds", "0.1", "--fill")

    def down(self) -> None:
        """Stop it."""
        self._python("-c", _CLUSTER, "down", *self._cluster)

    def run(self, load: Load, seconds: float) -> Figures:
        """One load, by this version's own client."""
        told = self._bench(
            *("--clients", str(load.clients), "--pipeline", str(load.pipeline), "--batch", str(load.batch)),
            *("--read-ratio", str(load.read_ratio), "--seconds", str(seconds), "--output", "json"),
        )
        found = json.loads(told)
        if found["errors"]:
            raise SystemExit(f"{self._tree}: {found['errors']} errors")
        return Figures(found["operations_per_second"], found["latency_ms"]["p50"])

    def _bench(self, *options: str) -> str:
        return self._python("-m", "zraft.cli", "bench", "--endpoints", self._endpoints, *options)

    def _python(self, *arguments: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(self._tree)}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self._tree, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise SystemExit(f"{self._tree}: {done.stderr.strip()}")
        return done.stdout


def row(name: str, before: list[Figures], now: list[Figures]) -> tuple[object, ...]:
    """One line of the table: medians of each version, and of the ratios within the rounds."""
    cells: list[object] = [name]
    for field, digits in (("rate", 0), ("p50_ms", 2)):
        pairs = [(getattr(one, field), getattr(other, field)) for one, other in zip(before, now, strict=True)]
        low, median, high = statistics.quantiles([other / one for one, other in pairs], n=4)
        medians = [f"{statistics.median(version):,.{digits}f}" for version in zip(*pairs, strict=True)]
        cells += [*medians, f"{median:.2f}", f"{low:.2f} to {high:.2f}"]
    return tuple(cells)


def main(arguments: list[str] | None = None) -> None:
    """Starts both clusters, runs the loads, prints the table, and stops the clusters."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="the checkout of the other version")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each load in each round")
    parser.add_argument("--load", action="append", choices=list(loads([], 0)), help="one of the loads; default: all")
    options = parser.parse_args(arguments)
    rows: list[tuple[object, ...]] = [HEAD]
    with (
        tempfile.TemporaryDirectory(prefix="zraft-compare-", dir=DIRECTORY) as directory,
        contextlib.ExitStack() as clusters,
    ):
        trees = {"before": options.before.resolve(), "now": HERE}
        versions = {name: Version(tree, Path(directory) / name, PORTS[name]) for name, tree in trees.items()}
        for version in versions.values():
            clusters.callback(version.down)
            version.up()
        for name, load in loads([], 0).items():
            if options.load and name not in options.load:
                continue
            found: dict[str, list[Figures]] = {"before": [], "now": []}
            for number in range(options.rounds):
                print(f"{name}, round {number + 1} ...", file=sys.stderr, flush=True)
                for one in ("before", "now") if number % 2 else ("now", "before"):
                    found[one].append(versions[one].run(load, options.seconds))
            rows.append(row(name, found["before"], found["now"]))
    print(table(rows))


if __name__ == "__main__":
    main()
