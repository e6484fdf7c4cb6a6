"""Schemes: long plots, in which one thing after the other must come about, and nobody else strikes meanwhile.

Each is a story told by a generator: it yields what it waits for, and goes on when that has happened, or when the time
is up. Not in every run, but only in runs with operators; drawn from a generator of their own: a run without them is
the same run as ever.
"""

import random
from collections.abc import Callable, Generator, Iterable
from typing import NamedTuple

from tests.simulation.cluster import Cluster
from tests.simulation.faults import Faults
from tests.simulation.network import CALM, Plane
from tests.simulation.node import Node
from tests.simulation.operators import EVEN
from zraft.protocol.local import TransferRequest
from zraft.protocol.requests import ChangeMember

SHARE = 0.6
"""Of the runs with operators."""
PAIR_SHARE = 0.25
"""Of the runs with schemes: the last one is ``leave_a_pair``, whose end only the calm after the storm can show."""
PAIR_BEGINS = 6.5
"""Seconds of the storm."""
ATTEMPTS = 8


class Wait(NamedTuple):
    """Until ``what`` happens on ``node`` (0: on anybody), for so long at most; without ``what``: for so long."""

    seconds: float
    what: str = ""
    node: int = 0


Scheme = Generator[Wait, Node | None, None]
"""It is sent the node on which it happened, or None when the time was up."""
Step = Generator[Wait, Node | None, bool]
"""Part of a scheme: it returns whether it came about."""


class Schemes:
    """``busy``: one is under way, and all others hold still."""

    def __init__(self, cluster: Cluster, faults: Faults) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self._network = cluster.network
        self._faults = faults
        self._random = random.Random(f"schemes {cluster.world.seed}")
        self.active = cluster.operators.active and self._random.random() < SHARE
        self._scheme: Scheme | None = None
        self._wait = Wait(0)
        self._number = 0
        self._last_begins = PAIR_BEGINS if self._random.random() < PAIR_SHARE else float("inf")
        self._first: list[Callable[[], Scheme]] = []
        if self.active:
            if len(cluster.record.members) in EVEN:  # the very first change, or it shows nothing
                cluster.operators.lull = True
                self._first.append(self.change_apart)
            self._later()
            if self._last_begins < float("inf"):
                self._world.at(self._last_begins, self._begin, self.leave_a_pair)

    @property
    def busy(self) -> bool:
        return self._scheme is not None

    def on_event(self, what: str, node: Node) -> None:
        """The scheme goes on at once if this is what it waits for."""
        if self._scheme is not None and what == self._wait.what and self._wait.node in (0, node.id):
            self._go_on(node)

    # --- the schemes

    def change_apart(self) -> Scheme:
        """Two leaders change members, each without knowing of the other's change (the known bug, trap 31, S14).

        The first one appends a configuration for itself alone; the second one, of the next term, which can't commit in
        the configuration before, leaves the first one out. Half of the voters never hear of the second change: with
        them the first leader has a majority of its own configuration, and the other half one of theirs.

        It shows only as the first change of all. Once a configuration is an entry, S14 (b) asks that the leader sees
        it committed before the next one, and it sees nothing committed before an entry of its term is (S5).
        """
        if not (yield from self._calm()):
            return
        leader, others = self._leader_and_others()
        if leader is None or len(others) not in (3, 5):
            return
        away = others[0]
        if not (yield from self._change(leader, ChangeMember("remove", f"node-{away}"))):
            return
        self._part({leader.id}, f"it alone knows that {away} is left out")
        self._network.cut(set(others), set(others), (Plane.DATA,))
        successor = yield Wait(1.0, "elected")
        if successor is None or successor.id not in others:
            return
        fed = sorted(others, key=lambda one: one not in (away, successor.id))[: (len(others) + 1) // 2]
        rest, hungry = set(fed), set(others) - set(fed)
        self._part({leader.id}, f"{sorted(hungry)} are not fed")
        self._network.cut(rest, hungry, (Plane.DATA,))
        if not (yield from self._change(successor, ChangeMember("remove", f"node-{leader.id}"), among=rest)):
            return
        yield Wait(0.3, "committed", successor.id)
        self._part(hungry | {leader.id}, "they come back together")
        yield Wait(1.5, "elected", leader.id)

    def keep_a_lost_change(self) -> Scheme:
        """A leader's change is truncated; then others leave it out, and it comes back with who did not hear of that."""
        if not (yield from self._have(at_least=4, even=True)):
            return
        leader, others = self._leader_and_others()
        if leader is None or not (yield from self._change(leader, ChangeMember("remove", f"node-{others[0]}"))):
            return
        self._part({leader.id}, f"it alone knows that {others[0]} is left out")
        successor = yield Wait(1.0, "elected")
        if successor is None or successor is leader:
            return
        self._network.heal()
        if not (yield from self._until_fed(leader, successor)):
            return
        fed = sorted(others, key=lambda one: one not in (others[0], successor.id))[: (len(others) + 1) // 2]
        company = {leader.id, *others} - set(fed)
        self._part(company, "they are not told that one of them is left out")
        if (yield from self._change(successor, ChangeMember("remove", f"node-{leader.id}"))):
            yield Wait(1.5, "elected", leader.id)

    def change_twice(self) -> Scheme:
        """A leader that all hear feeds a minority, and removes two others: then it would be a majority (S14)."""
        if not (yield from self._have(at_least=5, odd=True)):
            return
        leader, others = self._leader_and_others()
        if leader is None:
            return
        company, rest = others[: len(others) // 2 - 1], others[len(others) // 2 - 1 :]
        self._faults.noted("network", f"{sorted(rest)} hear {leader.id}, and are not fed")
        self._network.cut(set(self._cluster.nodes), set(rest), (Plane.DATA,))
        for away in rest[:2]:
            yield from self._change(leader, ChangeMember("remove", f"node-{away}", force=True), attempts=2)
        yield Wait(0.1, "committed", leader.id)
        self._part({leader.id, *company}, "they are a minority that changed members")
        yield Wait(0.5, "elected")

    def outrun_the_rounds(self) -> Scheme:
        """Two learners and another don't hear the leader, which feeds them: at once they are a majority (S14)."""
        if not (yield from self._have(at_least=3, odd=True, outsiders=2)):
            return
        leader, others = self._leader_and_others()
        if leader is None:
            return
        newcomers = self._outsiders()[:2]
        for newcomer in newcomers:
            if not (yield from self._change(leader, self._cluster.operators.invite(newcomer))):
                return
            yield Wait(0.05)
        deaf = {*others[len(others) // 2 :], *newcomers}
        self._faults.noted("network", f"{sorted(deaf)} don't hear {leader.id}, which feeds them")
        self._network.cut(set(self._cluster.nodes) - deaf, deaf, (Plane.CONTROL,))
        yield Wait(self._random.uniform(0.2, 0.4))
        for newcomer in newcomers:
            yield from self._change(leader, ChangeMember("promote", f"node-{newcomer}"), pause=0.02)
        yield Wait(0.5, "elected")

    def leave_without_a_majority(self) -> Scheme:
        """A leader removes itself, and feeds too few of the others: it must not make up for one (trap 34)."""
        if not (yield from self._have(at_least=3, odd=True)):
            return
        leader, others = self._leader_and_others()
        if leader is None:
            return
        hungry = set(others[: len(others) // 2])
        self._faults.noted("network", f"{sorted(hungry)} are not fed")
        self._network.cut(set(self._cluster.nodes), hungry, (Plane.DATA,))
        if (yield from self._change(leader, ChangeMember("remove", f"node-{leader.id}"))):
            yield Wait(self._random.uniform(0.05, 0.5))

    def outgrow_a_lease(self) -> Scheme:
        """A leader gains two voters, and then hears a majority of the old voters only, which is none any more (S14)."""
        if not (yield from self._have(at_least=3, odd=True, outsiders=2)):
            return
        before, _ = self._leader_and_others()
        if before is None or before.trio is None:
            return
        before.trio.gateway_to_election.send(TransferRequest(0, 0, ""))  # its successor counts who votes now
        yield Wait(1.0, "elected")
        yield Wait(0.1)
        leader, others = self._leader_and_others()
        if leader is None:
            return
        for newcomer in self._outsiders()[:2]:
            if not (yield from self._add(leader, newcomer)):
                return
        self._part({leader.id, *others[: len(others) // 2]}, "a majority of those who voted before")
        yield Wait(1.0, "elected")

    def replace_what_was_stored(self) -> Scheme:
        """A storage's answers reach a leader two terms late, when what they tell of was replaced (trap 18).

        The first leader and one other store entries that nobody else has; the next leader replaces them at the first
        one, which is then elected again, and hears what the other one had stored.
        """
        if not (yield from self._have(at_least=5)):
            return
        leader, others = self._leader_and_others()
        if leader is None or len(others) < 4:
            return
        friend, rest = others[0], set(others[1:])
        everybody = set(self._cluster.nodes)
        self._network.cut({leader.id}, rest, (Plane.DATA,))
        self._network.copy(friend, leader.id)
        yield Wait(self._random.uniform(0.1, 0.4))
        self._part({leader.id, friend}, "only they have stored the newest entries")
        successor = yield Wait(1.0, "elected")
        if successor is None or successor.id not in rest:
            return
        self._network.heal()
        self._network.cut({successor.id}, everybody - {leader.id}, (Plane.DATA,))
        self._network.cut(everybody, everybody, (Plane.GATEWAYS,))
        for one in rest:
            self._cluster.nodes[one].gateway.pause(0.5)
        if not (yield from self._until_fed(leader, successor)):
            return
        self._part({successor.id, friend}, f"{leader.id} has the entries of {successor.id}")
        if (yield Wait(1.0, "elected", leader.id)) is not None:
            self._network.deliver_copies()
            yield Wait(0.3)

    def leave_a_pair(self) -> Scheme:
        """One of two voters leads, removes itself, and nobody else hears of it: neither can do without the other."""
        yield from self._calm()
        leader, others = self._leader_and_others()
        if leader is None:
            return
        for other in others[1:]:
            if not (yield from self._change(leader, ChangeMember("remove", f"node-{other}", force=True))):
                return
            yield Wait(0.05)
        if len(self._cluster.invariants.configuration.voters()) != 2:
            return
        if not (yield from self._change(leader, ChangeMember("remove", f"node-{leader.id}", force=True))):
            return
        self._part({leader.id}, "it alone knows that it is left out")
        yield Wait(0.05)
        self._faults.restart(leader)
        yield Wait(float("inf"))  # until the storm is over

    # --- what schemes are made of

    def _calm(self) -> Step:
        """Everybody is well, and somebody leads."""
        self._network.heal()
        self._network.release()
        self._network.lateness.end_all()
        self._network.weather = dict.fromkeys(Plane, CALM)
        for node in self._cluster.members():
            node.repair()
        yield Wait(0.3)
        if self._cluster.leader() is None:
            yield Wait(1.0, "elected")
        yield Wait(0.05)
        return self._cluster.leader() is not None

    def _have(self, at_least: int, odd: bool = False, even: bool = False, outsiders: int = 0) -> Step:
        """So many voters, perhaps an odd or even number, and so many nodes that could join; all are well."""
        yield from self._calm()
        for _ in range(4):
            leader, others = self._leader_and_others()
            if leader is None:
                return False
            voters, waiting = len(others) + 1, self._outsiders()
            fits = len(waiting) >= outsiders and not (even if voters % 2 else odd)
            if voters >= at_least and fits:
                return True
            if voters > at_least:
                done = yield from self._change(leader, ChangeMember("remove", f"node-{others[-1]}"))
            elif waiting:
                done = yield from self._add(leader, waiting[0])
            else:
                return False
            if not done:
                return False
            yield Wait(0.05)
        return False

    def _add(self, leader: Node, newcomer: int) -> Step:
        joined = yield from self._change(leader, self._cluster.operators.invite(newcomer))
        if not joined:
            return False
        yield Wait(0.05)
        promoted = yield from self._change(leader, ChangeMember("promote", f"node-{newcomer}"))
        yield Wait(0.1)
        return promoted

    def _until_fed(self, fed: Node, leader: Node) -> Step:
        """It has an entry of the leader's term, and what it had beyond the leader's log is truncated."""
        for _ in range(50):
            if fed.log.last.term == leader.log.term:
                return True
            yield Wait(0.01)
        return False

    def _change(
        self,
        leader: Node,
        change: ChangeMember,
        among: Iterable[int] = (),
        pause: float = 0.1,
        attempts: int = ATTEMPTS,
    ) -> Step:
        """Ask until the leader has appended it: refusals come at once."""
        asked = [self._cluster.nodes[one] for one in sorted(among)] or [leader]
        for _ in range(attempts):
            self._cluster.operators.change_somewhere([node for node in asked if node.trio], change)
            if (yield Wait(pause, "configured", leader.id)) is not None:
                return True
        return False

    def _leader_and_others(self) -> tuple[Node | None, list[int]]:
        """The leader, if it is a voter, and the other voters in any order."""
        leader, voters = self._cluster.leader(), self._cluster.invariants.configuration.voters()
        others = sorted(voters - {leader.id}) if leader else []
        self._random.shuffle(others)
        return (leader if leader and leader.id in voters and leader.trio else None), others

    def _outsiders(self) -> list[int]:
        """Who is no member, or was left out, and may (again) become one."""
        members = self._cluster.invariants.configuration
        return [node.id for node in self._cluster.nodes.values() if members.member(node.id) is None]

    def _part(self, some: set[int], why: str) -> None:
        """They and the others don't reach each other."""
        self._faults.noted("network", f"{sorted(some)} are apart: {why}")
        self._network.heal()
        others = set(self._cluster.nodes) - some
        self._network.cut(some, others)
        self._network.cut(others, some)

    # --- one after the other

    def _later(self) -> None:
        self._world.after(self._random.uniform(0.3, 1.2), self._choose)

    def _choose(self) -> None:
        usual = (
            self.keep_a_lost_change,
            self.change_twice,
            self.outrun_the_rounds,
            self.leave_without_a_majority,
            self.outgrow_a_lease,
            self.replace_what_was_stored,
        )
        self._begin(self._random.choice(self._first or usual))
        self._first = []

    def _begin(self, scheme: Callable[[], Scheme]) -> None:
        if not self._faults.on:
            return
        if self._scheme is not None:
            if scheme != self.leave_a_pair:
                return
            self._scheme.close()
        self._faults.noted("schemes", f"begins: {scheme.__name__}")
        self._cluster.operators.lull = True
        self._scheme = scheme()
        self._go_on(None)

    def _go_on(self, happened: Node | None) -> None:
        scheme = self._scheme
        if scheme is None:
            return
        self._number += 1
        self._wait = Wait(0)
        try:
            self._wait = scheme.send(happened)
        except StopIteration:
            self._end()
            return
        if self._wait.seconds < float("inf"):
            self._world.after(self._wait.seconds, self._time_is_up, self._number)

    def _time_is_up(self, number: int) -> None:
        if number == self._number and self._faults.on:
            self._go_on(None)

    def _end(self) -> None:
        self._world.note("schemes", "ends")
        self._scheme = None
        self._cluster.operators.lull = False
        self._network.heal()
        if self._world.now < self._last_begins - 0.5 or self._last_begins == float("inf"):
            self._later()
