"""What can break, one act each: of a node, an actor, a disk, a link. When it strikes is the adversary's matter."""

from tests.simulation.cluster import Cluster
from tests.simulation.network import CALM, Plane, Weather
from tests.simulation.node import Node
from zraft.core.room import ENOUGH, EXHAUSTED, RESERVE
from zraft.protocol.local import TransferRequest

PLANES = tuple(Plane)
SYNC_SECONDS = (0.000_5, 0.005, 0.05, 0.2)
STEPS_MAX = 12
"""A doomed actor does at most so much more."""


class Faults:
    """Each act is noted in the trace and counted, if it does anything at all."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self.on = True
        self.struck = 0

    def noted(self, who: object, what: str) -> None:
        """An act begins."""
        self.struck += 1
        self._world.note(f"{who}", f"FAULT {what}")

    # --- nodes and actors

    def crash(self, node: Node) -> None:
        """The trio dies; perhaps the gateway, perhaps it is a power cut and the derived state is gone too."""
        world = self._world
        power = world.chance(0.3)
        if node.trio is not None:
            self.noted(node.id, "power cut" if power else "crash")
        node.crash(gateway_too=power or world.chance(0.2), lose_state=power and world.chance(0.7))
        world.after(world.seldom_long(world.random.choice((0.002, 0.1)), 2.0, 0.3), self.start, node)

    def restart(self, node: Node) -> None:
        """The trio dies and is back at once."""
        if self.on and node.trio is not None:
            self.noted(node.id, "restart")
            node.crash(gateway_too=False, lose_state=False)
            self._world.after(0.001, self.start, node)

    def start(self, node: Node) -> None:
        """Unless the storm is over, when everybody was started anyway."""
        if self.on:
            node.start()

    def hand_over(self, node: Node) -> None:
        """It is told to hand over, if it leads: to somebody whom it may choose, or to any name, even its own."""
        if node.trio is not None:
            to = self._world.random.choice(("", "", *(f"node-{one}" for one in self._cluster.nodes)))
            self.noted(node.id, f"is to hand over to {to or 'anybody'}")
            node.trio.gateway_to_election.send(TransferRequest(0, 0, to))

    def stop(self, node: Node) -> None:
        """A graceful stop: it hands over first, and is back soon."""
        if node.trio is not None:
            self.noted(node.id, "is stopped in order")
            node.trio.gateway_to_election.send(TransferRequest(0, 0, ""))
            self._world.after(self._world.seldom_long(0.02, 0.8), self.restart, node)

    def kill_actor(self, node: Node) -> None:
        """One actor dies a few steps from now, within a turn or between two."""
        if node.trio is not None:
            actor = self._world.random.choice((*node.trio.actors(), node.gateway))
            self.noted(actor.name, "is doomed")
            actor.doom(self._world.random.randint(0, STEPS_MAX))

    def pause(self, node: Node) -> None:
        """One actor stands still."""
        if node.trio is not None:
            actor = self._world.random.choice((*node.trio.actors(), node.gateway))
            self.noted(actor.name, "stands still")
            actor.pause(self._world.seldom_long(0.15, 3.0, 0.2))

    def pause_all(self, node: Node) -> None:
        """The whole machine stands still."""
        if node.trio is not None:
            self.noted(node.id, "stands still")
            seconds = self._world.seldom_long(0.2, 1.0, 0.2)
            for actor in (*node.trio.actors(), node.gateway):
                actor.pause(seconds)

    # --- disks

    def slow_disk(self, node: Node) -> None:
        self.noted(node.id, "slow disk")
        node.sync_seconds = self._world.random.choice(SYNC_SECONDS)

    def stall_storage(self, node: Node) -> None:
        """Its storage thinks for about as long as an election takes."""
        if node.trio is not None:
            self.noted(node.id, "storage stalls")
            node.trio.storage.pause(self._world.random.choice((0.01, 0.06, 0.2, 0.4)))

    def fail_disk(self, node: Node) -> None:
        """Its next commit of the log fails: the node is out until an operator acts (S13)."""
        if node.trio is not None:
            self.noted(node.id, "failing disk")
            node.disk_fails = True

    def fill_disk(self, node: Node) -> None:
        """To the reserve or beyond; what is left lasts for a few more records of the state."""
        random = self._world.random
        node.space, node.room = random.choice((RESERVE, EXHAUSTED)), random.choice((0, 3, 20, 1_000))
        self.noted(node.id, f"disk filled to level {node.space}, with room for {node.room} records")

    def make_room(self, node: Node) -> None:
        """Somebody tidies up."""
        if node.space != ENOUGH:
            self.noted(node.id, "has room again")
            node.space = ENOUGH

    def damage_snapshot(self, node: Node) -> None:
        """A bit flips in what is staged of a snapshot."""
        if node.snapshots.damage(self._world.random.randrange(1 << 20)):
            self.noted(node.id, "damages what is staged of a snapshot")

    def repair(self) -> None:
        """Operators look after one of the nodes that are out."""
        halted = [node for node in self._cluster.members() if node.halted]
        if halted:
            self._world.random.choice(halted).repair()

    def wipe(self, node: Node) -> None:
        """Its disk is lost; a majority of the members must keep theirs."""
        wiped = sum(other.newcomer is not None for other in self._cluster.members())
        if node.newcomer is None and wiped + 1 <= (len(self._cluster.nodes) - 1) // 2:
            self.noted(node.id, "wiped disk")
            node.wipe()

    # --- links

    def change_weather(self) -> None:
        """Each plane loses, delays, doubles and reorders as it likes."""
        random = self._world.random
        for plane in PLANES:
            bad = Weather(
                loss=random.choice((0.0, 0.05, 0.3)),
                doubled=random.choice((0.0, 0.1)),
                delay=random.choice((0.000_5, 0.005, 0.02)),
                delay_max=random.choice((0.01, 0.3, 2.0)),
            )
            self._cluster.network.weather[plane] = random.choice((CALM, bad, bad))
        self.noted("network", f"weather {[tuple(weather) for weather in self._cluster.network.weather.values()]}")

    def cut(self, a: set[int], b: set[int]) -> None:
        """Between two groups, perhaps one way only, perhaps on one plane only."""
        random = self._world.random
        planes = PLANES if random.random() < 0.6 else (random.choice(PLANES),)
        ways = random.choice(("both", "both", "out", "in"))
        self.noted("network", f"cut {sorted(a)} | {sorted(b)} {ways} {[plane.value for plane in planes]}")
        network = self._cluster.network
        if random.random() < 0.7:
            network.heal()
        if ways != "in":
            network.cut(a, b, planes)
        if ways != "out":
            network.cut(b, a, planes)

    def partition(self) -> None:
        ids = list(self._cluster.nodes)
        self._world.random.shuffle(ids)
        cut = self._world.random.randint(1, max(1, len(ids) - 1))
        if len(ids) > 1:
            self.cut(set(ids[:cut]), set(ids[cut:]))

    def isolate(self, node: Node) -> None:
        """Alone, or with one other node: a minority of five that can still talk."""
        others = [other for other in self._cluster.nodes if other != node.id]
        company = set(self._world.random.sample(others, min(len(others), self._world.random.choice((0, 0, 1)))))
        if others:
            self.cut({node.id} | company, set(others) - company)

    def cut_pairs(self) -> None:
        """Who hears whom is not transitive."""
        ids = list(self._cluster.nodes)
        planes = self._world.random.choice((PLANES, (Plane.CONTROL,)))
        pairs = [(a, b) for a in ids for b in ids if a != b and self._world.chance(0.25)]
        self.noted("network", f"cut {pairs} {[plane.value for plane in planes]}")
        self._cluster.network.heal()
        for a, b in pairs:
            self._cluster.network.cut({a}, {b}, planes)

    def deafen(self, leader: int, voter: int) -> None:
        """One member does not hear the leader for a moment."""
        if self.on:
            self.noted("network", f"{voter} does not hear {leader}")
            network = self._cluster.network
            network.cut({leader}, {voter}, (Plane.CONTROL,))
            self._world.after(self._world.between(0.15, 0.3), network.mend, {leader}, {voter})

    def hold(self, node: Node) -> None:
        """What it says waits, until others are in another term."""
        self.noted(node.id, "what it says is held")
        self._cluster.network.hold(node.id)
        self._world.after(self._world.between(0.2, 1.5), self._cluster.network.release)

    def clear_network(self) -> None:
        self._world.note("network", "healed")
        self._cluster.network.heal()
        self._cluster.network.release()

    def replay(self) -> None:
        """Old messages arrive once more."""
        self.noted("network", "old messages")
        self._cluster.network.replay()
