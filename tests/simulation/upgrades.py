"""Nodes of several versions of the code: each is upgraded when it happens to be restarted, and all of them in the end.

Not in every run. What is drawn comes from a generator of its own: a run without upgrades is the same run as ever, of
nodes that know of no cluster version but the first.
"""

import random
from typing import TYPE_CHECKING

from tests.simulation.invariants import require
from zraft.core.versions import FIRST, SUPPORTED

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.node import Node

SHARE = 0.35
"""Of the runs."""


class Upgrades:
    """``active`` is whether there are any in this run."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._random = random.Random(f"upgrades {cluster.world.seed}")
        self.active = self._random.random() < SHARE
        self._old = self._random.choice((0.3, 0.7, 1.0))
        self._chance = self._random.choice((0.2, 0.5, 1.0))

    def first_version(self) -> int:
        """Up to which version a new node's code knows."""
        return SUPPORTED if self.active and self._random.random() >= self._old else FIRST

    def restarted(self, node: "Node") -> None:
        """A node starts, perhaps with newer code than before."""
        if self.active and node.supported < SUPPORTED and self._random.random() < self._chance:
            self._upgrade(node)

    def finish(self) -> None:
        """Whoever is left is upgraded now."""
        for node in self._cluster.nodes.values() if self.active else ():
            if node.supported < SUPPORTED:
                self._upgrade(node)
                if node.trio is not None:
                    node.crash(gateway_too=False, lose_state=False)
                    node.start()

    def check_end(self) -> None:
        """When all members know a version, the cluster is at it; a member that never answers holds it back."""
        cluster, invariants = self._cluster, self._cluster.invariants
        members = [cluster.nodes[member.id] for member in invariants.configuration.members]
        if all(node.newcomer is None and node.trio is not None for node in members):
            expected = SUPPORTED if self.active else FIRST
            require(invariants.version == expected, "the version that all know is that of the cluster", of=expected)

    def _upgrade(self, node: "Node") -> None:
        node.supported = SUPPORTED
        self._cluster.world.note(f"{node.id}", f"is upgraded to code of version {SUPPORTED}")
