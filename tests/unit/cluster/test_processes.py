"""A node's processes from outside, with shells in the place of nodes."""

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from tests.waiting import wait_until
from zraft.cluster import ClusterError, LocalCluster, Ports
from zraft.cluster.processes import NodeProcesses, wait_for
from zraft.errors import ConfigurationError

WAIT_S = 30.0


def start(log: Path, script: str) -> NodeProcesses:
    return NodeProcesses.start(["/bin/sh", "-c", script], log, dict(os.environ))


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


@pytest.fixture
def family(tmp_path: Path) -> Iterator[NodeProcesses]:
    """A supervisor with two children."""
    processes = start(tmp_path / "log", "sleep 60 & sleep 60 & wait")
    wait_until(lambda: len(processes.states()) == 3, WAIT_S, "three processes")
    yield processes
    processes.kill()


def test_all_processes_of_a_session_are_found_the_supervisor_first(family: NodeProcesses) -> None:
    states = family.states()
    assert next(iter(states)) == family.pid
    assert len(states) == 3
    assert family.pid not in (os.getpid(), os.getsid(0))


def test_a_kill_ends_all_processes_and_is_no_error_twice(family: NodeProcesses) -> None:
    family.kill()
    assert family.states() == {}
    family.kill()


def test_children_are_found_when_their_supervisor_is_gone(family: NodeProcesses) -> None:
    assert family.has_supervisor()
    os.kill(family.pid, signal.SIGKILL)
    wait_until(lambda: family.pid not in family.states(), WAIT_S, "the supervisor to be gone")
    assert not family.has_supervisor()
    assert len(family.states()) == 2
    family.kill()
    assert family.states() == {}


def test_a_paused_family_stands_still_until_it_is_resumed(family: NodeProcesses) -> None:
    family.pause()
    assert set(family.states().values()) == {"T"}
    family.signal(signal.SIGCONT)
    wait_until(lambda: "T" not in family.states().values(), WAIT_S, "all to go on")


def test_stop_asks_the_supervisor_only_even_when_it_stands_still(tmp_path: Path) -> None:
    processes = start(tmp_path / "log", "trap 'echo stopped in order; kill $!; exit' TERM; sleep 60 & echo ready; wait")
    wait_until(lambda: "ready" in (tmp_path / "log").read_text(), WAIT_S, "the trap")
    # What is no program of its own yet still has the shell's handler, and would lose the signal with it.
    wait_until(lambda: "sleep" in map(name_of, processes.states()), WAIT_S, "the child to be its own program")
    processes.pause()
    processes.stop()
    wait_until(lambda: not processes.states(), WAIT_S, "the end")
    assert (tmp_path / "log").read_text() == "ready\nstopped in order\n"


def test_a_stranger_with_the_number_of_a_node_is_never_touched(family: NodeProcesses) -> None:
    for stale in (
        msgspec.structs.replace(family, started=family.started - 1),
        msgspec.structs.replace(family, boot="another one"),
    ):
        assert not stale.has_supervisor()
        stale.kill()
        stale.stop()
    assert len(family.states()) == 3


def test_what_the_wait_was_for_is_named() -> None:
    with pytest.raises(ClusterError, match=r"waited 0.01 s in vain for rain"):
        wait_for(lambda: False, 0.01, "rain")


def test_a_node_has_the_ports_of_its_number(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path)
    assert cluster.names == ["node-1", "node-2", "node-3"]
    assert cluster.endpoints() == ["127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"]
    assert [(cluster.settings(name).http_port, cluster.settings(name).peer_port) for name in cluster.names] == [
        (9091, 7090),
        (9092, 7100),
        (9093, 7110),
    ]
    assert cluster.settings("node-2").peers == {
        "node-1": "127.0.0.1:7090",
        "node-2": "127.0.0.1:7100",
        "node-3": "127.0.0.1:7110",
    }
    assert cluster.settings("node-2").data_dir == str(tmp_path / "node-2")


def test_a_bad_setting_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="heartbeat_ms"):
        LocalCluster(tmp_path, options={"heartbeat_ms": 1})


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cluster = LocalCluster(tmp_path / "c", 1, ports=Ports(client=port - 1, http=20_000, peer=20_100))
        with pytest.raises(ClusterError, match=f"port {port} is not free .* node-1 needs it as its port"):
            cluster.up()
    assert not (tmp_path / "c").exists()


def test_a_node_that_ends_at_its_start_is_told_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad-python").write_text("#!/bin/sh\necho this is why >&2\n")
    (tmp_path / "bad-python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bad-python"))
    cluster = LocalCluster(tmp_path / "c", 1, ports=Ports(20_000, 20_001, 20_002))
    with pytest.raises(ClusterError, match=r"node-1 ended before(.|\n)*this is why"):
        cluster.up()
    assert not (tmp_path / "c" / "cluster.json").exists()


def test_a_node_that_can_not_be_put_on_record_is_not_left_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[NodeProcesses] = []

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "no space")

    def noted(command: list[str], log: Path, environment: dict[str, str]) -> NodeProcesses:
        started.append(start(log, "sleep 60"))
        return started[-1]

    monkeypatch.setattr("zraft.cluster.local.write_durably", full)
    monkeypatch.setattr("zraft.cluster.local.NodeProcesses", SimpleNamespace(start=noted))
    with pytest.raises(OSError, match="no space"):
        LocalCluster(tmp_path, 1, ports=Ports(20_000, 20_001, 20_002)).up()
    assert [one.states() for one in started] == [{}]


def test_a_cluster_that_does_not_run_is_told_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="zraft dev up"):
        LocalCluster.load(tmp_path)
    cluster = LocalCluster(tmp_path)
    for act in (cluster.kill, cluster.pause, cluster.resume):
        with pytest.raises(ClusterError, match="zraft dev restart node-1"):
            act("node-1")
        with pytest.raises(ClusterError, match="there is no node 'node-9'"):
            act("node-9")
    assert [cluster.condition(name) for name in cluster.names] == ["dead"] * 3
    cluster.down()


def test_a_record_that_is_no_record_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text("{}}")
    with pytest.raises(ClusterError, match="can't be read"):
        LocalCluster.load(tmp_path)


def test_nodes_outlive_the_program_that_started_them(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, msgspec, sys; from zraft.cluster.processes import NodeProcesses\n"
        "processes = NodeProcesses.start(['/bin/sleep', '60'], pathlib.Path(sys.argv[1]), dict(os.environ))\n"
        "print(msgspec.json.encode(processes).decode())"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    output = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, tmp_path / "log"],
        env=environment,
        capture_output=True,
        check=True,
        timeout=30,
    ).stdout
    processes = msgspec.json.decode(output, type=NodeProcesses)
    assert len(processes.states()) == 1
    processes.kill()
    assert processes.states() == {}
