"""Machines that stand still for seconds, disks of which one sync takes seconds, clocks whose rates change.

Not in every run. What is chosen is drawn from generators of its own: a run without is the same run as ever.

In runs by quorum there are no leases, and no clock may matter (README, *Guarantees*): there a virtual machine's clock
may stand still with it, jump ahead, and run at any rate.
"""

import random
from collections.abc import Callable
from functools import partial

from tests.simulation.cluster import Cluster
from tests.simulation.faults import Faults
from tests.simulation.node import Node
from zraft.core.lease import CLOCK_DRIFT_MAX

SHARE = 0.2
"""Of the runs."""
STANDSTILL_SECONDS = (0.3, 1.0, 2.5, 5.0)
SYNC_SECONDS = (1.0, 2.5, 5.0)
RATES = (1 - CLOCK_DRIFT_MAX, 1.0, 1 + CLOCK_DRIFT_MAX)
WILD_RATES = (0.2, 0.5, 1.0, 2.0, 5.0)
JUMP_SECONDS = (0.1, 0.5, 3.0, 100.0)
REACTING_TO = ("campaigning", "asking", "voting", "handing over", "granted", "elected", "stored", "installing")


class Standstills:
    """``active`` is whether there are any in this run."""

    def __init__(self, cluster: Cluster, faults: Faults) -> None:
        self._cluster = cluster
        self._faults = faults
        self._random = random.Random(f"standstills {cluster.world.seed}")
        self.active = self._random.random() < SHARE
        self._wild = not cluster.timing.lease

    def strikes(self) -> list[tuple[Callable[[], None], float]]:
        """What may be done at any time, and how often."""
        if not (self.active or self._wild):
            return []
        at_somebody, at_leader = partial(self._cluster.at_somebody, self._random), self._cluster.at_leader
        acts = [at_somebody(self.stand_still), at_leader(self.stand_still), self.all_stand_still]
        acts += [at_somebody(self.hang_disk), at_leader(self.hang_disk), at_somebody(self.stop_actor)]
        acts += [at_somebody(self.change_rate), at_leader(self.change_rate)]
        acts.append(at_leader(self.pull_apart))
        if self._wild:
            acts += [at_somebody(self.jump), at_leader(self.jump), at_leader(self.fall_behind)]
        return [(act, self._random.choice((0.5, 2, 6))) for act in acts]

    def reactions(self) -> dict[str, Callable[[Node], None]]:
        """What may be done when something happens to a node."""
        if not (self.active or self._wild):
            return {}
        acts = (self.stand_still, self.hang_disk, self.change_rate, self.pull_apart)
        return {what: self._random.choice(acts) for what in REACTING_TO}

    def stand_still(self, node: Node) -> None:
        """All processes of a machine at once, as when it is suspended."""
        if node.trio is not None:
            self._suspend(node, self._random.choice(STANDSTILL_SECONDS) * self._random.uniform(0.5, 1.2))

    def all_stand_still(self) -> None:
        """All machines: they run on one that is suspended."""
        seconds = self._random.choice(STANDSTILL_SECONDS)
        for node in self._cluster.members():
            if node.trio is not None:
                self._suspend(node, seconds * self._random.uniform(1.0, 1.1))

    def stop_actor(self, node: Node) -> None:
        """One process, for longer than it may make no progress."""
        if node.trio is not None:
            actor = self._random.choice((*node.trio.actors(), node.gateway))
            self._faults.noted(actor.name, "is stopped for long")
            actor.pause(self._random.uniform(1.5, 5.0))

    def hang_disk(self, node: Node) -> None:
        """Its next sync takes seconds; perhaps the power fails before it is done."""
        node.next_sync_seconds = self._random.choice(SYNC_SECONDS)
        self._faults.noted(node.id, f"the next sync takes {node.next_sync_seconds} s")
        if self._random.random() < 0.3:
            self._cluster.world.after(self._random.uniform(0, node.next_sync_seconds), self._crash, node)

    def change_rate(self, node: Node) -> None:
        """Its clock runs faster, or slower, from now on."""
        rate = self._random.choice(WILD_RATES if self._wild else RATES)
        self._faults.noted(node.id, f"its clock runs at {rate}")
        node.set_clock(rate, 0.0)

    def pull_apart(self, leader: Node) -> None:
        """The leader's clock is the slowest that there may be, and all others' the fastest."""
        rates = WILD_RATES if self._wild else RATES
        self._faults.noted(leader.id, f"its clock runs at {min(rates)}, all others' at {max(rates)}")
        for node in self._cluster.members():
            node.set_clock(min(rates) if node is leader else max(rates), 0.0)

    def fall_behind(self, leader: Node) -> None:
        """The leader's clock is slow, and soon nobody hears it: what was a moment ago for it was none for others."""
        self._faults.noted(leader.id, "its clock is slow, and it will be cut off")
        leader.set_clock(min(WILD_RATES), 0.0)
        self._cluster.world.after(self._random.uniform(0.05, 0.3), self._cut_off, leader)

    def jump(self, node: Node) -> None:
        """Its clock shows a later time."""
        seconds = self._random.choice(JUMP_SECONDS)
        self._faults.noted(node.id, f"its clock jumps by {seconds} s")
        node.set_clock(node.clock.rate, seconds)

    def _suspend(self, node: Node, seconds: float) -> None:
        uncounted = self._wild and self._random.random() < 0.7
        self._faults.noted(node.id, f"stands still for {seconds:.1f} s" + ", and its clock, too" * uncounted)
        for actor in (*(node.trio.actors() if node.trio else ()), node.gateway):
            actor.pause(seconds)
        if uncounted:
            node.clock.stand_still(seconds)

    def _cut_off(self, node: Node) -> None:
        others = set(self._cluster.nodes) - {node.id}
        if self._faults.on and others:
            network = self._cluster.network
            network.heal()
            network.cut({node.id}, others)
            network.cut(others, {node.id})
            self._cluster.world.after(self._random.uniform(0.5, 1.5), self._join, node.id, others)

    def _join(self, one: int, others: set[int]) -> None:
        self._cluster.network.mend({one}, others)
        self._cluster.network.mend(others, {one})

    def _crash(self, node: Node) -> None:
        if self._faults.on:
            self._faults.crash(node)
