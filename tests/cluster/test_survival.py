"""What real nodes survive under load: kill -9 of every process and of all at once, and processes that stand still.

After each fault service goes on, everything that was acknowledged is there, and all replicas are equal.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.cluster.load import Load
from tests.cluster.running import (
    WAIT_S,
    equal_and_led,
    follower,
    has_written,
    roster,
    running,
    standing_still,
    verify,
)
from tests.waiting import wait_until
from zraft import Client, NotExecuted, Unavailable
from zraft.actors.roster import Roster
from zraft.cluster import LocalCluster
from zraft.core.restarts import TRIO

pytestmark = pytest.mark.cluster

LEADER_KILLS = 3
MASSACRES = 10
STALE_READS = 3
PAUSE_S = 3.0


def is_unavailable(client: Client, key: str) -> bool:
    try:
        client.get(key)
    except Unavailable:
        return True
    return False


def replacing(cluster: LocalCluster, name: str, before: Roster, actor: str) -> Roster | None:
    """The node's processes once the actor is another one."""
    found = roster(cluster, name)
    return found if found.actors[actor] != before.actors[actor] else None


def test_the_first_story(tmp_path: Path) -> None:
    """As a newcomer is shown it; `running` sees to it that nothing is left of the cluster afterwards."""
    with running(tmp_path / "cluster") as cluster, Client(cluster.endpoints()) as client:
        with Client(cluster.endpoints()[0]) as through_one:
            revision = through_one.put("greeting", "hello").revision
        with Client(cluster.endpoints()[2]) as from_three:
            wait_until(
                lambda: from_three.get("greeting", consistency="serializable").value == b"hello",
                WAIT_S,
                "node-3 to have applied what was written through node-1",
            )
        leader = cluster.leader()
        cluster.kill(leader)
        assert client.put("greeting", "again").revision > revision
        assert client.get("greeting").value == b"again"
        cluster.restart(leader)
        equal_and_led(cluster)


def test_a_node_tells_who_asks_it_which_of_its_actors_stands_still(cluster: LocalCluster) -> None:
    name = next(one for one in cluster.names if one != cluster.leader())
    with Client(cluster.endpoints()[cluster.names.index(name)], learn_members=False) as asking:

        def notice() -> str:
            return asking.status().notice

        with standing_still(roster(cluster, name).actors, ("replication",)):
            wait_until(lambda: "replication has not moved for" in notice(), WAIT_S, "its node to say so")
        wait_until(lambda: not notice(), WAIT_S, "its node to be well")


def test_writes_and_reads_go_on_when_the_leader_is_killed(cluster: LocalCluster, client: Client, load: Load) -> None:
    times = []
    with load:
        for value in (b"%d" % number for number in range(LEADER_KILLS)):
            leader = cluster.leader()
            begin = time.monotonic()
            cluster.kill(leader)
            wait_until(partial(has_written, client, "failover", value), WAIT_S, "an acknowledged write")
            written = time.monotonic()
            assert client.get("failover").value == value
            times.append(f"{written - begin:.2f} + {time.monotonic() - written:.2f}")
            load.wait_for_progress()
            cluster.restart(leader)
    print("seconds from kill -9 of the leader to an acknowledged write + a read:", *times, sep="\n")
    verify(cluster, load)


@pytest.mark.timeout(300)
def test_nothing_is_lost_when_all_nodes_are_killed(cluster: LocalCluster, client: Client, load: Load) -> None:
    for _ in range(MASSACRES):
        with load:
            for name in cluster.names:
                cluster.kill(name)
        cluster.up()
        load.read_back()  # the checker sees it with all the rest, once
    verify(cluster, load)


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_an_actor_that_is_killed_comes_back_under_load(
    cluster: LocalCluster, client: Client, load: Load, who: str
) -> None:
    with load:
        for actor in (*TRIO, "gateway"):
            name = cluster.leader() if who == "leader" else follower(cluster)
            before = roster(cluster, name)
            cluster.kill(name, actor)
            load.wait_for_progress()
            after = wait_until(partial(replacing, cluster, name, before, actor), WAIT_S, f"another {actor} of {name}")
            replaced = {one for one in after.actors if after.actors[one] != before.actors[one]}
            assert replaced == (set(TRIO) if actor in TRIO else {actor})  # S1: the trio lives and dies together
            assert (after.incarnation != before.incarnation) == (actor in TRIO)
            assert after.supervisor == before.supervisor
            cluster.wait_until_ready()
    verify(cluster, load)


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_all_of_a_node_dies_with_its_supervisor(cluster: LocalCluster, client: Client, load: Load, who: str) -> None:
    with load:
        name = cluster.leader() if who == "leader" else follower(cluster)
        cluster.kill(name, "supervisor")
        wait_until(lambda: cluster.condition(name) == "dead", WAIT_S, f"the children of {name} to be gone")
        load.wait_for_progress()
        cluster.restart(name)
        load.wait_for_progress()
    verify(cluster, load)


def test_a_leader_that_was_paused_rejoins(cluster: LocalCluster, client: Client, load: Load) -> None:  # traps 41, 65
    with load:
        leader, paused_at = cluster.leader(), time.monotonic()
        cluster.pause(leader)
        wait_until(lambda: cluster.leader() != leader, WAIT_S, "another leader")
        load.wait_for_progress()
        wait_until(lambda: time.monotonic() > paused_at + PAUSE_S, WAIT_S, "the pause to have lasted long enough")
        cluster.resume(leader)
        load.wait_for_progress()
    verify(cluster, load)


def test_a_leader_that_nobody_answers_serves_no_read(cluster: LocalCluster, client: Client) -> None:  # trap 40
    client.put("unheard", "v")
    leader = cluster.leader()
    with Client(cluster.settings(leader).client_endpoint(), timeout=2.0, learn_members=False) as alone:
        assert alone.get("unheard").value == b"v"
        others = [name for name in cluster.names if name != leader]
        for name in others:
            cluster.pause(name)
        # Its lease lasts for a moment: nobody else could have written anything yet.
        wait_until(lambda: is_unavailable(alone, "unheard"), WAIT_S, "the lease to end")
        assert is_unavailable(alone, "unheard")
        assert alone.get("unheard", consistency="serializable").value == b"v"
        for name in others:
            cluster.resume(name)
    assert client.get("unheard").value == b"v"


def test_a_read_that_waited_at_a_paused_leader_is_not_stale(cluster: LocalCluster, client: Client) -> None:  # trap 65
    for number in range(STALE_READS):
        leader = cluster.leader()
        others = [cluster.settings(name).client_endpoint() for name in cluster.names if name != leader]
        client.put("paused", "old")
        with (
            Client(cluster.settings(leader).client_endpoint(), timeout=WAIT_S, learn_members=False) as waiting,
            ThreadPoolExecutor() as pool,
        ):
            assert waiting.get("paused").value == b"old"  # so that it is connected
            cluster.pause(leader)
            with Client(others) as elsewhere:
                wait_until(partial(has_written, elsewhere, "paused", b"%d" % number), WAIT_S, "another leader's write")
            read = pool.submit(waiting.get, "paused")
            wait_until(read.running, WAIT_S, "the read to be on its way")
            cluster.resume(leader)
            assert read.result(WAIT_S).value == b"%d" % number
        cluster.wait_until_ready()


def test_a_leader_whose_storage_stands_still_is_replaced(cluster: LocalCluster, client: Client, load: Load) -> None:
    with load:
        leader = cluster.leader()
        stopped_at = time.monotonic()
        with standing_still(roster(cluster, leader).actors, ("storage",)):
            wait_until(lambda: cluster.leader() != leader, WAIT_S, "another leader")
            print(f"another leader after {time.monotonic() - stopped_at:.2f} s")
            load.wait_for_progress()
        load.wait_for_progress()
    verify(cluster, load)


def test_without_a_majority_reads_of_the_own_state_go_on(cluster: LocalCluster, client: Client, load: Load) -> None:
    with load:
        dead = [follower(cluster)]
        cluster.kill(dead[0])
        load.wait_for_progress()
        revision = client.put("majority", "v").revision
        dead.append(cluster.leader())
        cluster.kill(dead[1])
        (left,) = set(cluster.names) - set(dead)
        with Client(cluster.settings(left).client_endpoint(), timeout=2.0, learn_members=False) as alone:
            begin = time.monotonic()
            with pytest.raises(Unavailable):
                alone.get("majority")
            with pytest.raises(NotExecuted):
                alone.put("majority", "w")
            print(f"a read and a write were refused within {time.monotonic() - begin:.2f} s")
            wait_until(
                lambda: alone.get("majority", consistency="serializable").mod_revision == revision,
                WAIT_S,
                "the acknowledged write in the state of the node that is left",
            )
        cluster.restart(dead[1])
        load.wait_for_progress()
        cluster.restart(dead[0])
    assert client.get("majority").mod_revision == revision
    verify(cluster, load)
