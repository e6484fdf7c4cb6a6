"""How ``zraft verify`` asks: what one request leaves is asked for again."""

import pytest

from tests.wire.scripted import ScriptedNode
from zraft.errors import ResourceExhausted
from zraft.protocol.requests import Batch, Get, Request
from zraft.protocol.responses import BatchResult, ErrorInfo, GetResult, Response
from zraft.verify.caller import Caller

VERSIONS = [("a", 1), ("b", 2), ("c", 3)]


def refusal(code: str) -> GetResult:
    return GetResult(False, None, ErrorInfo(code, "no"), 9)


def found(operation: object) -> GetResult:
    assert isinstance(operation, Get)
    return GetResult(True, b"value", None, 9, 1, operation.revision, 1)


def test_what_a_batch_has_no_room_for_is_asked_again() -> None:
    asked: list[int] = []

    def answer(request: Request) -> Response:
        assert isinstance(request, Batch)
        asked.append(len(request.operations))
        first, *others = request.operations
        return BatchResult((found(first), *(refusal("ResourceExhausted") for _ in others)), 0, 9)

    with ScriptedNode(answer) as node, Caller((node.endpoint,), 0, 5.0) as caller:
        read = list(caller.read_past(VERSIONS))
    assert [(one.key, one.at, one.outcome) for one in read] == [(key, at, "ok") for key, at in VERSIONS]
    assert asked == [3, 2, 1]


def test_what_is_compacted_is_left_out_and_what_has_no_room_at_all_is_told() -> None:
    def answer(request: Request) -> Response:
        assert isinstance(request, Batch)
        others = request.operations[1:]
        code = "Compacted" if others else "ResourceExhausted"
        return BatchResult((refusal(code), *map(found, others)), 0, 9)

    with ScriptedNode(answer) as node, Caller((node.endpoint,), 0, 5.0) as caller:
        assert [one.key for one in caller.read_past(VERSIONS)] == ["b", "c"]
        with pytest.raises(ResourceExhausted):
            list(caller.read_past(VERSIONS[:1]))
