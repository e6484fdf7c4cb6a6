"""``zraft compact`` against a scripted node."""

import itertools
import json

import pytest

from tests.cli.asking import Serve, ask
from zraft.protocol.requests import ClusterStatus, Compact, Request
from zraft.protocol.responses import CompactResult, ErrorResult, Response, StatusResult

STATUS = ("node-1", "leader", 1, "node-1", (), 7, 7, "", "", 1, 7, 900)


def test_compact_does_not_wait_for_the_sweep(serve: Serve) -> None:
    node = serve(CompactResult(7, 900, 800, 20))
    result = ask(node, "compact", "800")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "compacted up to revision 800\n", "")
    assert node.requests == [Compact(800)]


class Sweeping:
    """A cluster whose sweep goes on by so much at each request of a kind."""

    def __init__(self, by_itself: int, asked: int) -> None:
        self.swept = 0
        self._by_itself = by_itself
        self._asked = asked

    def __call__(self, request: Request) -> Response:
        if isinstance(request, ClusterStatus):
            self.swept = min(800, self.swept + self._by_itself)
            return StatusResult(*STATUS, swept_revision=self.swept)
        self.swept = min(800, self.swept + self._asked)
        return CompactResult(7, 900, 800, self.swept)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zraft.cli.compact.POLL_S", 0.05)


@pytest.mark.usefixtures("often")
def test_a_physical_compaction_waits_while_the_leader_sweeps_by_itself(serve: Serve) -> None:
    node = serve(Sweeping(by_itself=200, asked=1))
    result = ask(node, "compact", "800", "--physical", "--output", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {"revision": 900, "index": 7, "compacted": 800, "swept": 800}
    asked = [one for one in node.requests if isinstance(one, Compact | ClusterStatus)]
    assert asked == [Compact(800), *[ClusterStatus()] * 4, Compact(800, resume=True)]


@pytest.mark.usefixtures("often")
def test_a_physical_compaction_has_it_done_where_nobody_does_it_or_tells(serve: Serve) -> None:
    """As with writes that come fast, or a node of 0.1.0."""
    node = serve(Sweeping(by_itself=0, asked=200))
    result = ask(node, "compact", "800", "--physical")
    assert (result.exit_code, result.stdout) == (0, "compacted up to revision 800\n")
    asked = [one for one in node.requests if isinstance(one, Compact | ClusterStatus)]
    assert asked == [Compact(800), ClusterStatus(), *[Compact(800, resume=True)] * 4]


@pytest.mark.usefixtures("often")
def test_nothing_is_waited_for_when_all_is_removed_already(serve: Serve) -> None:
    node = serve(Sweeping(by_itself=0, asked=800))
    assert ask(node, "compact", "800", "--physical").exit_code == 0
    assert node.requests == [Compact(800)]


@pytest.mark.usefixtures("often")
def test_a_leader_that_is_lost_meanwhile_ends_no_wait(serve: Serve) -> None:
    sweeping, answers = Sweeping(by_itself=0, asked=200), itertools.count()

    def script(request: Request) -> Response:
        lost = isinstance(request, Compact) and next(answers) in (1, 3)
        return ErrorResult("Unknown", "the leader was lost") if lost else sweeping(request)

    assert ask(serve(script), "compact", "800", "--physical").exit_code == 0


@pytest.mark.usefixtures("often")
def test_a_cluster_that_is_lost_ends_the_wait(serve: Serve) -> None:
    sweeping, answers = Sweeping(by_itself=0, asked=200), itertools.count()

    def script(request: Request) -> Response:
        lost = isinstance(request, Compact) and next(answers) > 0
        return ErrorResult("Unknown", "the leader was lost") if lost else sweeping(request)

    result = ask(serve(script), "compact", "800", "--physical")
    assert (result.exit_code, result.stdout) == (4, "")


@pytest.mark.usefixtures("often")
def test_how_far_the_sweep_is_stands_on_stderr(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zraft.cli.progress.LINE_EVERY_S", 0.0)
    result = ask(serve(Sweeping(by_itself=400, asked=100)), "compact", "800", "--physical")
    lines = [f"removed up to revision {swept} of 800" for swept in (100, 500)]
    assert result.stderr.splitlines() == lines
    assert result.stdout == "compacted up to revision 800\n"


@pytest.mark.parametrize(
    "answer",
    [
        ErrorResult("Compacted", "the history is compacted up to revision 900 already"),
        ErrorResult("InvalidArgument", "revision 800 is in the future: this store is at 9"),
    ],
)
def test_what_can_not_be_compacted_is_refused_for_good(serve: Serve, answer: ErrorResult) -> None:
    result = ask(serve(answer), "compact", "800")
    assert (result.exit_code, result.stdout) == (5, "")
    assert answer.message in result.stderr


def test_a_revision_is_a_number_above_zero(serve: Serve) -> None:
    node = serve(CompactResult(7, 900, 800, 20))
    assert [ask(node, "compact", *given).exit_code for given in ([], ["0"], ["-1"], ["now"])] == [2, 2, 2, 2]
    assert node.requests == []
