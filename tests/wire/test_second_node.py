"""The page of nodes is enough: somebody who has read nothing else writes a node, and it is one among real ones."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.nodes import Node, started
from tests.cluster.running import free_ports, own_runtime
from tests.waiting import wait_until
from tests.wire.second_links import DATA
from tests.wire.second_log import CHECKPOINT_ENTRIES
from tests.wire.second_node import APPEND_ANSWER, DIVERGED, SecondNode
from zraft import Client
from zraft.config import Settings

pytestmark = pytest.mark.cluster

WAIT_S = 60.0
TIMEOUT_MIN_MS = 500
NAMES = ("node-1", "node-2", "node-3")
SECOND = NAMES[-1]
VALUE = bytes(100_000)


class Cluster:
    """Two real nodes, and the second one, which does nothing but while somebody waits."""

    def __init__(self, nodes: list[Node], second: SecondNode) -> None:
        self.nodes, self.second = nodes, second
        self.client = Client([node.settings.client_endpoint() for node in nodes], timeout=WAIT_S / 2)

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Until that is so."""

        def is_so() -> object:
            self.second.turn()
            return condition()

        wait_until(is_so, WAIT_S, what)

    def during(self, call: Callable[[], Any]) -> Any:
        """What a call comes to that needs the second node."""
        results: list[Any] = []
        thread = threading.Thread(target=lambda: results.append(call()))
        thread.start()
        self.wait(lambda: not thread.is_alive(), "a call to end")
        thread.join()
        [result] = results
        return result

    def lead(self, name: str) -> None:
        """Let a member lead."""
        self.depose()
        if self.second.name_of(self.second.leader) != name:
            self.during(lambda: self.client.transfer_leadership(name))
        self.wait(lambda: self.second.name_of(self.second.leader) == name, f"{name} to lead")

    def depose(self) -> None:
        """It leads no more, and is silent, until the others have elected another one."""
        self.second.leads = False
        self.wait(lambda: self.second.leader not in (0, self.second.me), "another leader")

    def equal(self) -> None:
        """Until all have applied the same."""

        def are_equal() -> bool:
            return {one.last_applied for one in map(self._status, self.nodes)} == {self.second.log.applied}

        self.wait(are_equal, "all to have applied the same")

    def _status(self, node: Node) -> Any:
        with Client(node.settings.client_endpoint()) as client:
            return client.status()


@pytest.fixture(scope="module")
def cluster(module_path: Path) -> Iterator[Cluster]:
    ports = free_ports()
    peers = {name: ports.peer + 10 * number for number, name in enumerate(NAMES, 1)}
    settings = [
        Settings(
            id=name,
            port=ports.client + number,
            http_port=ports.http + number,
            peer_port=peers[name],
            data_dir=str(module_path / name),
            peers={name: f"127.0.0.1:{port}" for name, port in peers.items()},
            election_timeout_min_ms=TIMEOUT_MIN_MS,
            election_timeout_max_ms=2 * TIMEOUT_MIN_MS,
            snapshot_log_mib=1,
            burst_mib=0,
        )
        for number, name in enumerate(NAMES[:-1], 1)
    ]
    second = SecondNode(SECOND, peers, TIMEOUT_MIN_MS)
    try:
        with own_runtime(), started(settings[0], module_path) as one, started(settings[1], module_path) as other:
            cluster = Cluster([one, other], second)
            cluster.wait(lambda: second.formed and second.leader and second.commit, "the cluster")
            yield cluster
            cluster.client.close()
    finally:
        second.close()


def test_it_follows_votes_and_leads(cluster: Cluster) -> None:
    client = cluster.client
    cluster.lead("node-1")
    assert cluster.during(lambda: client.put("a", "followed")).success
    cluster.lead(SECOND)
    assert cluster.during(lambda: client.put("b", "led")).success
    assert cluster.during(lambda: client.get("a")).value == b"followed"
    assert cluster.during(lambda: client.get("b")).value == b"led"
    cluster.depose()
    assert cluster.during(lambda: client.get("b")).value == b"led"
    cluster.equal()


def test_nobody_who_hears_a_leader_would_vote_for_it(cluster: Cluster) -> None:
    second = cluster.second
    cluster.lead("node-1")
    term = second.term
    second.ask_for_votes()
    cluster.wait(lambda: len(second.pre_votes_told) == len(NAMES) - 1, "their answers")
    assert not any(second.pre_votes_told.values())
    assert (second.term, second.leads) == (term, False)


def test_it_comes_to_the_same_state(cluster: Cluster) -> None:
    """Each checkpoint that real nodes tell is the one that it has worked out, and none of them finds its own wrong."""
    second, client = cluster.second, cluster.client
    cluster.lead("node-1")
    cluster.wait(lambda: second.log.state.version == 2, "the cluster version to be raised, as it knows it, too")

    def write() -> bool:
        for number in range(CHECKPOINT_ENTRIES):
            client.put(f"key/{number % 20}", b"%d" % number)
        revision = client.delete("key/1").revision
        client.compact(revision)
        return bool(client.put("key/1", "anew", expected_revision=0).success)

    assert cluster.during(write)
    cluster.lead(SECOND)
    assert cluster.during(lambda: client.put("key/2", "led").success)

    def told() -> set[tuple[int, int]]:
        answers = [message for plane, _, message in second.received if (plane, message[0]) == (DATA, APPEND_ANSWER)]
        return {tuple(answer[7]) for answer in answers} - {(0, 0)}

    cluster.wait(told, "a checkpoint of a real node")
    assert {second.log.checkpoints.get(index) for index, _ in told()} == {digest for _, digest in told()}
    assert [message for plane, _, message in second.received if (plane, message[0]) == (DATA, DIVERGED)] == []
    for node in cluster.nodes:
        assert "replicas differ" not in node.log()
        assert " level=error " not in node.log()


def test_it_is_sent_a_snapshot(cluster: Cluster) -> None:
    """It misses what the leader cuts from its log, and goes on from a file, whose state it reads by the page alone."""
    second, client = cluster.second, cluster.client
    cluster.lead("node-1")
    second.hears_entries = False
    lost = second.log.last[0]

    def is_cut() -> bool:
        client.put("large", VALUE)
        return all(one.first_log_index > lost + 1 for one in map(cluster._status, cluster.nodes))

    cluster.during(lambda: wait_until(is_cut, WAIT_S, "the log to be cut"))
    cluster.lead("node-2")  # the leader before had them in memory
    second.hears_entries = True
    cluster.wait(lambda: second.installed, "a snapshot")
    assert cluster.during(lambda: client.put("behind", "it").success)
    cluster.equal()
    state = second.log.state
    assert state.sum == sum_of(state.records)
    with Client(cluster.nodes[0].settings.client_endpoint()) as direct:
        assert state.revision == direct.status().revision
    cluster.lead(SECOND)  # which is to have all that there is
    assert cluster.during(lambda: client.get("large")).value == VALUE


def sum_of(records: dict[tuple[int, int], bytes]) -> int:
    each = ((revision, int.from_bytes(data[-4:], "little")) for (revision, _), data in records.items())
    return sum((checksum + revision) * (checksum ^ 0x9E3779B9) for revision, checksum in each) % (1 << 64)
