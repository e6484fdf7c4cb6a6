"""Real clusters for tests: on ports of their own, and nothing left of them afterwards."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.load import Load
from tests.ports import is_free, next_row
from tests.waiting import wait_until
from zraft import Client, ZraftError
from zraft.actors.roster import Roster
from zraft.cluster import LocalCluster, Ports
from zraft.core.restarts import TRIO
from zraft.protocol.responses import KeyValue
from zraft.store.directory import MEMORY_DIRECTORY, DataDirectory, runtime_directory

NODES = 3
WAIT_S = 60.0
LOG_LINES = 40
PATIENT = {"election_timeout_min_ms": 500, "election_timeout_max_ms": 1_000}
"""Options of a cluster whose leader stays meanwhile, also on a busy machine."""


def free_ports(nodes: int = NODES) -> Ports:
    """Ports that nobody uses now: each cluster of each test run has others."""
    while True:
        base = next_row()
        ports = Ports(client=base, http=base + 20, peer=base + 30)
        cluster = LocalCluster(Path(), nodes, ports=ports)
        if all(is_free(port) for name in cluster.names for port in cluster.settings(name).ports().values()):
            return ports


@contextlib.contextmanager
def own_runtime() -> Iterator[Path]:
    """A runtime directory for all nodes that are started meanwhile; they must leave nothing in it."""
    # Not below the test's own directory: the paths of sockets are short.
    runtime = Path(tempfile.mkdtemp(prefix="zraft-run-", dir=MEMORY_DIRECTORY))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        try:
            yield runtime
            assert os.listdir(runtime) == []
        finally:
            shutil.rmtree(runtime)


@contextlib.contextmanager
def running(directory: Path, **options: Any) -> Iterator[LocalCluster]:
    """Three nodes with a leader; afterwards no process, no socket and no lock of theirs is left."""
    with own_runtime():
        cluster = LocalCluster(directory, NODES, ports=free_ports(), options=options)
        cluster.up()
        try:
            yield cluster
        finally:
            cluster.down()
        assert {name: cluster.condition(name) for name in cluster.names} == dict.fromkeys(cluster.names, "dead")
        for name in cluster.names:
            data = DataDirectory(cluster.settings(name).data_path())
            data.acquire()
            data.release()
            assert all(map(is_free, cluster.settings(name).ports().values()))


def equal_and_led(cluster: LocalCluster) -> str:
    """Waits until all nodes have applied the same and follow one leader; returns its name."""

    def leader() -> str:
        answers = list(cluster.status().values())
        found = {(answer.leader_id, answer.last_applied, answer.revision) if answer else None for answer in answers}
        return found.pop()[0] if len(found) == 1 and None not in found else ""  # type: ignore[index]

    return wait_until(leader, WAIT_S, "equal nodes under one leader")


def roster(cluster: LocalCluster, name: str) -> Roster:
    """The node's processes, once all of them run."""

    def whole() -> Roster | None:
        found = Roster.read(runtime_directory(cluster.settings(name).data_path()))
        return found if found and found.incarnation and len(found.actors) == len(TRIO) + 1 else None

    return wait_until(whole, WAIT_S, f"all processes of {name}")


def has_written(client: Client, key: str, value: bytes) -> bool:
    """Whether a put was acknowledged: of one that was not, nobody may know."""
    try:
        return client.put(key, value).success
    except ZraftError:
        return False


def follower(cluster: LocalCluster) -> str:
    """The name of one that does not lead."""
    leader = cluster.leader()
    return next(name for name in cluster.names if name != leader)


def replicas(cluster: LocalCluster) -> list[list[KeyValue]]:
    """The whole content of each node, as it has it itself, once all have applied the same."""
    equal_and_led(cluster)
    found = []
    for endpoint in cluster.endpoints():
        with Client(endpoint) as client:
            found.append(list(client.range(consistency="serializable")))
    return found


def verify(cluster: LocalCluster, load: Load) -> None:
    """Check that everything that was acknowledged is there, and on every node."""
    load.verify()
    first, *others = replicas(cluster)
    assert first
    assert all(other == first for other in others)


def wait_for_log(cluster: LocalCluster, name: str, text: str, since: int = 0) -> None:
    """Waits until a node has logged this text, behind the first ``since`` characters of its log."""
    path = cluster.log_path(name)
    wait_until(lambda: text in path.read_text()[since:], WAIT_S, f"{name} to log {text!r}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what the nodes of the test logged: for the conftest of each folder whose tests run some."""
    report = yield
    if report.failed:
        clusters = (one for one in getattr(item, "funcargs", {}).values() if isinstance(one, LocalCluster))
        for path in dict.fromkeys(cluster.log_path(name) for cluster in clusters for name in cluster.names):
            if path.exists():
                lines = path.read_text(errors="replace").splitlines()[-LOG_LINES:]
                report.sections.append((str(path), "\n".join(lines)))
    return report


@contextlib.contextmanager
def standing_still(pids: dict[str, int], actors: tuple[str, ...]) -> Iterator[None]:
    """These processes of a node, by ``pids``, are stopped within."""
    for actor in actors:
        os.kill(pids[actor], signal.SIGSTOP)
    try:
        yield
    finally:
        for actor in actors:
            os.kill(pids[actor], signal.SIGCONT)
