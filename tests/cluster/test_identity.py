"""Who may never take part: wiped disks, other clusters' disks, doubled names, contradicting settings (trap 36).

Whoever is refused says why, in /health and in its log, and neither votes nor acknowledges anything.
"""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.cluster.nodes import ROOT, Node, command, http, started
from tests.cluster.running import WAIT_S, free_ports, own_runtime, wait_for_log
from tests.waiting import wait_until
from zraft import Client, Unavailable
from zraft.cluster import LocalCluster
from zraft.config import Settings
from zraft.errors import DataDirectoryInUse
from zraft.protocol.entries import ClusterRecord, Member
from zraft.store.log import LmdbLog

pytestmark = pytest.mark.cluster

MAP_SIZE = 1 << 40


@pytest.fixture
def out(cluster: LocalCluster) -> str:
    """A follower that was killed; the two others go on."""
    leader = cluster.leader()
    name = next(name for name in cluster.names if name != leader)
    cluster.kill(name)
    return name


@pytest.fixture
def three(tmp_path: Path) -> Iterator[list[Settings]]:
    """Settings of three nodes that have never run, and of a fourth one that is not in their list."""
    with own_runtime():
        ports = free_ports(4)
        planned = LocalCluster(tmp_path, 4, ports=ports)
        first, second, third, fourth = (planned.settings(name) for name in planned.names)
        peers = {name: at for name, at in first.peers.items() if name != fourth.id}
        yield [replace(one, peers=peers) for one in (first, second, third)] + [fourth]


@contextlib.contextmanager
def displaced(directory: Path) -> Iterator[None]:
    """The directory is away meanwhile; what took its place is removed."""
    away = directory.rename(directory.with_name(f"{directory.name}.away"))
    try:
        yield
    finally:
        shutil.rmtree(directory)
        away.rename(directory)


def assert_counts_nowhere(cluster: LocalCluster, refused: Node) -> None:
    """With the refused node and one other up, there is no majority."""
    left, other = (name for name in cluster.names if name != refused.settings.id)
    cluster.kill(other)
    with Client(cluster.settings(left).client_endpoint(), timeout=2.0) as client:
        wait_until(lambda: client.status().state != "leader", WAIT_S, "the node that is left to lead no more")
        with pytest.raises(Unavailable):
            client.get("k")
        assert client.status().state != "leader"
    status, health = http(refused.settings, "/health/ready")
    assert (status, health["live"], health["ready"]) == (503, True, False)
    with Client(refused.settings.client_endpoint(), timeout=2.0) as client:
        assert client.status().leader_id == ""
        with pytest.raises(Unavailable):
            client.put("k", "v")


def test_a_wiped_disk_under_an_old_name_never_votes(cluster: LocalCluster, out: str, tmp_path: Path) -> None:
    settings = cluster.settings(out)
    with displaced(settings.data_path()), started(settings, tmp_path) as node:
        node.wait_for_reason(f"{out} has a new or wiped data directory", "give it its old directory back")
        for other in set(cluster.names) - {out}:
            wait_for_log(cluster, other, f"{out} has a new or wiped data directory")
        assert_counts_nowhere(cluster, node)


@pytest.mark.parametrize("formed", [True, False])
def test_the_disk_of_another_cluster_is_refused(cluster: LocalCluster, out: str, tmp_path: Path, formed: bool) -> None:
    settings = cluster.settings(out)
    record = ClusterRecord(tuple(Member(id, name) for id, name in enumerate(cluster.names, 1)), 150, b"")
    with displaced(settings.data_path()):
        log = LmdbLog(settings.data_path() / "log", cluster.names.index(out) + 1, MAP_SIZE)
        log.set_record(record, formed)
        log.commit()
        log.close()
        with started(settings, tmp_path) as node:
            if formed:
                wait_until(lambda: record.cluster_id().hex() in node.log(), WAIT_S, "the clusters' ids in the log")
            else:
                node.wait_for_reason("belongs to cluster", record.cluster_id().hex(), "another cluster's disk")
            assert_counts_nowhere(cluster, node)


def test_a_data_directory_keeps_its_name(cluster: LocalCluster, out: str, tmp_path: Path) -> None:
    other_member = next(name for name in cluster.names if name != out)
    for name in (other_member, "node-9"):
        with started(replace(cluster.settings(out), id=name), tmp_path) as node:
            node.wait_for_reason("this data directory belongs to another node", f"not to {name}")


def test_the_promise_of_a_formed_cluster_stays(cluster: LocalCluster, out: str, tmp_path: Path) -> None:  # S7
    with started(replace(cluster.settings(out), election_timeout_min_ms=200), tmp_path) as node:
        node.wait_for_reason("election_timeout_min_ms is 200", "formed with 150")
        assert_counts_nowhere(cluster, node)


def test_a_second_node_on_a_data_directory_ends(cluster: LocalCluster, tmp_path: Path) -> None:  # S1
    taken = cluster.settings("node-1")
    ports = free_ports(1)
    second = replace(taken, port=ports.client, http_port=ports.http, peer_port=ports.peer)
    done = subprocess.run(command(second), cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == DataDirectoryInUse.exit_code == 73
    assert f"the data directory {taken.data_dir} is in use by process" in done.stderr
    cluster.wait_until_ready()


def test_lists_that_differ_form_no_cluster(three: list[Settings], tmp_path: Path) -> None:
    one, two, *_ = three
    pair = {name: one.peers[name] for name in (one.id, two.id)}
    with started(replace(one, peers=pair), tmp_path) as first:
        with started(two, tmp_path) as second:
            first.wait_for_reason("node-2 was started with the members node-1, node-2, node-3", "node-1 with")
            second.wait_for_reason("node-1 was started with the members node-1, node-2,", "start all of them")
        with started(replace(two, peers=pair), tmp_path), Client(one.client_endpoint(), timeout=WAIT_S) as client:
            assert client.put("formed", "v").success


def test_promises_that_differ_form_no_cluster(three: list[Settings], tmp_path: Path) -> None:  # S7
    one, two, *_ = three
    with started(one, tmp_path) as first, started(replace(two, election_timeout_min_ms=200), tmp_path) as second:
        first.wait_for_reason("election_timeout_min_ms is 200 on node-2, but 150 on node-1")
        second.wait_for_reason("election_timeout_min_ms is 150 on node-1, but 200 on node-2")


def test_a_doubled_name_forms_no_cluster_until_one_is_gone(three: list[Settings], tmp_path: Path) -> None:
    one, two, original, fourth = three
    double = replace(fourth, id=original.id, peers=original.peers)
    with started(one, tmp_path) as first, started(original, tmp_path) as second:
        with started(double, tmp_path) as copy:
            first.wait_for_reason("two nodes are named node-3", "stop one")
            refusal = "node-1 refuses this node: two nodes are named node-3"
            wait_until(lambda: any(refusal in node.log() for node in (second, copy)), WAIT_S, "one of them to say so")
        with started(two, tmp_path), Client(one.client_endpoint(), timeout=WAIT_S) as client:
            assert client.put("formed", "v").success
