"""One connection of a load against a scripted node."""

import multiprocessing
import time
from collections import Counter
from types import SimpleNamespace

import pytest

from tests.wire.scripted import ScriptedNode
from zraft.bench.load import Load
from zraft.bench.worker import REFUSED_S, Begin, Ready, Tally, run
from zraft.protocol.requests import Get, Put, Request
from zraft.protocol.responses import GetResult, PutResult, Response

WAIT_S = 20.0
ABSENT = GetResult(found=False, value=None, error=None)


def test_a_node_that_is_gone_is_not_asked_in_a_loop() -> None:
    """Who measures the others would lose the processor to the refusals of one."""
    with ScriptedNode(lambda _: ABSENT) as node:
        load = Load(endpoints=(node.endpoint,), pipeline=4, seconds=10 * REFUSED_S, spread=True)
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        worker = multiprocessing.get_context("spawn").Process(target=run, args=(load, 0, theirs))
        worker.start()
        assert ours.poll(WAIT_S)
        assert ours.recv() == Ready()
    ours.send(Begin())
    tally = None
    while not isinstance(tally, Tally):
        assert ours.poll(WAIT_S)
        tally = ours.recv()
    worker.join(WAIT_S)
    assert worker.exitcode == 0
    # Whoever waits that long between two tries has at most so many, however slow the machine is.
    assert 0 < tally.errors.total() <= 4 * (10 + 2)


@pytest.mark.parametrize(("reads", "code"), [(0.0, "Unknown"), (1.0, "Unavailable")])
def test_an_answer_past_the_deadline_is_no_success(monkeypatch: pytest.MonkeyPatch, reads: float, code: str) -> None:
    """It is told as any caller would have been told; the worker's clock jumps while its requests are answered."""
    jumped: list[float] = []

    def answer(request: Request) -> Response:
        if request == Get(b"bench"):
            return ABSENT
        jumped.append(100.0)
        if isinstance(request, Get):
            return GetResult(found=True, value=b"v", error=None)
        return PutResult(success=True, error=None, index=7, revision=3, mod_revision=3)

    clock = SimpleNamespace(
        monotonic=lambda: time.monotonic() + (jumped[0] if jumped else 0.0),
        process_time=time.process_time,
    )
    monkeypatch.setattr("zraft.bench.worker.time", clock)
    monkeypatch.setattr("zraft.bench.worker.signal.signal", lambda *_: None)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    with ScriptedNode(answer) as node:
        ours.send(Begin())
        run(Load(endpoints=(node.endpoint,), pipeline=4, seconds=50.0, timeout=20.0, read_ratio=reads), 0, theirs)
    told = []
    while ours.poll():
        told.append(ours.recv())
    assert (told[0], len(jumped)) == (Ready(), 4)
    assert (told[-1].operations, told[-1].errors, told[-1].latencies.max) == (0, Counter({code: 4}), 0.0)


def test_requests_leave_before_all_are_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beginning 20,000 takes longer than a request may wait for a connection, where the machine is slow."""
    done = PutResult(success=True, error=None, index=7, revision=3, mod_revision=3)
    monkeypatch.setattr("zraft.bench.worker.signal.signal", lambda *_: None)
    monkeypatch.setattr("zraft.bench.worker.STARTED_MAX", 10)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    with ScriptedNode(lambda request: done if isinstance(request, Put) else ABSENT) as node:
        ours.send(Begin())
        run(Load(endpoints=(node.endpoint,), pipeline=95, seconds=0.3, timeout=20.0), 0, theirs)
        puts = sum(isinstance(request, Put) for request in node.requests)
        assert max(node.messages) <= 10
    told = []
    while ours.poll():
        told.append(ours.recv())
    assert told[-1].operations == puts >= 95
