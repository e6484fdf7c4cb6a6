"""``zraft dev`` with a cluster that is only told of; real ones run in tests/cluster."""

import json
import sys
from pathlib import Path

import pytest

from tests.cli.asking import run
from zraft.cluster import LocalCluster
from zraft.protocol.responses import StatusResult

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
            {"name": "node-1", "endpoint": "127.0.0.1:8081", "http": "http://127.0.0.1:9091"},
            {"name": "node-2", "endpoint": "127.0.0.1:8082", "http": "http://127.0.0.1:9092"},
        ],
    }
    lines = run("dev", "up", "--nodes", "2").stdout.splitlines()
    assert lines[1].split() == ["node-1", "127.0.0.1:8081", "http://127.0.0.1:9091"]
    assert lines[4] == "The leader is node-1. Data and logs are in .zraft. Try:"


@pytest.mark.parametrize(
    ("argument", "program"),
    [
        ("{here}/.venv/bin/zraft", ".venv/bin/zraft"),
        ("{here}/../elsewhere/bin/zraft", "{above}/elsewhere/bin/zraft"),
        ("zraft/__main__.py", f"{sys.executable} -m zraft"),
    ],
)
def test_up_says_how_the_program_can_be_run_again(
    argument: str, program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    names = {"here": tmp_path, "above": tmp_path.parent}
    monkeypatch.setattr(sys, "argv", [argument.format(**names)])
    assert f"  {program.format(**names)} put greeting hello" in run("dev", "up").stdout


def test_two_clusters_can_live_on_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[LocalCluster] = []
    monkeypatch.setattr(LocalCluster, "up", lambda cluster: started.append(cluster))
    second = ("--client-port", "8180", "--peer-port", "7280")
    nodes = json.loads(run("dev", "up", *second, "--output", "json").stdout)["nodes"]
    assert nodes[2] == {"name": "node-3", "endpoint": "127.0.0.1:8183", "http": "http://127.0.0.1:9193"}
    run("dev", "up")
    assert [cluster.settings("node-3").peer_port for cluster in started] == [7310, 7110]
    ports = [{*cluster.settings(name).ports().values()} for cluster in started for name in cluster.names]
    assert len(set.union(*ports)) == 2 * 3 * 5


@pytest.mark.parametrize("most", [("--client-port", "64510"), ("--peer-port", "65383")])
def test_as_many_nodes_as_there_may_be_have_ports(most: tuple[str, str]) -> None:
    assert run("dev", "up", "--nodes", "15", *most).exit_code == 0
    assert run("dev", "up", most[0], str(int(most[1]) + 1)).exit_code == 2


def test_ports_that_two_nodes_would_have_are_refused() -> None:
    result = run("dev", "up", "--client-port", "7101")
    assert (result.exit_code, "node-1 and node-2 would both have port 7102" in result.stderr) == (2, True)


def test_status_tells_of_each_node() -> None:
    assert [line.split() for line in run("dev", "status").stdout.splitlines()] == [
        ["NODE", "PROCESSES", "CLIENTS", "STATE", "TERM", "LEADER", "APPLIED"],
        ["node-1", "dead", "127.0.0.1:8081", "leader", "4", "node-1", "8"],
        ["node-2", "dead", "127.0.0.1:8082", "-", "-", "-", "-"],
    ]
    nodes = json.loads(run("dev", "status", "--output", "json").stdout)["nodes"]
    told = {"state": "leader", "current_term": 4, "leader_id": "node-1", "last_applied": 8}
    assert nodes == [
        {"name": "node-1", "processes": "dead", "endpoint": "127.0.0.1:8081", **told},
        {"name": "node-2", "processes": "dead", "endpoint": "127.0.0.1:8082", **dict.fromkeys(told)},
    ]


def test_a_cluster_in_another_directory_is_broken_by_its_name(tmp_path: Path) -> None:
    assert f"dev kill leader --dir {tmp_path}\n" in run("dev", "up", "--dir", str(tmp_path)).stdout
