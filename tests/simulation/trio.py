"""Election, replication and storage of one incarnation of a node, and the pipes between them."""

from typing import TYPE_CHECKING

from tests.simulation.actors import Actor, Pipe
from tests.simulation.election import ElectionActor
from tests.simulation.replication import ReplicationActor
from tests.simulation.storage import StorageActor
from zraft.protocol import codec
from zraft.protocol.local import StatusQuery

if TYPE_CHECKING:
    from tests.simulation.node import Node


class Trio:
    """The three actors of one incarnation, and the pipes between them and to the gateway."""

    def __init__(self, node: "Node", incarnation: int) -> None:
        self.incarnation = incarnation
        self._node = node
        self.election = election = ElectionActor(node, self)
        self.replication = replication = ReplicationActor(node, self)
        self.storage = storage = StorageActor(node, self)
        world = node.world
        self.election_to_storage = Pipe(world, codec.election_to_storage, storage.receive_urgent)
        self.storage_to_election = Pipe(world, codec.storage_to_election, lambda m: election.receive(m, 0))
        self.election_to_replication = Pipe(
            world, codec.election_to_replication, lambda m: replication.receive(m, node.id)
        )
        self.replication_to_election = Pipe(
            world, codec.replication_to_election, lambda m: election.receive(m, node.id)
        )
        self.replication_to_storage = Pipe(world, codec.replication_to_storage, lambda m: storage.receive(m, 0))
        self.storage_to_replication = Pipe(
            world, codec.storage_to_replication, lambda m: replication.receive(m, node.id)
        )
        self.gateway_to_replication = Pipe(
            world, codec.gateway_to_replication, lambda m: replication.receive(m, node.id)
        )
        self.gateway_to_election = Pipe(world, codec.gateway_to_election, lambda m: election.receive(m, 0))
        self.gateway_to_storage = Pipe(world, codec.gateway_to_storage, lambda m: storage.receive(m, 0))
        self.replication_to_gateway = Pipe(world, codec.replication_to_gateway, self._to_gateway)
        self.election_to_gateway = Pipe(world, codec.election_to_gateway, self._to_gateway)
        self.storage_to_gateway = Pipe(world, codec.storage_to_gateway, self._to_gateway)
        self.election_to_storage.send(StatusQuery())

    def actors(self) -> tuple[Actor, Actor, Actor]:
        return self.election, self.replication, self.storage

    def crash(self) -> None:
        self.storage.crash()
        for actor in self.actors():
            actor.alive = False

    def _to_gateway(self, message: object) -> None:
        # The gateway outlives us: what we said before we died may reach it after our successors have started (S1).
        self._node.gateway.receive(message, self.incarnation)
