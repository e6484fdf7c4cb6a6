"""A follower that needs entries which the others have cut from their logs gets a snapshot, and load goes on.

The receiver's storage is killed at each step of the installation; whatever was reached, the node comes to the same.
"""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.load import Load
from tests.cluster.running import WAIT_S, equal_and_led, follower, roster, running, verify, wait_for_log
from tests.waiting import wait_until
from zraft import Client
from zraft.cluster import LocalCluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

INSTALLED = "the leader's snapshot is installed"
VALUE = b"x" * (64 << 10)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """One of its own for each test: the states stay small, and so do the logs that are allowed beside them."""
    with running(tmp_path / "cluster", snapshot_log_mib=1, snapshot_rate_mib=4) as cluster:
        yield cluster


def fall_behind(cluster: LocalCluster, client: Client, name: str) -> None:
    """Kill a node, and write until the others have cut from their logs what it lacks, and their leader forgot it."""
    status = cluster.status()[name]
    assert status is not None
    last = status.last_log_index
    cluster.kill(name)

    def is_cut() -> bool:
        for number in range(16):
            client.put(f"filler/{number}", VALUE)
        others = [answer for other, answer in cluster.status().items() if other != name]
        return all(answer is not None and answer.first_log_index > last + 1 for answer in others)

    wait_until(is_cut, WAIT_S, "logs that begin behind what the follower has")
    leader = cluster.leader()  # it still has the newest entries in memory
    cluster.kill(leader)
    cluster.restart(leader)
    wait_until(lambda: client.put("filler/0", VALUE).success, WAIT_S, "a leader of the two")


def log_length(cluster: LocalCluster, name: str) -> int:
    return len(cluster.log_path(name).read_text())


def test_a_follower_behind_the_logs_catches_up_by_a_snapshot_under_load(
    cluster: LocalCluster, client: Client, load: Load
) -> None:
    name = follower(cluster)
    fall_behind(cluster, client, name)
    since = log_length(cluster, name)
    with load:
        cluster.restart(name)
        wait_for_log(cluster, name, INSTALLED, since)
        load.wait_for_progress()
    verify(cluster, load)


def test_reads_through_the_receiver_never_go_back_in_revision(cluster: LocalCluster, client: Client) -> None:
    name = follower(cluster)
    fall_behind(cluster, client, name)
    since = log_length(cluster, name)
    cluster.restart(name)
    revisions = []
    with Client(cluster.endpoints()[cluster.names.index(name)], timeout=10) as through:

        def is_installed() -> bool:
            revisions.append(through.get("filler/0", consistency="serializable").mod_revision)
            return INSTALLED in cluster.log_path(name).read_text()[since:]

        wait_until(is_installed, WAIT_S, "an installation")
        equal_and_led(cluster)
        revisions.append(through.get("filler/0", consistency="serializable").mod_revision)
        assert through.get("filler/0").mod_revision == client.get("filler/0").mod_revision == revisions[-1]
    assert revisions == sorted(revisions)
    assert revisions[0] < revisions[-1]


def test_a_node_whose_state_was_removed_rebuilds_it_from_its_own_snapshot(
    cluster: LocalCluster, client: Client, load: Load
) -> None:
    name = follower(cluster)

    def is_cut() -> bool:
        for number in range(16):
            client.put(f"filler/{number}", VALUE)
        status = cluster.status()[name]
        return status is not None and status.first_log_index > 1

    with load:
        wait_until(is_cut, WAIT_S, "a log that is cut")
    cluster.kill(name)
    for path in cluster.settings(name).data_path().glob("state.*"):
        shutil.rmtree(path)
    cluster.restart(name)
    verify(cluster, load)


# Each may be too quick to be seen: then the next one is.


def is_named(data: Path, installed: int) -> bool:
    return any(int(path.stem) > installed for path in data.glob("snapshots/*.snapshot"))


def is_copied(data: Path, installed: int) -> bool:
    return len(list(data.glob("state.*/data.mdb"))) > 1 or is_named(data, installed)


def is_half_staged(data: Path, installed: int) -> bool:
    sizes = [path.stat().st_size for path in data.glob("snapshots/incoming.*") if path.exists()]
    return any(size > 256 << 10 for size in sizes) or is_copied(data, installed)


def is_staging(data: Path, installed: int) -> bool:
    return any(data.glob("snapshots/incoming.*")) or is_copied(data, installed)


@pytest.mark.parametrize(
    "reached",
    # These two are met for certain in chaos/test_installation_steps.
    [is_staging, is_half_staged, *(pytest.param(step, marks=pytest.mark.long) for step in (is_copied, is_named))],
)
def test_a_storage_that_is_killed_while_it_installs_comes_to_the_same(
    cluster: LocalCluster, client: Client, load: Load, reached: Callable[[Path, int], bool]
) -> None:
    name = follower(cluster)
    data = cluster.settings(name).data_path()
    fall_behind(cluster, client, name)
    newest = max((int(path.stem) for path in data.glob("snapshots/*.snapshot")), default=0)
    with load:
        cluster.restart(name)
        pid = roster(cluster, name).actors["storage"]
        wait_until(lambda: reached(data, newest), WAIT_S, reached.__name__)
        os.kill(pid, signal.SIGKILL)
        load.wait_for_progress()
    verify(cluster, load)
