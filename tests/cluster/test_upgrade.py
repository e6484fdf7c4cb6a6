"""From the release before to this version, node by node, under load of clients of either: nobody notices."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.load import Load
from tests.cluster.nodes import ROOT
from tests.cluster.running import NODES, WAIT_S, free_ports, own_runtime, replicas
from tests.waiting import wait_until
from zraft import Client, Unknown
from zraft.cluster import LocalCluster
from zraft.core.records import APPLIED, CLUSTER_VERSION, read_applied, read_cluster_version
from zraft.core.versions import FIRST, SUPPORTED
from zraft.store.directory import DataDirectory
from zraft.store.log import LmdbLog
from zraft.store.state import LmdbState

pytestmark = pytest.mark.cluster

BEFORE = ("v0.1.0", "c072e6eabc65fc0b2cd9f601495ad1a5628d1a38")
"""The release before: its tag, and its commit, since a clone need not have the tags."""
MAP_BYTES = 1 << 30
RESTARTS = 5
REFUSAL = "is of format 3, and this version of zraft knows only format 2"
LOAD_OF_BEFORE = """
import json, sys
from zraft.verify import CheckedLoad, LoadSettings, check
load = CheckedLoad(LoadSettings(endpoints=tuple(sys.argv[1:]), prefix="before/", clients=2))
with load:
    sys.stdin.read()
load.read_back()
errors = [operation.error for operation in load.history if operation.error]
violations = [violation.what for violation in check(load.history).violations]
print(json.dumps([any(load.acknowledged), errors, violations]))
"""


@pytest.fixture(scope="module")
def before(module_path: Path) -> Path:
    """A folder with the zraft of the release before; what it needs is what this one needs."""
    for name in BEFORE if shutil.which("git") else ():
        archive = module_path / "zraft.tar"
        command = ["git", "-C", str(ROOT), "archive", f"--output={archive}", name, "zraft"]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            subprocess.run(["tar", "--extract", f"--file={archive}", f"--directory={module_path}"], check=True)
            return module_path
    pytest.skip(f"there is no {BEFORE[0]} (commit {BEFORE[1]}) to upgrade from: no git, or not the whole history")


@contextlib.contextmanager
def load_of(source: Path, cluster: LocalCluster) -> Iterator[None]:
    """The checked load of another version while the context lasts; its clients must see no error."""
    command = [sys.executable, "-P", "-c", LOAD_OF_BEFORE, *cluster.endpoints()]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    with subprocess.Popen(
        command, cwd=source, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield
        told, _ = process.communicate(timeout=60)
    has_written, errors, violations = json.loads(told)
    assert (has_written, violations) == (True, [])
    require_no_error(errors)


def versions(cluster: LocalCluster) -> set[tuple[int, int]]:
    """(cluster version, what the code knows) as the nodes tell it; one that tells nothing is of before."""
    return {(one.cluster_version, one.supported_version) for one in cluster.status().values() if one}


def notice(cluster: LocalCluster, name: str) -> str:
    """Why a node is not ready, as it says."""
    answer = cluster.status()[name]
    return answer.notice if answer else ""


def require_no_error(errors: list[str]) -> None:
    """A request that arrives in the very moment in which a node hangs up may end as Unknown; nothing else may."""
    assert len(errors) <= RESTARTS, errors
    assert all(error.startswith(Unknown.code) for error in errors), errors


def state_of(cluster: LocalCluster, name: str) -> tuple[int, int, int]:
    """Revision, digest and cluster version of a node that is down; how many leaders it saw last is another thing."""
    directory = DataDirectory(cluster.settings(name).data_path())
    log = LmdbLog(directory.log_path, 1, MAP_BYTES, create=False)
    state = LmdbState(directory.state_path(log.generation), MAP_BYTES)
    try:
        applied = read_applied(state.meta(APPLIED))
        return applied.revision, applied.digest, read_cluster_version(state.meta(CLUSTER_VERSION))
    finally:
        state.abort()
        state.close()
        log.close()


@pytest.mark.timeout(240)
def test_a_rolling_upgrade_under_load_costs_nobody_an_error(before: Path, tmp_path: Path) -> None:
    with own_runtime():
        cluster = LocalCluster(tmp_path, NODES, ports=free_ports())
        cluster.source, now = before, cluster.source
        cluster.up()
        load = Load(cluster.endpoints())
        try:
            with load_of(before, cluster), load, Client(cluster.endpoints(), timeout=10) as client:
                # Under a leader of the old version; and back again, as long as not all are upgraded.
                first, second = cluster.leader(), next(name for name in cluster.names if name != cluster.leader())
                for source in (now, before):
                    cluster.source = source
                    cluster.restart(first)
                    load.wait_for_progress()
                cluster.source = now
                cluster.restart(second)
                load.wait_for_progress()
                # Under a leader of the new one.
                client.transfer_leadership(second)
                load.wait_for_progress()
                for name in cluster.names:
                    if name != second:
                        assert {version for version, _ in versions(cluster)} == {FIRST}
                        cluster.restart(name)
                        load.wait_for_progress()
                wait_until(lambda: versions(cluster) == {(SUPPORTED, SUPPORTED)}, WAIT_S, "the cluster to be raised")
                load.wait_for_progress()
            require_no_error([operation.error for operation in load.history if operation.error])
            load.verify()
            contents, *others = replicas(cluster)
            assert contents
            assert all(other == contents for other in others)
        finally:
            cluster.down()
        states = [state_of(cluster, name) for name in cluster.names]
        assert states[0][-1] == SUPPORTED
        assert all(state == states[0] for state in states)
        assert not any("replicas differ" in cluster.log_path(name).read_text() for name in cluster.names)
        cluster.source = before  # there is no way back behind it, and no harm in trying
        try:
            cluster.restart(first)
            wait_until(lambda: REFUSAL in notice(cluster, first), WAIT_S, "the old version to refuse the log")
        finally:
            cluster.down()
        assert state_of(cluster, first) == states[0]
