"""The adversary: strikes at random, and at the worst moments. Each run has an adversary with habits of its own."""

import random
from collections.abc import Callable
from functools import partial

from tests.simulation.cluster import Cluster
from tests.simulation.faults import Faults
from tests.simulation.network import Plane
from tests.simulation.node import Node
from tests.simulation.plots import Plots
from tests.simulation.schemes import Schemes
from tests.simulation.sick import SICKNESSES, SLUGGISH, Sick, sickness_of_one, sluggish_pair
from tests.simulation.slowdowns import Slowdowns
from tests.simulation.standstills import Standstills

EVENTS = (
    "campaigning",
    "asking",
    "voting",
    "handing over",
    "granted",
    "elected",
    "stored",
    "caught up",
    "committed",
    "started",
    "staging",
    "installing",
    "installed",
)
FILLING = 0.3
"""In so many runs disks fill up."""
LEVEL_SECONDS = 5.0
"""How long those that were cut off may take to catch up, before two others become sick."""
REACTIONS = (0.0, 0.0, 0.01, 0.01, 0.1, 0.5)
"""How likely an adversary strikes when it hears of an event."""


class Adversary:
    """Strikes until ``heal``. What it likes to do, how often, and when it reacts differ from run to run."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._world = world = cluster.world
        self._faults = Faults(cluster)
        self._plots = Plots(cluster, self._faults)
        self._schemes = Schemes(cluster, self._faults)
        self._interval = world.between(0.1, 1.0)
        self._react = {event: world.random.choice(REACTIONS) for event in EVENTS}
        # Most runs keep their disks: whoever is out does nothing wrong any more.
        self._wiping = 0.05 if world.chance(0.2) and not cluster.operators.active else 0.0
        self._strikes = self._repertoire()
        self._weights = [world.random.choice((0, 1, 1, 3)) or 0.05 for _ in self._strikes]
        if world.chance(0.5):  # a favourite
            self._weights[world.random.randrange(len(self._strikes))] += 10
        if self._plots.wins_back:
            self._strikes.append(self._plots.win_back)
            self._weights.append(8)
        of_its_own = random.Random(f"disks {world.seed}")
        if of_its_own.random() < FILLING:
            at_somebody, at_leader = partial(cluster.at_somebody, world.random), cluster.at_leader
            fills = (at_somebody(self._faults.fill_disk), at_leader(self._faults.fill_disk))
            self._strikes += [*fills, at_somebody(self._faults.make_room)]
            self._weights += [of_its_own.choice((1, 3, 8)) for _ in range(3)]
        self._react["configured"] = random.Random(f"configured {world.seed}").choice(REACTIONS)
        self._worst = self._reactions()
        for others in (Slowdowns(cluster, self._faults), Standstills(cluster, self._faults)):
            for strike, weight in others.strikes():
                self._strikes.append(strike)
                self._weights.append(weight)
            for event, reaction in others.reactions().items():
                self._worst[event] += [reaction, reaction]
        cluster.listeners.append(self._on_event)
        self._schedule()

    def _repertoire(self) -> list[Callable[[], None]]:
        faults, plots = self._faults, self._plots
        at_somebody, at_leader = partial(self._cluster.at_somebody, self._world.random), self._cluster.at_leader
        return [
            faults.partition,
            faults.cut_pairs,
            faults.clear_network,
            faults.change_weather,
            faults.replay,
            at_leader(faults.isolate),
            at_leader(faults.crash),
            at_leader(faults.hold),
            at_leader(faults.pause_all),
            at_leader(faults.hand_over),
            at_leader(faults.stop),
            at_somebody(faults.crash),
            at_somebody(faults.kill_actor),
            at_somebody(faults.pause),
            at_somebody(faults.slow_disk),
            at_somebody(faults.damage_snapshot),
            self._lose_a_disk,
            plots.deafen_leader,
            plots.stall_leader,
            plots.freeze_in_round,
            plots.tempt_voters,
            plots.tire_leader,
            plots.unseat_leader,
            plots.return_to_office,
            plots.starve_follower,
        ]

    def _reactions(self) -> dict[str, list[Callable[[Node], None]]]:
        faults, plots = self._faults, self._plots
        return {
            "campaigning": [plots.make_forget, plots.make_forget, faults.restart, faults.pause],
            "asking": [
                plots.keep_votes_back,
                plots.keep_votes_back,
                faults.isolate,
                faults.restart,
                faults.stall_storage,
            ],
            "voting": [plots.hesitate, plots.hesitate, faults.stall_storage, faults.restart, faults.isolate],
            "handing over": [
                plots.lose_successor,
                plots.lose_successor,
                plots.hear_late_of_successor,
                faults.isolate,
                faults.crash,
                faults.pause,
                faults.stall_storage,
                faults.hand_over,
            ],
            "granted": [
                faults.restart,
                faults.restart,
                faults.isolate,
                faults.stall_storage,
                faults.hold,
                faults.kill_actor,
            ],
            "elected": [
                plots.keep_leaders_apart,
                plots.keep_leaders_apart,
                plots.split_planes,
                plots.feed_nobody,
                plots.feed_nobody,
                faults.isolate,
                faults.crash,
                faults.pause,
            ],
            "stored": [plots.cut_leader_off, plots.cut_leader_off, faults.crash, faults.kill_actor],
            "caught up": [plots.cut_leader_off, faults.crash, faults.isolate],
            "committed": [faults.isolate, faults.crash, faults.kill_actor, faults.hold],
            "started": [faults.restart, faults.stall_storage, faults.isolate],
            "staging": [faults.restart, faults.crash, faults.damage_snapshot, faults.kill_actor, faults.isolate],
            "installing": [faults.restart, faults.crash, faults.kill_actor, faults.stall_storage],
            "installed": [faults.restart, faults.crash, faults.kill_actor, faults.isolate],
            "configured": [
                plots.change_elsewhere,
                plots.change_elsewhere,
                faults.isolate,
                faults.crash,
                faults.kill_actor,
                faults.pause,
            ],
        }

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
        if not self._schemes.busy:
            (strike,) = self._world.random.choices(self._strikes, self._weights)
            strike()
        self._schedule()

    def _lose_a_disk(self) -> None:
        faults, node = self._faults, self._world.random.choice(self._cluster.members())
        if self._world.chance(self._wiping):
            faults.wipe(node)
        elif self._world.chance(0.3):
            faults.fail_disk(node)
        else:
            faults.repair()

    # --- the end of the storm

    def spare_one(self) -> Sick:
        """The storm is over for all nodes but one, mostly the leader."""
        leader = self._cluster.leader()
        node = self._world.random.choice(self._cluster.members())
        if leader is not None and self._world.chance(0.7):
            node = leader
        self.heal()
        sickness = sickness_of_one(self._world.seed, self._world.random.choice(SICKNESSES))
        self._faults.noted(node.id, f"stays sick: {sickness}")
        return Sick(self._cluster, node, sickness)

    def spare_two(self) -> list[Sick]:
        """The storm is over for all nodes but two, whose disks are slow, or of which something stands still.

        First the others get what they lack: a leader whose disk is slow reads it for them at the pace of its disk.
        """
        if sluggish_pair(self._cluster) is None:
            return []
        self.heal()
        self._level_out()
        pair = sluggish_pair(self._cluster)
        if pair is None:
            return []
        sick = []
        for node in pair:
            sickness = self._world.random.choice(SLUGGISH)
            self._faults.noted(node.id, f"stays sick, as does another: {sickness}")
            sick.append(Sick(self._cluster, node, sickness))
        return sick

    def _level_out(self) -> None:
        """Until all have what is committed now; who can't get it in time is no worse off than before."""
        world, invariants = self._world, self._cluster.invariants
        commit, end = invariants.commit, world.now + LEVEL_SECONDS
        while world.now < end and not all(invariants.has_all(node.id, commit) for node in self._cluster.members()):
            world.run_until(world.now + 0.1)

    def behead(self) -> Sick | None:
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

    # --- at the worst moment

    def _on_event(self, what: str, node: Node) -> None:
        if not self._faults.on:
            return
        if self._schemes.busy:
            self._schemes.on_event(what, node)
            return
        if what in ("started", "granted", "elected") and self._world.chance(0.5):
            self._cluster.network.replay(node.id)  # what was delayed arrives during a restart, or in a new term
        if what == "elected" and self._world.chance(0.5):
            self._cluster.network.release()
        self._plots.on_event(what, node)
        if self._world.chance(self._react[what]):
            reaction = self._world.random.choice(self._worst[what])
            self._world.note("adversary", f"reacts: {what} on {node.id}")
            self._world.after(self._world.random.choice((0.0, 0.0, 0.000_2, 0.002)), self._react_with, reaction, node)

    def _react_with(self, reaction: Callable[[Node], None], node: Node) -> None:
        if self._faults.on:
            reaction(node)
