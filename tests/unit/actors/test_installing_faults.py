"""What goes wrong beside an installation, and is no reason to end: names that are taken, no threads, no room."""

import errno
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.unit.store.machine import MAP_SIZE, Machine, kill
from tests.waiting import wait_until
from zraft.actors import installing
from zraft.actors.installing import Installing, Prepared, remove_replaced
from zraft.actors.logs import Logger
from zraft.core.installation import Verify
from zraft.errors import CorruptSnapshot
from zraft.protocol.entries import ClusterRecord, Member
from zraft.protocol.peer import SnapshotId
from zraft.store.chunks import identify
from zraft.store.manifest import Manifest
from zraft.store.snapshots import incoming_path, list_snapshots, make_snapshot, snapshot_path

WAIT_S = 10.0
SNAPSHOT = SnapshotId(40, 2, 1, b"c" * 32)


class AtOnce:
    """A thread whose work is done by whoever starts it."""

    def __init__(self, target: Callable[[], None], **_: object) -> None:
        self.start = target


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path / "data", monkeypatch)
    kill(machine.open_and_apply())
    machine.directory.snapshots_path.mkdir()
    return machine


@pytest.fixture
def receiver(machine: Machine) -> Installing:
    return Installing(machine.directory, Logger("node", "storage"))


def prepared_in_vain(machine: Machine, receiver: Installing) -> None:
    """A snapshot was staged and its state made, and the node came on by entries meanwhile."""
    state = machine.directory.state_path(1)
    state.mkdir()
    (state / "data.mdb").write_bytes(b"a state")
    receiver._path = incoming_path(machine.directory.snapshots_path, SNAPSHOT.checksum)
    receiver._path.write_bytes(b"a snapshot")
    receiver._drop(Prepared(SNAPSHOT, 1))


def test_what_is_given_up_twice_needs_not_wait_for_the_first_to_go(
    machine: Machine, receiver: Installing, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, remove = threading.Event(), shutil.rmtree

    def slow(path: Path, ignore_errors: bool = False) -> None:
        assert go.wait(WAIT_S)
        remove(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", slow)
    prepared_in_vain(machine, receiver)
    prepared_in_vain(machine, receiver)
    go.set()
    wait_until(lambda: machine.states() == ["state.0"], WAIT_S, "both to be gone")


def test_what_could_not_be_removed_is_in_nobodys_way(
    machine: Machine, receiver: Installing, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda path, ignore_errors: None)  # as where the disk refuses
        patch.setattr(threading, "Thread", AtOnce)
        prepared_in_vain(machine, receiver)
        prepared_in_vain(machine, receiver)
    assert len(machine.states()) == 3
    kill(machine.open())
    assert machine.states() == ["state.0"]  # the next start removes them


def test_a_snapshot_that_its_checker_has_just_removed_is_replaced_all_the_same(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was listed, and found damaged and removed by another process before it lost its name here."""
    directory = machine.directory.snapshots_path
    gone, there = snapshot_path(directory, 3), snapshot_path(directory, 4)
    there.write_bytes(b"a snapshot")
    monkeypatch.setattr(installing, "list_snapshots", lambda _: [gone, there])
    remove_replaced(machine.directory, 0, SNAPSHOT)
    assert list_snapshots(directory) == []
    wait_until(lambda: not list(directory.iterdir()), WAIT_S, "it to be gone")


def test_what_is_checked_of_a_snapshot_is_what_the_disk_holds(monkeypatch: pytest.MonkeyPatch) -> None:  # trap 30
    manifest = Manifest(2, 40, 2, 30, None, 0.0, 1, b"digest", b"")
    steps: list[str] = []

    def verify(path: Path) -> Manifest:
        steps.append(f"verify {path.name}")
        return manifest

    monkeypatch.setattr(installing, "sync_file", lambda path: steps.append(f"sync {path.name}"))
    monkeypatch.setattr(installing, "forget_cached", lambda path: steps.append(f"forget {path.name}"))
    monkeypatch.setattr(installing, "verify_snapshot", verify)
    installing._check(Path("incoming"), SnapshotId(40, 2, 1, manifest.checksum()), None)
    assert steps == ["sync incoming", "forget incoming", "verify incoming"]


def test_where_no_thread_can_be_started_the_leader_is_asked_again(
    receiver: Installing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert receiver._do([Verify(SNAPSHOT)], 2) == ([], None)
    assert receiver.progress(0) == (0, 0)
    receiver.close()  # there is no thread to wait for


def test_the_state_is_copied_only_where_the_reserve_stays_free(
    machine: Machine, receiver: Installing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There was room when it was staged; minutes later somebody else may have taken it."""
    asked: list[int] = []

    def copy(source: Path, target: Path, worst: int) -> None:
        asked.append(worst)
        target.write_bytes(b"a part of it")
        raise OSError(errno.ENOSPC, "no room left for a copy")

    monkeypatch.setattr(installing, "_check", lambda *_: None)
    monkeypatch.setattr(installing, "copy_file", copy)
    receiver._generation = 1
    receiver._prepare(SNAPSHOT)
    assert receiver.finished(2) == ([], None)
    assert asked == [0]
    assert machine.states() == ["state.0"]
    receiver.close()
    assert os.listdir(machine.directory.snapshots_path) == []


@pytest.mark.parametrize(
    "announced",
    [{"index": 4}, {"term": 3}, {"checksum": b"c" * 32}],
    ids=["another entry", "another term", "another state"],
)
def test_a_file_that_is_not_what_was_announced_is_damaged(machine: Machine, announced: dict[str, object]) -> None:
    """Each piece of it may be as it was sent, and the whole sound in itself (trap 30)."""
    path, snapshot = made(machine, None)
    installing._check(path, snapshot, None)
    with pytest.raises(CorruptSnapshot, match="is another snapshot"):
        installing._check(path, msgspec.structs.replace(snapshot, **announced), None)


def test_a_snapshot_of_another_cluster_is_damaged(machine: Machine) -> None:
    record, other = (ClusterRecord((Member(id, "node-1"),), 150) for id in (1, 2))
    path, snapshot = made(machine, record)
    installing._check(path, snapshot, record)
    with pytest.raises(CorruptSnapshot, match="of another cluster"):
        installing._check(path, snapshot, other)


def made(machine: Machine, record: ClusterRecord | None) -> tuple[Path, SnapshotId]:
    """A snapshot of the machine's state."""
    path, _ = make_snapshot(machine.directory.state_path(0), machine.directory.snapshots_path, MAP_SIZE, record, 0.0)
    return path, identify(path)
