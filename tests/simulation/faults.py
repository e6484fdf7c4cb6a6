"""The adversary: breaks what can break, at random and at the worst moments."""

from collections.abc import Callable

from tests.simulation.cluster import Cluster
from tests.simulation.network import CALM, Plane, Weather
from tests.simulation.node import Node
from zraft.core.election import LEADER

PLANES = tuple(Plane)
EVENTS = ("voting", "granted", "elected", "stored", "caught up", "committed", "started")
REACTIONS = (0.0, 0.0, 0.01, 0.01, 0.1, 0.5)
"""How likely an adversary strikes when it hears of an event: each has habits of its own."""


class Adversary:
    """Strikes until ``heal``. Each run has habits of its own: what it likes to do, how often, and when it reacts."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._world = world = cluster.world
        self._on = True
        self._interval = world.between(0.1, 1.0)
        self._react = {event: world.random.choice(REACTIONS) for event in EVENTS}
        self.struck = 0
        strikes: list[Callable[[], None]] = [
            self._partition,
            self._isolate_leader,
            self._deafen_leader,
            self._stall_leader,
            self._cut_pairs,
            self._tempt_voters,
            self._clear_network,
            self._change_weather,
            self._crash_somebody,
            self._crash_leader,
            self._pause_actor,
            self._slow_disk,
            self._replay,
        ]
        self._strikes = strikes
        self._weights = [world.random.choice((0, 1, 1, 3)) or 0.05 for _ in strikes]
        cluster.listeners.append(self._on_event)
        self._schedule()

    def heal(self) -> None:
        """The storm is over: everything works from now on, and everybody is up."""
        self._on = False
        self._cluster.network.calm_down()
        for node in self._cluster.members():
            node.sync_seconds = 0.001
            node.start()

    def restart_one(self) -> None:
        """One node's power fails for a moment."""
        node = self._world.random.choice(self._cluster.members())
        node.crash(gateway_too=True, lose_state=True)
        node.start()

    # --- at random

    def _schedule(self) -> None:
        self._world.after(self._world.between(0, 2 * self._interval), self._strike)

    def _strike(self) -> None:
        if not self._on:
            return
        (strike,) = self._world.random.choices(self._strikes, self._weights)
        self.struck += 1
        strike()
        self._schedule()

    def _partition(self) -> None:
        world = self._world
        ids = list(self._cluster.nodes)
        world.random.shuffle(ids)
        cut = world.random.randint(1, max(1, len(ids) - 1))
        self._cut(set(ids[:cut]), set(ids[cut:]))

    def _isolate_leader(self) -> None:
        leader = self._cluster.leader()
        if leader is not None:
            self._isolate(leader)

    def _deafen_leader(self) -> None:
        """Others elect a new leader, which feeds the old one's storage, while that one feeds somebody of its own."""
        leader = self._cluster.leader()
        others = set(self._cluster.nodes) - {leader.id} if leader else set()
        if leader is None or leader.trio is None or len(others) < 2:
            return
        fed = {self._world.random.choice(sorted(others))}
        network = self._cluster.network
        network.heal()
        for a, b, planes in (({leader.id}, others, (Plane.CONTROL,)), (fed, set(self._cluster.nodes), PLANES)):
            network.cut(a, b, planes)
            network.cut(b, a, planes)
        leader.trio.election.pause(self._world.between(0.5, 1.5))
        self._world.note("network", f"{leader.id} hears nobody, and alone will feed {fed}")
        self._world.after(self._world.between(0.2, 0.8), self._mend, leader.id, fed)

    def _stall_leader(self) -> None:
        """Nobody hears the leader; what it is told comes late, when somebody else may lead."""
        leader = self._cluster.leader()
        if leader is not None:
            self._cluster.network.cut({leader.id}, set(self._cluster.nodes))
            self._cluster.network.stall(leader.id, self._world.between(0.15, 0.4))

    def _cut_pairs(self) -> None:
        """Who hears whom is not transitive."""
        ids = list(self._cluster.nodes)
        planes = self._world.random.choice((PLANES, (Plane.CONTROL,)))
        pairs = [(a, b) for a in ids for b in ids if a != b and self._world.chance(0.25)]
        self._world.note("network", f"cut {pairs} {[plane.value for plane in planes]}")
        self._cluster.network.heal()
        for a, b in pairs:
            self._cluster.network.cut({a}, {b}, planes)

    def _tempt_voters(self) -> None:
        """One member does not hear the leader, and campaigns; the others forget, or hear too late, whom they follow."""
        leader = self._cluster.leader()
        if leader is None or len(self._cluster.nodes) < 3:
            return
        world, network = self._world, self._cluster.network
        candidate, *voters = world.random.sample([node for node in self._cluster.members() if node is not leader], 2)
        network.heal()
        network.cut({leader.id}, {candidate.id}, (Plane.CONTROL,))
        for voter in voters:
            voter.sync_seconds = world.random.choice((0.001, 0.03))
            for _ in range(4):
                if world.chance(0.5):
                    world.after(world.between(0, 1.5), self._restart, voter)
                else:
                    world.after(world.between(0, 1.5), self._deafen, leader.id, voter.id)

    def _restart(self, node: Node) -> None:
        if self._on:
            node.crash(gateway_too=False, lose_state=False)
            self._world.after(0.001, node.start)

    def _deafen(self, leader: int, voter: int) -> None:
        if self._on:
            self._cluster.network.cut({leader}, {voter}, (Plane.CONTROL,))
            self._world.after(self._world.between(0.15, 0.3), self._cluster.network.mend, {leader}, {voter})

    def _hesitate(self, node: Node) -> None:
        """While its storage thinks about a vote, a member hears its old leader again."""
        self._cluster.network.heal()
        if node.trio is not None:
            node.trio.storage.pause(0.06)

    def _keep_leaders_apart(self, node: Node) -> None:
        """An older leader is heard by all again, but for the new one, and its storages tell it nothing."""
        network = self._cluster.network
        network.heal()
        for other in self._cluster.members():
            if other is not node and other.page.role is not None and other.page.role.role == LEADER:
                network.cut({other.id}, {node.id})
                network.cut({node.id}, {other.id})
                network.cut({other.id}, set(self._cluster.nodes), (Plane.DATA,))

    def _mend(self, one: int, others: set[int]) -> None:
        self._cluster.network.mend({one}, others)
        self._cluster.network.mend(others, {one})

    def _isolate(self, node: Node) -> None:
        """Alone, or with one other node: a minority of five that can still talk."""
        others = [other for other in self._cluster.nodes if other != node.id]
        company = set(self._world.random.sample(others, min(len(others), self._world.random.choice((0, 0, 1)))))
        self._cut({node.id} | company, set(others) - company)

    def _cut(self, a: set[int], b: set[int]) -> None:
        random = self._world.random
        planes = PLANES if random.random() < 0.6 else (random.choice(PLANES),)
        ways = random.choice(("both", "both", "out", "in"))
        self._world.note("network", f"cut {sorted(a)} | {sorted(b)} {ways} {[plane.value for plane in planes]}")
        network = self._cluster.network
        if random.random() < 0.7:
            network.heal()
        if ways != "in":
            network.cut(a, b, planes)
        if ways != "out":
            network.cut(b, a, planes)

    def _clear_network(self) -> None:
        self._world.note("network", "healed")
        self._cluster.network.heal()

    def _change_weather(self) -> None:
        random = self._world.random
        for plane in PLANES:
            bad = Weather(
                loss=random.choice((0.0, 0.05, 0.3)),
                doubled=random.choice((0.0, 0.1)),
                delay=random.choice((0.000_5, 0.005, 0.02)),
                delay_max=random.choice((0.01, 0.3, 2.0)),
            )
            self._cluster.network.weather[plane] = random.choice((CALM, bad, bad))
        self._world.note("network", f"weather {self._cluster.network.weather}")

    def _crash_somebody(self) -> None:
        self._crash(self._world.random.choice(self._cluster.members()))

    def _crash_leader(self) -> None:
        leader = self._cluster.leader()
        if leader is not None:
            self._crash(leader)

    def _crash(self, node: Node) -> None:
        world = self._world
        power = world.chance(0.3)
        node.crash(gateway_too=power or world.chance(0.2), lose_state=power and world.chance(0.7))
        world.after(world.seldom_long(world.random.choice((0.002, 0.1)), 2.0, 0.3), node.start)

    def _pause_actor(self) -> None:
        self._pause(self._world.random.choice(self._cluster.members()))

    def _pause(self, node: Node) -> None:
        if node.trio is not None:
            actor = self._world.random.choice((*node.trio.actors(), node.gateway))
            actor.pause(self._world.seldom_long(0.15, 3.0, 0.2))

    def _slow_disk(self) -> None:
        node = self._world.random.choice(self._cluster.members())
        node.sync_seconds = self._world.random.choice((0.000_5, 0.005, 0.05, 0.2))
        self._world.note(f"{node.id}", f"its disk takes {node.sync_seconds} s")

    def _replay(self) -> None:
        self._cluster.network.replay()

    # --- at the worst moment

    def _on_event(self, what: str, node: Node) -> None:
        if not self._on:
            return
        if what in ("started", "granted", "elected") and self._world.chance(0.5):
            self._cluster.network.replay(node.id)
        if not self._world.chance(self._react[what]):
            return
        special = {"elected": self._keep_leaders_apart, "voting": self._hesitate}.get(what)
        reaction = self._world.random.choice(
            [self._crash, self._isolate, self._pause, *([special] * 3 if special else [])]
        )
        self.struck += 1
        self._world.note("adversary", f"reacts: {what} on {node.id}")
        self._world.after(self._world.random.choice((0.0, 0.0, 0.000_2, 0.002)), reaction, node)
