"""``zraft dev`` with a cluster that is only told of; real ones run in tests/cluster."""

import json
from pathlib import Path

import pytest

from tests.cli.asking import run
from zraft.cluster import LocalCluster
from zraft.protocol.client import StatusResult

LEADER = StatusResult("node-1", "leader", 4, "node-1", (), 9, 8, "", "", 1, 10, 3)


@pytest.fixture(autouse=True)
def _told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is started: node-1 leads, and the others are dead."""
    monkeypatch.setattr(LocalCluster, "up", lambda _: None)
    monkeypatch.setattr(LocalCluster, "leader", lambda _: "node-1")
    monkeypatch.setattr(LocalCluster, "load", classmethod(lambda cls, directory: cls(directory, 2)))
    monkeypatch.setattr(LocalCluster, "status", lambda _: {"node-1": LEADER, "node-2": None})


def test_up_says_where_the_nodes_are() -> None:
    document = json.loads(run("dev", "up", "--nodes", "2", "--output", "json").stdout)
    assert document == {
        "leader_id": "node-1",
        "directory": ".zraft",
        "nodes": [
            {"node_id": "node-1", "endpoint": "127.0.0.1:8081", "http": "http://127.0.0.1:9091"},
            {"node_id": "node-2", "endpoint": "127.0.0.1:8082", "http": "http://127.0.0.1:9092"},
        ],
    }
    lines = run("dev", "up", "--nodes", "2").stdout.splitlines()
    assert lines[1].split() == ["node-1", "127.0.0.1:8081", "http://127.0.0.1:9091"]
    assert lines[4] == "The leader is node-1. Data and logs are in .zraft. Try:"


def test_status_tells_of_each_node() -> None:
    assert [line.split() for line in run("dev", "status").stdout.splitlines()] == [
        ["NODE", "PROCESSES", "CLIENTS", "STATE", "TERM", "LEADER", "APPLIED"],
        ["node-1", "dead", "127.0.0.1:8081", "leader", "4", "node-1", "8"],
        ["node-2", "dead", "127.0.0.1:8082", "-", "-", "-", "-"],
    ]
    nodes = json.loads(run("dev", "status", "--output", "json").stdout)["nodes"]
    told = {"state": "leader", "current_term": 4, "leader_id": "node-1", "last_applied": 8}
    assert nodes == [
        {"node_id": "node-1", "processes": "dead", "endpoint": "127.0.0.1:8081", **told},
        {"node_id": "node-2", "processes": "dead", "endpoint": "127.0.0.1:8082", **dict.fromkeys(told)},
    ]


def test_a_cluster_in_another_directory_is_broken_by_its_name(tmp_path: Path) -> None:
    assert f"dev kill leader --dir {tmp_path}\n" in run("dev", "up", "--dir", str(tmp_path)).stdout
