"""What a process of a node needs to know about being a process: its files, inheriting, its name, its cost."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import context, reduction
from pathlib import Path
from typing import Any

import setproctitle

FILES_MAX = 65_536
_CLOCK_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_MEMORY_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

# Positions among what ``stat_of`` gives, and in /proc/<pid>/statm.
_USER_TICKS, _SYSTEM_TICKS = 11, 12
_RESIDENT_PAGES = 1


def raise_file_limit() -> None:
    """Let this process, and those that it starts, have as many descriptors as it may: a client's connection takes one.

    The usual soft limit of 1,024 is for programs that call select().
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class InheritedDescriptor:
    """A file descriptor as an argument of a spawned process, which then holds the same open file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        """The descriptor, in this process. It stays open until somebody closes it or the process exits."""
        return self._descriptor

    def __reduce__(self) -> tuple[Callable[[Any], InheritedDescriptor], tuple[Any]]:
        context.assert_spawning(self)
        return _arrive, (reduction.DupFd(self._descriptor),)


def _arrive(duplicate: Any) -> InheritedDescriptor:
    return InheritedDescriptor(duplicate.detach())


def name_process(node: str, actor: str) -> None:
    """Gives this process a name that ``ps`` and ``top`` show: ``zraft: node-1 storage``."""
    setproctitle.setproctitle(f"zraft: {node} {actor}")


def stat_of(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat behind the command's name; None if there is no such process (any more)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # no Path: some look at them all
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and may itself hold spaces and parentheses.
    return text.rpartition(")")[2].split()


@dataclass(frozen=True, slots=True)
class ProcessStats:
    """What a process has cost so far."""

    cpu_seconds: float
    resident_bytes: int

    @classmethod
    def of(cls, pid: int) -> ProcessStats | None:
        """Reads the numbers of any process; None if it is gone."""
        times = stat_of(pid)
        try:
            # stat has a number of resident pages as well, which the kernel only estimates.
            memory = Path(f"/proc/{pid}/statm").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        if times is None:
            return None
        ticks = int(times[_USER_TICKS]) + int(times[_SYSTEM_TICKS])
        return cls(ticks / _CLOCK_TICKS_PER_SECOND, int(memory[_RESIDENT_PAGES]) * _MEMORY_PAGE_BYTES)
