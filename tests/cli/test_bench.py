"""``zraft bench``: its figures on stdout, its progress on stderr. What is measured is tested in tests/wire."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.asking import ANSWERED_S, Serve, ask, run
from tests.wire.scripted import CLUSTER
from zraft.bench import Figures, Load
from zraft.bench.worker import Tally
from zraft.cli.bench import row
from zraft.config import Settings
from zraft.protocol.requests import ClusterStatus, Get, Request
from zraft.protocol.responses import ErrorResult, GetResult, PutResult, Response, StatusResult

DONE = PutResult(success=True, error=None, index=7, revision=3, mod_revision=3)
FOUND = GetResult(found=True, value=b"v", error=None, revision=3)
STATUS = StatusResult("node-1", "leader", 4, "node-1", (), 7, 7, "", CLUSTER.hex(), 1, 7, 3)
ONE = ("--clients", "1", "--pipeline", "4", "--seconds", "0.3")


def answer(request: Request) -> Response:
    match request:
        case ClusterStatus():
            return STATUS
        case Get():
            return FOUND
    return DONE


def test_json_holds_figures_and_settings(serve: Serve) -> None:
    node = serve(answer)
    result = ask(node, "bench", *ONE, "--value-size", "10", "--keys", "3", "--output", "json")
    document = json.loads(result.stdout)
    assert (result.exit_code, result.stderr) == (0, "")
    assert document.keys() == {
        "operations_per_second",
        "latency_ms",
        "operations",
        "errors",
        "not_found",
        "elapsed_seconds",
        "longest_stall_ms",
        "client_cpu_seconds",
        "terms",
        "settings",
    }
    assert document["settings"] == {
        "endpoints": [node.endpoint],
        "clients": 1,
        "pipeline": 4,
        "batch": 1,
        "value_size": 10,
        "keys": 3,
        "read_ratio": 0.0,
        "consistency": "linearizable",
        "seconds": 0.3,
        "timeout": ANSWERED_S,
        "fill": False,
        "spread": False,
        "large_every": 0,
    }


def test_a_table_for_people() -> None:
    tally = Tally(operations=12_345, not_found=1_000, elapsed=2.0)
    tally.errors.update(Unknown=3, Unavailable=1_200)
    tally.latencies.add(0.01)
    figures = Figures(Load(endpoints=("a:1",)), tally, (3, 4))
    latencies = ["10.00"] * 4
    assert row(figures) == ("6,172", *latencies, "12,345", "1,200 Unavailable, 3 Unknown", "1,000", "3 to 4")


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zraft.cli.progress.LINE_EVERY_S", 0.1)
    node = serve(answer)
    loud = ask(node, "bench", *ONE, "--seconds", "0.8", "--output", "json")
    quiet = ask(node, "bench", *ONE, "--seconds", "0.8", "--output", "json", "--quiet")
    lines = loud.stderr.splitlines()
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[\d.]+ s: [\d,]+ operations, [\d,]+/s", line)] == []
    assert (quiet.exit_code, quiet.stderr) == (0, "")
    assert json.loads(loud.stdout).keys() == json.loads(quiet.stdout).keys()


def test_progress_is_shown_on_a_terminal(serve: Serve) -> None:
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "zraft.cli",
        "bench",
        *ONE,
        "--seconds",
        "0.8",
        "--endpoints",
        serve(answer).endpoint,
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    output = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, env=environment, timeout=30, check=True)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
    assert b"operations," not in output.stdout
    assert output.stdout.startswith(b"OPERATIONS/S")
    assert " operations, " in shown
    assert shown.endswith("\r\x1b[K")


def test_a_load_that_did_nothing_is_a_failure(serve: Serve) -> None:
    lost = ErrorResult("Unknown", "the leader was lost")
    result = ask(
        serve(lambda request: lost if not isinstance(request, ClusterStatus | Get) else answer(request)), "bench", *ONE
    )
    assert (result.exit_code, "Unknown" in result.stdout, "zraft status" in result.stderr) == (3, True, True)


def test_nobody_to_load_is_unavailable() -> None:
    result = run("bench", *ONE, "--timeout", "0.3", "--endpoints", "127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (3, "")


def test_an_impossible_load_is_rejected(serve: Serve) -> None:
    result = ask(serve(answer), "bench", *ONE, "--batch", "10000", "--value-size", "1000")
    assert (result.exit_code, "at most 1572864 bytes" in result.stderr) == (5, True)


def test_no_more_is_outstanding_than_a_node_takes_of_a_connection() -> None:
    most = Settings().client_requests_max
    result = run("bench", "--pipeline", str(most + 1))
    assert (result.exit_code, f"1<=x<={most}" in result.stderr) == (2, True)
