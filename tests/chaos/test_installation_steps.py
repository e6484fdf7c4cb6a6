"""Kills and power cuts at each step of a snapshot's installation, on either side of it (``actors/installing``).

The receiver's storage is stopped right behind the system call that ends a step; then comes the strike. Whatever was
reached, its data is that of before or that of after, and the node ends up equal to the others. Most are long: all of
them run by ``make test-steps``.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.chaos import strace
from tests.chaos.conftest import Disks
from tests.cluster.load import Load
from tests.cluster.running import PATIENT, WAIT_S, follower, roster, running, verify, wait_for_log
from tests.cluster.test_snapshots import fill_log
from tests.unit.store.stored import flip
from tests.waiting import wait_until
from zraft import Client, Unknown
from zraft.cluster import LocalCluster
from zraft.store.check import check
from zraft.store.directory import DataDirectory
from zraft.store.files import make_directory
from zraft.store.snapshots import list_incoming

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

DISK_MIB = 512
"""Logs and states are small here, and files never shrink."""
INSTALLED = "the leader's snapshot is installed"
STATE_KEYS, VALUE = 32, b"x" * (64 << 10)
RATE_MIB = 1
"""A piece of 256 KiB each quarter of a second, of a state of 2 MiB: there is time to stop in the midst of it."""
STALL_MS = 60_000
"""A leader whose replication is stopped for a moment stays."""


class Step(NamedTuple):
    """What ends with a thread's ``when``-th ``call`` on ``path``; ``installed``: whether the snapshot counts by then.

    In ``path`` stand {incoming}, the staging file; {old} and {new}, the state's directory before and after.
    """

    name: str
    call: str
    path: str
    when: int = 1
    installed: bool = False


DURABLE = Step("whole, verified and durable", "fsync", "{incoming}")
COPIED = Step("the next state copied", "sendfile", "{new}/data.mdb")
NAMED = Step("its name durable", "fsync", "snapshots")
COMMITTED = Step("installed, not published", "close", "{old}/data.mdb", installed=True)
STEPS = (
    Step("in the midst of the stream", "pwrite64", "{incoming}", when=2),
    DURABLE,
    Step("the next state's directory made", "mkdir", "{new}"),
    COPIED,
    Step("named, not durably", "rename", "{incoming}"),
    NAMED,
    COMMITTED,
    Step("published, the old state there", "openat", "{old}", installed=True),
)


def steps(*in_each_run: Step) -> pytest.MarkDecorator:
    """Each step is a test."""
    marks = ((step, () if step in in_each_run else pytest.mark.long) for step in STEPS)
    return pytest.mark.parametrize("step", [pytest.param(step, id=step.name, marks=mark) for step, mark in marks])


@pytest.fixture(autouse=True)
def injector() -> None:
    if reason := strace.available():
        pytest.skip(reason)


@pytest.fixture(scope="module")
def shared_cluster(module_path: Path, disks: Disks) -> Iterator[LocalCluster]:
    """Nodes that make a snapshot for each MiB of log and send it slowly, each on its own disk."""
    for name, disk in disks.items():
        make_directory(disk.path / name)
        (module_path / name).symlink_to(disk.path / name)
    options = {"snapshot_log_mib": 1, "snapshot_rate_mib": RATE_MIB, "stall_limit_ms": STALL_MS, **PATIENT}
    with running(module_path, **options) as cluster:
        with Client(cluster.endpoints(), timeout=WAIT_S) as client:
            for number in range(STATE_KEYS):
                client.put(f"state/{number}", VALUE)
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    """One that is patient while nodes start."""
    with Client(cluster.endpoints(), timeout=WAIT_S) as client:
        yield client


class Receiver:
    """A follower that is being sent a snapshot; its storage stands still, and has not got all of it."""

    def __init__(self, cluster: LocalCluster, name: str, last: int) -> None:
        self.name = name
        self.last = last
        """The last entry of its log, before anything was installed."""
        self.storage = roster(cluster, name).actors["storage"]
        self._data = cluster.settings(name).data_path()
        [self.incoming] = list_incoming(self._data / "snapshots")
        [self._old] = self._data.glob("state.*")

    def go_on(self) -> None:
        os.kill(self.storage, signal.SIGCONT)

    def go_on_to(self, step: Step) -> None:
        """Let it work until it has done the step."""
        new = self._old.with_suffix(f".{int(self._old.suffix[1:]) + 1}")
        path = self._data / step.path.format(incoming=self.incoming, old=self._old, new=new)
        with strace.stopping(self.storage, step.call, (path, path.resolve()), step.when) as wait:
            self.go_on()
            wait()

    def go_on_into_the_transaction(self) -> None:
        """Let it work until the pages of the log's transaction are on the disk, and what makes them count is not."""
        self.go_on_to(NAMED)
        self.go_on_to(Step("in the log's transaction", "fdatasync", "log/data.mdb"))

    def is_installed(self) -> bool:
        """Whether its log begins behind the snapshot: all of its data is sound, looked at while it is down."""
        directory = DataDirectory(self._data)
        directory.acquire()
        try:
            found = check(directory)
        finally:
            directory.release()
        assert found.damages == ()
        assert found.base is not None
        return found.base.index > self.last


@pytest.fixture
def receiver(cluster: LocalCluster, client: Client) -> Receiver:
    """One that lacks entries which the others have cut; stopped as soon as it has begun to stage their snapshot."""
    name = follower(cluster)
    last = fall_behind(cluster, client, name)
    directory = cluster.settings(name).data_path() / "snapshots"
    for path in list_incoming(directory):  # of an earlier test
        path.unlink()
    with contextlib.ExitStack() as stack:
        for other in others(cluster, name):  # nothing is sent before somebody looks
            replication = roster(cluster, other).actors["replication"]
            os.kill(replication, signal.SIGSTOP)
            stack.callback(os.kill, replication, signal.SIGCONT)
        cluster.restart(name)
        storage = roster(cluster, name).actors["storage"]
    wait_until(lambda: list_incoming(directory), WAIT_S, "the snapshot to be staged")
    os.kill(storage, signal.SIGSTOP)
    return Receiver(cluster, name, last)


def others(cluster: LocalCluster, name: str) -> list[str]:
    return [other for other in cluster.names if other != name]


def fall_behind(cluster: LocalCluster, client: Client, name: str) -> int:
    """Kill a node, and have the others cut what it lacks, also from memory; returns the last index that it has."""
    status = cluster.status()[name]
    assert status is not None
    cluster.kill(name)
    client.put("missed", name)

    def is_cut() -> bool:
        fill_log(client)
        found = cluster.status()
        return all(
            (answer := found[one]) and answer.first_log_index > status.last_log_index + 1
            for one in others(cluster, name)
        )

    wait_until(is_cut, WAIT_S, "logs that begin behind what the follower has")
    cluster.kill(cluster.leader(), "replication")  # its successor has nothing in memory

    def is_led() -> bool:
        try:
            return client.put("missed", name).success
        except Unknown:  # the leader of before was asked
            return False

    wait_until(is_led, WAIT_S, "a leader of the two")
    return status.last_log_index


def comes_back(cluster: LocalCluster, load: Load, receiver: Receiver, installed: bool) -> None:
    """The node starts, installs what it has not installed yet, serves and is equal to the others."""
    since = len(cluster.log_path(receiver.name).read_text())
    with load:
        cluster.restart(receiver.name)
        if not installed:
            wait_for_log(cluster, receiver.name, INSTALLED, since)
        load.wait_for_progress()
    verify(cluster, load)


@steps(COPIED)
def test_a_receiver_that_is_killed(cluster: LocalCluster, load: Load, receiver: Receiver, step: Step) -> None:
    receiver.go_on_to(step)
    cluster.kill(receiver.name)
    assert receiver.is_installed() is step.installed
    comes_back(cluster, load, receiver, step.installed)


@pytest.mark.long
def test_a_receiver_that_is_killed_within_the_transaction(
    cluster: LocalCluster, load: Load, receiver: Receiver
) -> None:
    receiver.go_on_into_the_transaction()
    cluster.kill(receiver.name)
    assert not receiver.is_installed()
    comes_back(cluster, load, receiver, installed=False)


@steps(COMMITTED)
def test_a_receiver_that_loses_its_power(
    cluster: LocalCluster, load: Load, receiver: Receiver, disks: Disks, step: Step
) -> None:
    receiver.go_on_to(step)
    cluster.kill(receiver.name)
    disks[receiver.name].cut()
    assert receiver.is_installed() is step.installed
    comes_back(cluster, load, receiver, step.installed)


def test_a_receiver_that_loses_its_power_within_the_transaction(
    cluster: LocalCluster, load: Load, receiver: Receiver, disks: Disks
) -> None:
    receiver.go_on_into_the_transaction()
    cluster.kill(receiver.name)
    disks[receiver.name].cut()
    assert not receiver.is_installed()
    comes_back(cluster, load, receiver, installed=False)


def kill_when_asked(cluster: LocalCluster, sender: str, receiver: Receiver) -> None:
    """It has asked how much of its snapshot is held, and not heard."""
    cluster.kill(sender)


def kill_within_a_piece(cluster: LocalCluster, sender: str, receiver: Receiver) -> None:
    """It is reading a piece of its snapshot."""
    replication = roster(cluster, sender).actors["replication"]
    paths = list((cluster.settings(sender).data_path().resolve() / "snapshots").glob("*.snapshot"))
    with strace.stopping(replication, "pread64", paths) as wait:
        receiver.go_on()
        wait()
    cluster.kill(sender)


def kill_when_all_is_sent(cluster: LocalCluster, sender: str, receiver: Receiver) -> None:
    """It has sent all of it, which is not installed yet."""
    receiver.go_on_to(DURABLE)
    cluster.kill(sender)


def kill_when_it_is_installed(cluster: LocalCluster, sender: str, receiver: Receiver) -> None:
    """It has not been told that its snapshot is installed."""
    receiver.go_on_to(COMMITTED)
    cluster.kill(sender)


@pytest.mark.parametrize(
    "strike",
    [
        pytest.param(kill_when_asked, marks=pytest.mark.long),
        kill_within_a_piece,
        pytest.param(kill_when_all_is_sent, marks=pytest.mark.long),
        pytest.param(kill_when_it_is_installed, marks=pytest.mark.long),
    ],
)
def test_a_sender_that_is_killed(
    cluster: LocalCluster,
    load: Load,
    receiver: Receiver,
    strike: Callable[[LocalCluster, str, Receiver], None],
) -> None:
    sender = cluster.leader()
    since = len(cluster.log_path(receiver.name).read_text())
    strike(cluster, sender, receiver)
    receiver.go_on()
    with load:  # the receiver is one of the two that are left
        wait_for_log(cluster, receiver.name, INSTALLED, since)
        load.wait_for_progress()
        cluster.restart(sender)
        load.wait_for_progress()
    verify(cluster, load)


def test_a_bit_that_flips_in_what_was_received_is_found_and_nothing_of_it_installed(  # traps 29, 30
    cluster: LocalCluster, load: Load, receiver: Receiver
) -> None:
    since = len(cluster.log_path(receiver.name).read_text())
    receiver.go_on_to(STEPS[0])
    flip(receiver.incoming, 5_000)
    receiver.go_on()
    wait_for_log(cluster, receiver.name, "a snapshot from the leader is damaged, and another one asked for", since)
    wait_for_log(cluster, receiver.name, INSTALLED, since)
    with load:
        load.wait_for_progress()
    verify(cluster, load)


def test_a_bit_that_flips_in_a_snapshot_is_found_before_it_is_sent(  # traps 29, 30
    cluster: LocalCluster, load: Load, receiver: Receiver
) -> None:
    sender = cluster.leader()
    since = {name: len(cluster.log_path(name).read_text()) for name in cluster.names}
    for path in (cluster.settings(sender).data_path() / "snapshots").glob("*.snapshot"):
        flip(path, path.stat().st_size // 2)
    receiver.go_on()
    wait_for_log(cluster, sender, "a snapshot can't be sent, and another one is asked for", since[sender])
    wait_for_log(cluster, sender, "a damaged snapshot is replaced", since[sender])
    wait_for_log(cluster, receiver.name, INSTALLED, since[receiver.name])
    with load:
        load.wait_for_progress()
    verify(cluster, load)
