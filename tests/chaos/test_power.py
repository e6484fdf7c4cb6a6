"""Power cuts under a cluster that works: what was acknowledged is there afterwards (traps 1, 20, 21, 22).

A cut takes everything from the file system that was not fsynced, which kill -9 does not: the applied state, which is
never fsynced while it runs, can't be trusted then, and is filled again from the log.
"""

import pytest

from tests.chaos.conftest import Disks
from tests.cluster.load import Load
from tests.cluster.running import follower, verify, wait_for_log
from zraft import Client
from zraft.cluster import LocalCluster

pytestmark = pytest.mark.chaos

CUTS = 3
REBUILT = "the applied state is rebuilt from the log"


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_one_node_loses_its_power(cluster: LocalCluster, client: Client, load: Load, disks: Disks, who: str) -> None:
    with load:
        name = cluster.leader() if who == "leader" else follower(cluster)
        logged = len(cluster.log_path(name).read_text())
        cluster.kill(name)
        disks[name].cut()
        load.wait_for_progress()
        cluster.restart(name)
        wait_for_log(cluster, name, REBUILT, logged)
        load.wait_for_progress()
    verify(cluster, load)


def test_all_nodes_lose_their_power(cluster: LocalCluster, client: Client, load: Load, disks: Disks) -> None:
    for _ in range(CUTS):
        logged = {name: len(cluster.log_path(name).read_text()) for name in cluster.names}
        with load:
            for name in cluster.names:
                cluster.kill(name)
        for disk in disks.values():
            disk.cut()
        cluster.up()
        for name in cluster.names:
            wait_for_log(cluster, name, REBUILT, logged[name])
        verify(cluster, load)
