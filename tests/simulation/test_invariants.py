"""The simulator's own rules: what they must not let pass, told to them directly."""

import pytest

from tests.simulation.cluster import Cluster
from tests.simulation.invariants import Invariants, Violation
from tests.simulation.world import World

pytestmark = pytest.mark.simulation


@pytest.fixture
def invariants() -> Invariants:
    """Of three nodes; node 1 leads term 5 from second 1 on, node 2 leads term 6 from second 2 on."""
    cluster = Cluster(World(3), 3)
    for node in cluster.nodes.values():
        node.log.set_record(cluster.record, True)
    invariants = cluster.invariants
    for leader, term, voters in ((1, 5, (1, 2)), (2, 6, (2, 3))):
        for voter in voters:
            invariants.granted(voter, term, leader)
        invariants.elected(leader, term, float(leader))
    return invariants


def test_a_lease_may_reach_to_the_next_election_and_no_further(invariants: Invariants) -> None:
    invariants.leased(6, 9.0)
    invariants.leased(5, 2.0)  # told late, and true
    with pytest.raises(Violation, match="S7"):
        invariants.leased(5, 2.1)


def test_a_storages_commit_index_never_goes_back(invariants: Invariants) -> None:
    invariants.followed(1, 0, 0)
    with pytest.raises(Violation, match="monotonic"):
        invariants.followed(1, 1, 0)
