"""A leader whose heartbeats arrive and whose entries don't: a port that is closed, a route that is half open."""

import contextlib

import pytest

from tests.chaos.proxy import ProxiedCluster, Proxies
from tests.cluster.running import WAIT_S
from zraft import Client, Unknown

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("fault", ["refuse", "cut"])
def test_a_leader_that_can_send_no_entries_gives_way(proxied: tuple[ProxiedCluster, Proxies], fault: str) -> None:
    cluster, proxies = proxied
    old = cluster.leader()
    wires = [wire for wire in cluster.wires if (wire.source, wire.plane) == (old, "data")]
    with Client(cluster.endpoints(), timeout=WAIT_S) as client, getattr(proxies, fault)(wires):
        while cluster.leader() == old:
            with contextlib.suppress(Unknown):
                client.put("k", "1")
        client.put("k", "2")
        assert client.get("k").value == b"2"
