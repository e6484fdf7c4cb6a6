"""States that go wrong without a sign: each checksum is right, and what the node tells of its state is not.

Only what it tells is made wrong, not what it holds: so clients and the other rules see a node like any other, and this
is about who finds out, and who stops. Not in every run, and drawn from a generator of its own: a run without is the
same run as ever.
"""

import random
from typing import TYPE_CHECKING

from tests.simulation.invariants import require
from zraft.core.audit import Divergence
from zraft.protocol.peer import Diverged

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.node import Node

SHARE = 0.2
"""Of the runs."""
VERDICT_SECONDS = 6.0
"""In a cluster that is well and written to, so long after a state has gone wrong its node has stopped."""

REPAIRED_SECONDS = 1.5
"""So long after its node has stopped, an operator has repaired it."""


class Wrongs:
    """``ever``: the members whose state has been wrong at some time."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._random = random.Random(f"wrongs {cluster.world.seed}")
        self.active = self._random.random() < SHARE
        self._interval = self._random.choice((0.3, 1.0, 4.0))
        self._on = self.active
        self.ever: set[int] = set()
        self.stopped = 0
        """How many nodes were stopped for it."""

    def begin(self) -> None:
        if self.active:
            self._later()

    def stop(self) -> None:
        """No other state goes wrong."""
        self._on = False

    def end(self) -> None:
        """Where a majority was wrong, as one of one voter may be, nobody can find it out: operators have to."""
        for node in self._cluster.nodes.values():
            if node.wrong:
                node.made_right()

    def unnoticed(self) -> list["Node"]:
        """Who has a wrong state and ought to be stopped, since a majority of the voters has the right one."""
        configuration = self._cluster.invariants.configuration
        voters = [self._cluster.nodes[voter] for voter in configuration.voters()]
        right = sum(not voter.wrong and voter.trio is not None for voter in voters)
        wrong = [node for node in self._cluster.serving() if node.wrong and node.trio is not None]
        return wrong if 2 * right > len(voters) else []

    def found(self, divergence: Divergence) -> None:
        """A leader holds replicas to differ: where no state ever went wrong none does."""
        named, majority = set(divergence.members), divergence.majority
        require(bool(self.ever), "replicas that agree are not held to differ", found=divergence)
        if majority is not None and not self._one_decides():
            truth = self._cluster.invariants.checkpoint_at(divergence.index)
            require(majority == truth, "a majority has the right state", found=divergence)
            require(named <= self.ever, "only wrong states are held to differ", found=divergence)

    def condemned(self, node: "Node", verdict: Diverged) -> None:
        """A storage stops for this verdict. The operator comes later."""
        if not self._one_decides():
            require(node.wrong != 0, "only a wrong state stops a node", node=node.id, verdict=verdict)
        self.stopped += 1
        self._cluster.world.after(self._random.uniform(0.001, REPAIRED_SECONDS), node.made_right)

    def _one_decides(self) -> bool:
        """No two states go wrong alike, so a wrong one is a majority only where there is one voter, or was."""
        return self._cluster.invariants.fewest_voters < 2

    def _later(self) -> None:
        self._cluster.world.after(self._random.uniform(0, 2 * self._interval), self._strike)

    def _strike(self) -> None:
        if self._on:
            node = self._random.choice(self._cluster.serving())
            node.wrong = self._random.getrandbits(64) or 1
            self.ever.add(node.id)
            self._cluster.world.note(f"{node.id}", "its state goes wrong")
            self._later()
