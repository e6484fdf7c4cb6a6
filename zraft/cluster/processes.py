"""The processes of one node, as somebody sees them who did not start them, or who is about to kill them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from zraft.actors.process import stat_of
from zraft.store.dirty import boot_id

SIGNAL_S_MAX = 10.0
"""How long the kernel may take to stop or to end processes, on a machine that is busy."""

_POLL_S = 0.02
# Positions among what ``stat_of`` gives.
_STATE, _SESSION, _THREADS, _START_TICKS = 0, 3, 17, 19

T = TypeVar("T")


class ClusterError(Exception):
    """What was asked of a local cluster can't be done; the message says why, and what to do."""


class NodeProcesses(msgspec.Struct, frozen=True):
    """A node's processes: all of the session that its supervisor leads, even when the supervisor itself is gone.

    ``started`` (the supervisor's start, in clock ticks since boot) and ``boot`` tell it from a stranger that has got
    the same number since.
    """

    pid: int
    started: int
    boot: str

    @classmethod
    def start(cls, command: list[str], log_path: Path, environment: dict[str, str]) -> NodeProcesses:
        """Starts a command, detached, in a session of its own; what it prints is appended to the file."""
        # Not subprocess, whose objects want to be waited for: nodes outlive the program that starts them.
        pid = os.posix_spawn(
            command[0],
            command,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigdef=[signal.SIGINT, signal.SIGPIPE],
        )
        return cls(pid, _start_ticks(pid) or 0, boot_id())

    def states(self) -> dict[int, str]:
        """The living processes by pid, the supervisor first; a state ``T`` is one that stands still."""
        self._reap()
        # The kernel gives no new process the number of a session that lives. So if somebody else has the supervisor's
        # number, nothing of the node is left.
        if self.boot != boot_id() or _start_ticks(self.pid) not in (None, self.started):
            return {}
        found = {}
        pids = (int(entry) for entry in os.listdir("/proc") if entry.isdecimal())
        for pid in sorted(pids, key=lambda pid: pid != self.pid):
            fields = stat_of(pid)
            if fields and int(fields[_SESSION]) == self.pid and not _is_over(fields):
                found[pid] = fields[_STATE]
        return found

    def has_supervisor(self) -> bool:
        """Whether the supervisor lives: a look at one process, where ``states`` looks at all of the machine."""
        self._reap()
        fields = stat_of(self.pid)
        lives = fields is not None and not _is_over(fields) and int(fields[_START_TICKS]) == self.started
        return lives and self.boot == boot_id()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to each of them, the supervisor first: stopped or killed, it restarts no other."""
        for pid in self.states():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        """Asks the node to stop in order; it may take a while."""
        self.signal(signal.SIGCONT)  # who stands still hears nothing
        for pid in self.states():
            if pid == self.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP to all of them; returns when all stand still."""

        def stand_still() -> bool:
            self.signal(signal.SIGSTOP)  # again, to those who were started meanwhile
            return set(self.states().values()) == {"T"}

        wait_for(stand_still, SIGNAL_S_MAX, f"session {self.pid} to stand still")

    def kill(self) -> None:
        """SIGKILL to all of them; returns when they are gone."""

        def is_gone() -> bool:
            self.signal(signal.SIGKILL)
            return not self.states()

        wait_for(is_gone, SIGNAL_S_MAX, f"session {self.pid} to be gone")

    def _reap(self) -> None:
        if _start_ticks(self.pid) == self.started:
            with contextlib.suppress(ChildProcessError):  # it is another program's child
                os.waitpid(self.pid, os.WNOHANG)


def wait_for(condition: Callable[[], T], timeout: float, what: str) -> T:
    """The first value of the condition that is true.

    Raises:
        ClusterError: there was none within ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() >= deadline:
            raise ClusterError(f"waited {timeout:g} s in vain for {what}")
        time.sleep(_POLL_S)
    return value


def _is_over(fields: list[str]) -> bool:
    # A process whose main thread has ended is a zombie already while others of its threads hold files and locks.
    return fields[_STATE] in "ZX" and int(fields[_THREADS]) <= 1


def _start_ticks(pid: int) -> int | None:
    fields = stat_of(pid)
    return int(fields[_START_TICKS]) if fields else None
