"""The supervisor: the parent of a node's processes. It starts, watches and restarts them, and answers over HTTP.

It decides nothing about consensus, and of its own work only the order at start and at the end is here; when to
restart what is decided in ``zraft.core.restarts``.

The page: NODE is the supervisor's own group. The others belong to actors of the trio, and a group has one writer at a
time: while no process of the trio lives, which only the supervisor knows, it is the supervisor that clears them, and
says in NOTICE why the node is down.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from zraft.actors.beat import GROUPS, HUNG_SECONDS, SILENT_SECONDS
from zraft.actors.children import Children, Ended
from zraft.actors.http import HttpServer, as_json, health
from zraft.actors.launch import CRASHED, FOR_THE_SUPERVISOR, Launch, StopSignal, last_words, page_path, verified_path
from zraft.actors.logs import Logger, set_up, take_stderr
from zraft.actors.process import InheritedDescriptor, name_process, raise_file_limit
from zraft.actors.roster import Roster
from zraft.actors.status import cluster_status, named_fields, voters, why_not_ready
from zraft.config import Settings, is_address, is_loopback, split_address
from zraft.core.restarts import (
    TRIO,
    Boot,
    Effect,
    Event,
    Exited,
    Finished,
    Forget,
    Halted,
    Kill,
    RecordSyncFailure,
    Restarts,
    Start,
    StopRequested,
    Terminate,
    Tick,
    Withdraw,
    sync_failure_reason,
)
from zraft.core.trouble import Lasts, Over, Trouble
from zraft.core.vitality import Beats
from zraft.errors import ConfigurationError, DataDirectoryInUse, FatalError, StorageFault
from zraft.protocol.codec import encode
from zraft.protocol.local import NodeGroup
from zraft.store.directory import DataDirectory, hold_runtime, runtime_directory
from zraft.store.fault import pending_sync_failure, record_sync_failure
from zraft.store.page import Group, Page
from zraft.store.soundness import CRASHES

ACTORS = {actor: f"zraft.actors.{actor}" for actor in (*TRIO, "gateway")}
"""The module of each actor of a node."""

LOCK_WAIT_SECONDS = 3.0
"""How long the processes of a node that was just killed may take to let go of the data directory."""
ROOM_BYTES = 2 << 20
"""What a runtime directory must have room for; a node takes about half a MiB of it."""
_LOCK_RETRY_SECONDS = 0.05
_TICK_SECONDS = 1.0
_DOUBTFUL = {CRASHED, StorageFault.exit_code, *(-number for number in CRASHES)}
"""Exit codes of a storage that may have come upon damage of the state without knowing."""
_NOT_STARTED = 71  # EX_OSERR: the machine had no room for the process
_TRIO_GROUPS = (Group.ROLE, Group.LEASE, Group.COMMIT, Group.STORAGE, Group.IDENTITY, Group.NOTICE)


@dataclass(frozen=True)
class _Premises:
    """What a node holds while it runs."""

    directory: DataDirectory
    lock: int
    runtime: Path
    page: Page
    page_inode: int


def run(settings: Settings, actors: Mapping[str, str] = ACTORS) -> int:
    """Run a node until SIGTERM or SIGINT; nothing of it is left afterwards. Only a main thread may call this.

    Args:
        settings: the node's settings, checked here.
        actors: the dotted path of each actor's module; those beside the trio are gateways.

    Returns:
        The exit code for the process: 0, or that of the ``FatalError`` that kept the node from running.
    """
    take_stderr()
    raise_file_limit()
    logger = set_up(settings.id, "supervisor")
    stop = StopSignal()
    stop.listen(*FOR_THE_SUPERVISOR)
    name_process(settings.id, "supervisor")
    try:
        settings.check()
        with _premises(settings, stop, logger) as premises:
            return _Supervisor(settings, actors, premises, stop, logger).run()
    except FatalError as error:
        logger.error("the node can't run", error=type(error).__name__, message=str(error), exit_code=error.exit_code)
        return error.exit_code


@contextlib.contextmanager
def _premises(settings: Settings, stop: StopSignal, logger: Logger) -> Iterator[_Premises]:
    """Take the data directory's lock before anything else is touched (S1), then make room in the runtime directory."""
    directory = DataDirectory(settings.data_path())
    lock = _acquire(directory, stop, logger)
    try:
        runtime = runtime_directory(directory.path)
        held = hold_runtime(runtime)
        page = _furnish(runtime, directory)
        try:
            yield _Premises(directory, lock, runtime, page, page_path(runtime).stat().st_ino)
        finally:
            page.close()
            with contextlib.suppress(OSError):  # not empty: the record of a failed sync stays; or somebody removed it
                _sweep(runtime, directory)
                runtime.rmdir()
            os.close(held)
    finally:
        directory.release()


def _furnish(runtime: Path, directory: DataDirectory) -> Page:
    try:
        _sweep(runtime, directory)
        _require_room(runtime)
        metrics = _metrics_directory(runtime)
        metrics.mkdir()
        # Before prometheus_client is imported, here and in every child.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
        return Page.create(page_path(runtime))
    except OSError as error:
        raise ConfigurationError(f"the runtime directory {runtime} can't be used: {error}") from error


def _require_room(runtime: Path) -> None:
    """Files that are mapped are written without asking: where there is no room, that is a SIGBUS."""
    probe = runtime / "room"
    descriptor = os.open(probe, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, ROOM_BYTES)
    finally:
        os.close(descriptor)
        probe.unlink()


def _metrics_directory(runtime: Path) -> Path:
    return runtime / "metrics"


def _acquire(directory: DataDirectory, stop: StopSignal, logger: Logger) -> int:
    """Lock the data directory, and wait a little for it: the children of a node that was killed may still be dying."""
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        try:
            return directory.acquire()
        except DataDirectoryInUse as error:
            if stop.requested or time.monotonic() >= deadline:
                raise
            logger.every(LOCK_WAIT_SECONDS, "waiting for the data directory", reason=str(error))
            time.sleep(_LOCK_RETRY_SECONDS)


def _sweep(runtime: Path, directory: DataDirectory) -> None:
    """Remove what a run leaves: sockets, page, metrics. The record of a failed sync stays (S13)."""
    for path in runtime.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != directory.fault_record.name:
            path.unlink()


class _Supervisor:
    """One node's life, from its first child to its last."""

    def __init__(
        self, settings: Settings, actors: Mapping[str, str], premises: _Premises, stop: StopSignal, logger: Logger
    ) -> None:
        from zraft.actors.metrics import NodeMetrics  # not before its directory is set

        self._settings = settings
        self._premises = premises
        self._stop = stop
        self._logger = logger
        self._children = Children(actors)
        self._restarts = Restarts([actor for actor in actors if actor not in TRIO])
        self._beats = Beats()
        self._trouble = Trouble()
        self._events: deque[Event] = deque()
        self._incarnation = 0
        self._stopping = False
        self._exit_code: int | None = None
        self._complaints = ""
        self._disorder = ""
        self._pids: dict[str, int] = {}  # the HTTP threads see it: replaced as a whole
        self._metrics = NodeMetrics(
            _metrics_directory(premises.runtime),
            premises.directory.path,
            is_ready=lambda: not why_not_ready(premises.page),
            pids=lambda: {"supervisor": os.getpid(), **self._pids},
            restarts=lambda: self._restarts.restarts,
            voters=lambda: voters(premises.page),
        )

    def run(self) -> int:
        """Start everything, watch it until the end, and return the exit code."""
        http = self._open_http()
        try:
            self._tell("the node is starting")
            http.start()
            self._announce()
            self._events.append(Boot(self._why_halted()))
            while True:
                self._handle_events()
                if self._exit_code is not None:
                    self._logger.info("node stopped", exit_code=self._exit_code)
                    return self._exit_code
                self._watch()
        finally:
            self._children.end()
            http.close()

    def _announce(self) -> None:
        settings = self._settings
        ports = {"port": settings.port, "http_port": settings.http_port, "peer_port": settings.peer_port}
        self._logger.info("node started", host=settings.host, data_dir=settings.data_dir, **ports)
        own = split_address(settings.peers[settings.id])[0] if settings.id in settings.peers else settings.host
        if is_loopback(settings.host) and is_address(own) and not is_loopback(own):
            self._logger.warning(
                "nobody else reaches this node where it listens: set --host", host=settings.host, peers=own
            )
        if not is_loopback(settings.host):
            self._logger.warning(
                "whoever can reach this host can read and write: there is no security yet", host=settings.host
            )

    def _why_halted(self) -> str:
        failure = pending_sync_failure(self._premises.directory, self._premises.runtime)
        return sync_failure_reason(failure) if failure else ""

    def _watch(self) -> None:
        """Wait until a child exits, the node is to stop, or time has come, and make events of it."""
        deadline = self._restarts.next_deadline()
        timeout = _TICK_SECONDS if deadline is None else min(_TICK_SECONDS, max(0.0, deadline - time.monotonic()))
        for ended in self._children.wait(timeout, None if self._stopping else self._stop):
            self._events.append(self._on_ended(ended))
        if self._stop.requested and not self._stopping:
            self._stopping = True
            self._events.append(StopRequested())
        self._listen()
        self._log_trouble()
        self._events.append(Tick())

    def _listen(self) -> None:
        """Find out who is stuck. A gateway that is may keep the whole cluster waiting, and is replaced."""
        self._premises.directory.require_in_place()
        pids, page = self._children.pids(), self._premises.page
        signs = {actor: (pid, page.sequence(GROUPS[actor])) for actor, pid in pids.items() if actor in GROUPS}
        silent = self._beats.look(signs, time.monotonic())
        opening = ("storage",) if page.load(Group.STORAGE) is None else ()  # it opens its stores, and tells nothing yet
        stuck = [
            f"{actor} has not moved for {seconds:.0f} s"
            for actor, seconds in silent.items()
            if seconds > SILENT_SECONDS and actor not in opening
        ]
        self._complaints = ", ".join([*self._homeless(), *stuck])
        for actor, seconds in silent.items():
            if actor not in TRIO and seconds > HUNG_SECONDS:
                # One that waits for a disk in the kernel dies only after that.
                self._logger.every(
                    10, "gateway killed: it is stuck", child=actor, pid=pids[actor], seconds=int(seconds)
                )
                self._children.kill((actor,))

    def _log_trouble(self) -> None:
        """That a node does not serve, and why, stands in its log as well: nobody may be there to ask it."""
        if self._stopping:
            return
        match self._trouble.look(why_not_ready(self._premises.page), time.monotonic()):
            case Lasts(reason, seconds):
                self._logger.warning("not ready", reason=reason, seconds=int(seconds))
            case Over(seconds):
                self._logger.info("ready", seconds=int(seconds))

    def _homeless(self) -> list[str]:
        """Whether the runtime directory is gone, in words: all goes on, but no process that ends can be replaced."""
        with contextlib.suppress(OSError):
            if page_path(self._premises.runtime).stat().st_ino == self._premises.page_inode:
                return []
        why = f"the runtime directory {self._premises.runtime} was removed: restart the node"
        self._logger.every(600, why, hint="a logout does that: loginctl enable-linger, or XDG_RUNTIME_DIR elsewhere")
        return [why]

    def _on_ended(self, ended: Ended) -> Exited:
        try:
            self._metrics.bury(ended.pid)
        except OSError as error:
            self._logger.every(60, "the counts of an actor are lost", child=ended.actor, error=str(error))
        words = last_words(self._premises.runtime, ended.actor)
        self._logger.info("actor ended", child=ended.actor, pid=ended.pid, exit_code=ended.exit_code)
        if ended.actor == "storage" and ended.exit_code in _DOUBTFUL:
            # Where LMDB's own pages are damaged, nobody may have noticed until it crashed, and it would again.
            verified_path(self._premises.runtime).unlink(missing_ok=True)
        return Exited(ended.actor, ended.exit_code, words)

    def _handle_events(self) -> None:
        while self._events:
            for effect in self._restarts.step(self._events.popleft(), time.monotonic()):
                self._perform(effect)
        self._tell(", ".join(filter(None, (self._restarts.problem(time.monotonic()), self._complaints))))
        self._publish_roster()

    def _tell(self, disorder: str) -> None:
        """To whoever asks this node's HTTP port or its gateway."""
        if disorder != self._disorder:
            self._disorder = disorder
            self._premises.page.publish_words(Group.DISORDER, disorder)

    def _perform(self, effect: Effect) -> None:
        page = self._premises.page
        match effect:
            case Start(actors):
                self._start(actors)
            case Terminate(actors):
                self._children.terminate(actors)
            case Kill(actors):
                self._children.kill(actors)
            case Withdraw():
                page.publish(Group.NODE, encode(NodeGroup(incarnation=0)))
            case Forget():
                self._forget()
            case RecordSyncFailure(detail):
                record_sync_failure(self._premises.directory, self._premises.runtime, detail)
            case Halted(reason):
                self._logger.error("halted", reason=reason)
                page.publish_words(Group.NOTICE, reason)
            case Finished(exit_code):
                self._exit_code = exit_code

    def _start(self, actors: tuple[str, ...]) -> None:
        is_trio = actors == TRIO
        if is_trio:
            self._premises.directory.require_in_place()
            self._incarnation = secrets.randbits(64) or 1
            self._premises.page.publish(Group.NODE, encode(NodeGroup(self._incarnation)))
        launch = Launch(
            self._settings,
            self._premises.runtime,
            self._incarnation if is_trio else 0,
            os.getpid(),
            InheritedDescriptor(self._premises.lock) if is_trio else None,
        )
        for actor in actors:
            try:
                pid = self._children.start(actor, launch)
            except OSError as error:
                self._events.append(Exited(actor, _NOT_STARTED, f"the process could not be started: {error}"))
            else:
                self._logger.info("actor started", child=actor, pid=pid, incarnation=f"{launch.incarnation:016x}")

    def _forget(self) -> None:
        """No process of the trio is left: until the next Start its groups and sockets are the supervisor's to clear."""
        for group in _TRIO_GROUPS:
            self._premises.page.clear(group)
        for socket in self._premises.runtime.glob(f"{self._incarnation:016x}.*"):
            socket.unlink()
        self._incarnation = 0

    def _publish_roster(self) -> None:
        pids = self._children.pids()
        if pids != self._pids:
            self._pids = pids
            incarnation = f"{self._incarnation:016x}" if self._incarnation else ""
            try:
                Roster(self._settings.id, os.getpid(), incarnation, pids).write(self._premises.runtime)
            except OSError as error:
                self._logger.every(60, "the roster can't be written", error=str(error))

    def _open_http(self) -> HttpServer:
        settings, page = self._settings, self._premises.page
        resources = health(settings.id, lambda: why_not_ready(page)) | {
            "/status": lambda: as_json(named_fields(cluster_status(page, settings, {}))),
            "/metrics": lambda: (HTTPStatus.OK, *self._metrics.text()),
        }
        return HttpServer(settings.host, settings.http_port, resources, self._logger)
