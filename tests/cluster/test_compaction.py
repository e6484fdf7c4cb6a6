"""History on real nodes: it stays short by itself, on all of them alike, and the present is unharmed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.load import Load
from tests.cluster.running import equal_and_led, running
from tests.waiting import wait_until
from zraft import Client, Compacted, InvalidArgument
from zraft.client import Put
from zraft.cluster import LocalCluster
from zraft.core.records import APPLIED, AppliedState, read_applied
from zraft.store.directory import DataDirectory
from zraft.store.state import StateView
from zraft.verify import check

pytestmark = pytest.mark.cluster

KEPT = 200
WAIT_S = 20.0


@pytest.fixture(scope="module")
def cluster(module_path: Path) -> Iterator[LocalCluster]:
    with running(module_path, retain_revisions=KEPT) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster.endpoints(), timeout=10) as client:
        yield client


def tables_of(cluster: LocalCluster, name: str) -> tuple[AppliedState, int, int]:
    """What a node's state says of itself, and how many records and index entries there are."""
    path: Path = cluster.settings(name).data_path()
    [state] = path.glob("state.*")
    view = StateView(DataDirectory(path).state_path(int(state.suffix[1:])), cluster.settings(name).map_size_gib << 30)
    try:
        with view.begin() as tables:
            records = sum(1 for _ in tables.records_from(b""))
            return read_applied(tables.meta(APPLIED)), records, sum(1 for _ in tables.keys_from(b""))
    finally:
        view.close()


def all_equal(cluster: LocalCluster) -> tuple[AppliedState, int, int] | None:
    found = {tables_of(cluster, name) for name in cluster.names}
    return found.pop() if len(found) == 1 else None


def test_what_is_overwritten_for_ever_takes_no_more_room(cluster: LocalCluster, client: Client) -> None:
    for turn in range(50):
        client.batch([Put(b"k%d" % (number % 10), b"%d.%d" % (turn, number)) for number in range(100)])

    def swept() -> bool:
        found = all_equal(cluster)
        short = found is not None and found[0].compacted >= found[0].revision - KEPT - KEPT // 10
        return short and found is not None and found[0].swept == found[0].compacted

    wait_until(swept, WAIT_S, "the same short history on all nodes")
    state, records, keys = tables_of(cluster, "node-1")
    assert keys == 10
    assert records <= keys + state.revision - state.compacted + 1
    assert client.get(b"k9").value == b"49.99"
    with pytest.raises(Compacted, match="the oldest that can be read is"):
        client.get(b"k9", revision=1)
    assert client.get(b"k9", revision=state.revision - 10).value == b"49.89"


def test_a_client_compacts(cluster: LocalCluster, client: Client) -> None:
    first = client.put("c", "1").revision
    second = client.put("c", "2").revision
    done = client.compact(second)
    assert (done.compacted, done.revision) == (second, second)
    with pytest.raises(Compacted):
        client.get("c", revision=first)
    assert client.get("c", revision=second).value == b"2"
    with pytest.raises(Compacted):
        client.compact(first)
    with pytest.raises(InvalidArgument, match="in the future"):
        client.compact(second + 1_000)
    assert client.compact(first, resume=True).compacted == second


def test_a_new_leader_goes_on_with_what_the_old_one_began(cluster: LocalCluster, client: Client) -> None:
    for _ in range(3):
        client.batch([Put(b"n%d" % number, b"v") for number in range(2_000)])
    client.compact(client.get(b"n0").revision)
    leader = cluster.leader()
    cluster.kill(leader)
    cluster.restart(leader)

    def done() -> bool:
        found = all_equal(cluster)
        return found is not None and found[0].swept == found[0].compacted

    wait_until(done, WAIT_S, "the end of the sweep")
    equal_and_led(cluster)


def test_a_checked_load_goes_well_while_its_history_is_compacted(cluster: LocalCluster) -> None:
    load = Load(cluster.endpoints(), "compacted")
    with load, Client(cluster.endpoints(), timeout=10) as client:
        wait_until(lambda: sum(load.acknowledged) > 3 * KEPT, 60, "more writes than are kept")
        compacted = client.get("x").revision
    load.read_back()
    assert check(load.history).violations == ()
    read = [one.at for one in load.history if one.at]
    assert read
    assert min(read) > compacted - KEPT - KEPT // 10 - 1
