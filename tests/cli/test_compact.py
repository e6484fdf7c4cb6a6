"""``zraft compact`` against a scripted node."""

import json

import pytest

from tests.cli.asking import Serve, ask
from zraft.protocol.client import Compact, CompactResult, ErrorResult, Request, Response


def test_compact_does_not_wait_for_the_sweep(serve: Serve) -> None:
    node = serve(CompactResult(7, 900, 800, 20))
    result = ask(node, "compact", "800")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "compacted up to revision 800\n", "")
    assert node.requests == [Compact(800)]


def test_a_physical_compaction_goes_on_until_all_is_removed(serve: Serve) -> None:
    swept = iter([20, 400, 800])

    def script(request: Request) -> Response:
        return CompactResult(7, 900, 800, next(swept))

    node = serve(script)
    result = ask(node, "compact", "800", "--physical", "--output", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"revision": 900, "index": 7, "compacted": 800, "swept": 800}
    assert node.requests == [Compact(800), Compact(800, resume=True), Compact(800, resume=True)]


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
