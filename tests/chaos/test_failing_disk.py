"""Disks that fail, stall or fill up under a cluster that works: one node is out, or refuses; nothing is lost."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos import strace
from tests.chaos.conftest import DISK_MIB, Disks
from tests.chaos.power import PowerCutDisk, available, exhaust, fill, fill_up, reserve_of
from tests.cluster.load import Load
from tests.cluster.nodes import http, started
from tests.cluster.running import WAIT_S, follower, free_ports, own_runtime, roster, verify
from tests.waiting import wait_until
from zraft import Client, ResourceExhausted, Unavailable, Unknown
from zraft.cluster import LocalCluster, Ports
from zraft.config import Settings
from zraft.core.room import EXHAUSTED, LACKS, RESERVE
from zraft.store.directory import DataDirectory, runtime_directory
from zraft.store.fault import acknowledge_sync_failure, pending_sync_failure

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
        wait_until(lambda: is_refused(hasty.delete, "deletable", why=LACKS[EXHAUSTED]), WAIT_S, "deletes to be refused")
        assert len(list(client.range(prefix="full/", limit=10))) == 10
        assert [http(cluster.settings(name), "/health/ready")[0] for name in cluster.names] == [200] * 3
        for filler in fillers.values():
            filler.unlink()
        load.wait_for_progress()
    verify(cluster, load)


def test_at_the_reserve_all_but_growth_goes_on_and_growth_comes_back_by_itself(
    cluster: LocalCluster, client: Client, disks: Disks, fillers: dict[str, Path]
) -> None:
    for number in range(20):
        client.put(f"reserve/{number}", "v")
    for name, disk in disks.items():
        fill(disk, fillers[name], reserve_of(disk) // 2)
    with Client(cluster.endpoints(), timeout=2.0) as hasty:
        wait_until(lambda: is_refused(hasty.put, "growing", "v", why=LACKS[RESERVE]), WAIT_S, "growth to be refused")
        for number in range(4):  # the node that leads, twice: an election goes on, and what comes after it
            if number % 2:
                cluster.kill(killed := cluster.leader())
                cluster.restart(killed)
            assert client.delete(f"reserve/{number}").found
            assert not client.get(f"reserve/{number}").found
            revision = client.delete("nobody").revision
            client.compact(revision)
            assert client.get("reserve/19", revision=revision).value == b"v"
        assert len(list(client.range(prefix="reserve/"))) == 16
        statuses = [answer.notice for answer in cluster.status().values() if answer]
        assert [LACKS[RESERVE] in notice for notice in statuses] == [True] * 3
        assert [http(cluster.settings(name), "/health/ready")[0] for name in cluster.names] == [200] * 3
        wait_until(lambda: is_refused(hasty.put, "growing", "v", why=LACKS[RESERVE]), WAIT_S, "growth to be refused")
        for filler in fillers.values():
            filler.unlink()
        wait_until(lambda: succeeds(hasty.put, "growing", "v"), WAIT_S, "growth to come back")


@pytest.fixture
def lone_disk(request: pytest.FixtureRequest) -> Iterator[PowerCutDisk]:
    """For a node that is a cluster of its own; of so many MiB as the test says."""
    if reason := available():
        pytest.skip(reason)
    with PowerCutDisk(getattr(request, "param", DISK_MIB)) as disk, own_runtime():
        yield disk


@contextlib.contextmanager
def lone_node(disk: PowerCutDisk, ports: Ports, home: Path) -> Iterator[Client]:
    """It runs, and is ready, while the context lasts; a client of it."""
    data = str(disk.path / "data")
    settings = Settings(port=ports.client, http_port=ports.http, peer_port=ports.peer, data_dir=data)
    with started(settings, home), Client(settings.client_endpoint(), timeout=5.0) as client:
        wait_until(lambda: http(settings, "/health/ready")[0] == 200, WAIT_S, "the node to be ready")
        yield client


def test_deletes_and_compaction_bring_growth_back_on_a_disk_that_gets_no_emptier(
    lone_disk: PowerCutDisk, tmp_path: Path
) -> None:
    """A file never shrinks: what was freed in it is room."""
    with lone_node(lone_disk, free_ports(1), tmp_path) as client:
        for number in range(80):
            client.put(f"large/{number}", bytes(100_000))
        fill(lone_disk, lone_disk.path / "filler", reserve_of(lone_disk) * 3 // 4)
        wait_until(lambda: is_refused(client.put, "k", "v", why=LACKS[RESERVE]), WAIT_S, "growth to be refused")
        for number in range(80):
            client.delete(f"large/{number}")
        assert is_refused(client.put, "k", "v", why=LACKS[RESERVE])  # the history holds it all
        client.compact(client.get("k").revision)
        wait_until(lambda: succeeds(client.put, "k", "v"), WAIT_S, "growth to come back")


def test_a_lone_node_without_any_room_serves_reads_also_after_a_restart(
    lone_disk: PowerCutDisk, tmp_path: Path
) -> None:
    ports, filler = free_ports(1), lone_disk.path / "filler"
    with lone_node(lone_disk, ports, tmp_path) as client:
        client.put("k", "v")
        exhaust(lone_disk, filler)
        wait_until(lambda: is_refused(client.delete, "other", why=LACKS[EXHAUSTED]), WAIT_S, "writes to be refused")
        assert client.get("k").value == b"v"
    with lone_node(lone_disk, ports, tmp_path) as client:
        assert client.get("k").value == b"v"
        assert is_refused(client.put, "k", "w", why=LACKS[EXHAUSTED])
        assert client.get("k").value == b"v"
        filler.unlink()
        wait_until(lambda: succeeds(client.put, "k", "w"), WAIT_S, "writes to come back")


@pytest.mark.parametrize("lone_disk", [512], indirect=True)
def test_a_node_whose_disk_others_filled_to_the_last_byte_votes_and_serves_reads(
    lone_disk: PowerCutDisk, tmp_path: Path
) -> None:
    """Its journal holds much at that time, and a vote makes LMDB take all of it."""
    ports, filler = free_ports(1), lone_disk.path / "filler"
    with lone_node(lone_disk, ports, tmp_path) as client:
        for number in range(60):
            client.put(f"large/{number}", bytes(10_000))
        fill_up(filler)
        wait_until(lambda: is_refused(client.put, "k", "v", why=LACKS[EXHAUSTED]), WAIT_S, "writes to be refused")
    for _ in range(2):
        with lone_node(lone_disk, ports, tmp_path) as client:
            assert client.get("large/59").value == bytes(10_000)
    filler.unlink()
    with lone_node(lone_disk, ports, tmp_path) as client:
        wait_until(lambda: succeeds(client.put, "k", "w"), WAIT_S, "writes to come back")


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


def test_a_leader_whose_disk_is_full_hands_over_to_one_that_has_room(
    cluster: LocalCluster, client: Client, load: Load, disks: Disks, fillers: dict[str, Path]
) -> None:
    with load:
        leader = cluster.leader()
        exhaust(disks[leader], fillers[leader])
        assert client.get("k").revision > 0
        wait_until(lambda: cluster.leader() != leader, WAIT_S, "another leader")
        load.wait_for_progress()
        assert client.get("k").revision > 0
        fillers[leader].unlink()
        load.wait_for_progress()
    verify(cluster, load)


def lag(cluster: LocalCluster, name: str) -> int:
    """How many entries a node has applied less than the one that has applied most."""
    applied = {one: answer.last_applied for one, answer in cluster.status().items() if answer}
    return max(applied.values()) - applied[name]


def succeeds(write: Callable[..., object], *arguments: str) -> bool:
    try:
        write(*arguments)
    except (ResourceExhausted, Unavailable, Unknown):
        return False
    return True


def is_refused(write: Callable[..., object], *arguments: str, why: str) -> bool:
    try:
        write(*arguments)
    except ResourceExhausted as error:
        return why in error.message
    except (Unavailable, Unknown):  # proposed just before the disk was full
        pass
    return False
