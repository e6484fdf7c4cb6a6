"""What the simulator can do at any moment: links that are late, clocks that change, reads between two steps."""

import math

import pytest

from tests.simulation import cluster as clusters, sick, slowdowns, standstills
from tests.simulation.actors import Clock
from tests.simulation.cluster import Cluster
from tests.simulation.gateway import GatewayActor
from tests.simulation.lateness import End, Lateness
from tests.simulation.memory import MemoryState
from tests.simulation.network import Parcel, Plane
from tests.simulation.run import run
from tests.simulation.sick import Sick
from tests.simulation.standstills import Standstills
from tests.simulation.world import World
from zraft.protocol.peer import PEER_VERSION, Commit, PeerHeader, VoteAnswer

pytestmark = pytest.mark.simulation

HEADER = PeerHeader(PEER_VERSION, b"", 1, 2, 1)
LINK = Plane.DATA, 1, 2


class Line:
    """One link, and what came by it, when."""

    def __init__(self) -> None:
        self.world = World(1)
        self.came: list[tuple[float, int]] = []
        self.lateness = Lateness(self.world, self._arrive)

    def send(self, *numbers: int) -> None:
        for number in numbers:
            assert self.lateness.takes(*LINK, (HEADER, Commit(1, number)), 0.001)

    def came_by(self, time: float) -> list[int]:
        self.world.run_until(time)
        return [number for _, number in self.came]

    def _arrive(self, plane: Plane, sender: int, target: int, parcel: Parcel) -> None:
        assert (plane, sender, target) == LINK
        message = parcel[1]
        assert isinstance(message, Commit)
        self.came.append((self.world.now, message.index))


def test_what_is_late_comes_later_and_in_its_order() -> None:
    line = Line()
    line.lateness.delay(*LINK, 2.0)
    line.send(1, 2)
    line.lateness.delay(*LINK, 1.0)  # shorter from now on, but nothing overtakes
    line.send(3)
    assert line.came_by(1.9) == []
    assert line.came_by(2.1) == [1, 2, 3]
    assert not line.lateness.takes(Plane.CONTROL, 1, 2, (HEADER, Commit(1, 1)), 0.001)


def test_a_queue_that_fills_up_makes_a_link_later_and_later() -> None:
    line = Line()
    line.lateness.delay(*LINK, 2.0, rising=1.0)
    for number in range(1, 6):
        line.send(number)
        line.world.run_until(float(number))
    line.world.run_until(10.0)
    assert [time for time, _ in line.came] == pytest.approx([0.001, 2.001, 4.001, 5.001, 6.001])


@pytest.mark.parametrize("seconds", [5.0, math.inf])
def test_a_link_that_is_well_again_delivers_what_it_had_in_whatever_way(seconds: float) -> None:
    for how, at_once, in_the_end in ((End.BURST, [1, 2], [1, 2]), (End.MINGLED, [], [1, 2]), (End.LOST, [], [])):
        line = Line()
        line.lateness.delay(*LINK, seconds)
        line.send(1, 2)
        line.world.run_until(1.0)
        line.lateness.end(*LINK, how)
        assert not line.lateness.takes(*LINK, (HEADER, Commit(1, 3)), 0.001)
        assert line.came_by(1.0) == at_once
        assert line.came_by(10.0) == in_the_end


@pytest.mark.parametrize("way", ["says all late", "hears all late"])
def test_a_leader_that_is_later_and_later_gives_way(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # It goes on hearing from all, but of rounds that were sent ever longer ago.
    monkeypatch.setattr(sick, "LATE_SECONDS", (4.0,))
    monkeypatch.setattr(sick, "RISING", (1.0,))
    world = World(5)
    cluster = Cluster(world, 3)
    cluster.operators.stop()
    world.run_until(3)
    first = cluster.leader()
    assert first is not None
    late = Sick(cluster, first, way)
    cluster.clients.avoided = [first]
    world.run_until(5)
    second, writes = cluster.leader(), cluster.clients.writes
    assert second not in (None, first)
    world.run_until(7)
    assert cluster.clients.writes > writes
    late.recover()
    assert cluster.network.lateness.delayed > 0
    delayed = cluster.network.lateness.delayed
    world.run_until(8)
    assert cluster.network.lateness.delayed == delayed


def test_old_answers_end_with_their_connection_and_none_comes_behind_a_newer_one() -> None:
    line = Line()
    line.lateness.delay(*LINK, math.inf)
    assert line.lateness.takes(*LINK, (HEADER, VoteAnswer(1, 1, False, 1)), 0.001)
    line.send(1)
    line.lateness.end(*LINK, End.MINGLED)
    assert line.came_by(10.0) == [1]


def test_all_links_are_well_again() -> None:
    line = Line()
    line.lateness.delay(*LINK, math.inf)
    line.lateness.lose(Plane.CONTROL, 2, 1, 1.0)
    line.send(1)
    assert line.lateness.loses(Plane.CONTROL, 2, 1)
    assert not line.lateness.loses(Plane.CONTROL, 1, 2)
    line.lateness.end_all()
    assert not line.lateness.loses(Plane.CONTROL, 2, 1)
    assert line.came_by(0.1) == [1]


def clock_at(time: float) -> tuple[World, Clock]:
    world = World(1)
    clock = Clock(world)
    world.run_until(time)
    return world, clock


def test_a_clock_goes_on_from_where_it_was_at_another_rate() -> None:
    world, clock = clock_at(10.0)
    before = clock.now()
    clock.change(2.0, 5.0)
    assert clock.now() == pytest.approx(before + 5.0)
    assert clock.at(9.0) < before
    world.run_until(13.0)
    assert clock.now() == pytest.approx(before + 11.0)
    assert clock.world_time(before + 15.0) == pytest.approx(15.0)


def test_what_a_clock_showed_before_its_rate_changed_it_showed_then() -> None:
    """A lease that was over long ago was taken for one beyond the next election: seed 1737 of a campaign."""
    world, clock = clock_at(1.0)
    shown = clock.now()
    world.run_until(2.0)
    clock.change(2 * clock.rate, 0.0)
    world.run_until(3.0)
    assert clock.world_time(shown) == pytest.approx(1.0)
    assert clock.world_time(clock.now()) == pytest.approx(3.0)


@pytest.mark.parametrize("rate", [0.2, 5.0])
def test_a_clock_whose_rate_changes_while_it_stands_still_goes_on_where_it_stood(rate: float) -> None:
    """It went back otherwise: seed 1040 of a campaign, in which a node kept a promise for seconds."""
    world, clock = clock_at(1.0)
    stood = clock.now()
    clock.stand_still(5.0)
    world.run_until(2.0)
    clock.change(rate, 0.0)
    world.run_until(6.0)
    assert clock.now() == pytest.approx(stood)
    world.run_until(7.0)
    assert clock.now() == pytest.approx(stood + rate)


@pytest.mark.parametrize("sooner", [0.0, 2.0])
def test_a_clock_that_stood_still_with_its_machine_never_went_back(sooner: float) -> None:
    world, clock = clock_at(10.0)
    before = clock.now()
    clock.stand_still(5.0)
    world.run_until(15.0 - sooner)
    clock.go_on()
    assert clock.now() == pytest.approx(before)
    world.run_until(16.0 - sooner)
    assert clock.now() == pytest.approx(before + clock.rate)


def test_a_reader_sees_what_was_committed_while_more_is_written() -> None:
    state = MemoryState()
    state.set_keys([(b"a", b"1"), (b"b", b"1")])
    state.append_records([(b"1", b"x")])
    state.set_meta(b"m", b"1")
    state.commit()
    expected = state.committed().tables()
    state.set_keys([(b"a", b"2"), (b"c", b"2")])
    state.delete_key(b"b")
    state.append_records([(b"2", b"y")])
    state.delete_record(b"1")
    state.set_meta(b"m", b"2")
    state.set_meta(b"n", b"2")
    reader = state.committed()
    assert reader.tables() == expected == ({b"a": b"1", b"b": b"1"}, {b"1": b"x"}, {b"m": b"1"})
    assert [key for key, _ in reader.keys_from(b"")] == [b"a", b"b"]
    assert [at for at, _ in reader.records_from(b"")] == [b"1"]
    assert state.key(b"a") == b"2"
    assert state.key(b"b") is None


def test_reads_begin_while_a_transaction_is_open_and_between_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"open": 0, "between": 0}
    begin, look = GatewayActor._begin, GatewayActor.look

    def counted(self: GatewayActor, *arguments: object) -> None:
        found["open"] += self._node.state.open
        begin(self, *arguments)  # type: ignore[arg-type]

    def looked(self: GatewayActor) -> None:
        found["between"] += bool(self._later)
        look(self)

    monkeypatch.setattr(GatewayActor, "_begin", counted)
    monkeypatch.setattr(GatewayActor, "look", looked)
    monkeypatch.setattr(clusters, "ANY_TIME_SHARE", 1.0)
    for seed in (8, 7, 6, 4):
        run(seed)
    assert found["open"] > 0
    assert found["between"] > 0


def test_in_some_runs_links_are_late_and_machines_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    stood = []
    suspend = Standstills._suspend

    def counted(self: Standstills, *arguments: object) -> None:
        stood.append(arguments)
        suspend(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(slowdowns, "SHARE", 1.0)
    monkeypatch.setattr(standstills, "SHARE", 1.0)
    monkeypatch.setattr(clusters, "QUORUM_SHARE", 1.0)
    monkeypatch.setattr(Standstills, "_suspend", counted)
    assert any(run(seed).delayed and stood for seed in (8, 7, 6, 4))


def test_by_quorum_nobody_has_a_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "QUORUM_SHARE", 1.0)
    world = World(5)
    cluster = Cluster(world, 3)
    cluster.operators.stop()
    world.run_until(3.0)
    assert cluster.leader() is not None
    assert all(node.page.lease is None for node in cluster.members())
    assert cluster.clients.reads > 0
