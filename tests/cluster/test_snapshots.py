"""Snapshots on a running node: the log stays short, and no kill costs a thing."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.cluster.nodes import WAIT_S, Node, started
from tests.cluster.running import free_ports, own_runtime
from tests.waiting import wait_until
from zraft import Client
from zraft.cluster import LocalCluster
from zraft.config import Settings
from zraft.errors import PreconditionFailed
from zraft.store.directory import DataDirectory
from zraft.store.snapshots import list_snapshots, verify_snapshot

pytestmark = pytest.mark.cluster

KEYS = 40
VALUE_BYTES = 20_000
MADE = 'event="snapshot made"'


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """A cluster of one that makes a snapshot for each MiB of log."""
    with own_runtime():
        alone = LocalCluster(tmp_path, 1, ports=free_ports(1)).settings("node-1")
        yield msgspec.structs.replace(alone, peers={}, snapshot_log_mib=1)


def client_of(settings: Settings) -> Client:
    return Client(settings.client_endpoint(), timeout=WAIT_S)


def overwrite(client: Client, mark: str) -> int:
    """Write all keys once; returns the last revision."""
    with client.pipeline() as pipeline:
        for key in range(KEYS):
            pipeline.put(f"key {key}", mark.ljust(VALUE_BYTES))
        outcomes = pipeline.execute()
    return max(outcome.revision for outcome in outcomes if not isinstance(outcome, Exception))


def fill_log(client: Client) -> int:
    """Write commands that change nothing: they lengthen the log, and not the state. Returns the bytes of them."""
    with client.pipeline() as pipeline:
        for key in range(KEYS):
            pipeline.put(f"key {key}", b"x" * VALUE_BYTES, expected_revision=1 << 40)
        outcomes = pipeline.execute()
    assert all(isinstance(outcome, PreconditionFailed) for outcome in outcomes), outcomes[0]
    return KEYS * VALUE_BYTES


def holds(client: Client, mark: str) -> None:
    for key in range(KEYS):
        assert (client.get(f"key {key}").value or b"").decode().strip() == mark


def overwrite_until(node: Node, client: Client, text: str, times: int = 1) -> str:
    """Write until the node's log says ``text`` so often again; returns what was written last."""
    rounds, since = iter(range(10_000)), len(node.log())
    last = ""

    def said() -> bool:
        nonlocal last
        last = f"{text} {next(rounds)}"
        overwrite(client, last)
        return node.log()[since:].count(text) >= times

    wait_until(said, WAIT_S, f"{node.settings.id} to say {text}")
    return last


def snapshotter_of(node: Node) -> int | None:
    """The process id of the snapshotter of a node, whose process group it shares."""
    for proc in Path("/proc").glob("[0-9]*"):
        try:
            words = (proc / "cmdline").read_bytes()
            if b"snapshotter" in words and os.getpgid(int(proc.name)) == node.process.pid:
                return int(proc.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return None


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_the_log_stays_short_and_one_snapshot_stays(settings: Settings, tmp_path: Path) -> None:  # trap 25
    data = DataDirectory(settings.data_path())
    written = 0
    with started(settings, tmp_path) as node, client_of(settings) as client:
        overwrite(client, "first")

        def enough() -> bool:
            nonlocal written
            written += fill_log(client)
            return node.log().count(MADE) >= 6 and written > 40 << 20

        wait_until(enough, WAIT_S, "snapshots, one after the other")
        wait_until(lambda: len(list_snapshots(data.snapshots_path)) == 1, WAIT_S, "the older snapshot to go")
        holds(client, "first")
        # A file of LMDB never shrinks: what matters is that it stops growing.
        assert data.log_path.joinpath("data.mdb").stat().st_size < written / 2
    # Nothing is lost by the cut, and the node goes on behind it.
    with started(settings, tmp_path), client_of(settings) as client:
        holds(client, "first")


def test_a_node_starts_from_its_snapshot_and_the_log_behind_it(settings: Settings, tmp_path: Path) -> None:
    data = DataDirectory(settings.data_path())
    with started(settings, tmp_path) as node, client_of(settings) as client:
        overwrite_until(node, client, MADE, times=2)
        revision = overwrite(client, "last")
        node.kill()
    # Another boot: what was not synced is lost, and with it the trust in the state.
    mark = msgspec.json.decode(data.dirty_mark.read_bytes())
    data.dirty_mark.write_bytes(msgspec.json.encode(mark | {"boot_id": "another"}))
    with started(settings, tmp_path) as node, client_of(settings) as client:
        holds(client, "last")
        assert client.get("key 0").mod_revision <= revision < client.put("key", "v").revision
        (line,) = [line for line in node.log().splitlines() if "the applied state is rebuilt" in line]
        assert "begins_at=0/0" not in line
        wait_until(lambda: 'event="snapshot verified"' in node.log(), WAIT_S, "the snapshot to be verified")


def test_a_killed_snapshotter_leaves_nothing_and_is_started_again(settings: Settings, tmp_path: Path) -> None:
    data = DataDirectory(settings.data_path())  # trap 23
    with started(settings, tmp_path) as node, client_of(settings) as client:
        pid = wait_until(lambda: overwrite(client, "first") and snapshotter_of(node), WAIT_S, "a snapshotter")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: "no snapshot was made" in node.log(), WAIT_S, "the failure to be noticed")
        assert list(data.snapshots_path.glob("*")) == []
        mark = overwrite_until(node, client, MADE)
        holds(client, mark)


def test_storage_that_is_killed_takes_its_snapshotter_with_it(settings: Settings, tmp_path: Path) -> None:
    data = DataDirectory(settings.data_path())  # trap 23
    with started(settings, tmp_path) as node, client_of(settings) as client:
        pid = wait_until(lambda: overwrite(client, "first") and snapshotter_of(node), WAIT_S, "a snapshotter")
        os.kill(parent_of(pid), signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), WAIT_S, "the snapshotter to end")
        mark = overwrite_until(node, client, MADE)
        holds(client, mark)
        assert list(data.snapshots_path.glob("making.*")) == []


def test_a_damaged_snapshot_is_replaced_while_the_state_is_sound(settings: Settings, tmp_path: Path) -> None:
    data = DataDirectory(settings.data_path())  # trap 29
    with started(settings, tmp_path) as node, client_of(settings) as client:
        overwrite_until(node, client, MADE)
    (path,) = list_snapshots(data.snapshots_path)
    damaged = bytearray(path.read_bytes())
    damaged[5000] ^= 1
    path.write_bytes(damaged)
    with started(settings, tmp_path) as node, client_of(settings) as client:
        wait_until(lambda: "a damaged snapshot is replaced" in node.log(), WAIT_S, "the damage to be found")
        wait_until(lambda: node.log().count("snapshot verified") == 1, WAIT_S, "another snapshot")
        (path,) = list_snapshots(data.snapshots_path)
        verify_snapshot(path)
