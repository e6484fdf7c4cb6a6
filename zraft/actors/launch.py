"""What every child of the supervisor is started with, and the frame that each of them runs in."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from zraft.actors.logs import Logger, set_up, take_stderr
from zraft.actors.process import InheritedDescriptor, name_process
from zraft.config import Settings
from zraft.errors import FatalError, InvariantViolated, NotYetMember
from zraft.store.directory import ipc_endpoint
from zraft.store.page import Page
from zraft.store.processes import die_with_parent
from zraft.version import __version__

Body = Callable[["Launch", "StopSignal", Logger], None]
"""An actor: runs until ``StopSignal.requested``, then returns."""

CRASHED = 1
"""The exit code of a child that ended by an error which nobody foresaw."""
_LAST_WORDS_CHARACTERS_MAX = 800


@dataclass(frozen=True, slots=True)
class Launch:
    """The arguments of a child."""

    settings: Settings
    runtime: Path
    """The runtime directory: page, sockets, metrics."""
    incarnation: int
    """Of the trio that this child belongs to; 0 for a gateway, which reads it from the page."""
    parent: int
    """The supervisor's process id."""
    lock: InheritedDescriptor | None
    """The locked descriptor of the data directory: while one of the trio lives, nobody else gets the lock (S1)."""
    version: str = __version__
    """Of the code that the supervisor runs: what processes of a node tell each other may change with any version."""

    def open_page(self) -> Page:
        """Maps the node's page."""
        return Page.open(page_path(self.runtime))

    def endpoint(self, name: str) -> str:
        """Of a link between actors of this incarnation: ``name`` is who binds it, a dot, and who connects."""
        return ipc_endpoint(self.runtime, self.incarnation, name)


def page_path(runtime: Path) -> Path:
    """Where the page of a node is."""
    return runtime / "page"


def verified_path(runtime: Path) -> Path:
    """A file that is there while nothing has cast doubt on the state since it was verified."""
    return runtime / "verified"


FOR_THE_SUPERVISOR = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOP_SIGNAL = signal.SIGUSR1
"""With which it asks a child to stop in order."""


class StopSignal:
    """The wish that this process stop: a flag, and a descriptor that becomes readable, and stays so, with it."""

    def __init__(self) -> None:
        self.requested = False
        self._readable, self._write_end = socket.socketpair()
        self._readable.setblocking(False)
        self._write_end.setblocking(False)

    def listen(self, *signals: signal.Signals) -> None:
        """Takes each of ``signals`` as such a wish from now on. Only the main thread may call this."""
        for number in signals:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # else it was started by nohup
                signal.signal(number, lambda *_: self.request())
        # Written to by C code at once: a signal that arrives just before a poll() still ends that poll().
        signal.set_wakeup_fd(self._write_end.fileno(), warn_on_full_buffer=False)

    def request(self) -> None:
        """Asks the process to stop."""
        self.requested = True
        with contextlib.suppress(BlockingIOError):  # full: it is readable already
            self._write_end.send(b"\0")

    def fileno(self) -> int:
        """For a poller: readable from the request on. Nobody reads from it."""
        return self._readable.fileno()

    def close(self) -> None:
        """Closes the descriptors; not for a process that listens to signals, which keeps them for life."""
        self._readable.close()
        self._write_end.close()


def begin(launch: Launch, actor: str) -> tuple[StopSignal, Logger]:
    """What a child does first: die with its parent, take its signals, have a name and a log."""
    die_with_parent(launch.parent)
    # A terminal sends SIGINT to the whole group, and who runs services may send SIGTERM to all their processes (systemd
    # does); only the supervisor acts on them, and stops its children in order.
    for number in FOR_THE_SUPERVISOR:
        signal.signal(number, signal.SIG_IGN)
    stop = StopSignal()
    stop.listen(STOP_SIGNAL)
    name_process(launch.settings.id, actor)
    take_stderr()
    return stop, set_up(launch.settings.id, actor)


def child_main(actor: str, module: str, launch: Launch) -> None:
    """The main function of a child process: runs ``module.run(launch, stop, log)``.

    A ``FatalError`` ends the process with its exit code, a broken invariant with 70, all else with 1; each is one
    line of the log, and a sentence that the supervisor takes up with ``last_words``.

    Args:
        actor: the name of the child.
        module: the dotted path of the actor's module, imported only here: no child loads another one's code.
        launch: the child's arguments.
    """
    stop, logger = begin(launch, actor)
    try:
        if launch.version != __version__:
            raise FatalError(
                f"zraft {__version__} was installed while this node runs {launch.version}: restart the whole node"
            )
        body: Body = importlib.import_module(module).run
        gc.freeze()  # code never becomes garbage, and to look through it for some took up to 27 ms now and then
        body(launch, stop, logger)
    except NotYetMember as error:  # part of how a node joins
        logger.info("begins anew", why=str(error))
        _end(launch, actor, error.exit_code, str(error))
    except FatalError as error:
        logger.error("fatal", error=type(error).__name__, message=str(error), exit_code=error.exit_code)
        _end(launch, actor, error.exit_code, str(error))
    except InvariantViolated as error:
        logger.error("bug", message=str(error), traceback=traceback.format_exc())
        _end(launch, actor, FatalError.exit_code, str(error))
    except Exception as error:
        logger.error("crashed", error=repr(error), traceback=traceback.format_exc())
        _end(launch, actor, CRASHED, repr(error))


def last_words(runtime: Path, actor: str) -> str:
    """Why a child that has ended said that it did, once; empty when it said nothing."""
    path = _last_words_path(runtime, actor)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        path.unlink()
    except OSError:
        return ""
    return text


def _last_words_path(runtime: Path, actor: str) -> Path:
    return runtime / f"{actor}.last-words"


def _end(launch: Launch, actor: str, exit_code: int, words: str) -> NoReturn:
    with contextlib.suppress(OSError):
        _last_words_path(launch.runtime, actor).write_text(words[:_LAST_WORDS_CHARACTERS_MAX], encoding="utf-8")
    # Not sys.exit: a process in doubt runs no destructors, and waits for no thread that may never end.
    os._exit(exit_code)
