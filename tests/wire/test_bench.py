"""Load on scripted nodes: what is counted, what is told, and what happens when it can't go on."""

import multiprocessing
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from tests.wire.scripted import CLUSTER, ScriptedNode
from zraft.bench import Figures, Load, measure
from zraft.bench.worker import Tally
from zraft.client.steps import Fail, Return
from zraft.errors import InvalidArgument, Unavailable, Unknown
from zraft.protocol.requests import Batch, ClusterStatus, Get, Put, Request
from zraft.protocol.responses import BatchResult, ErrorInfo, ErrorResult, GetResult, PutResult, Response, StatusResult

DONE = PutResult(success=True, error=None, index=7, revision=3, mod_revision=3)
FOUND = GetResult(found=True, value=b"v", error=None, revision=3)
ABSENT = GetResult(found=False, value=None, error=None, revision=3)
EXHAUSTED = GetResult(found=False, value=None, error=ErrorInfo("ResourceExhausted", "too much"), revision=3)
STATUS = StatusResult("node-1", "leader", 4, "node-1", (), 7, 7, "", CLUSTER.hex(), 1, 7, 3)


def serve(request: Request) -> Response:
    match request:
        case ClusterStatus():
            return STATUS
        case Get():
            return ABSENT if request.key.endswith(b"1") else FOUND
        case Batch(operations):
            return BatchResult(tuple(DONE if isinstance(one, Put) else FOUND for one in operations), 7, 3)
    return DONE


def run(node: ScriptedNode, **settings: object) -> Figures:
    defaults: dict[str, object] = {"seconds": 0.3, "clients": 1, "pipeline": 4, "keys": 4}
    return measure(Load(endpoints=(node.endpoint,), **(defaults | settings)))  # type: ignore[arg-type]


def test_a_tally_counts_operations_and_times_requests() -> None:
    tally = Tally()
    tally.count(Return(DONE), 1, 0.25)
    tally.count(Return(ABSENT), 1, 0.25)
    tally.count(Return(BatchResult((DONE, ABSENT, EXHAUSTED), 7, 3)), 3, 0.5)
    tally.count(Fail(Unknown, "lost"), 10, 60.0)
    assert (tally.operations, tally.not_found) == (4, 2)
    assert tally.errors == Counter({"Unknown": 10, "ResourceExhausted": 1})
    assert tally.latencies.quantile(1.0) == 0.5


def test_tallies_add_up() -> None:
    one, two = Tally(5, 1, Counter(Unknown=1), stall=0.5, elapsed=3.0, cpu=1.0), Tally(7, 0, stall=0.1, elapsed=4.0)
    one.merge(two)
    assert one == Tally(12, 1, Counter(Unknown=1), stall=0.5, elapsed=4.0, cpu=1.0)


def test_so_many_requests_are_outstanding_and_all_are_counted() -> None:
    with ScriptedNode(serve) as node:
        told: list[tuple[float, int, int]] = []
        load = Load(endpoints=(node.endpoint,), clients=2, pipeline=8, seconds=0.6, keys=4)
        figures = measure(load, lambda *progress: told.append(progress))
        puts = sum(isinstance(request, Put) for request in node.requests)
    document = figures.document()
    assert document["operations"] == puts > 100
    assert document["operations_per_second"] == pytest.approx(puts / document["elapsed_seconds"], rel=0.01)
    assert 0.5 < document["elapsed_seconds"] < 5
    assert list(document["latency_ms"]) == ["p50", "p99", "p999", "max"]
    assert 0 < document["latency_ms"]["p50"] <= document["latency_ms"]["max"]
    assert (document["errors"], document["not_found"], document["terms"]) == ({}, 0, [4, 4])
    assert document["settings"]["pipeline"] == 8
    assert max(node.messages) <= 8
    assert told
    assert all(operations <= puts and errors == 0 for _, operations, errors in told)


def test_the_keys_are_filled_first_and_absent_ones_counted() -> None:
    with ScriptedNode(serve) as node:
        figures = run(node, fill=True, read_ratio=1.0, keys=1_000, value_size=10)
        batches = [request for request in node.requests if isinstance(request, Batch)]
    assert sum(len(batch.operations) for batch in batches) == 1_000
    assert 0 < figures.tally.not_found < figures.tally.operations


def test_errors_are_counted_by_code() -> None:
    def serve_badly(request: Request) -> Response:
        return ErrorResult("Unknown", "the leader was lost") if isinstance(request, Batch) else serve(request)

    with ScriptedNode(serve_badly) as node:
        figures = run(node, batch=5)
    assert list(figures.tally.errors) == ["Unknown"]
    assert figures.tally.errors["Unknown"] % 5 == 0
    assert (figures.tally.operations, figures.operations_per_second) == (0, 0.0)


def test_connections_are_spread_over_the_nodes() -> None:
    with ScriptedNode(serve) as one, ScriptedNode(serve, leader=one.endpoint) as two:
        measure(Load(endpoints=(one.endpoint, two.endpoint), clients=2, seconds=0.2, spread=True))
        assert all(sum(isinstance(request, Put) for request in node.requests) > 10 for node in (one, two))


@pytest.mark.parametrize(
    ("script", "settings", "error"),
    [
        (lambda _: ErrorResult("Unavailable", "there is no leader"), {"timeout": 0.2}, Unavailable),
        (serve, {"value_size": 2 << 20}, InvalidArgument),
    ],
)
def test_what_can_not_begin_is_said(
    script: Callable[[Request], Response], settings: dict[str, object], error: type[Exception]
) -> None:
    with ScriptedNode(script) as node, pytest.raises(error):
        run(node, **settings)


def test_a_client_that_dies_ends_the_load_at_once() -> None:
    begun = threading.Event()

    def serve_once(request: Request) -> Response | None:
        if isinstance(request, Put):
            begun.set()
            return None
        return serve(request)

    def kill() -> None:
        begun.wait(30)
        [child] = multiprocessing.active_children()
        child.kill()

    with ScriptedNode(serve_once) as node:
        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(ChildProcessError, match="-9"):
            run(node, seconds=60, timeout=60)
        killer.join()
