"""Power cuts while snapshots are made and logs are cut: both are durable, in that order (traps 22, 23, 24).

The applied state is never fsynced while it runs. So after each cut it begins as the newest snapshot, and what the log
holds behind that must fit.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.conftest import Disks
from tests.cluster.load import Load
from tests.cluster.running import WAIT_S, running, verify, wait_for_log
from tests.cluster.test_snapshots import MADE, fill_log
from tests.waiting import wait_until
from zraft import Client
from zraft.cluster import LocalCluster
from zraft.store.files import make_directory

pytestmark = pytest.mark.chaos

REBUILT = "the applied state is rebuilt from the log"


@pytest.fixture(scope="module")
def shared_cluster(module_path: Path, disks: Disks) -> Iterator[LocalCluster]:
    """Nodes that make a snapshot for each MiB of log, each on its own disk."""
    for name, disk in disks.items():
        make_directory(disk.path / name)
        (module_path / name).symlink_to(disk.path / name)
    with running(module_path, snapshot_log_mib=1) as cluster:
        yield cluster


def test_power_fails_everywhere_while_logs_are_cut(
    cluster: LocalCluster, client: Client, load: Load, disks: Disks
) -> None:
    for first in cluster.names:
        logged = {name: len(cluster.log_path(name).read_text()) for name in cluster.names}

        def made(name: str = first, logged: dict[str, int] = logged) -> bool:
            fill_log(client)
            return cluster.log_path(name).read_text()[logged[name] :].count(MADE) >= 2

        with load:
            wait_until(made, WAIT_S, f"a snapshot on {first}")
            for name in cluster.names:
                cluster.kill(name)
        for disk in disks.values():
            disk.cut()
        cluster.up()
        for name in cluster.names:
            wait_for_log(cluster, name, REBUILT, logged[name])
            text = cluster.log_path(name).read_text()[logged[name] :]
            (line,) = [line for line in text.splitlines() if REBUILT in line]
            assert "begins_at=0/0" not in line
        verify(cluster, load)
