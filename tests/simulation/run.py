"""One run, from a seed: a storm with an adversary in it, then calm, in which the cluster must make progress."""

import random
import traceback
from unittest.mock import patch

import msgspec

from tests.simulation.adversary import Adversary
from tests.simulation.cluster import Cluster
from tests.simulation.invariants import Violation, require
from tests.simulation.operators import size_with
from tests.simulation.world import World
from tests.simulation.wrongs import REPAIRED_SECONDS, VERDICT_SECONDS
from zraft.core import log_keeping, progress, replication, streaming, sweep, vitality
from zraft.errors import CorruptLog, CorruptState, IdentityRefused, InvariantViolated

SIZES = (1, 2, 3, 3, 3, 3, 4, 5, 5, 5, 6, 7)
"""Of clusters; each as likely as it stands here often."""
STORM_SECONDS = 8.0
RECOVERY_SECONDS = 5.0
"""Virtual seconds after which a healed majority must serve again: a stalled actor alone takes 2 to be noticed."""
NOTICED_SECONDS = 1.8
"""And so long after a sick leader has been noticed."""
SETTLE_SECONDS = 4.0
"""So long after the last change of members, all learners that keep up are voters, and all knows of it."""
QUIET_SECONDS = 2.0
"""And after which, left alone, all nodes have applied the same, in nearly all runs."""
ALIKE_SECONDS = 20.0
"""And must have in any. Runs of tiny bounds have much to send: snapshots by 1,000 bytes over links that reorder them,
so that most pieces wait for the next question; compaction by two records a command, a command after the other.
"""
STEP_SECONDS = 1.0
"""But nobody who is still behind may stand still for so long."""
RULES = (Violation, InvariantViolated, CorruptLog, CorruptState, IdentityRefused)
"""What tells by itself which rule broke; anything else that a run raises is a bug, of the core or of the simulator."""
DEMANDED = "demanded"


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
    installs: int = 0
    changes: int = 0
    stopped: int = 0
    progress_without_one: str = DEMANDED
    """Whether all but one, or but two, had to make progress without it; why not, if they had not to."""
    sick: int = 0
    """How many nodes stayed sick then."""
    late: int = 0
    """Messages that were lost since a link had not begun."""
    delayed: int = 0
    """Messages that came late, since their link was."""


class Failure(Exception):
    """A run broke a rule; the message tells the seed, the rule, how to replay it, and the end of the story.

    Of an exception that is no broken rule the type is the rule, and where it was raised is part of the story.
    """

    def __init__(self, message: str, rule: str) -> None:
        super().__init__(message, rule)
        self.message = message
        self.rule = rule

    def __str__(self) -> str:
        return self.message


def run(seed: int) -> Report:
    """Run one seed.

    Raises:
        Failure: a rule did not hold, or the run ended by an exception of any other kind.
    """
    return play(World(seed), lines=40)


def play(world: World, lines: int) -> Report:
    """Run a world of its own; a failure tells the last ``lines`` of its story.

    Raises:
        Failure: a rule did not hold, or the run ended by an exception of any other kind.
    """
    # Small bounds make rare paths common: peers that are fed from the log, appends that end in the middle.
    tail, append = world.random.choice(((0, 300), (2_000, 300), (64 << 20, 1 << 20)))
    bounds = patch.multiple(replication, TAIL_BYTES_MAX=tail, APPEND_BYTES_MAX=append)
    chunk = patch.object(streaming, "CHUNK_BYTES", world.random.choice((1_000, 8_000, 1 << 18)))
    records = world.random.choice((2, 10, 2_000))
    away = patch.object(progress, "AWAY_SECONDS", random.Random(f"away {world.seed}").choice((0.5, 10.0)))
    resort = patch.object(vitality, "RESORT_SECONDS_MIN", random.Random(f"resort {world.seed}").choice((0.5, 5.0)))
    slices = patch.object(log_keeping, "SLICE_ENTRIES_MAX", world.random.choice((2, 1_000)))
    first = random.Random(f"first sweeps {world.seed}").choice((2, 10, 2_000))  # by the rules of the first version
    step = min(records, first, 32)
    parts = patch.multiple(sweep, SWEEP_RECORDS_MAX=records, FIRST_SWEEP_RECORDS_MAX=first, RECORDS_PER_STEP=step)
    try:
        with bounds, chunk, away, resort, slices, parts:
            return _run(world)
    except Exception as error:  # of any kind: else the seed would be lost, and the campaign with it
        raise _failure(world, lines, error) from error


def _failure(world: World, lines: int, error: Exception) -> Failure:
    what, rule = str(error), str(error).partition(":")[0]
    if isinstance(error, InvariantViolated):
        rule = error.name
    elif not isinstance(error, RULES):
        what, rule = f"{type(error).__name__}: {error}", type(error).__name__
    story = [*world.trace(lines), f"seed {world.seed} at {world.now:.4f}: {what}"]
    if not isinstance(error, RULES):
        story.append("".join(traceback.format_exception(error)).rstrip())
    story.append(f"replay: make simulate SEED={world.seed}")
    return Failure("\n".join(story), rule)


def _run(world: World) -> Report:
    cluster = Cluster(world, size_with(world.seed, world.random.choice(SIZES)))
    adversary = Adversary(cluster)
    world.run_until(STORM_SECONDS)
    cluster.operators.stop()
    cluster.wrongs.stop()
    cluster.upgrades.finish()
    if cluster.operators.active:
        adversary.heal()
        world.run_until(world.now + SETTLE_SECONDS)
    if cluster.wrongs.active:
        adversary.heal()
        _require_verdicts(cluster)
        cluster.wrongs.end()
    without_one, sick = _go_on_without_some(cluster, adversary)
    adversary.heal()
    _require_service(cluster, "all are well")
    clients = cluster.clients
    clients.stop()
    _calm_down(cluster, SETTLE_SECONDS if cluster.operators.active else QUIET_SECONDS)
    cluster.check_end()
    adversary.restart_one()  # while nobody writes, it must find out by itself what it has forgotten
    _calm_down(cluster, QUIET_SECONDS)
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
        installs=cluster.installs,
        changes=cluster.operators.changes,
        stopped=cluster.wrongs.stopped,
        progress_without_one=without_one,
        sick=sick,
        late=cluster.network.late,
        delayed=cluster.network.lateness.delayed,
    )


def _go_on_without_some(cluster: Cluster, adversary: Adversary) -> tuple[str, int]:
    """All but one or two are well, and must make progress with or against them.

    Returns why not, where that is not demanded, and how many were sick.
    """
    world = cluster.world
    if not _majority_without_one(cluster):
        return "not demanded: no majority without it", 0
    if not world.chance(0.5):
        return "not demanded: left out by the seed", 0
    sick = adversary.spare_two()
    if not sick:
        sick = [(adversary.behead() if world.chance(0.2) else None) or adversary.spare_one()]
    cluster.clients.avoided = [one.node for one in sick]
    patience = max(one.patience for one in sick)
    _require_service(cluster, f"all but {len(sick)} are well", patience + NOTICED_SECONDS)
    world.run_until(world.now + patience)
    if any(one.gets_worse for one in sick):
        _require_service(cluster, f"all but {len(sick)} are well, which is ever later")
    leader = cluster.leader()
    for one in sick:
        require(one.can_lead or leader is not one.node, "a leader must be able to work", leader=one.node.id)
        one.recover()
    cluster.clients.avoided = []
    return DEMANDED, len(sick)


def _calm_down(cluster: Cluster, seconds: float) -> None:
    """Leave all nodes alone for so long, and those that are behind for longer, as long as each of them comes on."""
    world = cluster.world
    end = world.now + ALIKE_SECONDS
    world.run_until(world.now + seconds)
    while world.now < end and (before := cluster.way_behind()):
        world.run_until(world.now + STEP_SECONDS)
        if not set(before).isdisjoint(cluster.way_behind()):
            break  # somebody has not moved


def _majority_without_one(cluster: Cluster) -> bool:
    """Whether the members that have their disks are a majority even when one of them is sick."""
    voters = [cluster.nodes[voter] for voter in cluster.invariants.configuration.voters()]
    return 2 * (sum(node.newcomer is None for node in voters) - 1) > len(voters)


def _require_verdicts(cluster: Cluster) -> None:
    """Whoever has a wrong state, where a majority has the right one, stops: each entry brings the next comparison."""
    end = cluster.world.now + VERDICT_SECONDS
    while cluster.world.now < end and cluster.wrongs.unnoticed():
        cluster.world.run_until(cluster.world.now + 0.25)
    unnoticed = [node.id for node in cluster.wrongs.unnoticed()]
    require(not unnoticed, "a minority that differs stops", nodes=unnoticed)
    cluster.world.run_until(cluster.world.now + REPAIRED_SECONDS)


def _require_service(cluster: Cluster, why: str, within: float = RECOVERY_SECONDS) -> None:
    """Progress: some writes and some reads succeed, and what is asked from now on is among them."""
    clients, world = cluster.clients, cluster.world
    writes, reads, end = clients.writes + 2, clients.reads + 2, world.now + within
    while world.now < end and (clients.writes < writes or clients.reads < reads):
        world.run_until(world.now + 0.25)
    served = clients.writes >= writes and clients.reads >= reads
    require(served, "a healed majority makes progress", why=why, short=(writes - clients.writes, reads - clients.reads))
