"""Members come and go while clients write: joined, replaced, removed, killed at the worst moment (S14)."""

import contextlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace

from tests.cluster.load import Load
from tests.cluster.nodes import ROOT, Node, http, started
from tests.cluster.running import NODES, PATIENT, WAIT_S, free_ports, own_runtime
from tests.waiting import wait_until
from zraft import Client
from zraft.cluster import LocalCluster
from zraft.config import Settings
from zraft.errors import ZraftError
from zraft.protocol.responses import KeyValue, MemberInfo

pytestmark = pytest.mark.cluster

SPARES = 3

T = TypeVar("T")


class Stage:
    """A cluster of three, settings for nodes that may join it, and clients of all of them."""

    def __init__(self, home: Path, cluster: LocalCluster, spares: list[Settings], exits: contextlib.ExitStack) -> None:
        self.home = home
        self.cluster = cluster
        self.spares = spares
        self.endpoints = [*cluster.endpoints(), *(one.client_endpoint() for one in spares)]
        self.client = exits.enter_context(Client(self.endpoints, timeout=WAIT_S))
        self._exits = exits

    def start(self, settings: Settings) -> Node:
        """A node that runs until the end of the test, unless that ends it."""
        return self._exits.enter_context(started(settings, self.home))

    def ask(self, question: Callable[[Client], T]) -> list[T]:
        """What the nodes that answer say."""
        told = []
        for endpoint in self.endpoints:
            with contextlib.suppress(ZraftError), Client(endpoint, timeout=1.0) as client:
                told.append(question(client))
        return told

    def members(self) -> dict[str, MemberInfo]:
        """Those of the newest configuration that any node tells."""
        told = sorted(self.ask(Client.members), key=lambda one: one.index)
        return {member.name: member for member in told[-1].members} if told else {}

    def leader(self) -> str:
        """Who leads the newest term, once somebody does."""

        def newest() -> str:
            leaders = [one for one in self.ask(Client.status) if one.state == "leader"]
            return max(leaders, key=lambda one: one.current_term).node_id if leaders else ""

        return wait_until(newest, WAIT_S, "a leader")

    def wait_for_voter(self, name: str) -> None:
        wait_until(lambda: name in (now := self.members()) and now[name].voter, WAIT_S, f"{name} to be a voter")

    def equal(self, names: set[str]) -> None:
        """Returns when these nodes follow one leader and have applied the same; all of them must hold the same then."""

        def applied() -> bool:
            told = [one for one in self.ask(Client.status) if one.node_id in names]
            return len(told) == len(names) and len({(one.leader_id, one.last_applied) for one in told}) == 1

        wait_until(applied, WAIT_S, f"{sorted(names)} to be equal")

        def held() -> dict[str, list[KeyValue]] | None:
            told = dict(self.ask(lambda one: (one.status().node_id, list(one.range(consistency="serializable")))))
            return told if told.keys() >= names else None  # who does not answer is not equal

        contents = wait_until(held, WAIT_S, f"{sorted(names)} to tell what they hold")
        first, *others = [contents[name] for name in names]
        assert first
        assert all(other == first for other in others)


@contextlib.contextmanager
def staged(home: Path, nodes: int) -> Iterator[Stage]:
    """A cluster of so many nodes; all others of six are spares."""
    with own_runtime():
        ports = free_ports(NODES + SPARES)
        planned = LocalCluster(home, NODES + SPARES, ports=ports, options=PATIENT)
        cluster = LocalCluster(home, nodes, ports=ports, options=PATIENT)
        join = ",".join(cluster.endpoints())
        # As all pods of a StatefulSet have the same settings: the first members, and how to join them.
        first = cluster.settings(cluster.names[0]).peers
        spares = [replace(planned.settings(name), peers=first, join=join) for name in planned.names[nodes:]]
        cluster.up()
        try:
            with contextlib.ExitStack() as exits:
                yield Stage(home, cluster, spares, exits)
        finally:
            cluster.down()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path, NODES) as stage:
        yield stage


def test_all_members_are_replaced_one_by_one_under_load(stage: Stage) -> None:  # trap 35: the leader, too
    load = Load(stage.endpoints)
    with load, Client(stage.endpoints[0], timeout=WAIT_S) as learner:  # of one endpoint, which is the first to go
        learner.put("learned", "v")

        def has_learned(endpoint: str) -> bool:
            assert learner.get("learned").value == b"v"
            return endpoint in learner._core.endpoints.learned

        for old, new in zip(stage.cluster.names, stage.spares, strict=True):
            stage.start(new)
            stage.wait_for_voter(new.id)
            wait_until(partial(has_learned, new.client_endpoint()), WAIT_S, "the client to learn of it")
            stage.client.remove_member(old)
            load.wait_for_progress()
            stage.cluster.kill(old)
            load.wait_for_progress()
            assert learner.get("learned").value == b"v"
    members = stage.members()
    assert {name for name, one in members.items() if one.voter} == {one.id for one in stage.spares} == members.keys()
    load.verify()
    stage.equal({one.id for one in stage.spares})


@pytest.mark.long
def test_a_dead_member_is_replaced_by_one_command(stage: Stage) -> None:
    dead, (new, *_) = "node-2", stage.spares
    load = Load(stage.endpoints)
    with load:
        stage.cluster.kill(dead)
        stage.start(new)
        endpoints = ",".join(stage.endpoints)
        line = [
            sys.executable,
            "-m",
            "zraft.cli",
            "member",
            "replace",
            dead,
            new.id,
            new.peer_endpoint(),
            "--endpoints",
            endpoints,
        ]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
        assert (done.returncode, done.stdout) == (0, f"{new.id} has taken the place of {dead}\n"), done.stderr
        load.wait_for_progress()
    assert stage.members().keys() == {"node-1", "node-3", new.id}
    load.verify()


@pytest.mark.long
def test_leader_and_newcomer_die_in_the_middle_of_a_change(stage: Stage) -> None:
    new = stage.spares[0]
    load = Load(stage.endpoints)
    with load:
        newcomer = stage.start(new)
        wait_until(lambda: new.id in stage.members(), WAIT_S, "the newcomer to be known")
        newcomer.kill()
        leader = stage.leader()
        stage.cluster.kill(leader)
        load.wait_for_progress()
        stage.cluster.restart(leader)
        stage.start(new)
        stage.wait_for_voter(new.id)
        leaver = stage.leader()
        stage.client.remove_member(leaver)
        load.wait_for_progress()
    load.verify()


def test_a_wiped_node_comes_back_under_its_old_name_by_one_command(stage: Stage) -> None:  # trap 36
    leader = stage.cluster.leader()
    name = next(name for name in stage.cluster.names if name != leader)
    settings = stage.cluster.settings(name)
    stage.client.put("k", "v")  # which it is to have afterwards
    stage.cluster.kill(name)
    shutil.rmtree(settings.data_path())
    before = stage.members()[name].member
    # It has the settings of its first start: it would form, but is shown a cluster, which has its name already.
    node = stage.start(replace(settings, join=",".join(stage.cluster.endpoints())))
    node.wait_for_reason(f"run: zraft member remove {name}")
    assert http(settings, "/health/live")[0] == HTTPStatus.OK  # nothing is to be restarted for that
    with Client(stage.cluster.settings(leader).client_endpoint(), timeout=WAIT_S) as client:
        client.remove_member(name)
    wait_until(lambda: name in (now := stage.members()) and now[name].member != before, WAIT_S, f"{name} to join")
    stage.wait_for_voter(name)
    stage.equal(set(stage.cluster.names))


def test_who_was_removed_while_it_was_away_says_so_and_disturbs_nobody(stage: Stage) -> None:  # traps 37, 39
    leader = stage.cluster.leader()
    name = next(name for name in stage.cluster.names if name != leader)
    stage.cluster.kill(name)
    with Client(stage.cluster.settings(leader).client_endpoint(), timeout=WAIT_S) as client:
        client.remove_member(name)
        for number in range(20):
            client.put("k", str(number))
        before = client.status()
        node = stage.start(stage.cluster.settings(name))
        node.wait_for_reason("it was removed from the cluster")
        after = client.status()
    assert (before.current_term, before.leader_id) == (after.current_term, after.leader_id)


def test_what_is_left_of_three_becomes_a_cluster_that_grows_back_to_three(stage: Stage) -> None:
    kept, *lost = stage.cluster.names
    stage.client.put("k", "v")
    stage.equal(set(stage.cluster.names))
    for name in stage.cluster.names:
        stage.cluster.kill(name)
    for name in lost:
        shutil.rmtree(stage.cluster.settings(name).data_path())
    alone = replace(stage.cluster.settings(kept), peers={})
    line = [sys.executable, "-m", "zraft.cli", "repair", alone.data_dir, "--force-new-cluster", "--yes"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0, done.stderr
    stage.start(alone)
    for name in lost:
        stage.start(replace(stage.cluster.settings(name), peers={}, join=alone.client_endpoint()))
    for name in stage.cluster.names:
        stage.wait_for_voter(name)
    with Client(alone.client_endpoint(), timeout=WAIT_S) as client:  # of the new cluster
        assert client.get("k").value == b"v"
    stage.equal(set(stage.cluster.names))


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_cluster_of_one_grows_to_five_and_shrinks_to_three_under_load(tmp_path: Path) -> None:
    with staged(tmp_path, 1) as stage:
        load = Load(stage.endpoints)
        with load:
            for size, new in enumerate(stage.spares[:4], 2):
                stage.start(new)
                stage.wait_for_voter(new.id)
                load.wait_for_progress()
                assert len(stage.members()) == size
            for _ in range(2):
                stage.client.remove_member(stage.leader())
                load.wait_for_progress()
        assert len(stage.members()) == NODES
        load.verify()
        stage.equal(set(stage.members()))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
def test_a_joining_node_can_be_stopped_and_waits_for_its_cluster(stage: Stage, how: signal.Signals) -> None:
    new = replace(stage.spares[0], join="127.0.0.1:1")
    node = stage.start(new)
    wait_until(lambda: "waiting for the cluster to join" in node.log(), WAIT_S, "the node to wait")
    node.process.send_signal(how)
    assert node.process.wait(WAIT_S) == 0  # as that of a node that runs: else who runs services takes it for a failure
    assert node.log().splitlines()[-1].endswith('event="node stopped" exit_code=0')
