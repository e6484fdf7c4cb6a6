"""A flipped bit in log or state of one node: found at its start or by a read, never served, and the way out works.

And a state in which every checksum is right, but not what the others have: found by comparison. And a disk that was
taken back: found by the leader.

Snapshots are in ``test_snapshots`` (the own one) and ``chaos/test_installation_steps`` (on its way to a follower).
"""

import contextlib
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest
from click.testing import CliRunner

from tests.cluster.nodes import http
from tests.cluster.running import PATIENT, equal_and_led, running
from tests.unit.store.stored import flip as flip_at, flip_all
from tests.waiting import wait_until
from zraft import Client, Unavailable, Unknown
from zraft.cli import zraft
from zraft.cluster import ClusterError, LocalCluster
from zraft.core.audit import CHECKPOINT_ENTRIES
from zraft.core.records import (
    APPLIED,
    check_record,
    digest_of,
    pack_applied,
    pack_write,
    read_applied,
    read_record_key,
    unpack_record,
)
from zraft.store.journal import RECORD_BYTES_MAX

pytestmark = pytest.mark.cluster

WAIT_S = 30.0
VALUE = b"as it was written, " * 8


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with running(tmp_path / "cluster") as cluster:
        yield cluster


def flip(cluster: LocalCluster, name: str) -> None:
    """One bit of the value, wherever a page has it: readers of the map see it at once."""
    [state] = cluster.settings(name).data_path().glob("state.*")
    flip_all(state / "data.mdb", VALUE)


def hard_state_of(log: Path) -> bytes:
    """Term, vote, and how far the log reaches, as it has them now."""
    with lmdb.open(str(log), max_dbs=2) as env, env.begin() as txn:
        return bytes(txn.get(b"hard", b"", db=env.open_db(b"meta", txn=txn, create=False)))


def reason(cluster: LocalCluster, name: str) -> str:
    """Why the node is not ready, as ``/health`` has it."""
    try:
        return str(http(cluster.settings(name), "/health")[1].get("reason", ""))
    except OSError:
        return ""


def leads(client: Client, name: str) -> bool:
    """Who has only just started does not take over."""
    with contextlib.suppress(Unknown):
        return client.transfer_leadership(name).leader == name
    return False


def start_refused(cluster: LocalCluster, name: str, why: str) -> str:
    """Start a node that is not to take part, and wait until it says why; returns all that it says."""
    with contextlib.suppress(ClusterError):
        cluster.restart(name, timeout=1)
    return wait_until(lambda: found if why in (found := reason(cluster, name)) else "", WAIT_S, f"{name} to say {why}")


def run_what_it_says(message: str) -> str:
    """The command that a node names as the way out, word for word; returns what it printed."""
    [command] = set(re.findall(r"zraft repair [^\s`]+", message))
    result = CliRunner().invoke(zraft, shlex.split(command)[1:], input="y\n")
    assert (result.exit_code, "set aside in" in result.stdout) == (0, True), result.output
    return result.output


def repair_and_restart(cluster: LocalCluster, name: str, message: str) -> None:
    cluster.kill(name)
    run_what_it_says(message)
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
        message = start_refused(cluster, name, "the record of revision 1/0 does not match its checksum")
        with Client(cluster.settings(name).client_endpoint(), timeout=0.3) as alone, pytest.raises(Unavailable):
            alone.get("k", consistency="serializable")
        assert client.put("other", "v").success
    told = cluster.status()[name]  # by a client that names its cluster, as the others have told it
    assert told is not None
    assert told.notice == message
    repair_and_restart(cluster, name, message)


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
        message = reason(cluster, name)
    repair_and_restart(cluster, name, message)


def test_a_damaged_log_neither_votes_nor_serves_and_never_comes_back_as_the_same_member(  # traps 29, 36
    cluster: LocalCluster,
) -> None:
    with Client(cluster.endpoints(), timeout=10) as client:
        client.put("k", VALUE)
        client.put("large", bytes(RECORD_BYTES_MAX))  # LMDB commits it, and takes along what is in the journal
        equal_and_led(cluster)
        name = follower(cluster)
        data = cluster.settings(name).data_path()
        log = data / "log"
        cluster.kill(name)
        places = flip_all(log / "data.mdb", hard_state_of(log))
        start_refused(cluster, name, f"the log in {log} has a damaged hard")
        cluster.kill(name)
        for place in places:
            flip_at(log / "data.mdb", place)
        flip_all(log / "data.mdb", VALUE)
        message = start_refused(cluster, name, f"of the log in {log} does not match its checksum")
        leader = cluster.leader()
        cluster.kill(leader)  # a vote of the damaged node would be one too many
        with Client(cluster.endpoints(), timeout=2) as hasty, pytest.raises((Unavailable, Unknown)):
            hasty.put("k", "of two, one of which is damaged")
        with Client(cluster.settings(name).client_endpoint(), timeout=0.5) as alone, pytest.raises(Unavailable):
            alone.get("k", consistency="serializable")
        cluster.restart(leader)
        assert client.get("k").value == VALUE
        cluster.kill(name)
        assert "what would be lost" in run_what_it_says(message)
        assert sorted(path.name[:8] for path in data.iterdir()) == ["damaged-", "lock"]
        start_refused(cluster, name, "has a new or wiped data directory")
        assert client.put("other", "v").success


def make_wrong(cluster: LocalCluster, name: str) -> None:
    """Another value under a right checksum and a right digest of the whole: as a bug of apply would leave it."""
    [path] = cluster.settings(name).data_path().glob("state.*")
    with lmdb.open(str(path), map_size=1 << 40, max_dbs=3, sync=False) as env, env.begin(write=True) as txn:
        records, meta = (env.open_db(table, txn=txn, create=False) for table in (b"records", b"meta"))
        at, old = next(iter(txn.cursor(records)))
        revision, sub = read_record_key(at)
        create, version, previous, previous_sub, lease, key, value = unpack_record(revision, sub, old)
        _, new, added = pack_write(revision, create, version, previous, previous_sub, lease, key, b"not " + value)
        state = read_applied(txn.get(APPLIED, db=meta))
        change = added - digest_of(revision, check_record(revision, sub, old))
        txn.put(at, new, db=records)
        txn.put(APPLIED, pack_applied(state._replace(digest=state.digest + change)), db=meta)


@pytest.mark.parametrize("role", ["follower", "leader"])
def test_a_state_that_is_not_the_majoritys_stops_its_node(cluster: LocalCluster, role: str) -> None:
    with Client(cluster.endpoints(), timeout=10) as client:
        client.put("k", VALUE)
        equal_and_led(cluster)
        name = follower(cluster)
        cluster.kill(name)
        make_wrong(cluster, name)
        cluster.restart(name)
        endpoint = cluster.settings(name).client_endpoint()
        with Client(endpoint, timeout=10) as alone:
            assert alone.get("k", consistency="serializable").value == b"not " + VALUE  # nothing shows it yet
        if role == "leader":
            wait_until(lambda: leads(client, name), WAIT_S, f"{name} to lead")
        with contextlib.suppress(Unknown):  # the last one, where it is the leader that stops for it
            for number in range(CHECKPOINT_ENTRIES):
                client.put("other", str(number))
        message = wait_until(
            lambda: found if "a majority of the voters has" in (found := reason(cluster, name)) else "",
            WAIT_S,
            f"{name} to stop",
        )
        with Client(endpoint, timeout=0.5) as alone, pytest.raises(Unavailable):
            alone.get("k", consistency="serializable")
        assert client.get("k").value == VALUE
        cluster.kill(name)
        assert start_refused(cluster, name, "a majority of the voters has").startswith("the state has the digest")
    repair_and_restart(cluster, name, message)


def test_a_disk_that_was_taken_back_is_told_of(tmp_path: Path) -> None:
    # Each checksum of an older copy is right, and it knows of no entry that is missing: only the leader does.
    with running(tmp_path / "cluster", **PATIENT) as cluster, Client(cluster.endpoints(), timeout=10) as client:
        client.put("k", "1")
        equal_and_led(cluster)
        leader, name = cluster.leader(), follower(cluster)
        path, older = cluster.settings(name).data_path(), tmp_path / "older"
        cluster.kill(name)
        shutil.copytree(path, older)
        cluster.restart(name)
        client.put("k", "2")
        equal_and_led(cluster)
        cluster.kill(name)
        shutil.rmtree(path)
        older.rename(path)
        cluster.restart(name)
        told = f"{name} lost entries that it had acknowledged"
        wait_until(lambda: told in cluster.log_path(leader).read_text(), WAIT_S, "the leader to say so")
        assert client.get("k").value == b"2"
