"""One run, from a seed: a storm with an adversary in it, then calm, in which the cluster must make progress.

``python -m tests.simulation.run --seed 7 --trace`` replays a run; ``--seeds 1..300`` looks for trouble.
"""

import argparse
import sys
import time
from unittest.mock import patch

import msgspec

from tests.simulation.cluster import Cluster
from tests.simulation.faults import Adversary
from tests.simulation.invariants import Violation, require
from tests.simulation.world import World
from zraft.core import replication
from zraft.errors import InvariantViolated

STORM_SECONDS = 8.0
RECOVERY_SECONDS = 4.0
"""Virtual seconds after which a healed cluster must serve again: a stalled actor alone takes 2 to be noticed."""
QUIET_SECONDS = 2.0
"""And after which, left alone, all nodes must have applied the same."""


class Report(msgspec.Struct, frozen=True):
    """What a run was worth."""

    seed: int
    size: int
    virtual_seconds: float
    events: int
    leaders: int
    faults: int
    lost_messages: int
    writes: int
    reads: int
    unknown: int
    refused: int


class Failure(Exception):
    """A run broke a rule; the message tells the seed, the rule and the end of the story."""


def run(seed: int, lines: int = 40) -> Report:
    """Run one seed.

    Raises:
        Failure: a rule did not hold.
    """
    world = World(seed)
    # Small bounds make rare paths common: peers that are fed from the log, appends that end in the middle.
    tail, append = world.random.choice(((0, 300), (2_000, 300), (64 << 20, 1 << 20)))
    bounds = patch.multiple(replication, TAIL_BYTES_MAX=tail, APPEND_BYTES_MAX=append)
    try:
        with bounds:
            return _run(world)
    except (Violation, InvariantViolated) as error:
        story = "\n".join(world.trace(lines))
        raise Failure(
            f"{story}\nseed {seed} at {world.now:.4f}: {error}\n"
            f"replay: python -m tests.simulation.run --seed {seed} --trace"
        ) from error


def _run(world: World) -> Report:
    cluster = Cluster(world, world.random.choice((1, 2, 3, 3, 3, 4, 5, 5, 5)))
    adversary = Adversary(cluster)
    world.run_until(STORM_SECONDS)
    adversary.heal()
    clients = cluster.clients
    before = clients.writes, clients.reads
    world.run_until(STORM_SECONDS + RECOVERY_SECONDS)
    served = clients.writes > before[0] and clients.reads > before[1]
    require(served, "a healed cluster serves", writes=clients.writes, reads=clients.reads, before=before)
    clients.stop()
    world.run_until(world.now + QUIET_SECONDS)
    cluster.check_end()
    adversary.restart_one()  # while nobody writes, it must find out by itself what it has forgotten
    world.run_until(world.now + QUIET_SECONDS)
    cluster.check_end()
    return Report(
        seed=world.seed,
        size=len(cluster.nodes),
        virtual_seconds=world.now,
        events=world.events,
        leaders=cluster.leaders_elected,
        faults=adversary.struck,
        lost_messages=cluster.network.lost,
        writes=clients.writes,
        reads=clients.reads,
        unknown=clients.unknown,
        refused=clients.refused,
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="run whole clusters of the core in virtual time")
    parser.add_argument("--seed", type=int, help="one run")
    parser.add_argument("--seeds", help="A..B: all of these runs")
    parser.add_argument("--trace", action="store_true", help="print the whole trace of a failing run")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first failure")
    options = parser.parse_args()
    first, last = (int(part) for part in options.seeds.split("..")) if options.seeds else (options.seed or 1,) * 2
    started, virtual, failed = time.perf_counter(), 0.0, 0
    for seed in range(first, last + 1):
        try:
            report = run(seed, lines=20_000 if options.trace else 40)
            virtual += report.virtual_seconds
            if first == last:
                print(report)
        except Failure as failure:
            failed += 1
            print(failure)
            if not options.keep_going:
                return 1
    seconds = time.perf_counter() - started
    print(f"{last - first + 1} runs, {failed} failed, {virtual / seconds:.1f} virtual seconds a second")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
