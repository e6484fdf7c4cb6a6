"""The adversary: strikes at random, and at the worst moments. Each run has an adversary with habits of its own."""

import math
from collections.abc import Callable

from tests.simulation.cluster import Cluster
from tests.simulation.faults import PLANES, Faults
from tests.simulation.network import Plane
from tests.simulation.node import Node
from zraft.core.election import LEADER

EVENTS = ("campaigning", "asking", "voting", "granted", "elected", "stored", "caught up", "committed", "started")
REACTIONS = (0.0, 0.0, 0.01, 0.01, 0.1, 0.5)
"""How likely an adversary strikes when it hears of an event."""


class Adversary:
    """Strikes until ``heal``. What it likes to do, how often, and when it reacts differ from run to run."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._world = world = cluster.world
        self._faults = faults = Faults(cluster)
        self._interval = world.between(0.1, 1.0)
        self._react = {event: world.random.choice(REACTIONS) for event in EVENTS}
        # Most runs keep their disks: whoever is out does nothing wrong any more.
        self._wiping = 0.05 if world.chance(0.2) else 0.0
        self._strikes: list[Callable[[], None]] = [
            faults.partition,
            faults.cut_pairs,
            faults.clear_network,
            faults.change_weather,
            faults.replay,
            self._at_leader(faults.isolate),
            self._at_leader(faults.crash),
            self._at_leader(faults.hold),
            self._at_leader(faults.pause_all),
            self._at_somebody(faults.crash),
            self._at_somebody(faults.kill_actor),
            self._at_somebody(faults.pause),
            self._at_somebody(faults.slow_disk),
            self._lose_a_disk,
            self._deafen_leader,
            self._stall_leader,
            self._freeze_in_round,
            self._tempt_voters,
            self._tire_leader,
            self._unseat_leader,
        ]
        self._kept_waiting: set[int] = set()
        self._weights = [world.random.choice((0, 1, 1, 3)) or 0.05 for _ in self._strikes]
        self._worst: dict[str, list[Callable[[Node], None]]] = {
            "campaigning": [self._make_forget, self._make_forget, faults.restart, faults.pause],
            "asking": [self._keep_votes_back, self._keep_votes_back, faults.hold, faults.restart, faults.stall_storage],
            "voting": [self._hesitate, self._hesitate, faults.stall_storage, faults.restart, faults.isolate],
            "granted": [
                faults.restart,
                faults.restart,
                faults.isolate,
                faults.stall_storage,
                faults.hold,
                faults.kill_actor,
            ],
            "elected": [
                self._keep_leaders_apart,
                self._keep_leaders_apart,
                self._split_planes,
                self._feed_nobody,
                self._feed_nobody,
                faults.isolate,
                faults.crash,
                faults.pause,
            ],
            "stored": [self._cut_leader_off, self._cut_leader_off, faults.crash, faults.kill_actor],
            "caught up": [self._cut_leader_off, faults.crash, faults.isolate],
            "committed": [faults.isolate, faults.crash, faults.kill_actor, faults.hold],
            "started": [faults.restart, faults.stall_storage, faults.isolate],
        }
        cluster.listeners.append(self._on_event)
        self._schedule()

    @property
    def struck(self) -> int:
        """How many faults it has injected."""
        return self._faults.struck

    def heal(self) -> None:
        """The storm is over: everything works from now on, and everybody is up."""
        self._faults.on = False
        self._cluster.network.calm_down()
        for node in self._cluster.members():
            node.repair()

    def restart_one(self) -> None:
        """One node's power fails for a moment."""
        node = self._world.random.choice(self._cluster.members())
        node.crash(gateway_too=True, lose_state=True)
        node.start()

    # --- at random

    def _schedule(self) -> None:
        self._world.after(self._world.between(0, 2 * self._interval), self._strike)

    def _strike(self) -> None:
        if not self._faults.on:
            return
        (strike,) = self._world.random.choices(self._strikes, self._weights)
        strike()
        self._schedule()

    def _at_somebody(self, act: Callable[[Node], None]) -> Callable[[], None]:
        return lambda: act(self._world.random.choice(self._cluster.members()))

    def _at_leader(self, act: Callable[[Node], None]) -> Callable[[], None]:
        def strike() -> None:
            leader = self._cluster.leader()
            if leader is not None:
                act(leader)

        return strike

    def _lose_a_disk(self) -> None:
        faults, node = self._faults, self._world.random.choice(self._cluster.members())
        if self._world.chance(self._wiping):
            faults.wipe(node)
        elif self._world.chance(0.3):
            faults.fail_disk(node)
        else:
            faults.repair()

    # --- whole plots

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
        self._faults.noted("network", f"{leader.id} hears nobody, and alone will feed {fed}")
        leader.trio.election.pause(self._world.between(0.5, 1.5))
        self._world.after(self._world.between(0.2, 0.8), self._mend, leader.id, fed)

    def _stall_leader(self) -> None:
        """Nobody hears the leader; what it is told comes late, when somebody else may lead."""
        leader = self._cluster.leader()
        if leader is not None:
            self._faults.noted("network", f"{leader.id} is heard by nobody, and hears late")
            self._cluster.network.cut({leader.id}, set(self._cluster.nodes))
            self._cluster.network.stall(leader.id, self._world.between(0.15, 0.4))

    def _freeze_in_round(self) -> None:
        leader = self._cluster.leader()
        if leader is not None:
            self._freeze(leader, self._world.now + 0.1)

    def _freeze(self, leader: Node, end: float) -> None:
        """Answers to a round are under way, and reads arrive, while the leader's election stands still."""
        if leader.trio is None or not self._faults.on or self._world.now > end:
            return
        if leader.trio.election.in_round():
            seconds = self._world.between(0.3, 0.6)
            self._faults.noted(leader.id, "freezes in a round")
            leader.trio.election.pause(seconds)
            self._cluster.network.stall(leader.id, seconds * 0.9)
        else:
            self._world.after(0.000_2, self._freeze, leader, end)

    def _tempt_voters(self) -> None:
        """One member does not hear the leader, and campaigns; the others forget, or hear too late, whom they follow."""
        leader = self._cluster.leader()
        if leader is None or len(self._cluster.nodes) < 3:
            return
        world, network = self._world, self._cluster.network
        candidate, *voters = world.random.sample([node for node in self._cluster.members() if node is not leader], 2)
        self._faults.noted("network", f"{candidate.id} does not hear {leader.id}")
        network.heal()
        network.cut({leader.id}, {candidate.id}, (Plane.CONTROL,))
        for voter in voters:
            voter.sync_seconds = world.random.choice((0.001, 0.03))
            for _ in range(4):
                if world.chance(0.5):
                    world.after(world.between(0, 1.5), self._faults.restart, voter)
                else:
                    world.after(world.between(0, 1.5), self._faults.deafen, leader.id, voter.id)

    def _tire_leader(self) -> None:
        """A leader is heard by a majority and can't work; whoever does not hear it campaigns when it gives up."""
        leader = self._cluster.leader()
        if leader is None or leader.trio is None or len(self._cluster.nodes) < 3:
            return
        other = self._world.random.choice([node.id for node in self._cluster.members() if node is not leader])
        self._faults.noted(leader.id, f"can't work, and {other} does not hear it")
        leader.trio.replication.pause(self._world.between(2.0, 3.0))
        self._cluster.network.heal()
        self._cluster.network.cut({leader.id}, {other}, (Plane.CONTROL,))
        self._let_it_vote(leader, other)

    def _unseat_leader(self) -> None:
        """A leader steps down, and is perhaps elected again: then proposals for its old term reach it (S9)."""
        leader = self._cluster.leader()
        if leader is None:
            return
        self._faults.noted(leader.id, "loses its office, and gets proposals late")
        network, others = self._cluster.network, set(self._cluster.nodes) - {leader.id}
        for other in others:
            network.hold(other, (Plane.GATEWAYS,))
        self._world.after(0.02, network.cut, others, {leader.id}, (Plane.CONTROL,))
        self._world.after(0.02 + 0.3, network.mend, others, {leader.id})
        self._world.after(self._world.between(0.5, 1.2), network.release)

    def _let_it_vote(self, leader: Node, other: int) -> None:
        """As soon as it leads no more, its votes, which it must not give yet, reach the candidate."""
        if not self._faults.on:
            return
        if leader.page.role is None or leader.page.role.role != LEADER:
            self._cluster.network.mend({leader.id}, {other})
        else:
            self._world.after(0.005, self._let_it_vote, leader, other)

    def spare_one(self) -> "Sick":
        """The storm is over for all nodes but one, mostly the leader."""
        leader = self._cluster.leader()
        node = self._world.random.choice(self._cluster.members())
        if leader is not None and self._world.chance(0.7):
            node = leader
        self.heal()
        self._faults.noted(node.id, "stays sick")
        return Sick(self._cluster, node, self._world.random.choice(SICKNESSES))

    def behead(self) -> "Sick | None":
        """The storm is over; a new leader dies at once, and one that was cut off has the longest log (trap 4)."""
        self.heal()
        world, network = self._world, self._cluster.network
        world.run_until(world.now + 1.0)
        old = self._cluster.leader()
        if old is None:
            return None
        others = set(self._cluster.nodes) - {old.id}
        network.cut({old.id}, others, (Plane.DATA,))
        world.run_until(world.now + 0.1)
        network.cut({old.id}, others)
        network.cut(others, {old.id})
        end = world.now + 2.0
        while world.now < end and self._cluster.leader() is old:
            world.run_until(world.now + 0.000_1)
        new = self._cluster.leader()
        network.heal()
        if new is None or new is old:
            return None
        self._faults.noted(new.id, f"is elected and dies, {old.id} is back")
        return Sick(self._cluster, new, "down")

    def _mend(self, one: int, others: set[int]) -> None:
        self._cluster.network.mend({one}, others)
        self._cluster.network.mend(others, {one})

    # --- at the worst moment

    def _on_event(self, what: str, node: Node) -> None:
        if not self._faults.on:
            return
        if what in ("started", "granted", "elected") and self._world.chance(0.5):
            self._cluster.network.replay(node.id)  # what was delayed arrives during a restart, or in a new term
        if what == "elected" and self._world.chance(0.5):
            self._cluster.network.release()
        if what == "voting" and node.id in self._kept_waiting:
            self._kept_waiting.remove(node.id)
            self._hesitate(node)
            others = set(self._cluster.nodes) - {node.id}
            self._cluster.network.cut(others, others, (Plane.CONTROL,))  # the other candidate reaches this one alone
        if self._world.chance(self._react[what]):
            reaction = self._world.random.choice(self._worst[what])
            self._world.note("adversary", f"reacts: {what} on {node.id}")
            self._world.after(self._world.random.choice((0.0, 0.0, 0.000_2, 0.002)), self._react_with, reaction, node)

    def _react_with(self, reaction: Callable[[Node], None], node: Node) -> None:
        if self._faults.on:
            reaction(node)

    def _cut_leader_off(self, _: Node) -> None:
        """A majority is about to hold an entry: the leader does not get to hear of it, or to tell."""
        leader = self._cluster.leader()
        if leader is not None:
            self._world.random.choice((self._faults.isolate, self._faults.isolate, self._faults.hold))(leader)

    def _hesitate(self, node: Node) -> None:
        """While its storage thinks about a vote, a member hears its old leader again, and votes for itself arrive."""
        network = self._cluster.network
        network.release()
        if node.trio is None:
            return
        for other in self._cluster.members():
            if other.page.role is not None and other.page.role.role == LEADER:
                self._mend(node.id, {other.id})
        self._faults.noted(node.id, "hears its old leader while its storage thinks about a vote")
        node.trio.storage.pause(self._world.between(0.02, 0.12))

    def _keep_votes_back(self, candidate: Node) -> None:
        """It is given votes that arrive when it may have given one itself, for a later term."""
        self._faults.noted(candidate.id, "hears late who votes for it")
        self._cluster.network.keep_votes_from(candidate.id)
        self._kept_waiting.add(candidate.id)
        self._world.after(0.6, self._cluster.network.release)

    def _make_forget(self, candidate: Node) -> None:
        """Just when a candidate asks them, others restart, and don't remember whom they heard (S7)."""
        leader = self._cluster.leader()
        for voter in self._cluster.members():
            if voter not in (candidate, leader) and self._world.chance(0.7):
                self._faults.restart(voter)
                self._cluster.network.stall(voter.id, 0.005)

    def _feed_nobody(self, node: Node) -> None:
        """A new leader proves that it leads, and has committed nothing in its term (trap 40)."""
        network, others = self._cluster.network, set(self._cluster.nodes) - {node.id}
        self._faults.noted("network", f"nobody is fed by {node.id}")
        network.heal()
        network.cut({node.id}, others, (Plane.DATA,))
        self._world.after(self._world.between(0.05, 0.4), network.mend, {node.id}, others)

    def _split_planes(self, node: Node) -> None:
        """A new leader feeds storages whose elections do not hear it, but are asked for old votes once more."""
        others = [other for other in self._cluster.nodes if other != node.id]
        deaf = {other for other in others if self._world.chance(0.5)}
        self._faults.noted("network", f"{sorted(deaf)} do not hear {node.id}, which feeds them")
        self._cluster.network.heal()
        self._cluster.network.cut({node.id}, deaf, (Plane.CONTROL,))
        for other in deaf:
            self._world.after(self._world.between(0.15, 0.3), self._replay_to, other)

    def _replay_to(self, target: int) -> None:
        if self._faults.on:
            self._cluster.network.replay(target)

    def _keep_leaders_apart(self, node: Node) -> None:
        """An older leader is heard by all again, but for the new one, and its storages tell it nothing."""
        network = self._cluster.network
        network.heal()
        for other in self._cluster.members():
            if other is not node and other.page.role is not None and other.page.role.role == LEADER:
                self._faults.noted("network", f"{other.id} still leads, and {node.id} does not hear it")
                network.cut({other.id}, {node.id})
                network.cut({node.id}, {other.id})
                network.cut({other.id}, set(self._cluster.nodes), (Plane.DATA,))


SICKNESSES = ("deaf", "mute", "deaf to data", "no storage", "no replication", "down")


class Sick:
    """One node that stays sick while all others are well: those must make progress, with or against it."""

    def __init__(self, cluster: Cluster, node: Node, sickness: str) -> None:
        self.node = node
        self._network = network = cluster.network
        me, others = {node.id}, set(cluster.nodes) - {node.id}
        self.can_lead = True
        match sickness:
            case "deaf":
                network.cut(others, me)
            case "mute":
                network.cut(me, others)
            case "deaf to data":
                network.cut(others, me, (Plane.DATA,))
                network.cut(me, others, (Plane.DATA,))
            case "no storage" if node.trio:
                node.trio.storage.pause(math.inf)
                self.can_lead = False
            case "no replication" if node.trio:
                node.trio.replication.pause(math.inf)
                self.can_lead = False
            case _:
                node.crash(gateway_too=True, lose_state=False)

    def recover(self) -> None:
        """Whatever stands still is killed by its supervisor in the end."""
        self._network.heal()
        self.node.crash(gateway_too=False, lose_state=False)
        self.node.start()
