"""The supervisor, with stand-ins for the actors."""

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.actors.supervised import ACTORS, WAIT_S, Node
from tests.waiting import wait_until
from zraft.actors.launch import FOR_THE_SUPERVISOR, STOP_SIGNAL, verified_path
from zraft.actors.supervisor import LOCK_WAIT_SECONDS
from zraft.core.restarts import TRIO
from zraft.core.versions import SUPPORTED
from zraft.errors import ConfigurationError, DataDirectoryInUse, StorageFault
from zraft.store.directory import DataDirectory, hold_runtime, runtime_directory
from zraft.store.fault import acknowledge_sync_failure, pending_sync_failure


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    node.end()


@pytest.fixture
def running(node: Node) -> Node:
    node.start()
    node.running()
    return node


def test_a_node_starts_and_shows_itself(running: Node) -> None:
    wait_until(running.is_ready, WAIT_S, "readiness")
    assert running.get("/health") == (200, {"node": "node-1", "live": True, "ready": True, "reason": ""})
    assert running.get("/health/live") == (200, {"node": "node-1", "live": True})
    status, content = running.get("/status")
    assert (status, content) == (
        200,
        {
            "node_id": "node-1",
            "state": "leader",
            "current_term": 3,
            "leader_id": "node-1",
            "peers": [
                {
                    "node_id": "node-2",
                    "member_id": f"{0xCD:016x}",
                    "peer_address": "other:7080",
                    "client_endpoint": "",
                    "voter": True,
                }
            ],
            "commit_index": 8,
            "last_applied": 6,
            "member_id": f"{0xAB:016x}",
            "cluster_id": "11" * 16,
            "first_log_index": 1,
            "last_log_index": 9,
            "revision": 5,
            "notice": "",
            "compacted_revision": 0,
            "snapshot_index": 0,
            "log_bytes": 0,
            "state_bytes": 0,
            "snapshots_bytes": 0,
            "installing_held_bytes": 0,
            "installing_bytes": 0,
            "cluster_version": 1,
            "supported_version": SUPPORTED,
            "swept_revision": 0,
        },
    )
    metrics = running.get("/metrics")[1]
    for line in ("zraft_node_ready 1.0", 'zraft_actor_restarts_total{actor="storage"} 0.0', "raft_node_state 0.0"):
        assert line in metrics.splitlines()
    assert 'process_resident_memory_bytes{actor="gateway"}' in metrics
    assert 'process_resident_memory_bytes{actor="supervisor"}' in metrics
    assert running.get("/elsewhere")[0] == 404


def test_only_the_trio_holds_the_lock_and_an_incarnation(running: Node) -> None:  # S1
    roster = running.running()
    assert [running.launched(actor)[1:] for actor in ACTORS] == [[roster.incarnation, "True"]] * 3 + [
        ["0" * 16, "False"]
    ]
    holders = {name for name, pid in roster.actors.items() if holds(pid, running.data / "lock")}
    assert holders == set(TRIO)


def holds(pid: int, path: Path) -> bool:
    return any(link.resolve() == path for link in Path(f"/proc/{pid}/fd").iterdir())


def test_a_killed_gateway_comes_back_alone(running: Node) -> None:
    before = running.running()
    os.kill(before.actors["gateway"], signal.SIGKILL)
    after = running.running(before, new=("gateway",))
    assert after.incarnation == before.incarnation
    wait_until(running.is_ready, WAIT_S, "readiness")
    assert 'zraft_actor_restarts_total{actor="gateway"} 1.0' in running.get("/metrics")[1]


@pytest.mark.parametrize("actor", TRIO)
def test_the_trio_comes_back_as_a_whole_and_as_another_incarnation(running: Node, actor: str) -> None:  # S1
    before = running.running()
    os.kill(before.actors[actor], signal.SIGKILL)
    after = running.running(before, new=TRIO)
    assert after.incarnation != before.incarnation
    assert running.launched("storage")[1] == after.incarnation
    wait_until(running.is_ready, WAIT_S, "readiness")


@pytest.mark.parametrize(("order", "stays"), [("bug", True), ("crash", False)])
def test_a_state_that_may_have_ended_its_storage_is_verified_anew(running: Node, order: str, stays: bool) -> None:
    before = running.running()
    runtime = running.runtime()
    assert runtime is not None
    verified = verified_path(runtime)
    verified.touch()
    running.order("storage", order)
    running.running(before, new=TRIO)
    assert verified.exists() == stays


def test_a_stuck_actor_is_told_and_a_stuck_gateway_replaced(node: Node) -> None:
    node.hung_seconds = 8.0
    node.start()
    before = node.running()
    wait_until(node.is_ready, WAIT_S, "the node to be ready")
    for actor in before.actors.values():
        os.kill(actor, signal.SIGSTOP)
    wait_until(node.reason("storage has not moved for"), WAIT_S, "health to be red")
    assert "replication has not moved for" in node.get("/status")[1]["notice"]
    after = node.running(before, new=("gateway",))
    assert "gateway killed: it is stuck" in node.log()
    wait_until(lambda: "not ready" in node.log(), WAIT_S, "the log to tell of it")
    for actor in after.actors.values():
        os.kill(actor, signal.SIGCONT)
    wait_until(node.is_ready, WAIT_S, "the node to be ready")
    wait_until(lambda: " event=ready seconds=" in node.log(), WAIT_S, "the log to tell of that")


def test_a_stopped_actor_counts_as_dead_only_when_it_is(running: Node) -> None:
    """The signal to stop, from elsewhere, ends an actor in good order: it is restarted all the same."""
    before = running.running()
    os.kill(before.actors["gateway"], STOP_SIGNAL)
    running.running(before, new=("gateway",))


def test_what_is_sent_to_all_processes_is_the_supervisors_to_act_on(running: Node) -> None:
    """Else a service manager that sends SIGTERM to all of them would end the trio while clients wait for it."""
    before = running.running()
    for number in FOR_THE_SUPERVISOR:
        for pid in before.actors.values():
            os.kill(pid, number)
    os.kill(before.actors["gateway"], STOP_SIGNAL)
    running.running(before, new=("gateway",))  # and nobody else has ended


def test_a_crash_is_one_line_of_the_log_and_known_to_health(running: Node) -> None:
    for _ in range(3):
        before = running.running()
        running.order("gateway", "bug")
        wait_until(lambda before=before: running.roster() != before, WAIT_S, "the gateway to crash")  # type: ignore[misc]
    lines = [line for line in running.log().splitlines() if "level=error" in line]
    assert "actor=gateway event=bug" in lines[0]
    assert "one and one is two (sum=3)" in lines[0]
    assert not [line for line in running.log().splitlines() if not line.startswith("time=")]


def test_a_failed_sync_halts_the_node_but_not_its_supervisor(running: Node) -> None:  # S13
    running.order("storage", "sync")
    wait_until(running.reason("fdatasync: EIO"), WAIT_S, "health to be red")
    wait_until(lambda: "halted" in running.log(), WAIT_S, "the trio to end")
    assert running.get("/health/live")[0] == 200
    assert running.get("/health")[0] == 503
    status = running.get("/status")[1]
    assert "--acknowledge-fsync-failure" in status["notice"]
    assert (status["state"], status["last_applied"], status["cluster_id"]) == ("", 0, "")
    roster = running.roster()
    assert roster is not None
    assert set(roster.actors) == {"gateway"}
    assert roster.incarnation == ""


def test_a_log_that_takes_no_line_hides_no_failed_sync(node: Node) -> None:  # S13
    node.log_path = Path("/dev/full")  # the disk of the log file is most often that of the data
    node.start()
    before = node.running()
    os.kill(before.actors["gateway"], signal.SIGKILL)
    node.running(before, new=("gateway",))
    node.order("storage", "sync")
    wait_until(node.reason("fdatasync: EIO"), WAIT_S, "health to be red")
    runtime = node.runtime()
    assert runtime is not None
    assert pending_sync_failure(DataDirectory(node.data), runtime)


def test_a_failed_sync_outlives_the_supervisor_until_it_is_acknowledged(running: Node) -> None:  # S13
    running.order("storage", "sync")
    wait_until(lambda: "halted" in running.log(), WAIT_S, "the trio to end")
    running.supervisor.terminate()
    assert running.supervisor.wait(WAIT_S) == 0
    launched = running.launched("storage")

    running.start()
    wait_until(running.reason("fdatasync: EIO (recorded at"), WAIT_S, "health to be red")
    wait_until(lambda: set(roster.actors) == {"gateway"} if (roster := running.roster()) else None, WAIT_S, "a gateway")
    assert running.get("/health/live")[0] == 200
    assert running.launched("storage") == launched
    running.supervisor.terminate()
    assert running.supervisor.wait(WAIT_S) == 0

    runtime = running.runtime()
    assert runtime is not None
    acknowledge_sync_failure(DataDirectory(running.data), runtime)
    running.start()
    running.running()
    wait_until(running.is_ready, WAIT_S, "readiness")


def test_sigterm_leaves_nothing_behind(running: Node) -> None:
    assert len(running.session()) == 2 + len(ACTORS)  # the supervisor, and multiprocessing's resource tracker
    running.supervisor.terminate()
    assert running.supervisor.wait(WAIT_S) == 0
    assert running.session() == set()
    assert (running.data / "stopped").read_text().split()[0] == "gateway"
    assert sorted((running.data / "stopped").read_text().split()) == sorted(ACTORS)
    assert running.runtime() is None
    assert "level=error" not in running.log()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])  # Ctrl-C, and the end of the terminal
def test_what_a_terminal_sends_to_the_whole_group_stops_in_order_too(running: Node, number: signal.Signals) -> None:
    os.killpg(running.supervisor.pid, number)
    assert running.supervisor.wait(WAIT_S) == 0
    assert (running.data / "stopped").read_text().split()[0] == "gateway"
    assert "Traceback" not in running.log()


def test_an_actor_that_does_not_stop_is_killed(running: Node) -> None:
    running.order("storage", "deaf")
    wait_until((running.data / "storage.deafened").exists, WAIT_S, "the actor to stop listening")
    running.supervisor.terminate()
    assert running.supervisor.wait(WAIT_S) == 0
    assert sorted((running.data / "stopped").read_text().split()) == sorted({*ACTORS} - {"storage"})
    assert running.session() == set()


def test_a_second_supervisor_on_the_same_directory_is_refused(running: Node) -> None:  # S1
    before = running.running()
    second = Node(running.home)
    process = second.start()
    assert process.wait(WAIT_S + LOCK_WAIT_SECONDS) == DataDirectoryInUse.exit_code
    assert f"in use by process {running.supervisor.pid}" in running.log()
    assert running.running() == before
    assert running.is_ready()


def test_a_killed_supervisor_takes_its_children_along_and_the_next_one_starts(running: Node) -> None:
    first = running.session()
    running.supervisor.kill()
    running.supervisor.wait()
    wait_until(lambda: not running.session(), WAIT_S, "the children to die")
    running.start()
    running.running()
    assert not first & running.session()
    wait_until(running.is_ready, WAIT_S, "readiness")


def test_a_node_starts_at_once_after_it_was_killed(running: Node) -> None:
    """The lock is held until the last child of the killed node has died: the next start waits for that."""
    killed = running.supervisor
    killed.kill()
    running.start()
    killed.wait()
    running.running()
    wait_until(running.is_ready, WAIT_S, "readiness")


def test_a_runtime_directory_that_another_node_holds_is_refused(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    # Containers may have the same path for different data, and share the memory.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(node.home))
    held = hold_runtime(runtime_directory(node.data))
    assert node.start().wait(WAIT_S) == ConfigurationError.exit_code
    assert "is used by a node with other data: set XDG_RUNTIME_DIR" in node.log()
    os.close(held)
    node.start()
    node.running()


def test_a_node_whose_data_is_moved_away_ends(running: Node) -> None:
    # What is started at the path has nothing: it would know no cluster, and one that may join would form one.
    running.data.rename(running.home / "elsewhere")
    assert running.supervisor.wait(WAIT_S) == StorageFault.exit_code
    assert "was moved, removed or mounted over while the node ran" in running.log()


def test_a_runtime_directory_that_is_gone_is_told_and_a_stop_is_in_order(running: Node) -> None:
    runtime = running.runtime()
    assert runtime is not None
    shutil.rmtree(runtime)
    wait_until(running.reason("was removed: restart the node"), WAIT_S, "health to be red")
    running.supervisor.terminate()
    assert running.supervisor.wait(WAIT_S) == 0


def test_a_wrong_setting_stops_the_node_with_its_exit_code(node: Node) -> None:
    node.data.mkdir()
    node.order("gateway", "setting")
    assert node.start().wait(WAIT_S) == ConfigurationError.exit_code
    assert 'message="a setting is wrong"' in node.log()
    assert node.runtime() is None


def test_a_taken_http_port_is_told_before_anything_starts(node: Node) -> None:
    with socket.create_server(("127.0.0.1", node.settings.http_port)):
        assert node.start().wait(WAIT_S) == ConfigurationError.exit_code
    where = f"http_port: can't listen on 127.0.0.1:{node.settings.http_port}"
    assert f"{where}: Address already in use; choose another port" in node.log()
    assert node.roster() is None
