"""``zraft top --once`` on scripted nodes; the frames themselves are tested in ``unit/cli/test_top_view``."""

import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.cli.asking import Serve, ask, run
from tests.wire.scripted import CLUSTER
from zraft.protocol.requests import ClusterStatus, Request
from zraft.protocol.responses import GetResult, PeerInfo, Response, StatusResult

PAGE = """# TYPE zraft_node_ready gauge
zraft_node_ready 1.0
# TYPE zraft_request_seconds histogram
zraft_request_seconds_bucket{{kind="write",le="0.1"}} {count}
zraft_request_seconds_bucket{{kind="write",le="+Inf"}} {count}
zraft_request_seconds_count{{kind="write"}} {count}
zraft_request_seconds_sum{{kind="write"}} 1.0
"""


@pytest.fixture
def metrics() -> Iterator[HTTPServer]:
    """A /metrics page on which another 100 writes stand whenever it is asked for."""

    class Handler(BaseHTTPRequestHandler):
        count = 0

        def do_GET(self) -> None:
            type(self).count += 100
            body = PAGE.format(count=self.count).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def answer(request: Request) -> Response:
    peers = (PeerInfo("node-2", "2", "127.0.0.1:7090", "127.0.0.1:1"),)
    status = StatusResult("node-1", "leader", 4, "node-1", peers, 9, 8, "1", CLUSTER.hex(), 1, 10, 3)
    return status if request == ClusterStatus() else GetResult(False, None, None, 3)


def test_once_prints_one_frame(serve: Serve, metrics: HTTPServer) -> None:
    node = serve(answer)
    offset = metrics.server_address[1] - int(node.endpoint.split(":")[1])
    result = ask(node, "top", "--once", "--interval", "0.1", "--http-offset", str(offset))
    assert (result.exit_code, result.stderr) == (0, "")
    summary, _, head, first, second = result.stdout.splitlines()
    assert "node-1 leads in term 4  |  1 of 2 serve  |  revision 3  |  0 changes/s" in summary
    assert head.split()[:4] == ["NODE", "STATE", "TERM", "LEADER"]
    assert first.split()[:6] == ["node-1", "leader", "4", "node-1", "8", "1"]
    assert int(first.split()[6].replace(",", "")) > 0
    assert first.split()[8] == "99.0ms"
    assert second.split()[:2] == ["node-2", "silent"]


def test_a_terminal_that_nobody_knows_is_an_error_of_usage(serve: Serve) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "nobody-knows-it"}
    command = [sys.executable, "-m", "zraft.cli", "top", "--endpoints", serve(answer).endpoint]
    ours, theirs = pty.openpty()
    try:
        process = subprocess.run(
            command, env=environment, stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert (process.returncode, process.stderr.count("\n")) == (2, 1)
    assert "set TERM, or use --once" in process.stderr


def test_without_its_http_port_a_node_has_no_rates(serve: Serve) -> None:
    node = serve(answer)
    offset = 1 - int(node.endpoint.split(":")[1])
    result = ask(node, "top", "--once", "--interval", "0.1", "--http-offset", str(offset))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[3].split()[6:10] == ["-"] * 4


def test_no_terminal_is_a_mistake_of_usage(serve: Serve) -> None:
    result = ask(serve(answer), "top")
    assert result.exit_code == 2
    assert "--once" in result.stderr


def test_nobody_answers() -> None:
    result = run("top", "--once", "--endpoints", "127.0.0.1:1", "--timeout", "0.2")
    assert result.exit_code == 3
    assert "no node answers" in result.stderr
