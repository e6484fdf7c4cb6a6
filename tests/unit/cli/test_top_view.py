"""The frames of ``zraft top``: of samples that are written down here."""

import math

import msgspec
import pytest

from zraft.cli.top_sampling import counters_of
from zraft.cli.top_view import ELECTIONS_SHOWN, HEAD, Counters, NodeSample, Sample, Top, quantile
from zraft.protocol.responses import StatusResult

AT = 1_700_000_000.0  # 22:13:20 UTC
STATUS = StatusResult("node-1", "leader", 7, "node-1", (), 1_000, 990, "1", "c", 1, 1_000, 5_000)


def node(name: str, counters: Counters | None = None, read_ms: float | None = 1.25, **fields: object) -> NodeSample:
    return NodeSample(name, msgspec.structs.replace(STATUS, node_id=name, **fields), read_ms, "", counters)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_a_first_frame_has_no_rates() -> None:
    silent = NodeSample("node-3", None, reason="no connection")
    follower = node("node-2", state="follower", last_applied=900, log_bytes=1 << 20, state_bytes=1 << 19)
    frame = Top().frame(Sample(AT, (node("node-1"), follower, silent)))
    assert frame[0] == "22:13:20  |  node-1 leads in term 7  |  2 of 3 serve  |  revision 5,000"
    assert cells(frame[2]) == list(HEAD)
    assert [cells(line) for line in frame[3:]] == [
        ["node-1", "leader", "7", "node-1", "990", "10", "-", "-", "-", "-", "1.2ms", "0.0MiB"],
        ["node-2", "follower", "7", "node-1", "900", "100", "-", "-", "-", "-", "1.2ms", "1.5MiB"],
        ["node-3", "silent", *["-"] * 10, "no connection"],
    ]


def test_rates_and_latencies_are_of_what_came_between_two_samples() -> None:
    top = Top()
    before = Counters(100, 50, {0.01: 90, 0.1: 100, math.inf: 100}, {0.001: 10, math.inf: 10})
    after = Counters(2_100, 90, {0.01: 90, 0.1: 2_100, math.inf: 2_100}, {0.001: 10, math.inf: 10})
    top.frame(Sample(AT, (node("node-1", before),)))
    frame = top.frame(Sample(AT + 2, (node("node-1", after, revision=7_000),)))
    assert frame[0].endswith("revision 7,000  |  1,000 changes/s")
    assert cells(frame[3])[6:10] == ["1,000", "20", "99.1ms", "-"]


def test_a_node_that_was_started_meanwhile_has_no_rates() -> None:
    top = Top()
    top.frame(Sample(AT, (node("node-1", Counters(100, 0)),)))
    frame = top.frame(Sample(AT + 2, (node("node-1", Counters(3, 0)),)))
    assert cells(frame[3])[6:10] == ["-"] * 4


def test_elections_are_told_the_newest_first_and_so_many() -> None:
    top = Top()
    top.frame(Sample(AT, (node("node-1"),)))
    top.frame(Sample(AT + 1, (node("node-1", state="follower", leader_id="", current_term=8),)))  # nobody yet
    told = []
    for term, leader in ((8, "node-2"), (9, "node-2"), *((term, f"node-{term % 2}") for term in range(10, 17))):
        frame = top.frame(Sample(AT + term, (node("node-1", leader_id=leader, current_term=term),)))
        told = frame[frame.index("Elections seen:") + 1 :]
        if term == 9:
            assert told == ["22:13:29  term 9: node-2 again", "22:13:28  term 8: node-2 after node-1"]
    assert told[0] == "22:13:36  term 16: node-0 after node-1"
    assert len(told) == ELECTIONS_SHOWN


def test_who_lags_or_is_cut_off_does_not_take_the_leader_back() -> None:
    top = Top()
    behind = node("node-3", state="leader", leader_id="node-3", current_term=6)
    frame = top.frame(Sample(AT, (behind, node("node-1", current_term=8))))
    assert "node-1 leads in term 8" in frame[0]
    assert "no leader" in Top().frame(Sample(AT, (node("node-1", leader_id="", read_ms=None),)))[0]


@pytest.mark.parametrize(
    ("now", "then", "expected"),
    [
        ({}, {}, None),
        ({0.1: 5, math.inf: 5}, {0.1: 5, math.inf: 5}, None),
        ({0.1: 100, math.inf: 100}, {}, 0.099),
        ({0.1: 0, 0.2: 100, math.inf: 100}, {}, 0.199),
        ({0.1: 0, 0.2: 10, math.inf: 100}, {}, 0.2),
        ({0.1: 50, math.inf: 150}, {0.1: 50, math.inf: 50}, 0.1),
    ],
)
def test_a_quantile_is_as_prometheus_has_it(
    now: dict[float, float], then: dict[float, float], expected: float | None
) -> None:
    found = quantile(0.99, now, then)
    assert found == (pytest.approx(expected) if expected else None)


def test_counters_are_read_from_the_metrics_page() -> None:
    page = """# TYPE zraft_node_ready gauge
zraft_node_ready 1.0
# TYPE zraft_request_seconds histogram
zraft_request_seconds_bucket{kind="write",le="0.1"} 3.0
zraft_request_seconds_bucket{kind="write",le="+Inf"} 4.0
zraft_request_seconds_count{kind="write"} 4.0
zraft_request_seconds_sum{kind="write"} 1.0
zraft_request_seconds_bucket{kind="read",le="+Inf"} 9.0
zraft_request_seconds_count{kind="read"} 9.0
zraft_request_seconds_sum{kind="read"} 1.0
# TYPE zraft_log_sync_seconds histogram
zraft_log_sync_seconds_bucket{le="+Inf"} 7.0
zraft_log_sync_seconds_count 7.0
zraft_log_sync_seconds_sum 1.0
"""
    assert counters_of(page) == Counters(4, 9, {0.1: 3, math.inf: 4}, {math.inf: 7})
    assert counters_of("# TYPE up gauge\nup 1.0\n") is None
