"""The processes that the supervisor starts, and waits for."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import connection, resource_tracker
from multiprocessing.context import SpawnProcess
from typing import NamedTuple

from zraft.actors.launch import FOR_THE_SUPERVISOR, STOP_SIGNAL, Launch, StopSignal, child_main

_spawn = multiprocessing.get_context("spawn")


class Ended(NamedTuple):
    """A child that has exited and was waited for. ``exit_code`` -9: killed by signal 9."""

    actor: str
    pid: int
    exit_code: int


class Children:
    """Starts actors as processes of their own. Only the main thread may use this: PDEATHSIG is bound to its life."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        """``modules``: the dotted path of each actor's module, by the actor's name."""
        self._modules = modules
        self._processes: dict[str, SpawnProcess] = {}

    def start(self, actor: str, launch: Launch) -> int:
        """Starts one actor and returns its process id.

        Raises:
            OSError: the machine has no room for another process.
        """
        process = _spawn.Process(name=actor, target=child_main, args=(actor, self._modules[actor], launch))
        with _bare_start():
            process.start()
        self._processes[actor] = process
        return process.pid or 0

    def pids(self) -> dict[str, int]:
        """The living children's process ids by actor."""
        return {actor: process.pid or 0 for actor, process in self._processes.items()}

    def terminate(self, actors: Sequence[str]) -> None:
        """Asks those of ``actors`` that live to stop in order."""
        for actor in actors:
            process = self._processes.get(actor)
            if process is not None and process.pid:
                with contextlib.suppress(ProcessLookupError):  # another one's start may have reaped it
                    os.kill(process.pid, STOP_SIGNAL)

    def kill(self, actors: Sequence[str]) -> None:
        """Sends SIGKILL to those of ``actors`` that live."""
        for actor in actors:
            if process := self._processes.get(actor):
                process.kill()

    def wait(self, timeout: float, stop: StopSignal | None) -> list[Ended]:
        """Waits for exits, a wish to stop, or ``timeout`` seconds, whichever comes first; returns the exits."""
        actors = {process.sentinel: actor for actor, process in self._processes.items()}
        ready = connection.wait([*actors, *([stop.fileno()] if stop else [])], timeout)
        return [self._reap(actor) for sentinel, actor in actors.items() if sentinel in ready]

    def end(self) -> None:
        """Kills all that still live, and waits for them, and for the process that multiprocessing keeps beside them."""
        self.kill(list(self._processes))
        for actor in list(self._processes):
            self._reap(actor)
        # It would go by itself, but a little after us, and as an orphan. There is no public way to wait for it.
        getattr(resource_tracker, "_resource_tracker")._stop()  # noqa: B009

    def _reap(self, actor: str) -> Ended:
        process = self._processes.pop(actor)
        process.join()
        ended = Ended(actor, process.pid or 0, process.exitcode or 0)
        process.close()
        return ended


@contextlib.contextmanager
def _bare_start() -> Iterator[None]:
    """Keeps two things from a child that multiprocessing would give it.

    The parent's main module: a child would run that script again, and import a command line that it never uses. And
    the signals that are sent to all: blocked until the child ignores them, as it has no handler for them before.
    """
    # Started first: it unblocks the signals.
    resource_tracker.ensure_running()
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_SUPERVISOR)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        sys.modules["__main__"] = main
