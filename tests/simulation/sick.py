"""Nodes that stay sick after the storm: one of any sickness, or two that are slow or stand still."""

import math
import random
from itertools import product

from tests.simulation.cluster import Cluster
from tests.simulation.network import Plane
from tests.simulation.node import SYNC_SECONDS, Node

STUCK = ("no storage", "no replication", "no gateway")
SICKNESSES = ("deaf", "mute", "deaf to data", *STUCK, "down")
SLUGGISH = ("slow disk", "slow disk", *STUCK)
"""What two nodes may have at once: neither makes a link bad, so no third one is the worse for it."""
SLOW_SYNC_SECONDS = (0.05, 0.2, 0.8)
"""How long each sync of a slow disk takes: the slowest not so long that its node would count as stalled."""
LATE = ("says all late", "hears all late", "hanging disk")
"""What one node may have, in some runs, instead of those above."""
LATE_SHARE = 0.4
"""Of the runs that demand progress without one node."""
LATE_SECONDS = (0.05, 0.2, 0.5, 1.5, 4.0)
RISING = (0.0, 0.5, 1.0)
"""By how many seconds a second it becomes later; 0: it is so late at once."""
HANGING_SYNC_SECONDS = (1.5, 3.0)
"""How long each sync takes of a disk that hangs: its node counts as stalled, on and off."""
PAIR_SHARE = 0.5
"""Of the runs that demand progress without one node, and have a majority without two."""
PATIENCE_SECONDS = 3.2
"""After which a leader that can't work has noticed, and has handed over or stepped down."""
GATEWAY_PATIENCE_SECONDS = 5.2


class Sick:
    """One node that stays sick while all others are well: those must make progress, with or against it."""

    def __init__(self, cluster: Cluster, node: Node, sickness: str) -> None:
        self.node = node
        self._network = network = cluster.network
        me, others = {node.id}, set(cluster.nodes) - {node.id}
        self.gets_worse = False
        """Whether it is not yet as sick as it will be, so that progress at first says little."""
        self._stuck = node.trio if sickness in STUCK else None
        self.patience = GATEWAY_PATIENCE_SECONDS if sickness == "no gateway" else PATIENCE_SECONDS
        match sickness:
            case "deaf":
                network.sever(others, me)
            case "mute":
                network.sever(me, others)
            case "deaf to data":
                network.sever(others, me, (Plane.DATA,))
                network.sever(me, others, (Plane.DATA,))
            case "no storage" if node.trio:
                node.trio.storage.pause(math.inf)
            case "no replication" if node.trio:
                node.trio.replication.pause(math.inf)
            case "no gateway":
                node.gateway.pause(math.inf)
            case "says all late" | "hears all late":
                chance = random.Random(f"late {cluster.world.seed}")
                late, rising = chance.choice(LATE_SECONDS), chance.choice(RISING)
                self.gets_worse = rising > 0
                for plane, other in product(Plane, others):
                    sender, target = (node.id, other) if sickness == "says all late" else (other, node.id)
                    network.lateness.delay(plane, sender, target, late, rising)
            case "hanging disk":
                node.sync_seconds = cluster.world.random.choice(HANGING_SYNC_SECONDS)
            case "slow disk":
                node.sync_seconds = cluster.world.random.choice(SLOW_SYNC_SECONDS)
            case _:
                node.crash(gateway_too=True, lose_state=False)

    @property
    def can_lead(self) -> bool:
        """Whether it is able to work: not while its trio is the one that got stuck; one that was on its way is well."""
        return self._stuck is None or self.node.trio is not self._stuck

    def recover(self) -> None:
        """Whatever stands still is killed by its supervisor in the end."""
        self._network.heal()
        self._network.lateness.end_all()
        self.node.sync_seconds = SYNC_SECONDS
        self.node.gateway.recover()
        self.node.crash(gateway_too=False, lose_state=False)
        self.node.start()


def sickness_of_one(seed: int, usual: str) -> str:
    """What one node has that stays sick.

    Drawn from a generator of its own: a run in which it is a usual one is the same run as ever.
    """
    chance = random.Random(f"one sick {seed}")
    return chance.choice(LATE) if chance.random() < LATE_SHARE else usual


def sluggish_pair(cluster: Cluster) -> tuple[Node, Node] | None:
    """Two voters for a run in which two are to be sick; None: one is enough.

    Drawn from a generator of its own: a run without two is the same run as ever.
    """
    chance = random.Random(f"two sick {cluster.world.seed}")
    voters = [cluster.nodes[voter] for voter in sorted(cluster.invariants.configuration.voters())]
    able = [node for node in voters if node.newcomer is None]
    if 2 * (len(able) - 2) <= len(voters) or chance.random() >= PAIR_SHARE:
        return None
    leader = cluster.leader()
    first = leader if leader in able and chance.random() < 0.7 else chance.choice(able)
    return first, chance.choice([node for node in able if node is not first])
