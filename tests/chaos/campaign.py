"""A campaign of real faults: rounds of a fresh cluster, a checked load and a nemesis, and a verdict after each.

    python -m tests.chaos.campaign --minutes 60 [--seed N] [--only FAULT,...] [--pace N] [--clients N]
        [--output DIRECTORY] [--keep DIRECTORY]

After each round the history must be linearizable, all acknowledged writes be there, and the replicas be equal. That
they don't become equal, that nothing can be read back, that a client dies, whatever ends a round early: each is a
violation like any other. The last line is ``operations=N faults=F unknown=U violations=0``; any violation ends it with
1, and leaves the history, its picture if the history shows it, and the nodes' logs in the output directory. So does a
campaign that checked nothing. ``--keep`` keeps the histories of good rounds as well, for other checkers. The seed
decides what the nemesis does; how it interleaves with the load is chance.
"""

import argparse
import contextlib
import hashlib
import random
import secrets
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos import namespaces, power, short_logs, wallclock
from tests.chaos.namespaces import RoutedCluster, Router
from tests.chaos.nemesis import ALL, FALL_BEHIND, Mixture, Nemesis, NoSuchFault
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
SHOWN_MAX = 20
"""Violations that are told one by one; the last line counts all."""

Connected = Callable[[Path, Mapping[str, Any]], AbstractContextManager[tuple[LocalCluster, Network[Any]]]]
"""Makes a cluster in a directory, its nodes with these options, and the network between them."""


@dataclass
class Tally:
    """What a campaign has come to so far."""

    operations: int = 0
    unknown: int = 0
    acknowledged: int = 0
    """Writes that took effect, as clients were told."""
    faults: Counter[str] = field(default_factory=Counter)
    snapshots: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def line(self) -> str:
        counts = f"operations={self.operations} faults={self.faults.total()} unknown={self.unknown}"
        return f"{counts} violations={len(self.violations)}"

    def lack(self) -> str:
        """Why nothing was shown by it, good or bad; empty if something was."""
        if not self.operations:
            return "nothing was checked: no operation came to its check"
        return "" if self.acknowledged else "nothing was checked: not one write was acknowledged"

    def violate(self, what: str) -> None:
        """Count a violation, and tell it."""
        self.violations.append(what)
        if len(self.violations) <= SHOWN_MAX:
            print(f"  VIOLATION {what}", flush=True)

    def attempt(self, without: str, act: Callable[[], object]) -> bool:
        """Whether something could be done; if not, that is a violation: ``without`` says what it means.

        Raises:
            NoSuchFault: who began the campaign made a mistake, and no node.
        """
        try:
            act()
        except NoSuchFault:
            raise
        except Exception as error:  # whatever it is: a campaign that fell over it would end without a verdict
            traceback.print_exc()
            self.violate(f"{without}: {type(error).__name__}: {error}")
            return False
        return True


@dataclass(frozen=True)
class Plan:
    """What a campaign is to be: what its nemesis draws, from which seed, and how many clients write and read.

    ``output``: where what a bad round leaves goes; ``keep``: where the histories of good ones go, if they are wanted.
    """

    seed: int
    output: Path
    mixture: Mixture = ALL
    clients: int = CLIENTS
    keep: Path | None = None


def run(seconds: float, plan: Plan) -> Tally:
    """So many seconds of rounds, with a network of proxies and of packets in turn; it ends early at a violation.

    Raises:
        NoSuchFault: the plan names what can't be struck here.
        OSError: the directory to keep histories in can't be made.
    """
    tally = Tally()
    if plan.keep is not None:
        plan.keep.mkdir(parents=True, exist_ok=True)  # if it can't be made, better now than after the first round
    if why := namespaces.available():
        print(f"without a network of packets: {why}")
    deadline = time.monotonic() + seconds
    number = 0
    while not tally.violations and (left := deadline - time.monotonic()) > 0:
        number += 1
        print(f"round {number} of seed {plan.seed}", flush=True)
        _Round(number, min(left, ROUND_S), plan, tally).run()
        print(f"  {tally.line()}", flush=True)
    return tally


class _Round:
    """A fresh cluster, a checked load on it, and who harms it; what they come to is counted in the tally."""

    def __init__(self, number: int, seconds: float, plan: Plan, tally: Tally) -> None:
        self._number = number
        self._seconds = seconds
        self._plan = plan
        self._tally = tally
        self._rng = random.Random(f"{plan.seed}/{number}")
        only = plan.mixture.only
        self._is_short = FALL_BEHIND in only or short_logs.are_drawn(plan.seed, number)
        lacks = namespaces.available() or only & namespaces.MISSING.keys()
        self._connected: Connected = _proxied if number % 2 or lacks else _routed
        self._load: CheckedLoad | None = None
        self._shown: Violation | None = None  # the first that the history shows, to be drawn

    def run(self) -> None:
        """All of it; what goes wrong is a violation, and then the history is kept in any case."""
        self._tally.attempt("what a round used could not be removed", self._run)
        if self._load is not None:
            load = self._load
            self._tally.attempt("the history could not be kept", lambda: self._keep(load))

    def _run(self) -> None:
        with tempfile.TemporaryDirectory(prefix="zraft-chaos-") as name:
            directory = Path(name)
            self._tally.attempt("a round did not come to its end", lambda: self._play(directory))
            logs = sorted(directory.glob("*.log"))
            snapshots = short_logs.count_snapshots(logs)
            self._tally.snapshots += snapshots
            print("  snapshots: " + ", ".join(f"{snapshots[what]} {what}" for what in short_logs.EVENTS), flush=True)
            if self._tally.violations:
                self._plan.output.mkdir(parents=True, exist_ok=True)
                for path in logs:
                    shutil.copy(path, self._plan.output / path.name)

    def _play(self, directory: Path) -> None:
        rng, tally, plan = self._rng, self._tally, self._plan
        with contextlib.ExitStack() as stack:
            stack.enter_context(own_runtime())
            disks = stack.enter_context(_disks(directory))
            clocks = None if wallclock.available() else stack.enter_context(wallclock.jumping_clocks())
            options = short_logs.OPTIONS if self._is_short else {}
            cluster, network = stack.enter_context(self._connected(directory, options))
            stack.callback(cluster.down)
            cluster.up()
            settings = LoadSettings(
                endpoints=tuple(cluster.endpoints()),
                prefix="chaos/",
                clients=plan.clients,
                seed=rng.getrandbits(32),
                **({"value_bytes": short_logs.VALUE_BYTES} if self._is_short else {}),
            )
            nemesis = Nemesis(cluster, network, disks, clocks, rng, plan.mixture)
            for what, why in nemesis.missing.items():
                print(f"  without {what}: {why}")
            self._load = load = CheckedLoad(settings)
            tally.attempt("faults could not be struck and healed", lambda: self._strike(nemesis, load))
            tally.faults += nemesis.faults
            tally.acknowledged += sum(load.acknowledged)
            for error in load.errors:
                lost = "what it asked last is not in the history"
                tally.violate(f"a client died, and {lost}: {type(error).__name__}: {error}")
            self._judge(cluster, load)

    def _strike(self, nemesis: Nemesis[Any], load: CheckedLoad) -> None:
        deadline = time.monotonic() + self._seconds
        try:
            with load:
                while time.monotonic() < deadline:
                    nemesis.strike()
                nemesis.heal()
        except BaseException as error:
            if error not in load.errors:  # those are counted one by one
                raise

    def _judge(self, cluster: LocalCluster, load: CheckedLoad) -> None:
        """What clients were told, what is there now, and whether it is the same everywhere: each by itself."""
        attempt = self._tally.attempt
        is_equal = attempt("the replicas did not become equal", lambda: equal_and_led(cluster))
        attempt("what was acknowledged could not be read back", load.read_back)
        attempt("the history could not be judged", lambda: self._check(load))
        if is_equal:  # else that they differ is no news
            attempt("the replicas could not be compared", lambda: self._compare(cluster))

    def _check(self, load: CheckedLoad) -> None:
        verdict = check(load.history)
        self._tally.operations += verdict.operations
        self._tally.unknown += verdict.unknown
        for violation in verdict.violations:
            self._tally.violate(violation.what)
            self._shown = self._shown or violation

    def _compare(self, cluster: LocalCluster) -> None:
        (short_logs.settle if self._is_short else equal_and_led)(cluster)
        cluster.down()
        states = {name: _state_of(cluster.settings(name).data_path()) for name in cluster.names}
        if len(set(states.values())) != 1:
            self._tally.violate(f"the replicas differ: {states}")

    def _keep(self, load: CheckedLoad) -> None:
        plan = self._plan
        if self._tally.violations:
            plan.output.mkdir(parents=True, exist_ok=True)
            write_history(plan.output / "history.jsonl", load.history)
            picture = plan.output / "history.jsonl.html"
            picture.unlink(missing_ok=True)  # that of another campaign would be taken for this one's
            if self._shown is not None:
                picture.write_text(picture_of(self._shown, load.history), encoding="utf-8")
            print(f"  the history is in {plan.output}")
        elif plan.keep is not None:
            write_history(plan.keep / f"seed-{plan.seed}-round-{self._number}.jsonl", load.history)


@contextlib.contextmanager
def _proxied(directory: Path, options: Mapping[str, Any]) -> Iterator[tuple[LocalCluster, Proxies]]:
    cluster = ProxiedCluster(directory, free_ports(), options)
    with Proxies(cluster.wires) as proxies:
        yield cluster, proxies


@contextlib.contextmanager
def _routed(directory: Path, options: Mapping[str, Any]) -> Iterator[tuple[LocalCluster, Router]]:
    with Router([f"node-{number}" for number in (1, 2, 3)]) as router:
        yield RoutedCluster(directory, router, options), router


def _state_of(path: Path) -> tuple[int, str]:
    """A stopped node's revision, and a digest of its keys and of all that they ever were."""
    generations = [int(one.suffix[1:]) for one in path.glob("state.*") if one.suffix[1:].isdecimal()]
    view = StateView(DataDirectory(path).state_path(max(generations)), MAP_SIZE)
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


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Real faults on real nodes, and a check of all that they answered.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument(
        "--only", default="", metavar="FAULT,...", help="these faults alone, by the names that are printed"
    )
    parser.add_argument("--pace", type=float, default=1.0, help="how long faults and pauses last, times this")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--output", type=Path, default=Path("chaos-output"), help="for what a bad round leaves")
    parser.add_argument(
        "--keep", type=Path, metavar="DIRECTORY", help="for the histories of good rounds, as JSON lines"
    )
    given = parser.parse_args(arguments)
    mixture = Mixture(frozenset(filter(None, given.only.split(","))), given.pace)
    try:
        tally = run(given.minutes * 60, Plan(given.seed, given.output, mixture, given.clients, given.keep))
    except NoSuchFault as error:
        parser.error(str(error))
    print(", ".join(f"{count} {fault}" for fault, count in sorted(tally.faults.items())))
    print("snapshots: " + ", ".join(f"{count} {what}" for what, count in sorted(tally.snapshots.items())))
    print(f"seed {given.seed}")
    if lack := tally.lack():
        print(lack)
    print(tally.line())
    return int(bool(tally.violations or lack))


if __name__ == "__main__":
    sys.exit(main())
