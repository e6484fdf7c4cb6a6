"""Backups of a running cluster, and the clusters that are made of them; who may not take part in those."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.cluster.load import Load
from tests.cluster.running import WAIT_S, equal_and_led, free_ports, own_runtime, replicas
from tests.waiting import wait_until
from zraft import Client
from zraft.cli import zraft
from zraft.cluster import LocalCluster
from zraft.protocol.client import KeyValue

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
