"""A node that stays sick after the storm."""

import math

from tests.simulation.cluster import Cluster
from tests.simulation.network import Plane
from tests.simulation.node import Node

STUCK = ("no storage", "no replication", "no gateway")
SICKNESSES = ("deaf", "mute", "deaf to data", *STUCK, "down")
PATIENCE_SECONDS = 3.2
"""After which a leader that can't work has noticed, and has handed over or stepped down."""
GATEWAY_PATIENCE_SECONDS = 5.2


class Sick:
    """One node that stays sick while all others are well: those must make progress, with or against it."""

    def __init__(self, cluster: Cluster, node: Node, sickness: str) -> None:
        self.node = node
        self._network = network = cluster.network
        me, others = {node.id}, set(cluster.nodes) - {node.id}
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
            case _:
                node.crash(gateway_too=True, lose_state=False)

    @property
    def can_lead(self) -> bool:
        """Whether it is able to work: not while its trio is the one that got stuck; one that was on its way is well."""
        return self._stuck is None or self.node.trio is not self._stuck

    def recover(self) -> None:
        """Whatever stands still is killed by its supervisor in the end."""
        self._network.heal()
        self.node.gateway.recover()
        self.node.crash(gateway_too=False, lose_state=False)
        self.node.start()
