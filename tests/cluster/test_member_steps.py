"""Kill -9 of the leader, of who comes and of who leaves, at each step of a change of members (S14, traps 31, 32).

The steps: the entry stands in the leader's log alone (the other voters' storages stand still, so nothing is committed),
or it has just been committed. Whatever becomes of an entry that was not committed, the same change is then asked again.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from tests.cluster.load import Load
from tests.cluster.nodes import Node, started
from tests.cluster.running import NODES, WAIT_S, free_ports, own_runtime, roster
from tests.waiting import wait_until
from zraft import Client
from zraft.cluster import LocalCluster
from zraft.config import Settings
from zraft.errors import ZraftError
from zraft.store.directory import DataDirectory
from zraft.store.log import LmdbLog

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]


FOURTH = 0x4444_4444_4444_4444
"""Its member id, made as durable as ``--join`` does before it announces itself."""


class Case(NamedTuple):
    """``change``: add a learner, promote it, remove a follower, or the leader. ``victim``: who is killed."""

    change: str
    committed: bool
    victim: str


CASES = [
    Case(change, committed, victim)
    for change, victims in {
        "add": ("leader", "newcomer"),
        "promote": ("leader", "newcomer"),
        "remove": ("leader", "leaver"),
        "remove leader": ("leader",),
    }.items()
    for committed in (False, True)
    for victim in victims
]
IN_EACH_RUN = (Case("promote", False, "leader"),)


def name_of(case: Case) -> str:
    return f"{case.change}, {'committed' if case.committed else 'appended'}, {case.victim} dies"


class Scene:
    """Three voters, and a fourth node that may join; ``others``: the voters that do not lead."""

    def __init__(self, home: Path, cluster: LocalCluster, fourth: Settings, exits: contextlib.ExitStack) -> None:
        self._home = home
        self._exits = exits
        self._fourth = fourth
        self._newcomer: Node | None = None
        self.cluster = cluster
        self.endpoints = [*cluster.endpoints(), fourth.client_endpoint()]
        self.client = exits.enter_context(Client(self.endpoints, timeout=WAIT_S))
        self.leader = cluster.leader()
        self.others = [name for name in cluster.names if name != self.leader]

    def join(self) -> None:
        """Start the fourth node; it announces itself as a learner, and is promoted by itself."""
        self._newcomer = self._exits.enter_context(started(self._fourth, self._home))

    def check_newcomer(self) -> None:
        """If it was started it serves."""
        if self._newcomer is not None:
            with Client(self._fourth.client_endpoint(), timeout=WAIT_S) as client:
                assert next(iter(client.range(limit=1))).key.startswith(b"load/")

    def kill(self, voter: str) -> None:
        """Or the newcomer, if none is named."""
        if voter:
            self.cluster.kill(voter)
        elif self._newcomer is not None:  # else it has died before it was answered
            self._newcomer.kill()

    def is_done(self, change: str, leaver: str) -> bool:
        with contextlib.suppress(ZraftError):
            members = {one.name: one.voter for one in self.client.members().members}
            match change:
                case "add":
                    return self._fourth.id in members
                case "promote":
                    return members.get(self._fourth.id, False)
            return leaver not in members
        return False

    def wait_until_done(self, change: str, leaver: str) -> None:
        wait_until(lambda: self.is_done(change, leaver), WAIT_S, f"{change} to be done")

    def ask(self, change: str, leaver: str) -> None:
        """In a thread: while storages stand still it is not answered."""

        def go() -> None:
            # A promotion by force: it need not have caught up yet. Refused if it was promoted by itself meanwhile.
            with contextlib.suppress(ZraftError), Client(self.endpoints, timeout=5.0) as client:
                match change:
                    case "add":  # what a joining node asks for
                        client.add_member(self._fourth.id, self._fourth.peer_endpoint(), member=FOURTH)
                    case "promote":
                        client.promote_member(self._fourth.id, force=True)
                    case _:
                        client.remove_member(leaver)

        thread = threading.Thread(target=go)
        self._exits.callback(thread.join)
        thread.start()

    def last_index(self) -> int:
        """Of the leader's log."""
        with Client(self.cluster.settings(self.leader).client_endpoint(), timeout=WAIT_S) as client:
            return client.status().last_log_index

    @contextlib.contextmanager
    def storages_stopped(self) -> Iterator[None]:
        """Those of the voters that do not lead: what the leader appends is not committed meanwhile."""
        pids = [roster(self.cluster, name).actors["storage"] for name in self.others]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with own_runtime():
        ports = free_ports(NODES + 1)
        cluster = LocalCluster(tmp_path, NODES, ports=ports)
        planned = LocalCluster(tmp_path, NODES + 1, ports=ports)
        fourth = replace(planned.settings(planned.names[-1]), peers={}, join=",".join(cluster.endpoints()))
        cluster.up()
        try:
            with contextlib.ExitStack() as exits:
                LmdbLog(DataDirectory(fourth.data_path()).log_path, FOURTH, 1 << 30).close()
                yield Scene(tmp_path, cluster, fourth, exits)
        finally:
            cluster.down()


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=name_of(case), marks=() if case in IN_EACH_RUN else pytest.mark.long) for case in CASES],
)
def test_somebody_dies_in_the_middle_of_a_change_of_members(scene: Scene, case: Case) -> None:
    leaver = scene.leader if case.change == "remove leader" else scene.others[0]
    victim = {"leader": scene.leader, "leaver": leaver}.get(case.victim, "")
    load = Load(scene.endpoints)
    with load:
        load.wait_for_progress()
    if case.change == "promote" or (case.change == "add" and case.committed):
        scene.join()
        scene.wait_until_done("add", leaver)
    if case.committed:
        scene.ask(case.change, leaver)
        scene.wait_until_done(case.change, leaver)
        scene.kill(victim)
    else:
        with scene.storages_stopped():
            before = scene.last_index()
            scene.ask(case.change, leaver)
            wait_until(lambda: scene.last_index() > before, WAIT_S, "the entry to stand in the leader's log")
            scene.kill(victim)
    if case[::2] != ("remove", "leader"):  # of two voters none can be missed
        with load:
            load.wait_for_progress()
    if case.victim == "newcomer":
        scene.join()  # as after each of its restarts it announces itself, unless it was answered
    elif victim != leaver or not scene.is_done(case.change, leaver):
        scene.cluster.restart(victim)
    if not scene.is_done(case.change, leaver):
        scene.ask(case.change, leaver)
    scene.wait_until_done(case.change, leaver)
    if case.change == "add":
        if case.victim == "leader" and not case.committed:
            scene.join()
        scene.wait_until_done("promote", leaver)
    with load:
        load.wait_for_progress()
    load.verify()
    scene.check_newcomer()
