"""What a running node shows over HTTP, and how it stops."""

import time
from functools import partial
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.load import Load
from tests.cluster.nodes import http, http_text, started
from tests.cluster.running import WAIT_S, equal_and_led, free_ports, own_runtime, wait_for_log
from tests.waiting import wait_until
from zraft import Client
from zraft.actors.status import named_fields
from zraft.cluster import LocalCluster
from zraft.core.restarts import TRIO
from zraft.protocol.responses import StatusResult
from zraft.store.directory import DataDirectory

pytestmark = pytest.mark.cluster

COUNTERS = (
    "raft_leader_elections_total",
    "raft_append_entries_total",
    "raft_request_vote_total",
    "raft_committed_entries_total",
    "zraft_log_sync_seconds_count",
)
FOLLOWER, LEADER = 0, 2


def metrics(cluster: LocalCluster, name: str) -> dict[str, float]:
    """The samples that have no label but an actor, summed up by their names."""
    status, text = http_text(cluster.settings(name), "/metrics")
    assert status == 200
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def test_metrics_tell_the_role_of_each_node(cluster: LocalCluster, client: Client) -> None:
    client.put("metrics", "v")
    leader = equal_and_led(cluster)
    answer = cluster.status()[leader]
    assert answer is not None

    def told(name: str) -> dict[str, float] | None:
        found = metrics(cluster, name)
        as_expected = (
            found["raft_node_state"] == (LEADER if name == leader else FOLLOWER)
            and found["raft_current_term"] == answer.current_term
            and found["raft_committed_entries_total"] > 0
            and found["zraft_log_sync_seconds_count"] > 0
            and (found["zraft_has_leader"], found["zraft_voters"]) == (1, len(cluster.names))
            and found["zraft_applied_index"] == found["zraft_commit_index"] == found["zraft_last_log_index"] > 0
            and found["zraft_disk_free_bytes"] > 0
            and abs(found["raft_last_heartbeat"] - time.time()) < WAIT_S
        )
        return found if as_expected else None

    seen = {name: wait_until(partial(told, name), WAIT_S, f"{name} to tell its role") for name in cluster.names}
    counters = ("raft_leader_elections_total", "raft_append_entries_total", "raft_request_vote_total")
    for counter in (*counters, "zraft_leader_changes_total", "zraft_peer_round_trip_seconds_count"):
        assert seen[leader][counter] > 0
    assert sum(found.get("zraft_requests_total", 0.0) for found in seen.values()) > 0


def test_every_commit_is_counted_on_every_node(cluster: LocalCluster, client: Client) -> None:
    before = {name: metrics(cluster, name) for name in cluster.names}
    for number in range(10):
        client.put("counted", str(number))
    equal_and_led(cluster)

    def counted(name: str) -> bool:
        after, first = metrics(cluster, name), before[name]
        # One sync may be for several entries.
        synced = after["zraft_log_sync_seconds_count"] > first["zraft_log_sync_seconds_count"]
        return synced and after["raft_committed_entries_total"] >= first["raft_committed_entries_total"] + 10

    for name in cluster.names:
        wait_until(partial(counted, name), WAIT_S, f"{name} to count ten entries")


def queues(cluster: LocalCluster, name: str) -> dict[str, float]:
    """The depth of each queue, by actor and queue."""
    families = text_string_to_metric_families(http_text(cluster.settings(name), "/metrics")[1])
    samples = [sample for family in families if family.name == "zraft_queue_depth" for sample in family.samples]
    return {f"{one.labels['actor']} {one.labels['queue']}": one.value for one in samples}


def test_queues_fill_under_load_and_are_empty_without(cluster: LocalCluster) -> None:
    leader = equal_and_led(cluster)
    busy: set[str] = set()

    def filled() -> bool:
        busy.update(queue for queue, depth in queues(cluster, leader).items() if depth)
        return {"gateway messages", "replication messages", "replication appends", "storage messages"} <= busy

    with Load(cluster.endpoints()):
        wait_until(filled, WAIT_S, "the leader's queues to fill")
    wait_until(lambda: not queues(cluster, leader)["replication appends"], WAIT_S, "no Append to be on its way")
    assert "election messages" in queues(cluster, leader)


def test_counts_outlive_the_process_that_counted(cluster: LocalCluster) -> None:
    name = cluster.leader()
    before = metrics(cluster, name)
    cluster.kill(name, "storage")
    wait_until(
        lambda: (
            metrics(cluster, name)["zraft_actor_restarts_total"] >= before["zraft_actor_restarts_total"] + len(TRIO)
        ),
        WAIT_S,
        "the trio to be started again",
    )
    cluster.wait_until_ready()
    after = metrics(cluster, name)
    for counter in COUNTERS:
        assert after[counter] >= before[counter] > 0


def test_the_status_over_http_is_that_of_the_very_node(cluster: LocalCluster, client: Client) -> None:
    client.put("status", "v")
    leader = equal_and_led(cluster)
    for name in cluster.names:
        code, found = http(cluster.settings(name), "/status")
        asked = cluster.status()[name]
        assert asked is not None
        assert code == 200
        # The gateway has heard where clients of its peers connect; the supervisor, which answers here, has not.
        peers = [msgspec.structs.asdict(peer) | {"client_endpoint": ""} for peer in asked.peers]
        assert found == named_fields(asked) | {"peers": peers}
        assert set(found) == {field.name for field in msgspec.structs.fields(StatusResult)}
        assert (found["node_id"], found["leader_id"]) == (name, leader)
        assert found["state"] == ("leader" if name == leader else "follower")
        assert {peer["node_id"] for peer in found["peers"]} == set(cluster.names) - {name}


def test_health_follows_the_trio(cluster: LocalCluster) -> None:
    name = cluster.leader()
    settings = cluster.settings(name)
    assert http(settings, "/health/ready") == (200, {"node": name, "live": True, "ready": True, "reason": ""})
    for other in set(cluster.names) - {name}:
        cluster.kill(other)
    wait_until(lambda: http(settings, "/health/ready")[0] == 503, WAIT_S, "a node without a majority to say so")
    assert "no leader is known" in http(settings, "/health")[1]["reason"]
    assert http(settings, "/health/live") == (200, {"node": name, "live": True})


def test_a_node_that_is_asked_to_stop_stops_in_order(cluster: LocalCluster, client: Client, load: Load) -> None:
    with load:
        for name in (cluster.leader(), cluster.leader()):
            logged = len(cluster.log_path(name).read_text())
            cluster.restart(name)
            wait_for_log(cluster, name, 'event="node stopped" exit_code=0', logged)
            assert "rebuilt" not in cluster.log_path(name).read_text()[logged:]
            load.wait_for_progress()
    load.verify()


def test_a_node_alone_is_a_cluster(tmp_path: Path) -> None:
    ports = free_ports(1)
    with own_runtime():
        alone = LocalCluster(tmp_path, 1, ports=ports).settings("node-1")
        data = DataDirectory(alone.data_path())
        settings = msgspec.structs.replace(alone, peers={})
        with started(settings, tmp_path), Client(settings.client_endpoint(), timeout=WAIT_S) as client:
            revision = client.put("k", "v").revision
            assert data.dirty_mark.exists()
        assert not data.dirty_mark.exists()
        with started(settings, tmp_path) as node, Client(settings.client_endpoint(), timeout=WAIT_S) as client:
            assert client.get("k").mod_revision == revision
            node.kill()
        assert data.dirty_mark.exists()
        with started(settings, tmp_path) as node, Client(settings.client_endpoint(), timeout=WAIT_S) as client:
            assert client.get("k").mod_revision == revision
            assert "rebuilt" not in node.log()  # the page cache outlives a killed process
