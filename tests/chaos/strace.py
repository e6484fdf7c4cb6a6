"""System calls that fail on purpose: strace between a process and its kernel."""

import functools
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 60


def run(fault: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with `arguments` under a fault as in `man strace`, such as `fdatasync:error=EIO:when=3`."""
    calls, _ = fault.split(":", 1)
    traced = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={fault}"]
    return subprocess.run(
        [*traced, sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


@functools.cache
def available() -> str | None:
    """Why strace does not work here, for a test to skip with; None if it does."""
    if shutil.which("strace") is None:
        return "there is no strace"
    done = run("fdatasync:error=EIO", "-c", "import os, sys\ntry: os.fdatasync(0)\nexcept OSError as e: print(e.errno)")
    return None if done.stdout == "5\n" else f"strace does not work: {done.stderr.strip()}"
