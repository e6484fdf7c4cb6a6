"""Telling puts beside a snapshot from others, by what the nodes logged."""

from tools.beside_snapshots import Span, rows, snapshots_of

LOG = """\
time=2026-05-04T12:00:07.500Z level=info node=node-1 actor=storage event="snapshot made" index=9 bytes=1 seconds=2.5
time=2026-05-04T12:00:08.000Z level=info node=node-1 actor=storage event="snapshot verified" index=9 seconds=1
"""
NOON = 1_777_896_000.0
LOADED = [Span(0.0, 9.0)]


def test_a_snapshot_lasts_until_its_line_in_the_log() -> None:
    assert snapshots_of(LOG) == [Span(NOON + 5.0, NOON + 7.5)]


def test_a_put_is_beside_a_snapshot_if_they_overlap_and_counts_only_under_load() -> None:
    puts = [Span(1.0, 1.5), Span(1.5, 3.0), Span(3.0, 4.0), Span(5.0, 5.25), Span(8.5, 9.5)]
    beside, alone = rows(puts, LOADED, [Span(2.0, 4.0)])
    assert (beside[1], beside[-1]) == ("2", "1500.0")
    assert (alone[1], alone[-1]) == ("2", "500.0")
