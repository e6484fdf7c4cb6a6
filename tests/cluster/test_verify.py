"""``zraft verify`` as a user runs it, while a node of the cluster dies."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.load import Load
from tests.cluster.running import WAIT_S, follower, running
from tests.waiting import wait_until
from zraft import Client
from zraft.cluster import LocalCluster
from zraft.verify import check, read_history

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]


def test_a_cluster_that_loses_a_node_keeps_its_word(cluster: LocalCluster, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "h.jsonl"
    command = [sys.executable, "-m", "zraft.cli", "verify", "--seconds", "4", "--clients", "4", "--history", str(file)]
    endpoints = ",".join(cluster.endpoints())
    with subprocess.Popen(
        [*command, "--endpoints", endpoints], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until(lambda: any(client.range(prefix="zraft-verify/", limit=1)), WAIT_S, "the load to begin")
        name = follower(cluster)
        cluster.kill(name)
        stdout, stderr = process.communicate(timeout=60)
    cluster.restart(name)
    verdict = check(read_history(file))
    line = f"operations={verdict.operations} faults=0 unknown={verdict.unknown} violations=0\n"
    assert (process.returncode, stdout, stderr) == (0, line, "")
    assert verdict.operations > 0
    assert list(client.range(prefix="zraft-verify/")) == []


def test_a_cluster_that_was_set_back_to_an_old_copy_is_found(tmp_path: Path) -> None:
    """Each node is well, and all agree: but what was acknowledged since the copy is lost."""
    with running(tmp_path / "cluster") as cluster:
        load = Load(cluster.endpoints())
        with load:
            pass
        cluster.down()
        paths = [cluster.settings(name).data_path() for name in cluster.names]
        for path in paths:
            shutil.copytree(path, path.with_suffix(".old"))
        cluster.up()
        with load:
            pass
        cluster.down()
        for path in paths:
            shutil.rmtree(path)
            path.with_suffix(".old").rename(path)
        cluster.up()
        load.read_back()
        violations = check(load.history).violations
    assert violations != ()
    assert all("had been told already" in violation.what for violation in violations)
