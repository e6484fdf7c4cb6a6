"""A local cluster: real nodes on this machine, for trying zraft out and for tests that kill and pause processes.

Each node is a process of its own session, detached from whoever started it. All of its children stay in that session,
so a signal reaches every process of a node even when its supervisor is gone. What runs is written down in
``<directory>/cluster.json``; the data of node-1 is in ``<directory>/node-1``, its log in ``<directory>/node-1.log``.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import msgspec

import zraft
from zraft.actors.roster import Roster
from zraft.client import Client
from zraft.cluster.processes import SIGNAL_S_MAX, ClusterError, NodeProcesses, wait_for
from zraft.config import Settings
from zraft.errors import ZraftError
from zraft.protocol.responses import StatusResult
from zraft.store.directory import DataDirectory, runtime_directory
from zraft.store.fault import pending_sync_failure
from zraft.store.files import write_durably

HOST = "127.0.0.1"
READY_S_MAX = 30.0
"""How long nodes may take to start, form a cluster and elect a leader."""
STOP_S_MAX = 10.0
"""How long a node may take to stop in order; then it is killed."""
LEADER_S_MAX = 10.0
_ASK_S = 1.0
_POLL_S = 0.02
_TAIL_LINES = 12


class Ports(msgspec.Struct, frozen=True):
    """Where the ports begin: node-i has client port ``client + i``, HTTP ``http + i``, peers ``peer + 10 * i``."""

    client: int = 8080
    http: int = 9090
    peer: int = 7080


class _Node(msgspec.Struct, frozen=True):
    """A node that was started, as ``cluster.json`` has it; it may have ended since."""

    settings: Settings
    runtime: str
    processes: NodeProcesses


class LocalCluster:
    """Nodes node-1 to node-n on this machine; another program may ``load`` what one has started.

    Args:
        directory: where all that belongs to them is.
        nodes: how many.
        ports: where their ports begin.
        options: further settings, the same for every node.

    Attributes:
        source: the folder from which the next node that starts imports zraft: the same zraft as this one.

    Raises:
        ConfigurationError: a setting is out of its bounds.
    """

    def __init__(
        self,
        directory: Path,
        nodes: int = 3,
        *,
        ports: Ports | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.directory = directory.resolve()
        self.source = Path(zraft.__file__).parents[1]
        ports = ports or Ports()
        peers = {f"node-{i}": f"{HOST}:{ports.peer + 10 * i}" for i in range(1, nodes + 1)}
        each = (
            Settings(
                id=name,
                host=HOST,
                port=ports.client + i,
                http_port=ports.http + i,
                peer_port=ports.peer + 10 * i,
                data_dir=str(self.directory / name),
                peers=peers,
                **(options or {}),
            )
            for i, name in enumerate(peers, start=1)
        )
        self._settings = {settings.id: settings.check() for settings in each}

    @classmethod
    def load(cls, directory: Path) -> LocalCluster:
        """The cluster that was started in a directory, perhaps by another program.

        Raises:
            ClusterError: there is none.
        """
        cluster = cls(directory, nodes=0)
        cluster._settings = {name: node.settings for name, node in cluster._started().items()}
        if not cluster._settings:
            raise ClusterError(f"no local cluster runs in {directory}: start one with `zraft dev up --dir {directory}`")
        return cluster

    @property
    def names(self) -> list[str]:
        """The nodes' names, in order."""
        return list(self._settings)

    def endpoints(self) -> list[str]:
        """Where clients connect, in the order of the nodes."""
        return [settings.client_endpoint() for settings in self._settings.values()]

    def settings(self, name: str) -> Settings:
        """A node's settings.

        Raises:
            ClusterError: there is no such node.
        """
        if name not in self._settings:
            raise ClusterError(f"there is no node {name!r}: the nodes are {', '.join(self.names)}")
        return self._settings[name]

    def log_path(self, name: str) -> Path:
        """The file that a node's standard output and error go to."""
        return self.directory / f"{name}.log"

    def condition(self, name: str) -> str:
        """Whether a node is ``running``, ``paused`` or ``dead``."""
        states = set(self._states(name).values())
        return "dead" if not states else "paused" if states == {"T"} else "running"

    def up(self, timeout: float = READY_S_MAX) -> None:
        """Starts all nodes, and returns when a leader is ready to write. If that fails, nothing is left running.

        Raises:
            ClusterError: a cluster runs here already, a port is taken, a node ended, or the time is up.
        """
        if any(node.processes.states() for node in self._started().values()):
            text = f"a local cluster runs in {self.directory} already: stop it with `zraft dev down`"
            raise ClusterError(f"{text}, or start a node of it that is down with `zraft dev restart NODE`")
        self._record.unlink(missing_ok=True)
        for name in self.names:
            self._require_free_ports(name)
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            for name in self.names:
                self._start(name)
            self.wait_until_ready(timeout)
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """Stops all nodes in order, and kills those that don't; the data stays. A node that is dead is no error."""
        started = self._started().values()
        for node in started:
            node.processes.stop()
        deadline = time.monotonic() + STOP_S_MAX
        for node in started:
            _end(node, deadline)
        self._record.unlink(missing_ok=True)

    def kill(self, name: str, actor: str | None = None) -> None:
        """SIGKILL to all processes of a node, or to one of its actors; returns when they are gone.

        Raises:
            ClusterError: there is no such node, or the actor is not running.
        """
        node = self._running(name)
        if actor is None:
            node.processes.kill()
            return
        pid = wait_for(lambda: _pid_of(node, actor), SIGNAL_S_MAX, f"{name} to have an actor {actor}")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: pid not in node.processes.states(), SIGNAL_S_MAX, f"{actor} of {name} to be gone")

    def pause(self, name: str) -> None:
        """SIGSTOP to all processes of a node; returns when all stand still.

        Raises:
            ClusterError: there is no such node, or it is not running.
        """
        self._running(name).processes.pause()

    def resume(self, name: str) -> None:
        """SIGCONT to all processes of a node.

        Raises:
            ClusterError: there is no such node, or it is not running.
        """
        self._running(name).processes.signal(signal.SIGCONT)

    def restart(self, name: str, timeout: float = READY_S_MAX) -> None:
        """Stops a node in order if it runs, starts it, and returns when it answers and has found the leader, if any.

        Raises:
            ClusterError: there is no such node, a port is taken, the node ended, or the time is up.
        """
        self.settings(name)
        node = self._started().get(name)
        if node is not None:
            node.processes.stop()
            _end(node, time.monotonic() + STOP_S_MAX)
        self._require_free_ports(name)
        self._start(name)

        def is_back() -> bool:
            answers = self.status()
            has_leader = any(answer.leader_id for answer in answers.values() if answer)
            answer = answers[name]
            return answer is not None and (answer.leader_id != "" or not has_leader)

        self._wait_for_nodes([name], is_back, timeout, f"an answer of {name}")

    def rolling_restart(self, timeout: float = READY_S_MAX) -> Iterator[str]:
        """Restarts one node after the other, the leader last, and gives the name of each that is back.

        The next one is stopped only when the last one has caught up: so a majority serves all the time.

        Raises:
            ClusterError: as ``restart``, or a node does not catch up in time.
        """
        left = list(self.names)
        while left:
            leader = self.leader()
            name = next((one for one in left if one != leader), leader)
            self.restart(name, timeout)
            goal = max((answer.commit_index for answer in self.status().values() if answer), default=0)
            self._wait_for_nodes([name], partial(self._has_caught_up, name, goal), timeout, f"a {name} that caught up")
            left.remove(name)
            yield name

    def _has_caught_up(self, name: str, index: int) -> bool:
        answer = self.status()[name]
        return answer is not None and answer.leader_id != "" and answer.last_applied >= index

    def wait_until_ready(self, timeout: float = READY_S_MAX) -> None:
        """Returns when every node answers and knows the leader, and that leader is ready to write.

        Raises:
            ClusterError: a node ended, or the time is up; the message holds the end of the logs.
        """

        def is_ready() -> bool:
            answers = [_ask(client, settings) for settings in self._settings.values()]
            leaders = {answer.leader_id if answer else "" for answer in answers}
            if len(leaders) != 1 or "" in leaders:
                return False
            try:
                # A linearizable read is served only after its leader has committed in its own term: it can write.
                client.get(b"zraft")
            except ZraftError:
                return False
            return True

        with Client(self.endpoints(), timeout=_ASK_S) as client:
            self._wait_for_nodes(self.names, is_ready, timeout, "a leader that is ready to write")

    def status(self) -> dict[str, StatusResult | None]:
        """What each node tells of itself; None for one that does not answer."""
        with Client(self.endpoints(), timeout=_ASK_S) as client:
            return {name: _ask(client, settings) for name, settings in self._settings.items()}

    def leader(self, timeout: float = LEADER_S_MAX) -> str:
        """The name of the leader, once one leads in the newest term that any node tells of.

        Raises:
            ClusterError: there is none within ``timeout`` seconds.
        """

        def find() -> str:
            answers = [answer for answer in self.status().values() if answer]
            newest = max((answer.current_term for answer in answers), default=0)
            leaders = (one.node_id for one in answers if one.state == "leader" and one.current_term == newest)
            return next(leaders, "")

        return wait_for(find, timeout, "a leader")

    @property
    def _record(self) -> Path:
        return self.directory / "cluster.json"

    def _started(self) -> dict[str, _Node]:
        """Read anew each time: another program may have started or stopped nodes meanwhile."""
        try:
            return msgspec.json.decode(self._record.read_bytes(), type=dict[str, _Node])
        except FileNotFoundError:
            return {}
        except msgspec.MsgspecError as error:
            raise ClusterError(f"{self._record} can't be read: {error}") from None

    def _states(self, name: str) -> dict[int, str]:
        self.settings(name)
        node = self._started().get(name)
        return node.processes.states() if node else {}

    def _running(self, name: str) -> _Node:
        if not self._states(name):
            raise ClusterError(f"{name} is not running: start it with `zraft dev restart {name}`")
        return self._started()[name]

    def _start(self, name: str) -> None:
        settings = self.settings(name)
        path = os.pathsep.join(filter(None, (str(self.source), os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-P", "-m", "zraft.cli", "node", *_flags(settings)]
        processes = NodeProcesses.start(command, self.log_path(name), {**os.environ, "PYTHONPATH": path})
        try:
            node = _Node(settings, str(runtime_directory(settings.data_path())), processes)
            started = msgspec.json.encode(self._started() | {name: node})
            write_durably(self._record, msgspec.json.format(started) + b"\n")
        except BaseException:
            processes.kill()  # of which nobody would know
            raise

    def _require_free_ports(self, name: str) -> None:
        for what, port in self.settings(name).ports().items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError as error:
                    raise ClusterError(
                        f"port {port} is not free ({error.strerror}), and {name} needs it as its {what}: "
                        "stop what uses it, or let `zraft dev up` take others (--client-port, --peer-port)"
                    ) from None

    def _wait_for_nodes(self, names: list[str], is_done: Callable[[], bool], timeout: float, what: str) -> None:
        deadline = time.monotonic() + timeout
        while not is_done():
            started = self._started()
            for name in names:
                if name not in started or not started[name].processes.has_supervisor():
                    self._fail(f"{name} ended before there was {what}", [name])
            if time.monotonic() >= deadline:
                self._fail(f"there was not {what} within {timeout:g} s", names)
            time.sleep(_POLL_S)

    def _fail(self, what: str, names: list[str]) -> NoReturn:
        raise ClusterError("\n".join([what, *(line for name in names for line in self._tail(name))]))

    def _tail(self, name: str) -> Iterator[str]:
        path = self.log_path(name)
        yield f"--- the end of {path}"
        yield from path.read_text(errors="replace").splitlines()[-_TAIL_LINES:]


def _flags(settings: Settings) -> list[str]:
    """The command line of ``zraft node``: what each node has of its own, and all that is not the default."""
    own = {"id", "host", "advertise", "port", "http_port", "peer_port", "data_dir", "peers"}
    found = []
    for field in msgspec.structs.fields(settings):
        value = getattr(settings, field.name)
        if field.name in own or value != field.default:
            text = ",".join(f"{name}={at}" for name, at in value.items()) if isinstance(value, dict) else str(value)
            found += [f"--{field.name.replace('_', '-')}", text]
    return found


def _end(node: _Node, deadline: float) -> None:
    """Kills what has not stopped at the deadline, and removes what a killed node leaves."""
    while node.processes.states() and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    node.processes.kill()
    # But not the record of a failed fsync, which the next start must find (S13).
    runtime = Path(node.runtime)
    if pending_sync_failure(DataDirectory(node.settings.data_path()), runtime) is None:
        shutil.rmtree(runtime, ignore_errors=True)


def _pid_of(node: _Node, actor: str) -> int:
    """The process of an actor that lives; 0: none does."""
    roster = Roster.read(Path(node.runtime))
    pid = {"supervisor": roster.supervisor, **roster.actors}.get(actor, 0) if roster else 0
    return pid if pid in node.processes.states() else 0


def _ask(client: Client, settings: Settings) -> StatusResult | None:
    try:
        return client.status(settings.client_endpoint())
    except ZraftError:
        return None
