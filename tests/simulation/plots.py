"""Plots of several acts, each against one rule: what has to come together so that its absence would show."""

import random

from tests.simulation.cluster import Cluster
from tests.simulation.faults import PLANES, Faults
from tests.simulation.network import Plane
from tests.simulation.node import Node
from zraft.core.roles import LEADER
from zraft.protocol.requests import ChangeMember

WINNING_BACK = 0.3
"""In such a share of the runs leaders win voters back."""
ASKING_TWICE = 0.5
"""And in such a one a leader is asked for its vote a second time."""
REPEATS_SECONDS = 0.3
"""For so long somebody waits for a leader to step down, to tell it once more what it was told."""


class Plots:
    """The adversary's plots, and what it does to a node at the worst moment."""

    def __init__(self, cluster: Cluster, faults: Faults) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self._faults = faults
        self._kept_waiting: set[int] = set()
        # Each drawn from a generator of its own: a run without these plots is the same run as ever.
        self.wins_back = random.Random(f"winning voters back {cluster.world.seed}").random() < WINNING_BACK
        """Whether leaders win voters back while somebody campaigns."""
        self._asks_twice = random.Random(f"a second request {cluster.world.seed}").random() < ASKING_TWICE
        self._won_back = 0, frozenset[int]()
        self._returning = 0
        self._successor_falls = False

    def on_event(self, what: str, node: Node) -> None:
        """A plot goes on when what it waits for has happened."""
        if what == "voting" and node.id in self._kept_waiting:
            self._kept_waiting.remove(node.id)
            self.hesitate(node)
            others = set(self._cluster.nodes) - {node.id}
            self._cluster.network.cut(others, others, (Plane.CONTROL,))  # the other candidate reaches this one alone
        if what == "asking" and self._asks_twice:
            self._ask_twice(node)
        if what == "voting" and node.id in self._won_back[1]:
            self._win_back(node)
        if what == "committed" and self._successor_falls and node.id != self._returning:
            self._successor_falls = False
            others = set(self._cluster.nodes) - {node.id}
            self._cluster.network.cut({node.id}, others)
            self._cluster.network.cut(others, {node.id})
            rest = others - {self._returning}
            self._cluster.network.cut(rest, rest, (Plane.CONTROL,))  # it alone reaches everybody
        if what == "elected" and node.id == self._returning:
            self._returning = 0
            self.feed_nobody(node)
            for _ in range(3):
                self._replay_to(node.id)

    # --- whole plots

    def deafen_leader(self) -> None:
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
        leader.trio.election.pause(self._world.between(0.8, 1.5))
        if self._world.chance(0.5):  # what only it has stored will be replaced by others' entries, before it feeds
            network.cut({leader.id}, others, (Plane.DATA,))
            self._world.after(0.35, self._mend, leader.id, others - fed)
        self._world.after(self._world.between(0.3, 0.8), self._mend, leader.id, fed)

    def stall_leader(self) -> None:
        """Nobody hears the leader; what it is told comes late, when somebody else may lead."""
        leader = self._cluster.leader()
        if leader is not None:
            self._faults.noted("network", f"{leader.id} is heard by nobody, and hears late")
            self._cluster.network.cut({leader.id}, set(self._cluster.nodes))
            self._cluster.network.stall(leader.id, self._world.between(0.15, 0.4))

    def freeze_in_round(self) -> None:
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

    def tempt_voters(self) -> None:
        """One member does not hear the leader, and campaigns; the others forget, or hear too late, whom they follow."""
        leader = self._cluster.leader()
        if leader is None or len(self._cluster.members()) < 3:
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

    def tire_leader(self) -> None:
        """A leader is heard by a majority and can't work; whoever does not hear it campaigns when it gives up."""
        leader = self._cluster.leader()
        if leader is None or leader.trio is None or len(self._cluster.members()) < 3:
            return
        other = self._world.random.choice([node.id for node in self._cluster.members() if node is not leader])
        self._faults.noted(leader.id, f"can't work, and {other} does not hear it")
        leader.trio.replication.pause(self._world.between(2.0, 3.0))
        self._cluster.network.heal()
        self._cluster.network.cut({leader.id}, {other}, (Plane.CONTROL,))
        self._let_it_vote(leader, other)

    def win_back(self) -> None:
        """Two members do not hear the leader; when one of them campaigns the other has just heard it again (S7).

        So it has a lease from that one when it hears of the candidate's term, and steps down.
        """
        leader = self._cluster.leader()
        if leader is None or len(self._cluster.members()) < 3:
            return
        lost = self._world.random.sample([node.id for node in self._cluster.members() if node is not leader], 2)
        self._faults.noted("network", f"{sorted(lost)} do not hear {leader.id}")
        self._cluster.network.heal()
        self._cluster.network.cut({leader.id}, set(lost), (Plane.CONTROL,))
        self._won_back = leader.id, frozenset(lost)

    def _win_back(self, candidate: Node) -> None:
        leader, lost = self._cluster.nodes[self._won_back[0]], self._won_back[1]
        self._won_back = 0, frozenset()
        self._faults.noted("network", f"all hear {leader.id} again, and {candidate.id} campaigns")
        self._cluster.network.mend({leader.id}, set(lost))
        if leader.trio is not None:
            leader.trio.replication.pause(0.3)  # or it had entries that the candidate lacks
        if candidate.trio is not None:
            candidate.trio.storage.pause(self._world.between(0.02, 0.12))

    def unseat_leader(self) -> None:
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

    def return_to_office(self) -> None:
        """A leader is cut off, and comes back when its successor falls just after a commit: it knows of old ones."""
        leader = self._cluster.leader()
        others = [id for id in self._cluster.nodes if leader and id != leader.id]
        if leader is None or len(others) < 2:
            return
        company = {leader.id} | ({self._world.random.choice(others)} if len(others) >= 4 else set())
        self._faults.noted("network", f"{sorted(company)} are cut off, and may come back to lead")
        network, rest = self._cluster.network, set(others) - company
        network.heal()
        network.cut(company, rest)
        network.cut(rest, company)
        self._world.after(self._world.between(0.5, 0.8), self._let_back, leader.id, company - {leader.id})

    def _let_back(self, leader: int, company: set[int]) -> None:
        if self._faults.on:
            self._cluster.network.heal()
            # Who was cut off with it keeps what only those two had stored, and acknowledged.
            self._cluster.network.cut(set(self._cluster.nodes), company, (Plane.DATA,))
            self._world.after(self._world.between(0.05, 0.2), self._await_fall, leader)

    def _await_fall(self, leader: int) -> None:
        self._returning, self._successor_falls = leader, True

    def starve_follower(self) -> None:
        """A follower is behind, and waits for read indexes, when old ones arrive."""
        leader = self._cluster.leader()
        others = [id for id in self._cluster.nodes if leader and id != leader.id]
        if leader is None or not others:
            return
        follower = self._world.random.choice(others)
        self._faults.noted("network", f"{follower} is not fed, and hears old answers")
        network = self._cluster.network
        network.cut({leader.id}, {follower}, (Plane.DATA,))
        network.hold(leader.id, (Plane.GATEWAYS,))
        for _ in range(4):
            self._world.after(self._world.between(0.05, 0.5), self._replay_to, follower)
        self._world.after(0.6, self._mend, leader.id, {follower})
        self._world.after(0.6, network.release)

    def _ask_twice(self, candidate: Node) -> None:
        """What was asked of a leader, its vote above all, arrives once more as soon as it leads no more (S7)."""
        leader = self._cluster.leader()
        if leader is not None and leader is not candidate:
            self._cluster.network.copy(candidate.id, leader.id)
            self._repeat_to(leader, self._world.now + REPEATS_SECONDS)

    def _repeat_to(self, leader: Node, end: float) -> None:
        if not self._faults.on or self._world.now > end:
            return
        if leader.page.role is None or leader.page.role.role != LEADER:
            self._cluster.network.deliver_copies()
        else:
            self._world.after(0.001, self._repeat_to, leader, end)

    def _let_it_vote(self, leader: Node, other: int) -> None:
        """As soon as it leads no more, its votes, which it must not give yet, reach the candidate."""
        if not self._faults.on:
            return
        if leader.page.role is None or leader.page.role.role != LEADER:
            self._cluster.network.mend({leader.id}, {other})
        else:
            self._world.after(0.005, self._let_it_vote, leader, other)

    def _mend(self, one: int, others: set[int]) -> None:
        self._cluster.network.mend({one}, others)
        self._cluster.network.mend(others, {one})

    # --- reactions

    def cut_leader_off(self, _: Node) -> None:
        """A majority is about to hold an entry: the leader does not get to hear of it, or to tell."""
        leader = self._cluster.leader()
        if leader is not None:
            self._world.random.choice((self._faults.isolate, self._faults.isolate, self._faults.hold))(leader)

    def lose_successor(self, leader: Node) -> None:
        """Just when it was told to campaign, the successor is cut off, restarts or stands still."""
        successor = self._cluster.nodes.get(leader.successor)
        if successor is not None:
            faults = self._faults
            self._world.random.choice((faults.isolate, faults.restart, faults.pause, faults.hold))(successor)

    def hear_late_of_successor(self, leader: Node) -> None:
        """The leader that handed over does not hear what comes of it, goes on for a while, and is heard by all."""
        network, others = self._cluster.network, set(self._cluster.nodes) - {leader.id}
        self._faults.noted("network", f"{leader.id} hears nothing of its successor")
        network.cut({leader.successor}, {leader.id}, (Plane.CONTROL,))
        if self._world.chance(0.5):
            network.cut(others, {leader.id}, (Plane.CONTROL,))
        self._world.after(self._world.between(0.1, 0.5), self._mend, leader.id, others)

    def hesitate(self, node: Node) -> None:
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

    def keep_votes_back(self, candidate: Node) -> None:
        """It is given votes that arrive when it may have given one itself, for a later term."""
        self._faults.noted(candidate.id, "hears late who votes for it")
        self._cluster.network.keep_votes_from(candidate.id)
        self._kept_waiting.add(candidate.id)
        self._world.after(0.6, self._cluster.network.release)

    def make_forget(self, candidate: Node) -> None:
        """Just when a candidate asks them, others restart, and don't remember whom they heard (S7)."""
        leader = self._cluster.leader()
        for voter in self._cluster.members():
            if voter not in (candidate, leader) and self._world.chance(0.7):
                self._faults.restart(voter)
                self._cluster.network.stall(voter.id, 0.005)

    def feed_nobody(self, node: Node) -> None:
        """A new leader proves that it leads, and has committed nothing in its term (trap 40)."""
        network, others = self._cluster.network, set(self._cluster.nodes) - {node.id}
        self._faults.noted("network", f"nobody is fed by {node.id}")
        network.heal()
        network.cut({node.id}, others, (Plane.DATA,))
        self._world.after(self._world.between(0.05, 0.4), network.mend, {node.id}, others)

    def split_planes(self, node: Node) -> None:
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

    def keep_leaders_apart(self, node: Node) -> None:
        """An older leader is heard by all again, but for the new one, and its storages tell it nothing."""
        network = self._cluster.network
        network.heal()
        for other in self._cluster.members():
            if other is not node and other.page.role is not None and other.page.role.role == LEADER:
                self._faults.noted("network", f"{other.id} still leads, and {node.id} does not hear it")
                network.cut({other.id}, {node.id})
                network.cut({node.id}, {other.id})
                network.cut({other.id}, set(self._cluster.nodes), (Plane.DATA,))

    def change_elsewhere(self, node: Node) -> None:
        """A leader appended a configuration: it is cut off, alone or with others, and the rest leaves it out.

        One of the rest is not fed, though it votes. Then the leader comes back with that one alone, perhaps to lead:
        two majorities that have nobody in common, if either leader changed members too early (the known bug of
        single-server changes, trap 31).
        """
        world, network = self._world, self._cluster.network
        others = [other for other in self._cluster.nodes if other != node.id]
        if len(others) < 2:
            return
        company = {node.id} | set(world.random.sample(others, min(len(others) - 1, world.random.choice((0, 0, 1)))))
        rest = set(others) - company
        hungry = world.random.choice(sorted(rest))
        self._faults.noted("network", f"{sorted(company)} are cut off, {hungry} is not fed, the others change members")
        network.heal()
        network.cut(company, rest)
        network.cut(rest, company)
        network.cut(rest, {hungry}, (Plane.DATA,))
        far = [self._cluster.nodes[other] for other in sorted(rest)]
        leave_out = ChangeMember("remove", f"node-{node.id}")
        for after in (0.25, 0.3, 0.35, 0.4, 0.5, 0.6):
            world.after(after, self._change, far, leave_out)
        world.after(world.between(0.5, 0.9), self._return_with, company | {hungry})

    def _change(self, among: list[Node], change: ChangeMember) -> None:
        self._cluster.operators.change_somewhere([node for node in among if node.trio], change)

    def _return_with(self, company: set[int]) -> None:
        """Who was cut off comes back; the others are out of reach for a moment."""
        if not self._faults.on:
            return
        world, network = self._world, self._cluster.network
        away = set(self._cluster.nodes) - company
        network.heal()
        network.cut(away, company)
        network.cut(company, away)
        world.after(world.between(0.3, 0.8), self._heal)

    def _heal(self) -> None:
        if self._faults.on:
            self._cluster.network.heal()
