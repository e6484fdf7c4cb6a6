"""Disks that fail, stall or fill up under a cluster that works: one node is out, or refuses; nothing is lost."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos import strace
from tests.chaos.conftest import Disks
from tests.chaos.power import exhaust, fill, reserve_of
from tests.cluster.load import Load
from tests.cluster.nodes import http, started
from tests.cluster.running import WAIT_S, follower, roster, verify
from tests.waiting import wait_until
from zraft import Client, ResourceExhausted, Unavailable, Unknown
from zraft.cluster import LocalCluster
from zraft.store.directory import DataDirectory, runtime_directory
from zraft.store.fault import acknowledge_sync_failure, pending_sync_failure
from zraft.store.space import EXHAUSTED, LACKS, RESERVE

pytestmark = pytest.mark.chaos

WAY_OUT = "--acknowledge-fsync-failure"
VALUE_BYTES = 3_000
ROOM_BYTES = 4 << 20
"""Filled by the load before growth is refused."""
LAG_ENTRIES = 50


@pytest.fixture
def faults() -> None:
    if reason := strace.available():
        pytest.skip(reason)


@pytest.fixture
def fillers(disks: Disks) -> Iterator[dict[str, Path]]:
    """A file for each disk that may take its room; removed after the test."""
    found = {name: disk.path / "filler" for name, disk in disks.items()}
    try:
        yield found
    finally:
        for path in found.values():
            path.unlink(missing_ok=True)


@pytest.mark.usefixtures("faults")
@pytest.mark.parametrize("who", ["leader", "follower"])
def test_a_node_whose_log_was_not_synced_is_out_until_an_operator_acts(  # S13, trap 30a
    cluster: LocalCluster, client: Client, load: Load, tmp_path: Path, who: str
) -> None:
    with load:
        name = cluster.leader() if who == "leader" else follower(cluster)
        settings = cluster.settings(name)
        data, runtime = DataDirectory(settings.data_path()), runtime_directory(settings.data_path())
        with strace.attached(roster(cluster, name).actors["storage"], "fdatasync:error=EIO"):
            wait_until(lambda: WAY_OUT in http(settings, "/health/ready")[1].get("reason", ""), WAIT_S, "an alarm")
        assert (http(settings, "/health/ready")[0], http(settings, "/health/live")[0]) == (503, 200)
        with Client(settings.client_endpoint(), timeout=2.0) as refused, pytest.raises(Unavailable, match=WAY_OUT):
            refused.get("k", consistency="serializable")
        load.wait_for_progress()
        assert pending_sync_failure(data, runtime) is not None
        cluster.kill(name)
        with started(settings, tmp_path) as node:
            node.wait_for_reason(WAY_OUT)
            load.wait_for_progress()
        acknowledge_sync_failure(data, runtime)
        cluster.restart(name)
        load.wait_for_progress()
    verify(cluster, load)


@pytest.mark.usefixtures("faults")
def test_a_leader_whose_disk_stalls_is_replaced(cluster: LocalCluster, client: Client, load: Load) -> None:
    with load:
        leader = cluster.leader()
        with strace.attached(roster(cluster, leader).actors["storage"], "fdatasync:delay_enter=3000000"):
            wait_until(lambda: cluster.leader() != leader, WAIT_S, "another leader")
            load.wait_for_progress()
        load.wait_for_progress()
    verify(cluster, load)


def test_full_disks_refuse_growth_and_at_last_all_writes_but_no_reads(
    cluster: LocalCluster, client: Client, disks: Disks, fillers: dict[str, Path]
) -> None:
    load = Load(cluster.endpoints(), "full", VALUE_BYTES)
    client.put("deletable", "v")
    for name, disk in disks.items():
        fill(disk, fillers[name], reserve_of(disk) + ROOM_BYTES)
    with load, Client(cluster.endpoints(), timeout=1.0) as hasty:
        wait_until(lambda: is_refused(hasty.put, "growing", "v", why=LACKS[RESERVE]), WAIT_S, "growth to be refused")
        assert client.delete("deletable").found
        assert not client.get("deletable").found
        for name, disk in disks.items():
            exhaust(disk, fillers[name])
        wait_until(lambda: is_refused(hasty.put, "growing", "v", why=LACKS[EXHAUSTED]), WAIT_S, "writes to be refused")
        with pytest.raises(ResourceExhausted, match=LACKS[EXHAUSTED]):
            hasty.delete("deletable")
        assert len(list(client.range(prefix="full/", limit=10))) == 10
        assert [http(cluster.settings(name), "/health/ready")[0] for name in cluster.names] == [200] * 3
        for filler in fillers.values():
            filler.unlink()
        load.wait_for_progress()
    verify(cluster, load)


def test_a_follower_whose_disk_is_full_catches_up_when_there_is_room(
    cluster: LocalCluster, client: Client, load: Load, disks: Disks, fillers: dict[str, Path]
) -> None:
    with load:
        name = follower(cluster)
        exhaust(disks[name], fillers[name])
        wait_until(lambda: lag(cluster, name) > LAG_ENTRIES, WAIT_S, f"{name} to refuse what the others commit")
        load.wait_for_progress()
        fillers[name].unlink()
        load.wait_for_progress()
    verify(cluster, load)


def test_a_leader_whose_disk_is_full_refuses_writes_or_is_replaced(
    cluster: LocalCluster, client: Client, load: Load, disks: Disks, fillers: dict[str, Path]
) -> None:
    """It is replaced if the others have committed what it has no room for: it could not serve a read any more."""
    with load, Client(cluster.endpoints(), timeout=1.0) as hasty:
        leader = cluster.leader()
        exhaust(disks[leader], fillers[leader])
        wait_until(
            lambda: cluster.leader() != leader or is_refused(hasty.put, "k", "v", why=LACKS[EXHAUSTED]),
            WAIT_S,
            "another leader, or a refusal",
        )
        assert client.get("k").revision > 0
        fillers[leader].unlink()
        load.wait_for_progress()
    verify(cluster, load)


def lag(cluster: LocalCluster, name: str) -> int:
    """How many entries a node has applied less than the one that has applied most."""
    applied = {one: answer.last_applied for one, answer in cluster.status().items() if answer}
    return max(applied.values()) - applied[name]


def is_refused(write: Callable[..., object], *arguments: str, why: str) -> bool:
    try:
        write(*arguments)
    except ResourceExhausted as error:
        return why in error.message
    except (Unavailable, Unknown):  # proposed just before the disk was full
        pass
    return False
