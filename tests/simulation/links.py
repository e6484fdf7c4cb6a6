"""Links that begin late: a node that has just started asks some of the others in vain, though they may ask it.

Not in every run. What is drawn comes from a generator of its own: a run without late links is the same run as ever.
"""

import random

from tests.simulation.network import Network, Plane

SHARE = 0.3
"""Of the runs."""


def begin_late(network: Network, members: list[int], seed: int) -> None:
    """Of some runs: each link of a plane, from one member to another, comes up by itself at some time of the storm."""
    chance = random.Random(f"links {seed}")
    if chance.random() >= SHARE:
        return
    part, latest = chance.choice((0.2, 0.5, 1.0)), chance.choice((0.3, 2.0, 7.0))
    for plane in Plane:
        for sender in members:
            for target in members:
                if sender != target and chance.random() < part:
                    network.begin_later(plane, sender, target, chance.uniform(0, latest))
