"""A whole cluster in one process: the world, the network, the nodes, their clients, and who watches them."""

from collections.abc import Callable
from random import Random

from tests.simulation.clients import Clients
from tests.simulation.invariants import Invariants, require
from tests.simulation.links import begin_late
from tests.simulation.network import Network, Parcel, Plane
from tests.simulation.node import BY_QUORUM, TIMING, Node
from tests.simulation.operators import Operators
from tests.simulation.upgrades import Upgrades
from tests.simulation.world import World
from tests.simulation.wrongs import Wrongs
from zraft.protocol.entries import ClusterRecord, Member

CLIENTS = 5
QUORUM_SHARE = 0.15
"""Of the runs: reads go by rounds alone, and no clock matters to them."""
ANY_TIME_SHARE = 0.3
"""Of the runs: reads begin at any time, and ranges are read page by page."""


class Cluster:
    """``size`` nodes of one cluster that has formed. ``happened`` is how the adversary hears of things."""

    def __init__(self, world: World, size: int) -> None:
        self.world = world
        ids = range(1, size + 1)
        self.record = ClusterRecord(tuple(Member(id, f"node-{id}") for id in ids), 150)
        self.id = self.record.cluster_id()
        self.invariants = Invariants(self.record.configuration())
        self.network = Network(world, self._deliver)
        self.timing = BY_QUORUM if Random(f"read mode {world.seed}").random() < QUORUM_SHARE else TIMING
        self.reads = Random(f"readers {world.seed}")
        self.reads_at_any_time = self.reads.random() < ANY_TIME_SHARE
        self.listeners: list[Callable[[str, Node], None]] = []
        self.refused_values: set[bytes] = set()
        self.retain = world.random.choice(((0, 0.0), (3, 0.0), (40, 1.0), (0, 0.5)))
        """(revisions, seconds) that the nodes' gateways keep of the history."""
        self.operators = Operators(self, size)
        self.wrongs = Wrongs(self)
        self.upgrades = Upgrades(self)
        self.nodes = {id: Node(self, id) for id in (*ids, *self.operators.spares)}
        begin_late(self.network, list(self.nodes), world.seed)
        self.clients = Clients(self, CLIENTS)
        self.leaders_elected = 0
        self.installs = 0
        for node in self.members():
            world.after(world.between(0, 0.1), node.start)
        self.operators.begin()
        self.wrongs.begin()

    def members(self) -> list[Node]:
        """All nodes that are, or were, members."""
        return [node for node in self.nodes.values() if node.id not in self.operators.spares]

    def serving(self) -> list[Node]:
        """Those that are members now: whoever is not refuses all requests at once."""
        members = {member.id for member in self.invariants.configuration.members}
        return [node for node in self.members() if node.id in members]

    def leader(self) -> Node | None:
        """The node that leads the newest term, if it lives and knows it."""
        leading = [node for node in self.members() if node.trio and node.page.role and node.page.role.role == "leader"]
        return max(leading, key=lambda node: node.page.role.term if node.page.role else 0, default=None)

    def at_leader(self, act: Callable[[Node], None]) -> Callable[[], None]:
        """Does something to whoever leads then, if anybody does."""

        def strike() -> None:
            leader = self.leader()
            if leader is not None:
                act(leader)

        return strike

    def at_somebody(self, choosing: Random, act: Callable[[Node], None]) -> Callable[[], None]:
        """Does something to any member."""
        return lambda: act(choosing.choice(self.members()))

    def happened(self, what: str, node: Node) -> None:
        for listener in self.listeners:
            listener(what, node)

    def on_elected(self, node: Node) -> None:
        self.leaders_elected += 1
        self.happened("elected", node)

    def behind(self) -> list[Node]:
        """Who has not applied all that is committed, though somebody feeds it."""
        return [node for node in self._fed() if node.applied().index != self.invariants.commit]

    def way_behind(self) -> list[tuple[int, ...]]:
        """Of each that is behind: who it is, and how far it has come, in entries and in bytes of a snapshot."""
        return [
            (node.id, node.applied().index, node.log.last.index, len(node.snapshots.bytes)) for node in self.behind()
        ]

    def check_end(self) -> None:
        """When all is calm: everybody has applied the same, a voter leads, and nothing that was promised is gone."""
        invariants = self.invariants
        voters, leader = invariants.configuration.voters(), self.leader()
        require(leader is None or leader.id in voters, "a removed leader steps down", leader=leader and leader.id)
        behind = [(node.id, node.applied().index) for node in self.behind()]
        require(not behind, "all apply all", applied=behind, of=invariants.commit)
        for node in self._fed():
            invariants.same_state(node.id, node.state)
        self.upgrades.check_end()
        for revision, put in self.clients.acknowledged.items():
            found = invariants.history.written_at(revision)
            require(found == (put.key, put.value), "no acknowledged write is lost", put=put, revision=revision)
        for value in self.refused_values:
            index = invariants.executed_at(value)
            require(not index, "what was refused is not executed later", value=value, index=index)

    def _deliver(self, plane: Plane, target: int, parcel: Parcel) -> None:
        self.nodes[target].arrive(plane, parcel)

    def _fed(self) -> list[Node]:
        """The members that are in the configuration: a removed one is not fed, nor one that has yet to join."""
        configuration = self.invariants.configuration
        return [node for node in self.members() if node.newcomer is None and configuration.member(node.id) is not None]
