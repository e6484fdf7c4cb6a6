"""One connection of a load against a scripted node."""

import multiprocessing

from tests.wire.scripted import ScriptedNode
from zraft.bench.load import Load
from zraft.bench.worker import REFUSED_S, Begin, Ready, Tally, run
from zraft.protocol.client import GetResult

WAIT_S = 20.0


def test_a_node_that_is_gone_is_not_asked_in_a_loop() -> None:
    """Who measures the others would lose the processor to the refusals of one."""
    with ScriptedNode(lambda _: GetResult(found=False, value=None, error=None)) as node:
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
