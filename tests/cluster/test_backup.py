"""Backups of a running cluster, and the clusters that are made of them; who may not take part in those."""

import contextlib
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from tests.cluster.load import Load
from tests.cluster.nodes import http, started
from tests.cluster.running import (
    WAIT_S,
    equal_and_led,
    follower,
    free_ports,
    own_runtime,
    replicas,
    roster,
    standing_still,
)
from tests.unit.store.stored import flip_all
from tests.waiting import wait_until
from zraft import Client, Unavailable
from zraft.cli import zraft
from zraft.cluster import LocalCluster
from zraft.protocol.responses import KeyValue

pytestmark = pytest.mark.cluster


def command(*words: object) -> Result:
    return CliRunner().invoke(zraft, [str(word) for word in words])


def restore(cluster: LocalCluster, name: str, file: Path, bump: int = 0) -> None:
    settings = cluster.settings(name)
    peers = ",".join(f"{peer}={at}" for peer, at in settings.peers.items())
    shutil.rmtree(settings.data_path())
    words = ("--data-dir", settings.data_dir, "--id", name, "--peers", peers, "--bump-revision", bump)
    result = command("snapshot", "restore", file, *words)
    assert result.exit_code == 0, result.output


def save(cluster: LocalCluster, file: Path) -> None:
    with Client(cluster.endpoints(), timeout=20) as client:
        client.snapshot(file)


def all_of(client: Client, revision: int = 0) -> list[KeyValue]:
    return list(client.range(revision=revision))


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """Three nodes that this test may destroy."""
    with own_runtime():
        cluster = LocalCluster(tmp_path / "cluster", 3, ports=free_ports())
        cluster.up()
        try:
            yield cluster
        finally:
            cluster.down()


def test_a_cluster_is_restored_from_a_backup_under_load(own_cluster: LocalCluster, tmp_path: Path) -> None:
    cluster, file = own_cluster, tmp_path / "backup.snapshot"
    load = Load(cluster.endpoints(), "backup")
    with load, Client(cluster.endpoints(), timeout=20) as client:
        wait_until(lambda: client.status().revision > 200, WAIT_S, "some writes")
        seen: list[tuple[int, int]] = []
        manifest = client.snapshot(file, progress=lambda done, whole: seen.append((done, whole)))
        assert seen[-1] == (file.stat().st_size,) * 2
        wait_until(lambda: client.status().revision > manifest.revision + 100, WAIT_S, "writes behind the backup")
        expected = all_of(client, manifest.revision)
    old = cluster.status()[cluster.names[0]]
    cluster.down()
    for name in cluster.names:
        restore(cluster, name, file, bump=1_000_000)
    cluster.up()
    assert replicas(cluster) == [expected] * 3
    equal_and_led(cluster)
    with Client(cluster.endpoints()) as client:
        new = client.status()
        assert old is not None
        assert new.cluster_id != old.cluster_id
        assert client.put("new", "v").revision == manifest.revision + 1_000_001
    cluster.down()
    cluster.up()
    with Client(cluster.endpoints()) as client:
        assert client.get("new").value == b"v"


def test_a_backup_has_all_that_was_acknowledged_before(own_cluster: LocalCluster, tmp_path: Path) -> None:
    cluster, file = own_cluster, tmp_path / "file"
    equal_and_led(cluster)
    late = follower(cluster)
    here, elsewhere = (cluster.settings(name).client_endpoint() for name in (late, cluster.leader()))
    with Client(elsewhere) as client, Client(here, timeout=20, learn_members=False) as at_late:
        with ThreadPoolExecutor() as pool, standing_still(roster(cluster, late).actors, ("storage",)):
            last = client.put("k", "v").revision
            assert at_late.get("k", consistency="serializable").revision < last
            asked = pool.submit(at_late.snapshot, file)
            with pytest.raises(TimeoutError):
                asked.result(timeout=0.5)
        assert asked.result().revision == last


def test_nodes_restored_from_different_files_form_nothing(own_cluster: LocalCluster, tmp_path: Path) -> None:
    cluster, files = own_cluster, (tmp_path / "one", tmp_path / "two")
    with Client(cluster.endpoints()) as client:
        for file in files:
            client.put("k", file.name)
            save(cluster, file)
    cluster.down()
    names, homes = cluster.names, contextlib.ExitStack()
    with homes:
        nodes = []
        for name, file in zip(names, (*files, files[1]), strict=True):
            restore(cluster, name, file)
            nodes.append(homes.enter_context(started(cluster.settings(name), tmp_path)))
        nodes[0].wait_for_reason("begins with the restored state", "restore the same file")
        assert not any(http(cluster.settings(name), "/health/ready")[0] == 200 for name in names)


def test_a_member_of_the_old_cluster_never_joins_the_restored_one(own_cluster: LocalCluster, tmp_path: Path) -> None:
    cluster, file = own_cluster, tmp_path / "file"
    save(cluster, file)
    cluster.down()
    old, *others = cluster.names
    for name in others:
        restore(cluster, name, file)
    with contextlib.ExitStack() as homes:
        nodes = [homes.enter_context(started(cluster.settings(name), tmp_path)) for name in cluster.names]
        for node in nodes[1:]:
            node.wait_for_reason("has a new or wiped data directory")
        with Client(cluster.settings(old).client_endpoint(), timeout=1.0) as client, pytest.raises(Unavailable):
            client.get("k")


def test_what_is_left_of_a_lost_majority_becomes_a_new_cluster(own_cluster: LocalCluster, tmp_path: Path) -> None:
    cluster = own_cluster
    with Client(cluster.endpoints()) as client:
        for number in range(50):
            client.put(f"key/{number}", "v")
    equal_and_led(cluster)
    last = cluster.names[-1]
    settings = replace(cluster.settings(last), peers={})
    assert command("repair", settings.data_dir, "--force-new-cluster", "--yes").exit_code == 73  # its node runs
    for name in cluster.names:
        cluster.kill(name)
    assert command("check", settings.data_dir).exit_code == 0
    result = command("repair", settings.data_dir, "--force-new-cluster", "--yes")
    assert result.exit_code == 0, result.output
    assert "may be lost" in result.stderr
    with started(settings, tmp_path), Client(settings.client_endpoint(), timeout=20) as client:
        assert len(list(client.range(prefix="key/"))) == 50
        assert client.put("new", "v").revision == 51


def test_a_damaged_state_is_found_and_made_anew(own_cluster: LocalCluster) -> None:
    cluster = own_cluster
    with Client(cluster.endpoints()) as client:
        for number in range(50):
            client.put(f"key/{number}", f"value/{number}")
    equal_and_led(cluster)
    name = cluster.names[0]
    cluster.kill(name)
    [state] = cluster.settings(name).data_path().glob("state.*")
    flip_all(state / "data.mdb", b"value/7")
    result = command("check", cluster.settings(name).data_dir)
    assert (result.exit_code, f"the state in {state} is damaged" in result.stderr) == (5, True)
    assert f"zraft repair {cluster.settings(name).data_dir}" in result.stderr
    assert command("repair", cluster.settings(name).data_dir).exit_code == 0
    cluster.restart(name)
    first, *others = replicas(cluster)
    assert len(first) == 50
    assert all(other == first for other in others)
