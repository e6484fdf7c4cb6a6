"""A cluster all of whose addresses change at once, after it has stored the old ones with its members."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.running import NODES, WAIT_S, free_ports, own_runtime
from zraft import Client
from zraft.cluster import LocalCluster, Ports
from zraft.config import GIVEN, STORED

pytestmark = pytest.mark.cluster


@contextlib.contextmanager
def up(directory: Path, ports: Ports, addresses_of: str) -> Iterator[tuple[LocalCluster, Client]]:
    cluster = LocalCluster(directory, NODES, ports=ports, options={"addresses_of": addresses_of})
    cluster.up()
    try:
        with Client(cluster.endpoints(), timeout=WAIT_S) as client:
            yield cluster, client
    finally:
        cluster.down()


def store_addresses(cluster: LocalCluster, client: Client) -> None:
    for name in cluster.names:
        client.add_member(name, f"127.0.0.1:{cluster.settings(name).peer_port}")


def test_a_cluster_whose_addresses_have_all_changed_is_started_with_those_of_its_peers(tmp_path: Path) -> None:
    with own_runtime():
        with up(tmp_path, free_ports(), STORED) as (cluster, client):
            store_addresses(cluster, client)
            client.put("k", "before")
        moved = free_ports()
        with up(tmp_path, moved, GIVEN) as (cluster, client):  # by the stored ones nobody would find anybody
            assert client.get("k").value == b"before"
            store_addresses(cluster, client)
        with up(tmp_path, moved, STORED) as (_, client):
            client.put("k", "after")
            assert client.get("k").value == b"after"
