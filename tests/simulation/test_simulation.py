"""A fixed corpus of seeds, and that the simulator is worth something: it strikes, and it finds what is broken."""

import functools
import itertools
import os
import re
from collections.abc import Collection
from pathlib import Path

import msgspec
import pytest

from tests.simulation import (
    campaign as campaigns,
    cluster as clusters,
    gateway,
    links,
    run as runs,
    sick,
    slowdowns,
    standstills,
)
from tests.simulation.__main__ import replay
from tests.simulation.campaign import Campaign, Totals, fresh_seed
from tests.simulation.cluster import Cluster
from tests.simulation.gateway import GatewayActor
from tests.simulation.memory import MemoryState
from tests.simulation.network import Plane
from tests.simulation.node import SYNC_SECONDS, Node
from tests.simulation.run import DEMANDED, Failure, Report, run
from tests.simulation.sick import PATIENCE_SECONDS, SLOW_SYNC_SECONDS, Sick
from tests.simulation.world import World
from zraft.core.election import Election
from zraft.core.limits import is_serializable
from zraft.core.quorum import Quorum
from zraft.core.reads import Serve
from zraft.core.views import View

pytestmark = pytest.mark.simulation

SEEDS = range(1, 31)
ONCE_FAILED: dict[int, str] = {
    2387: "of the simulator: a plot of the storm mended a link of the node that was to stay sick",
    5564: "of the simulator: a leader whose own storage follows another one was held against its log",
    6341: "of the simulator: a node that had been about to restart was no longer sick",
    5932: "of the simulator: a gateway whose deadline moved away each time it was looked at never polled",
    947915007988: "of the simulator: a snapshot on its way was replaced by one of the same entry, again and again",
    947915008189: "of the simulator: likewise",
    1296: "of the simulator: where the only voter's state was wrong, the right ones had to stop for ever",
    9055: "of the simulator: a snapshot on its way was gone once there was a newer one; an open file stays",
    10915: "of the simulator: one voter decides as soon as its leader says so, not when a log has it",
    9430: "of the simulator: a snapshot by tiny pieces, over links that reorder them, was not awaited",
    10653: "of the simulator: a compaction by tiny doses was not awaited",
    21182: "of the simulator: a node that is fed by tiny Appends was not awaited",
    24359: "of the simulator: the last of its own compaction's commands was not awaited",
    12823: "a copy of a proposal that was refused during a hand-over came when that was over, and was made (S9)",
    1779: "of the simulator: when two disks became slow, others lacked what one of the two was to feed them",
    1006: "of the simulator: likewise, though their logs were as long",
    5685: "a leader whose disk was slow threw away what it had read for others, and read it once more",
    4523: "a leader that could not work handed over to another, which had time to notice once more",
    39: "of the simulator: a cluster version was looked at before its state was published",
}
"""Seeds that found a bug, and which."""
LEARNT_SINCE = (
    (slowdowns, "SHARE"),
    (standstills, "SHARE"),
    (clusters, "QUORUM_SHARE"),
    (clusters, "ANY_TIME_SHARE"),
    (sick, "LATE_SHARE"),
)
"""In which part of the runs there is what none of those seeds knew of."""
FRESH_SECONDS = 60.0
"""All of this module takes two to three minutes on two processes."""


@functools.cache
def report_of(seed: int) -> Report:
    """A run is the same each time, and takes a second."""
    return run(seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_rule_breaks_and_the_run_was_worth_something(seed: int) -> None:
    check_worth(report_of(seed))


@pytest.mark.parametrize("seed", ONCE_FAILED)
def test_what_once_failed_fails_no_more(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without what the simulator has learnt since: so each is the run that it was when it failed.
    for module, share in LEARNT_SINCE:
        monkeypatch.setattr(module, share, 0.0)
    check_worth(run(seed))


def check_worth(report: Report) -> None:
    """Somebody led, the adversary struck, and clients were served."""
    assert report.leaders >= 1
    assert report.faults >= 5
    assert report.writes >= 2
    assert report.reads >= 2


def test_the_same_seed_gives_the_same_run() -> None:
    assert run(7) == run(7)


def led(nodes: int) -> tuple[World, Cluster, Node]:
    """A cluster that nobody operates, three seconds old, and its leader."""
    world = World(5)
    cluster = Cluster(world, nodes)
    cluster.operators.stop()
    world.run_until(3)
    leader = cluster.leader()
    assert leader is not None
    return world, cluster, leader


def test_a_leader_that_can_send_heartbeats_but_no_entries_gives_way() -> None:
    # "A leader must be able to work": else a cluster whose majority is well would stand still.
    world, cluster, first = led(3)
    others = set(cluster.nodes) - {first.id}
    cluster.network.cut({first.id}, others, (Plane.DATA,))
    cluster.network.cut(others, {first.id}, (Plane.DATA,))
    world.run_until(8)
    second, writes = cluster.leader(), cluster.clients.writes
    assert second not in (None, first)
    world.run_until(10)
    assert cluster.clients.writes > writes


def test_a_majority_goes_on_beside_two_nodes_that_are_slow_or_stand_still() -> None:
    world, cluster, first = led(5)
    other = next(node for node in cluster.members() if node is not first)
    both = [Sick(cluster, first, "no storage"), Sick(cluster, other, "slow disk")]
    assert other.sync_seconds in SLOW_SYNC_SECONDS
    cluster.clients.avoided = [first, other]
    world.run_until(3 + PATIENCE_SECONDS)
    second, writes = cluster.leader(), cluster.clients.writes
    assert second not in (None, first)
    world.run_until(8)
    assert cluster.clients.writes > writes
    for one in both:
        one.recover()
    assert other.sync_seconds == SYNC_SECONDS


def test_who_can_ask_nobody_yet_leads_nobody_and_is_fed_all_the_same() -> None:
    world = World(5)
    cluster = Cluster(world, 3)
    cluster.operators.stop()
    for plane in Plane:
        for target in (2, 3):
            cluster.network.begin_later(plane, 1, target, 6.0)
    world.run_until(5)
    leader, late = cluster.leader(), cluster.network.late
    assert leader is not None
    assert leader.id != 1
    assert late > 0
    assert cluster.nodes[1].applied().index > 1  # its answers take the connections of what it is sent
    world.run_until(7)
    late = cluster.network.late
    world.run_until(8)
    assert cluster.network.late == late


def run_all(seeds: range) -> None:
    for seed in seeds:
        run(seed)


def test_what_is_broken_is_found_and_its_story_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # The whole list of defects is in tests/mutants.
    def half(self: Quorum, members: Collection[int]) -> bool:
        return len(self.voters.intersection(members)) * 2 >= len(self.voters)

    monkeypatch.setattr(Quorum, "reached", half)
    with pytest.raises(Failure, match=r"(?s)(storage|election).*seed (\d+) at .*make simulate SEED=\2") as failure:
        run_all(range(1, 101))  # only clusters of an even number can show it
    assert failure.value.rule in ("election safety", "S7", "leader completeness")


def test_a_gateway_that_shows_what_was_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A serializable read may be behind other nodes, but not behind what its own has shown."""
    asked = itertools.count()
    copies: dict[MemoryState, MemoryState] = {}

    def old_view(state: MemoryState) -> View:
        if next(asked) % 50 == 0 or state not in copies:
            copies[state] = MemoryState()
            copies[state].fill(state.tables())
        return View(copies[state])

    def serve(self: GatewayActor, one: Serve) -> None:
        with pytest.MonkeyPatch.context() as patch:
            if all(is_serializable(read.request) for read in one.reads):
                patch.setattr(gateway, "View", old_view)
            serve_as_ever(self, one)

    serve_as_ever = GatewayActor._serve
    monkeypatch.setattr(GatewayActor, "_serve", serve)
    with pytest.raises(Failure) as failure:
        run_all(SEEDS)
    assert failure.value.rule == "a read sees what was known before it"


def run_with_a_bug(seed: int) -> Report:
    """A run whose elections raise what no rule knows; of the module, so that the process of a campaign finds it."""

    def tick(self: Election, now: float) -> None:
        raise KeyError(f"no peer at {now:.0f}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Election, "tick", tick)
        return run(seed)


def test_an_exception_of_any_kind_is_a_failure_that_tells_its_seed() -> None:
    with pytest.raises(Failure, match=r"(?s)seed 7 at .*KeyError: .*no peer.*in tick.*make simulate SEED=7") as failure:
        run_with_a_bug(7)
    assert failure.value.rule == "KeyError"
    assert re.match(r" +\d+\.\d{4} \S+ ", failure.value.message)  # the trace comes first


def test_a_campaign_records_an_exception_of_any_kind_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(campaigns, "run", run_with_a_bug)
    campaign = Campaign(tmp_path / "sum.json", 1)
    campaign.totals.next_seed = 7
    assert campaign.run(0.5) == 1
    broken = campaign.totals.broken
    assert broken[7] == "KeyError"
    assert len(broken) == campaign.totals.next_seed - 7  # each seed that was taken
    assert Campaign(tmp_path / "sum.json", 1).totals.broken == broken
    lines = capsys.readouterr().out.splitlines()
    assert "seed 7: KeyError" in lines
    assert lines[-1] == f"seeds=0 hours=0.00 faults=0 violations={len(broken)}"


def test_a_report_says_why_progress_without_one_was_not_demanded(capsys: pytest.CaptureFixture[str]) -> None:
    seeds: dict[str, int] = {}
    reports = [report_of(seed) for seed in SEEDS]
    for report in reports:
        seeds.setdefault(report.progress_without_one, report.seed)
    reasons = {"not demanded: no majority without it", "not demanded: left out by the seed"}
    assert seeds.keys() == {DEMANDED, *reasons}
    assert all((report.sick > 0) is (report.progress_without_one == DEMANDED) for report in reports)
    for reason in reasons:
        assert replay(seeds[reason]) == 0
        assert reason in capsys.readouterr().out.splitlines()[-1]


def test_in_some_runs_two_nodes_are_sick_and_links_begin_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "SIZES", (5,))
    monkeypatch.setattr(sick, "PAIR_SHARE", 1.0)
    monkeypatch.setattr(links, "SHARE", 1.0)
    reports = map(run, range(1, 101))  # a few are enough
    assert any(report.sick == 2 and report.late > 0 for report in reports)


@pytest.mark.timeout(300)
def test_fresh_seeds_break_no_rule(tmp_path: Path) -> None:
    # Others for each change: a failure is printed with the command that replays it.
    campaign = Campaign(tmp_path / "sum.json", os.cpu_count() or 1)
    campaign.totals.next_seed = fresh_seed()
    assert campaign.run(FRESH_SECONDS) == 0
    assert campaign.totals.seeds > 0


def test_campaigns_are_summed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "sum.json"
    before = Campaign(state, 1)
    before.run(0.5)
    after = Campaign(state, 1)
    assert after.totals == before.totals
    after.run(0.5)
    assert after.totals.seeds > before.totals.seeds
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == after.totals.line()
    assert re.fullmatch(r"seeds=\d+ hours=\d+\.\d\d faults=\d+ violations=0", last)


def test_a_campaign_with_a_broken_rule_fails_for_good(tmp_path: Path) -> None:
    state = tmp_path / "sum.json"
    campaign = Campaign(state, 1)
    campaign.totals.broken[7] = "election safety"
    assert campaign.run(0.5) == 1
    assert Campaign(state, 1).run(0.1) == 1


def test_a_run_without_a_fault_or_a_leader_does_not_count() -> None:
    totals, report = Totals(), run(1)
    totals.count(msgspec.structs.replace(report, faults=0))
    totals.count(msgspec.structs.replace(report, leaders=0))
    assert totals == Totals()
    totals.count(report)
    assert (totals.seeds, totals.faults, totals.virtual_seconds) == (1, report.faults, report.virtual_seconds)
