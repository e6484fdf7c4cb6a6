"""The first steps of a newcomer, on three real nodes, by client and by command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.cluster.running import equal_and_led
from tests.waiting import wait_until
from zraft import Client, PreconditionFailed, Unavailable
from zraft.cli import zraft
from zraft.client import Delete, Get, Put
from zraft.cluster import ClusterError, LocalCluster, Ports
from zraft.errors import InvalidArgument
from zraft.protocol.responses import DeleteResult, GetResult, PutResult

pytestmark = pytest.mark.cluster


def followers(cluster: LocalCluster) -> list[str]:
    leader = cluster.leader()
    return [name for name in cluster.names if name != leader]


def run(*arguments: str, stdin: bytes = b"") -> tuple[int, bytes]:
    """Exit code and stdout of a command that says nothing on stderr."""
    result = CliRunner().invoke(zraft, arguments, input=stdin)
    assert result.stderr == "", result.stderr
    return result.exit_code, result.stdout_bytes


def test_every_node_takes_writes_and_every_node_has_them(cluster: LocalCluster) -> None:
    for endpoint in cluster.endpoints():
        with Client(endpoint) as client:
            assert client.put(f"via {endpoint}", "v").success
    for endpoint in cluster.endpoints():
        with Client(endpoint) as client:
            assert [client.get(f"via {other}").value for other in cluster.endpoints()] == [b"v"] * 3
    equal_and_led(cluster)
    for endpoint in cluster.endpoints():
        with Client(endpoint) as client:
            assert client.get(f"via {endpoint}", consistency="serializable").value == b"v"


def test_a_key_lives_by_its_revisions(client: Client) -> None:
    created = client.put("life", "1", expected_revision=0)
    with pytest.raises(PreconditionFailed, match=f"{created.mod_revision}") as caught:
        client.put("life", "2", expected_revision=0)
    assert caught.value.revision == created.mod_revision
    changed = client.put("life", "2", expected_revision=created.mod_revision, return_previous=True)
    assert changed.revision == created.revision + 1
    assert changed.previous is not None
    assert changed.previous.value == b"1"
    found = client.get("life")
    assert (found.value, found.create_revision, found.mod_revision, found.version) == (
        b"2",
        created.revision,
        changed.revision,
        2,
    )
    assert client.get("life", revision=created.revision).value == b"1"
    assert client.delete("life", expected_revision=changed.mod_revision).found
    assert not client.get("life").found
    assert not client.delete("life").found


def test_a_batch_has_a_result_for_each_operation(client: Client) -> None:
    first, second, third = client.batch([Put(b"b/1", b"x"), Delete(b"b/2"), Put(b"b/1", b"y", 0)]).outcomes
    assert isinstance(first, PutResult)
    assert first.success
    assert isinstance(second, DeleteResult)
    assert (second.success, second.found) == (True, False)
    assert isinstance(third, PreconditionFailed)
    assert third.revision == first.mod_revision
    found = client.batch([Get("b/1"), Get("b/2")], consistency="serializable").outcomes
    assert [isinstance(one, GetResult) and one.value for one in found] == [b"x", None]


def test_a_range_is_one_view_over_many_answers(client: Client) -> None:
    count = 12_000  # more than one answer holds
    keys = [f"r/{number:05d}".encode() for number in range(count)]
    for begin in range(0, count, 6_000):
        client.batch([Put(key, b"old") for key in keys[begin : begin + 6_000]])
    view = client.range(prefix="r/")
    first = next(view)
    client.put(keys[-1], "new")
    client.put("r/99999", "new")
    rest = list(view)
    assert [first.key, *(item.key for item in rest)] == keys
    assert {item.value for item in rest} == {b"old"}
    assert [item.key for item in client.range("r/00010", "r/00013")] == keys[10:13]
    assert [item.key for item in client.range(prefix="r/", limit=2, keys_only=True)] == keys[:2]


def test_a_wrong_request_is_refused_by_the_node_in_words(client: Client) -> None:
    with pytest.raises(InvalidArgument, match=r"future|revision"):
        client.get("k", revision=1 << 40)


def test_without_a_majority_nothing_is_done_and_it_is_said(cluster: LocalCluster) -> None:
    leader = cluster.leader()
    for name in followers(cluster):
        cluster.kill(name)
    with Client(cluster.settings(leader).client_endpoint(), timeout=2) as client:
        # The deposed leader has to notice; from then on nothing is proposed.
        wait_until(lambda: client.status().state != "leader", 10, "the leader to step down")
        with pytest.raises(Unavailable):
            client.put("k", "v")
        with pytest.raises(Unavailable):
            client.get("k")
        assert client.get("never", consistency="serializable").found is False


def test_a_second_cluster_is_refused_before_anything_starts(cluster: LocalCluster, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="zraft dev down"):
        LocalCluster.load(cluster.directory).up()
    settings = cluster.settings("node-1")
    ports = Ports(settings.port - 1, settings.http_port - 1, settings.peer_port - 10)
    with pytest.raises(ClusterError, match=f"port {settings.port} is not free"):
        LocalCluster(tmp_path / "other", 1, ports=ports).up()
    assert not (tmp_path / "other").exists()


def test_the_command_line_from_put_to_restart(cluster: LocalCluster) -> None:
    directory = str(cluster.directory)
    one, _, three = cluster.endpoints()
    every = ",".join(cluster.endpoints())
    value = bytes(range(256))

    assert run("put", "cli", "--endpoints", one, stdin=value)[0] == 0
    assert run("get", "cli", "--endpoints", every) == (0, value)
    equal_and_led(cluster)
    assert run("get", "cli", "--endpoints", three, "--consistency", "serializable") == (0, value)

    leader = cluster.leader()
    assert run("dev", "kill", "leader", "--dir", directory) == (0, f"killed {leader}\n".encode())
    assert run("put", "cli", "again", "--endpoints", every)[0] == 0
    assert run("get", "cli", "--endpoints", every) == (0, b"again")
    assert run("dev", "restart", leader, "--dir", directory) == (0, f"restarted {leader}\n".encode())

    newest = equal_and_led(cluster)

    def members() -> list[dict[str, object]]:
        """Of one node asked for all of them; the gateways greet each other in time."""
        code, output = run("status", "--output", "json", "--endpoints", one)
        document = json.loads(output)
        assert (code, document["leader_id"]) == (0, newest)
        return document["members"] if all("node_id" in member for member in document["members"]) else []

    found = wait_until(members, 10, "the gateways to know each other")
    assert [(member["node_id"], member["state"] == "leader") for member in found] == [
        (name, name == newest) for name in cluster.names
    ]
    assert len({member["last_applied"] for member in found}) == 1

    code, output = run("dev", "status", "--dir", directory)
    assert (code, output.decode().count("running")) == (0, 3)
    follower = followers(cluster)[0]
    assert run("dev", "pause", follower, "--dir", directory)[0] == 0
    assert cluster.condition(follower) == "paused"
    assert run("dev", "resume", follower, "--dir", directory)[0] == 0
    assert run("dev", "kill", follower, "--actor", "gateway", "--dir", directory)[0] == 0
    assert run("delete", "cli", "--endpoints", every)[0] == 0
