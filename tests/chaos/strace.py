"""System calls that fail on purpose: strace between a process and its kernel."""

import contextlib
import functools
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 60


def run(fault: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with `arguments` under a fault as in `man strace`, such as `fdatasync:error=EIO:when=3`."""
    command = [*_strace(fault), sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


@contextlib.contextmanager
def attached(pid: int, fault: str) -> Iterator[None]:
    """A process that runs already has a fault while the context lasts; it may end of it at once."""
    tracer = subprocess.Popen([*_strace(fault), "-p", str(pid)], stderr=subprocess.DEVNULL)
    try:
        # A tracer ends with whom it traces.
        wait_until(
            lambda: _tracer_of(pid) == tracer.pid or tracer.poll() is not None,
            TIMEOUT_S,
            f"strace to trace process {pid}",
        )
        yield
    finally:
        tracer.terminate()
        tracer.wait(TIMEOUT_S)


@functools.cache
def available() -> str | None:
    """Why strace does not work here, for a test to skip with; None if it does."""
    if shutil.which("strace") is None:
        return "there is no strace"
    done = run("fdatasync:error=EIO", "-c", "import os, sys\ntry: os.fdatasync(0)\nexcept OSError as e: print(e.errno)")
    return None if done.stdout == "5\n" else f"strace does not work: {done.stderr.strip()}"


def _strace(fault: str) -> list[str]:
    calls, _ = fault.split(":", 1)
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={fault}"]


def _tracer_of(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"^TracerPid:\s+(\d+)$", status, re.MULTILINE)
    return int(found[1]) if found else 0
