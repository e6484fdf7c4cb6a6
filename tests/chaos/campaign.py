"""A campaign of real faults: rounds of a fresh cluster, a checked load and a nemesis, and a verdict after each.

    python -m tests.chaos.campaign --minutes 60 [--seed N] [--only FAULT,...] [--pace N] [--clients N] [--output PATH]

After each round the history must be linearizable, all acknowledged writes be there, and the replicas be equal. The
last line is ``operations=N faults=F unknown=U violations=0``; any violation ends it with 1, and leaves the history and
its picture in the output directory. The seed decides what the nemesis does; how it interleaves with the load is chance.
"""

import argparse
import contextlib
import hashlib
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos import namespaces, power, wallclock
from tests.chaos.namespaces import RoutedCluster, Router
from tests.chaos.nemesis import ALL, Mixture, Nemesis
from tests.chaos.power import PowerCutDisk
from tests.chaos.proxy import ProxiedCluster, Proxies
from tests.chaos.wires import Network
from tests.cluster.running import equal_and_led, free_ports, own_runtime
from zraft.cluster import LocalCluster
from zraft.core.records import APPLIED, read_applied
from zraft.store.directory import DataDirectory
from zraft.store.files import make_directory
from zraft.store.state import StateView
from zraft.verify import CheckedLoad, LoadSettings, Violation, check, picture_of, write_history

ROUND_S = 60.0
DISK_MIB = 512
CLIENTS = 8
MAP_SIZE = 1 << 40

Connected = Callable[[Path], AbstractContextManager[tuple[LocalCluster, Network[Any]]]]
"""Makes a cluster in a directory, and the network between its nodes."""


@dataclass
class Tally:
    """What a campaign has come to so far."""

    operations: int = 0
    unknown: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def line(self) -> str:
        counts = f"operations={self.operations} faults={self.faults.total()} unknown={self.unknown}"
        return f"{counts} violations={len(self.violations)}"


@dataclass(frozen=True)
class Plan:
    """What a campaign is to be: what its nemesis draws, from which seed, and how many clients write and read."""

    seed: int
    output: Path
    mixture: Mixture = ALL
    clients: int = CLIENTS


def run(seconds: float, plan: Plan) -> Tally:
    """So many seconds of rounds, with a network of proxies and of packets in turn; it ends early at a violation."""
    tally = Tally()
    if why := namespaces.available():
        print(f"without a network of packets: {why}")
    deadline = time.monotonic() + seconds
    number = 0
    while not tally.violations and (left := deadline - time.monotonic()) > 0:
        number += 1
        print(f"round {number} of seed {plan.seed}", flush=True)
        _round(tally, min(left, ROUND_S), number, plan)
        print(f"  {tally.line()}", flush=True)
    return tally


def _round(tally: Tally, seconds: float, number: int, plan: Plan) -> None:
    rng = random.Random(f"{plan.seed}/{number}")
    lacks = namespaces.available() or plan.mixture.only & namespaces.MISSING.keys()
    connected: Connected = _proxied if number % 2 or lacks else _routed
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zraft-chaos-")))
        stack.enter_context(own_runtime())
        disks = stack.enter_context(_disks(directory))
        clocks = None if wallclock.available() else stack.enter_context(wallclock.jumping_clocks())
        cluster, network = stack.enter_context(connected(directory))
        stack.callback(cluster.down)
        cluster.up()
        endpoints = tuple(cluster.endpoints())
        load = CheckedLoad(
            LoadSettings(endpoints=endpoints, prefix="chaos/", clients=plan.clients, seed=rng.getrandbits(32))
        )
        nemesis = Nemesis(cluster, network, disks, clocks, rng, plan.mixture)
        for what, why in nemesis.missing.items():
            print(f"  without {what}: {why}")
        deadline = time.monotonic() + seconds
        with load:
            while time.monotonic() < deadline:
                nemesis.strike()
            nemesis.heal()
        tally.faults += nemesis.faults
        _judge(tally, cluster, load, plan.output)


@contextlib.contextmanager
def _proxied(directory: Path) -> Iterator[tuple[LocalCluster, Proxies]]:
    cluster = ProxiedCluster(directory, free_ports())
    with Proxies(cluster.wires) as proxies:
        yield cluster, proxies


@contextlib.contextmanager
def _routed(directory: Path) -> Iterator[tuple[LocalCluster, Router]]:
    with Router([f"node-{number}" for number in (1, 2, 3)]) as router:
        yield RoutedCluster(directory, router), router


def _judge(tally: Tally, cluster: LocalCluster, load: CheckedLoad, output: Path) -> None:
    equal_and_led(cluster)
    load.read_back()
    verdict = check(load.history)
    tally.operations += verdict.operations
    tally.unknown += verdict.unknown
    if verdict.violations:
        _keep(verdict.violations[0], load, output)
    equal_and_led(cluster)
    cluster.down()
    states = {name: _state_of(cluster.settings(name).data_path()) for name in cluster.names}
    tally.violations += [violation.what for violation in verdict.violations]
    if len(set(states.values())) != 1:
        tally.violations.append(f"the replicas differ: {states}")
        write_history(output / "history.jsonl", load.history)
    for violation in tally.violations[:20]:
        print(f"  VIOLATION {violation}")


def _keep(violation: Violation, load: CheckedLoad, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    write_history(output / "history.jsonl", load.history)
    (output / "history.jsonl.html").write_text(picture_of(violation, load.history), encoding="utf-8")


def _state_of(path: Path) -> tuple[int, str]:
    """A stopped node's revision, and a digest of its keys and of all that they ever were."""
    newest = max(path.glob("state.*"), key=lambda one: int(one.suffix[1:]))
    view = StateView(DataDirectory(path).state_path(int(newest.suffix[1:])), MAP_SIZE)
    digest = hashlib.sha256()
    try:
        with view.begin() as tables:
            state = read_applied(tables.meta(APPLIED))
            digest.update(repr(state[1:]).encode())
            for key, meta in tables.keys_from(b""):
                digest.update(key + meta)
            for at, record in tables.records_from(b""):
                digest.update(at + record)
    finally:
        view.close()
    return state.revision, digest.hexdigest()


@contextlib.contextmanager
def _disks(directory: Path) -> Iterator[dict[str, PowerCutDisk]]:
    """A disk with a power switch for each node, where there can be such ones."""
    if power.available():
        yield {}
        return
    with contextlib.ExitStack() as stack:
        disks = {f"node-{number}": stack.enter_context(PowerCutDisk(DISK_MIB)) for number in (1, 2, 3)}
        for name, disk in disks.items():
            make_directory(disk.path / name)
            (directory / name).symlink_to(disk.path / name)
        yield disks


def main() -> int:
    parser = argparse.ArgumentParser(description="Real faults on real nodes, and a check of all that they answered.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument(
        "--only", default="", metavar="FAULT,...", help="these faults alone, by the names that are printed"
    )
    parser.add_argument("--pace", type=float, default=1.0, help="how long faults and pauses last, times this")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--output", type=Path, default=Path("chaos-output"))
    given = parser.parse_args()
    mixture = Mixture(frozenset(filter(None, given.only.split(","))), given.pace)
    tally = run(given.minutes * 60, Plan(given.seed, given.output, mixture, given.clients))
    print(", ".join(f"{count} {fault}" for fault, count in sorted(tally.faults.items())))
    print(f"seed {given.seed}")
    print(tally.line())
    return bool(tally.violations)


if __name__ == "__main__":
    sys.exit(main())
