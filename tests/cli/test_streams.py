"""Standard streams as a shell gives them: terminals, pipes, closed ones."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.asking import Serve
from zraft.protocol.requests import Get
from zraft.protocol.responses import GetResult, PutResult

DONE = PutResult(success=True, error=None, index=7, revision=3, mod_revision=3)
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}


def test_on_a_terminal_a_value_ends_a_line(serve: Serve) -> None:
    node = serve(GetResult(True, b"v", None, 3))
    ours, theirs = pty.openpty()
    try:
        command = [sys.executable, "-m", "zraft.cli", "get", "k", "--endpoints", node.endpoint]
        subprocess.run(command, env=ENVIRONMENT, stdout=theirs, timeout=60, check=True)
        assert os.read(ours, 100) == b"v\r\n"
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_reader_that_went_away_is_no_error_of_1(serve: Serve) -> None:
    node = serve(GetResult(True, bytes(1 << 20), None, 3))
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-m", "zraft.cli", "get", "k", "--endpoints", node.endpoint],
        env=ENVIRONMENT,
        stdout=writer,
        timeout=30,
        check=False,
    )
    os.close(writer)
    assert process.returncode == 141


@pytest.mark.parametrize(
    ("command", "streams", "exit_code"),
    [
        ("get k", ">&-", 71),
        ("get k", ">/dev/full", 71),
        ("put k --file -", "<&-", 71),
        ("get gone", "2>&-", 1),
        ("nonsense", "2>&-", 2),
        ("nonsense", "2>/dev/full", 2),
        ("put k v", "<&- >&- 2>&-", 71),
    ],
)
def test_a_closed_stream_is_an_error_where_it_is_needed(
    serve: Serve, command: str, streams: str, exit_code: int
) -> None:
    node = serve(lambda request: GetResult(request.key == b"k", b"v", None, 3) if isinstance(request, Get) else DONE)
    line = f"exec {sys.executable} -m zraft.cli {command} {streams}"
    environment = ENVIRONMENT | {"ZRAFT_ENDPOINTS": node.endpoint}
    process = subprocess.run(["sh", "-c", line], env=environment, stderr=subprocess.PIPE, text=True, check=False)
    assert (process.returncode, "Traceback" in process.stderr) == (exit_code, False)
