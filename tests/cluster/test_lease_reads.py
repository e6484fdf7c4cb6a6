"""Reads under the leader's lease, on real processes that stand still at the worst time (S12)."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from tests.cluster.nodes import started
from tests.cluster.running import WAIT_S, free_ports, has_written, own_runtime, roster, standing_still
from tests.waiting import wait_until
from zraft import Client, Unavailable, ZraftError
from zraft.actors.roster import Roster
from zraft.cluster import LocalCluster
from zraft.config import Settings
from zraft.core.restarts import TRIO
from zraft.store.directory import runtime_directory

pytestmark = pytest.mark.cluster

ALL = (*TRIO, "gateway")
PATIENCE_S = 1.0


def read(client: Client, key: str) -> bytes | None:
    """What a linearizable read finds; None: it was refused, or there was no answer."""
    try:
        return client.get(key).value
    except ZraftError:
        return None


@pytest.mark.parametrize(
    ("frozen", "first"),
    [(("election",), ()), (TRIO, ()), (ALL, ("gateway",)), (ALL, TRIO)],
    ids=["election", "all but the gateway", "all, and the gateway wakes up first", "all, and it wakes up last"],
)
def test_a_leader_that_stood_still_serves_nothing_stale(
    cluster: LocalCluster, frozen: tuple[str, ...], first: tuple[str, ...]
) -> None:  # S12, traps 41, 65
    leader = cluster.leader()
    pids = roster(cluster, leader).actors
    others = [cluster.settings(name).client_endpoint() for name in cluster.names if name != leader]
    with Client(cluster.settings(leader).client_endpoint(), timeout=PATIENCE_S, learn_members=False) as at_the_old:
        at_the_old.put("lease", "old")
        wait_until(lambda: read(at_the_old, "lease") == b"old", WAIT_S, "a read at the leader")
        with standing_still(pids, frozen):
            wait_until(lambda: cluster.leader() != leader, WAIT_S, "another leader")
            with Client(others) as elsewhere:
                wait_until(partial(has_written, elsewhere, "lease", b"new"), WAIT_S, "a write through it")
            for actor in first:
                os.kill(pids[actor], signal.SIGCONT)
            assert read(at_the_old, "lease") in (b"new", None)

        def is_read() -> bool:
            found = read(at_the_old, "lease")
            assert found in (b"new", None)
            return found is not None

        wait_until(is_read, WAIT_S, "a read at the old leader")


def test_by_quorum_no_read_is_served_without_its_election(tmp_path: Path) -> None:
    ports = free_ports(1)
    settings = Settings(
        port=ports.client,
        http_port=ports.http,
        peer_port=ports.peer,
        data_dir=str(tmp_path / "node-1"),
        read_mode="quorum",
    )
    with own_runtime(), started(settings, tmp_path), Client(settings.client_endpoint(), timeout=PATIENCE_S) as client:
        wait_until(lambda: has_written(client, "k", b"v"), WAIT_S, "a leader")
        node = Roster.read(runtime_directory(settings.data_path()))
        assert node is not None
        with standing_still(node.actors, ("election",)), pytest.raises(Unavailable):
            client.get("k")
        wait_until(lambda: read(client, "k") == b"v", WAIT_S, "a read")
