"""The adversary's late links: at any time, for a while, together with all else that it does.

Not in every run. What it chooses is drawn from a generator of its own: a run without them is the same run as ever.
"""

import math
import random
from collections.abc import Callable

from tests.simulation.cluster import Cluster
from tests.simulation.faults import PLANES, Faults
from tests.simulation.lateness import End
from tests.simulation.network import Plane
from tests.simulation.node import Node

SHARE = 0.25
"""Of the runs."""
LATE_SECONDS = (0.05, 0.2, 0.5, 1.5, 4.0, math.inf)
"""By what a link may be late: from less than an election takes to all that it has to say."""
RISING = (0.0, 0.0, 1.0, 3.0)
"""Seconds a second; 0: it is so late at once."""
LOSSES = (0.3, 0.7, 0.95)
LASTING_SECONDS = (0.1, 0.5, 1.5, 4.0)
REACTING_TO = ("campaigning", "voting", "handing over", "granted", "elected", "stored", "installing", "configured")

Links = list[tuple[Plane, int, int]]


class Slowdowns:
    """``active`` is whether there are any in this run."""

    def __init__(self, cluster: Cluster, faults: Faults) -> None:
        self._cluster = cluster
        self._faults = faults
        self._random = random.Random(f"slow links {cluster.world.seed}")
        self.active = self._random.random() < SHARE

    def strikes(self) -> list[tuple[Callable[[], None], float]]:
        """What may be done at any time, and how often."""
        acts = (self.slow_somebody, self.slow_leader, self.slow_pair, self.starve_link)
        return [(act, self._random.choice((1, 3, 8))) for act in acts] if self.active else []

    def reactions(self) -> dict[str, Callable[[Node], None]]:
        """What may be done when something happens to a node."""
        return dict.fromkeys(REACTING_TO, self.slow) if self.active else {}

    def slow_somebody(self) -> None:
        self.slow(self._random.choice(self._cluster.members()))

    def slow_leader(self) -> None:
        leader = self._cluster.leader()
        if leader is not None:
            self.slow(leader)

    def slow(self, node: Node) -> None:
        """What it says, or hears, is late: on one plane or all, with one of the others, some, or all."""
        others = [other for other in self._cluster.nodes if other != node.id]
        if not others:
            return
        some = self._random.sample(others, self._random.choice((1, len(others), self._random.randint(1, len(others)))))
        says = self._random.random() < 0.5
        pairs = [(node.id, other) if says else (other, node.id) for other in some]
        self._delay([(plane, *pair) for plane in self._planes() for pair in pairs])

    def slow_pair(self) -> None:
        """One way, one plane."""
        if len(self._cluster.nodes) > 1:
            sender, target = self._random.sample(list(self._cluster.nodes), 2)
            self._delay([(self._random.choice(PLANES), sender, target)])

    def starve_link(self) -> None:
        """Most is lost one way, and nothing the other."""
        if len(self._cluster.nodes) < 2:
            return
        sender, target = self._random.sample(list(self._cluster.nodes), 2)
        links: Links = [(plane, sender, target) for plane in self._planes()]
        part = self._random.choice(LOSSES)
        self._faults.noted("network", f"loses {part} of {_named(links)}")
        for plane, sender, target in links:
            self._cluster.network.lateness.lose(plane, sender, target, part)
        self._heal_later(links)

    def _planes(self) -> tuple[Plane, ...]:
        return PLANES if self._random.random() < 0.5 else (self._random.choice(PLANES),)

    def _delay(self, links: Links) -> None:
        seconds, rising = self._random.choice(LATE_SECONDS), self._random.choice(RISING)
        self._faults.noted("network", f"late by {seconds} s{' in the end' * (rising > 0)}: {_named(links)}")
        for plane, sender, target in links:
            self._cluster.network.lateness.delay(plane, sender, target, seconds, rising)
        self._heal_later(links)

    def _heal_later(self, links: Links) -> None:
        seconds = self._random.choice(LASTING_SECONDS) * self._random.uniform(0.5, 1.5)
        how = self._random.choice((End.BURST, End.BURST, End.MINGLED, End.LOST))
        self._cluster.world.after(seconds, self._heal, links, how)

    def _heal(self, links: Links, how: End) -> None:
        if self._faults.on:
            self._cluster.world.note("network", f"in time again, and what was late {how.value}: {_named(links)}")
            for plane, sender, target in links:
                self._cluster.network.lateness.end(plane, sender, target, how)


def _named(links: Links) -> str:
    return ", ".join(f"{plane.value} {sender}>{target}" for plane, sender, target in links)
