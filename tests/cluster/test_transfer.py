"""Leadership transfer, graceful stops and a rolling restart of real nodes, under load that must see no error."""

import contextlib
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.cluster.load import Load
from tests.cluster.nodes import started
from tests.cluster.running import NODES, WAIT_S, follower, free_ports, own_runtime, verify
from tests.waiting import wait_until
from zraft import Client, InvalidArgument, NotLeader, Unavailable, Unknown
from zraft.cluster import LocalCluster

pytestmark = pytest.mark.cluster

TRANSFERS = 5
STOPS = 2


def require_no_error(load: Load) -> None:
    """A failed precondition is an answer: somebody else had written meanwhile."""
    assert [operation.error for operation in load.history if operation.error] == []


def test_a_transfer_under_load_costs_nobody_an_error(cluster: LocalCluster, client: Client, load: Load) -> None:
    """Trap 10: writes come while leadership is handed over, and heartbeats of the old leader."""
    with load:
        for _ in range(TRANSFERS):
            name = follower(cluster)
            assert client.transfer_leadership(name).leader == name
            load.wait_for_progress()
    require_no_error(load)
    verify(cluster, load)


def test_the_leader_chooses_when_nobody_is_named(cluster: LocalCluster, client: Client) -> None:
    before = cluster.leader()
    result = client.transfer_leadership()
    assert result.leader != before
    wait_until(lambda: cluster.leader() == result.leader, 10, "the others to know the new leader")


def test_a_node_that_does_not_lead_hands_nothing_over(cluster: LocalCluster, client: Client) -> None:
    leader, other = cluster.leader(), follower(cluster)
    term = client.status().current_term
    with pytest.raises(NotLeader):
        client.transfer_leadership(endpoint=cluster.settings(other).client_endpoint())
    assert (cluster.leader(), client.status().current_term) == (leader, term)
    assert client.transfer_leadership(endpoint=cluster.settings(leader).client_endpoint()).leader != leader


def test_a_stop_of_the_leader_under_load_costs_nobody_an_error(cluster: LocalCluster, load: Load) -> None:
    with load:
        for _ in range(STOPS):
            before = cluster.leader()
            cluster.restart(before)
            cluster.wait_until_ready()
            load.wait_for_progress()
    require_no_error(load)
    verify(cluster, load)


def test_a_rolling_restart_under_load_costs_nobody_an_error(
    cluster: LocalCluster, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaders: list[str] = []  # as it was looked up before each restart
    leader_of = LocalCluster.leader

    def leader(self: LocalCluster) -> str:
        leaders.append(leader_of(self))
        return leaders[-1]

    with load:
        monkeypatch.setattr(LocalCluster, "leader", leader)
        order = list(cluster.rolling_restart())
        monkeypatch.undo()
        assert sorted(order) == cluster.names
        assert all(name != led for name, led in zip(order[:-1], leaders, strict=False)), "the leader comes last"
        load.wait_for_progress()
    require_no_error(load)
    verify(cluster, load)


def says_that_it_is_silent(client: Client, name: str) -> bool:
    """Until the leader has noticed, it asks a dead node to take over, and says that nothing came of it."""
    with pytest.raises((Unavailable, Unknown)) as raised:
        client.transfer_leadership(name)
    return f"{name} has not answered" in str(raised.value)


def test_who_can_not_take_over_is_said_with_what_to_do(cluster: LocalCluster, client: Client) -> None:
    leader, other = cluster.leader(), follower(cluster)
    with pytest.raises(InvalidArgument, match=f"{leader} leads already: name one of"):
        client.transfer_leadership(leader)
    with pytest.raises(InvalidArgument, match="there is no member 'nobody': name one of"):
        client.transfer_leadership("nobody")
    cluster.kill(other)
    with Client(cluster.endpoints(), timeout=0.5) as hasty:
        wait_until(lambda: says_that_it_is_silent(hasty, other), 10, f"the leader to notice that {other} is silent")


@pytest.mark.long
def test_leadership_goes_back_to_the_preferred_node(tmp_path: Path) -> None:
    with own_runtime(), contextlib.ExitStack() as exits:
        planned = LocalCluster(tmp_path, NODES, ports=free_ports(NODES))
        preferred, *others = [planned.settings(name) for name in planned.names]
        preferred = replace(preferred, priority=2)
        node = exits.enter_context(started(preferred, tmp_path))
        for settings in others:
            exits.enter_context(started(settings, tmp_path))
        client = exits.enter_context(Client(planned.endpoints(), timeout=WAIT_S))

        def leads() -> bool:
            with contextlib.suppress(Unavailable):  # while it starts
                return client.status(preferred.client_endpoint()).state == "leader"
            return False

        client.put("k", "v")
        wait_until(leads, WAIT_S, "the preferred node to lead")
        node.kill()
        assert client.get("k").value == b"v"  # somebody else leads
        exits.enter_context(started(preferred, tmp_path))
        load = Load(planned.endpoints())
        with load:
            wait_until(leads, 2 * WAIT_S, "the preferred node to lead again")
            load.wait_for_progress()
        require_no_error(load)
        load.verify()
