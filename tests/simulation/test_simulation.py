"""A fixed corpus of seeds, and that the simulator is worth something: it strikes, and it finds what is broken."""

from collections.abc import Callable

import pytest

from tests.simulation.cluster import Cluster
from tests.simulation.network import Plane
from tests.simulation.run import Failure, run
from tests.simulation.world import World
from zraft.core.acceptor import Acceptor
from zraft.core.progress import Progress
from zraft.core.quorum import Quorum

pytestmark = pytest.mark.simulation

SEEDS = range(1, 31)
ONCE_FAILED: dict[int, str] = {}
"""Seeds that found a bug, and which."""


@pytest.mark.parametrize("seed", [*SEEDS, *ONCE_FAILED])
def test_no_rule_breaks_and_the_run_was_worth_something(seed: int) -> None:
    report = run(seed)
    assert report.leaders >= 1
    assert report.faults >= 5
    assert report.writes >= 50
    assert report.reads >= 30


def test_the_same_seed_gives_the_same_run() -> None:
    assert run(7) == run(7)


def test_a_leader_that_can_send_heartbeats_but_no_entries_gives_way() -> None:
    # "A leader must be able to work": else a cluster whose majority is well would stand still.
    world = World(5)
    cluster = Cluster(world, 3)
    world.run_until(3)
    first = cluster.leader()
    assert first is not None
    others = set(cluster.nodes) - {first.id}
    cluster.network.cut({first.id}, others, (Plane.DATA,))
    cluster.network.cut(others, {first.id}, (Plane.DATA,))
    world.run_until(8)
    second, writes = cluster.leader(), cluster.clients.writes
    assert second not in (None, first)
    world.run_until(10)
    assert cluster.clients.writes > writes


def run_all(seeds: range) -> None:
    for seed in seeds:
        run(seed)


def forget_votes(monkeypatch: pytest.MonkeyPatch) -> None:  # trap 1
    enter = Acceptor._enter
    monkeypatch.setattr(Acceptor, "_enter", lambda self, term, vote: enter(self, term, 0))


def trust_the_whole_log(monkeypatch: pytest.MonkeyPatch) -> None:  # S3, trap 16
    def commit_to(self: Acceptor, index: int) -> None:
        self.commit = max(self.commit, min(index, self._log.last.index))

    monkeypatch.setattr(Acceptor, "_commit_to", commit_to)


def count_half_as_a_majority(monkeypatch: pytest.MonkeyPatch) -> None:  # trap 2
    monkeypatch.setattr(
        Quorum, "reached", lambda self, members: len(self.voters & set(members)) * 2 >= len(self.voters)
    )


def leave_the_restarted_alone(monkeypatch: pytest.MonkeyPatch) -> None:  # trap 19
    overdue = Progress.overdue

    def only_if_it_lacks(self: Progress, last: int, commit: int, now: float, patience: float) -> bool:
        return (self.match < last or self.commit < commit) and overdue(self, last, commit, now, patience)

    monkeypatch.setattr(Progress, "overdue", only_if_it_lacks)


@pytest.mark.parametrize(
    "break_it", [forget_votes, trust_the_whole_log, count_half_as_a_majority, leave_the_restarted_alone]
)
def test_what_is_broken_is_found_and_its_story_told(
    break_it: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it(monkeypatch)
    with pytest.raises(Failure, match=r"(?s)(storage|election).*seed \d+ at .*replay: make simulate SEED="):
        run_all(SEEDS)
