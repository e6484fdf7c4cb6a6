"""Metrics across processes: each child counts for itself, and may be killed at any moment."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.waiting import wait_until
from zraft.actors.metrics import NodeMetrics

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def metrics(tmp_path: Path) -> NodeMetrics:
    return NodeMetrics(
        tmp_path,
        tmp_path,
        is_ready=lambda: True,
        pids=lambda: {"storage": os.getpid()},
        restarts=lambda: {"storage": 4},
        voters=lambda: 3,
    )


Run = Callable[[str], int]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs code in a process that counts, which then kills itself; returns its process id."""

    def run(code: str) -> int:
        script = f"import os; from zraft.actors.metrics import *\n{code}\nreporter.flush(); os.kill(os.getpid(), 9)"
        environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=environment)
        assert process.wait() == -9
        return process.pid

    return run


def samples(metrics: NodeMetrics) -> dict[str, float]:
    """The raft_ and zraft_ samples by name and labels."""
    _, text = metrics.text()
    lines = [line for line in text.decode().splitlines() if line.startswith(("raft_", "zraft_"))]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


HISTOGRAMS = ("zraft_log_sync_seconds", "zraft_apply_seconds", "zraft_proposal_queue_seconds", "zraft_snapshot_seconds")
KINDS = ("write", "read", "status")
BOUNDS = ["0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025"]
BOUNDS += ["0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0"]


def counted(metrics: NodeMetrics) -> dict[str, float]:
    return {name: value for name, value in samples(metrics).items() if value and "zraft_" not in name}


def test_all_names_are_there_before_anything_happened(metrics: NodeMetrics, run: Run) -> None:
    run("")
    found = samples(metrics)
    assert found.pop('zraft_actor_restarts_total{actor="storage"}') == 4
    assert found.pop("zraft_node_ready") == 1
    assert found.pop("zraft_voters") == 3
    assert found.pop("zraft_disk_bytes") > found.pop("zraft_disk_free_bytes") > 0
    assert {name: value for name, value in found.items() if "_bucket" not in name} == {
        "raft_leader_elections_total": 0,
        "raft_append_entries_total": 0,
        "raft_request_vote_total": 0,
        "raft_committed_entries_total": 0,
        "zraft_replica_divergences_total": 0,
        "raft_last_heartbeat": 0,
        "raft_current_term": 0,
        "raft_node_state": 0,
        **{f"{name}_{part}": 0 for name in HISTOGRAMS for part in ("count", "sum")},
        **{f'zraft_request_seconds_{part}{{kind="{kind}"}}': 0 for kind in KINDS for part in ("count", "sum")},
        "zraft_proposals_total": 0,
        "zraft_proposals_refused_total": 0,
        "zraft_has_leader": 0,
        "zraft_leader_changes_total": 0,
        "zraft_proposals_in_flight": 0,
        "zraft_commands_waiting": 0,
        "zraft_last_log_index": 0,
        "zraft_commit_index": 0,
        "zraft_applied_index": 0,
        "zraft_revision": 0,
        "zraft_snapshot_failures_total": 0,
        "zraft_commit_lag_entries": 0,
        "zraft_apply_lag_entries": 0,
        "zraft_cluster_version": 0,
        "zraft_compacted_revision": 0,
        "zraft_snapshot_index": 0,
        "zraft_space_level": 0,
        "zraft_log_bytes": 0,
        "zraft_state_bytes": 0,
        "zraft_snapshots_bytes": 0,
        "zraft_installing_held_bytes": 0,
        "zraft_installing_bytes": 0,
        "zraft_requests_in_flight": 0,
        "zraft_client_connections": 0,
    }


def test_latencies_counted_in_memory_come_out_as_a_histogram(metrics: NodeMetrics, run: Run) -> None:
    run(
        "writes = request_seconds['write']\n"
        "[writes.observe(seconds) for seconds in (0.0001, 0.00011, 0.3, 60)]\n"
        "writes.flush(); writes.observe(0.3); writes.flush()"
    )
    found = samples(metrics)
    series = {name.split('le="')[1][:-2]: value for name, value in found.items() if "bucket" in name and value}
    assert series == {"0.0001": 1} | dict.fromkeys(BOUNDS[1:-5], 2) | dict.fromkeys(BOUNDS[-5:], 4) | {"+Inf": 5}
    assert found['zraft_request_seconds_count{kind="write"}'] == 5
    assert found['zraft_request_seconds_sum{kind="write"}'] == pytest.approx(60.60021)


def test_labels_come_with_what_was_counted(metrics: NodeMetrics, run: Run) -> None:
    run(
        "requests.inc(('write', 'ok')); requests.inc(('read', 'Unavailable'))\n"
        "requests.flush(); requests.inc(('write', 'ok'))\n"
        "round_trip_seconds('node-2').observe(0.004); round_trip_seconds('node-2').observe(0.006)"
    )
    found = samples(metrics)
    assert found['zraft_requests_total{kind="write",result="ok"}'] == 2
    assert found['zraft_requests_total{kind="read",result="Unavailable"}'] == 1
    assert found['zraft_peer_round_trip_seconds_count{peer="node-2"}'] == 2
    assert found['zraft_peer_round_trip_seconds_sum{peer="node-2"}'] == pytest.approx(0.01)


def test_a_disk_that_is_gone_has_no_size(metrics: NodeMetrics, tmp_path: Path) -> None:
    gone = NodeMetrics(tmp_path, tmp_path / "gone", is_ready=lambda: False, pids=dict, restarts=dict, voters=int)
    found = samples(gone)
    assert found["zraft_node_ready"] == 0
    assert "zraft_disk_bytes" not in found


def test_processes_are_told_by_actor(metrics: NodeMetrics) -> None:
    text = metrics.text()[1].decode()
    assert 'process_cpu_seconds_total{actor="storage"}' in text
    assert 'process_resident_memory_bytes{actor="storage"}' in text


def test_counters_add_up_over_processes_and_outlive_them(metrics: NodeMetrics, run: Run) -> None:
    first = run("append_entries.inc(3); request_vote.inc()")
    second = run("append_entries.inc(4)")
    expected = {"raft_append_entries_total": 7.0, "raft_request_vote_total": 1.0}
    assert counted(metrics) == expected
    metrics.bury(first)
    assert counted(metrics) == expected
    metrics.bury(second)
    third = run("append_entries.inc(10)")
    metrics.bury(third)
    assert counted(metrics) == expected | {"raft_append_entries_total": 17.0}


def test_a_histogram_outlives_its_process(metrics: NodeMetrics, run: Run) -> None:
    for _ in range(2):
        metrics.bury(run("log_sync_seconds.observe(0.0002); log_sync_seconds.observe(3)"))
    found = samples(metrics)
    assert found["zraft_log_sync_seconds_count"] == 4
    assert found["zraft_log_sync_seconds_sum"] == pytest.approx(6.0004)
    assert found['zraft_log_sync_seconds_bucket{le="0.0001"}'] == 0
    assert found['zraft_log_sync_seconds_bucket{le="0.00025"}'] == 2
    assert found['zraft_log_sync_seconds_bucket{le="2.5"}'] == 2
    assert found['zraft_log_sync_seconds_bucket{le="+Inf"}'] == 4


def test_a_dead_leader_is_no_leader_but_its_term_stays(metrics: NodeMetrics, run: Run) -> None:
    election = run("node_state.set(NODE_STATES['leader']); current_term.set(7); last_heartbeat.set(1700000000)")
    storage = run("")  # its zeros change nothing
    lasting = {"raft_current_term": 7.0, "raft_last_heartbeat": 1700000000.0}
    assert counted(metrics) == lasting | {"raft_node_state": 2.0}
    metrics.bury(election)
    assert counted(metrics) == lasting
    metrics.bury(storage)
    metrics.bury(run("current_term.set(8); node_state.set(1)"))
    assert counted(metrics) == lasting | {"raft_current_term": 8.0}


def test_a_queue_tells_its_peak_and_its_actor(metrics: NodeMetrics, run: Run) -> None:
    pid = run("queue = queue_depth('storage', 'messages'); queue.see(3); queue.see(9); queue.see(2)")
    run("queue = queue_depth('gateway', 'reads'); queue.see(4); reporter.flush(); queue.see(1)")
    depth = {name: value for name, value in samples(metrics).items() if name.startswith("zraft_queue_depth")}
    assert depth == {
        'zraft_queue_depth{actor="storage",queue="messages"}': 9.0,
        'zraft_queue_depth{actor="gateway",queue="reads"}': 1.0,  # since it was handed over
    }
    metrics.bury(pid)
    assert 'zraft_queue_depth{actor="storage",queue="messages"}' not in samples(metrics)


def test_a_crash_loop_does_not_fill_the_directory(metrics: NodeMetrics, run: Run, tmp_path: Path) -> None:
    for _ in range(3):
        metrics.bury(run("append_entries.inc()"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "counter_dead.db",
        "gauge_max_dead.db",
        "histogram_dead.db",
    ]


def test_a_file_that_a_starting_process_has_not_filled_yet_is_no_error(metrics: NodeMetrics, tmp_path: Path) -> None:
    (tmp_path / "counter_77.db").touch()
    assert samples(metrics)["zraft_node_ready"] == 1
    metrics.bury(77)
    assert not (tmp_path / "counter_77.db").exists()


def test_a_process_counts_while_others_look(metrics: NodeMetrics, tmp_path: Path) -> None:
    script = "from zraft.actors.metrics import *\nwhile True: append_entries.inc(); append_entries.flush()"
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=environment) as process:
        seen = [0.0]

        def grows() -> bool:
            seen.append(samples(metrics).get("raft_append_entries_total", 0.0))
            return len([value for value in seen if value]) > 20

        wait_until(grows, 20, "the counter to be seen")
        process.kill()
    process.wait()
    metrics.bury(process.pid)
    seen.append(samples(metrics)["raft_append_entries_total"])
    assert seen == sorted(seen)
