"""A flipped bit in the state of one node: found at its start or by a read, never served, and the way out works."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.cluster.nodes import http
from tests.cluster.running import equal_and_led, running
from tests.waiting import wait_until
from zraft import Client, Unavailable
from zraft.cli import zraft
from zraft.cluster import ClusterError, LocalCluster

pytestmark = pytest.mark.cluster

WAIT_S = 30.0
VALUE = b"as it was written, " * 8


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with running(tmp_path / "cluster") as cluster:
        yield cluster


def flip(cluster: LocalCluster, name: str) -> None:
    """One bit of the value, in place: readers of the map see it at once."""
    [state] = cluster.settings(name).data_path().glob("state.*")
    file = state / "data.mdb"
    at = file.read_bytes().rindex(VALUE) + 5
    with file.open("r+b") as opened:
        opened.seek(at)
        byte = opened.read(1)[0]
        opened.seek(at)
        opened.write(bytes([byte ^ 1]))


def reason(cluster: LocalCluster, name: str) -> str:
    """Why the node is not ready, as ``/health`` has it."""
    try:
        return str(http(cluster.settings(name), "/health")[1].get("reason", ""))
    except OSError:
        return ""


def repair_and_restart(cluster: LocalCluster, name: str) -> None:
    cluster.kill(name)
    result = CliRunner().invoke(zraft, ["repair", str(cluster.settings(name).data_path()), "--yes"])
    assert (result.exit_code, "set aside in" in result.stdout) == (0, True), result.output
    cluster.restart(name)
    equal_and_led(cluster)
    endpoint = cluster.settings(name).client_endpoint()
    with Client(endpoint) as client:
        assert client.get("k", consistency="serializable").value == VALUE


def follower(cluster: LocalCluster) -> str:
    return next(name for name in cluster.names if name != cluster.leader())


def test_damage_is_found_at_the_start_and_repaired(cluster: LocalCluster) -> None:  # trap 29
    with Client(cluster.endpoints(), timeout=10) as client:
        client.put("k", VALUE)
        equal_and_led(cluster)
        name = follower(cluster)
        cluster.kill(name)
        flip(cluster, name)
        with pytest.raises(ClusterError, match="zraft repair"):
            cluster.restart(name, timeout=5)
        wait_until(lambda: "zraft repair" in reason(cluster, name), WAIT_S, "the node to say what is wrong")
        assert "the record of revision 1/0 does not match its checksum" in reason(cluster, name)
        with Client(cluster.settings(name).client_endpoint(), timeout=0.3) as alone, pytest.raises(Unavailable):
            alone.get("k", consistency="serializable")
        assert client.put("other", "v").success
    repair_and_restart(cluster, name)


def test_damage_that_a_read_meets_is_not_served(cluster: LocalCluster) -> None:  # trap 29
    with Client(cluster.endpoints(), timeout=10) as client:
        client.put("k", VALUE)
        equal_and_led(cluster)
        name = follower(cluster)
        flip(cluster, name)
        with Client(cluster.settings(name).client_endpoint(), timeout=0.5) as alone, pytest.raises(Unavailable):
            alone.get("k", consistency="serializable")
        wait_until(lambda: "zraft repair" in reason(cluster, name), WAIT_S, "the node to say what is wrong")
        assert client.get("k").value == VALUE
    repair_and_restart(cluster, name)
