"""A small standard set of loads on a local cluster that is started for it, and two tables: ``make bench``.

The first has the figures, the second where the time went (see ``tools/costs.py``).

    python -m tools.bench --seconds 5

The figures are of all nodes and clients on one machine and one disk. Machines differ by a factor of two and more, so
compare only what ran side by side, in turn.
"""

from __future__ import annotations

import argparse
import sys

from msgspec.structs import replace

from tools import costs
from tools.fresh_cluster import fresh_cluster
from zraft.bench import Load, measure
from zraft.cli.bench import HEAD, row
from zraft.cli.tables import table
from zraft.cluster import Ports

PORTS = Ports(client=28_080, http=29_090, peer=27_080)
"""Not those of ``make run-cluster``."""


def loads(endpoints: list[str], seconds: float) -> dict[str, Load]:
    """The standard set, by name. The first one writes every key, so that all that follow find them."""
    base = Load(endpoints=tuple(endpoints), seconds=seconds)
    return {
        "lone put": replace(base, clients=1, pipeline=1, fill=True),
        "lone get": replace(base, clients=1, pipeline=1, read_ratio=1.0),
        "puts, 2 x 128": base,
        "gets, 2 x 128": replace(base, read_ratio=1.0),
        "puts by 100, 2 x 8": replace(base, pipeline=8, batch=100),
    }


def main(arguments: list[str] | None = None) -> None:
    """Starts the cluster, runs the set, prints the table, and stops the cluster."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--nodes", type=int, default=3)
    options = parser.parse_args(arguments)
    rows: list[tuple[object, ...]] = [("LOAD", *HEAD)]
    spent: list[tuple[object, ...]] = [costs.HEAD]
    with fresh_cluster("bench", PORTS, options.nodes) as cluster:
        for name, load in loads(cluster.endpoints(), options.seconds).items():
            print(f"{name}, {options.seconds:g} s ...", file=sys.stderr, flush=True)
            if load.fill:
                measure(replace(load, seconds=0.1))  # not to be counted with what follows
                load = replace(load, fill=False)
            before = costs.sample(cluster)
            figures = measure(load)
            rows.append((name, *row(figures)))
            spent.append(costs.row(name, figures, cluster.leader(), before, costs.sample(cluster)))
    print(f"{table(rows)}\n\n{table(spent)}")


if __name__ == "__main__":
    main()
