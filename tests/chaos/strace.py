"""System calls that fail on purpose: strace between a process and its kernel."""

import contextlib
import functools
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 60
STOPPED = "--- stopped by SIGSTOP ---"


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


@contextlib.contextmanager
def stopping(pid: int, call: str, paths: Iterable[Path], when: int = 1) -> Iterator[Callable[[], None]]:
    """A process stands still right after its thread's ``when``-th ``call`` on one of ``paths``; a killer comes then.

    Yields what waits for that moment. From then on the process is stopped, as by SIGSTOP, and traced by nobody.

    Args:
        pid: of a process that runs, or stands still already.
        call: the name of a system call, as strace has it.
        paths: as the process names them in the call, or as the kernel names what a descriptor is open for.
        when: counted from now on, in each thread by itself.
    """
    with tempfile.NamedTemporaryFile(prefix="zraft-strace-") as log:
        only = [word for path in paths for word in ("-P", str(path))]
        stop = ["-e", f"inject={call}:signal=SIGSTOP:when={when}", "-e", f"trace={call}", *only]
        tracer = subprocess.Popen(["strace", "-f", "-q", "-o", log.name, *stop, "-p", str(pid)])

        def is_stopped() -> bool:
            _, _, since_it_called = Path(log.name).read_text().partition(f"{call}(")
            return STOPPED in since_it_called

        def wait() -> None:
            wait_until(is_stopped, TIMEOUT_S, f"{call} of process {pid}")
            tracer.terminate()
            tracer.wait(TIMEOUT_S)

        try:
            wait_until(lambda: _tracer_of(pid) == tracer.pid, TIMEOUT_S, f"strace to trace process {pid}")
            yield wait
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
