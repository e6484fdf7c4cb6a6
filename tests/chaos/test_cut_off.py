"""A node that is cut off from its peers, and not from its clients, keeps none of them from those that serve."""

import pytest

from tests.chaos.proxy import ProxiedCluster, Proxies
from tests.cluster.running import WAIT_S
from tests.waiting import wait_until
from zraft import Client

pytestmark = pytest.mark.chaos


def test_a_write_that_asks_a_node_without_a_leader_first_comes_to_one_that_has_one(
    proxied: tuple[ProxiedCluster, Proxies],
) -> None:
    cluster, proxies = proxied
    leader = cluster.leader()
    follower = next(name for name in cluster.names if name != leader)
    wires = [wire for wire in cluster.wires if follower in (wire.source, wire.target)]
    first = cluster.settings(follower).client_endpoint()
    others = [endpoint for endpoint in cluster.endpoints() if endpoint != first]
    with proxies.cut(wires), Client([first], timeout=WAIT_S, learn_members=False) as asked:
        wait_until(lambda: "no leader is known" in asked.status(first).notice, WAIT_S, "its complaint")
        # A new client, as each command of the tool is one: it has learnt nothing yet.
        with Client([first, *others], timeout=WAIT_S) as client:
            client.put("k", "1")
