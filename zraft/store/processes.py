"""Processes of zraft's own modules: they run the code of the process that starts them, and die with it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def module_process(module: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Command and environment of a process that runs a module.

    It imports from where this one does, and not from the working directory, in which anybody may have put modules.
    """
    path = os.pathsep.join(entry for entry in sys.path if os.path.isabs(entry))
    return [sys.executable, "-P", "-m", module, *arguments], os.environ | {"PYTHONPATH": path}


def die_with_parent(parent_pid: int) -> None:
    """Lets the kernel kill this process when its parent dies. A child calls this before anything else.

    "Parent" is the *thread* that started the process: a main thread, or one that waits for the end of its child.

    Args:
        parent_pid: who the parent should be. If it died before this call, nobody will ever send the signal, so the
            process exits here.

    Raises:
        OSError: the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"PR_SET_PDEATHSIG: {os.strerror(error)}")
    if os.getppid() != parent_pid:
        os._exit(1)
