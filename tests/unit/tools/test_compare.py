"""Ratios between two versions, from figures that were measured in turn."""

from tools.compare import Figures, row


def test_what_counts_is_the_ratio_within_a_round() -> None:
    # The machine is twice as slow in every second round; the newer version is always faster by a quarter.
    before = [Figures(1000, 4.0), Figures(500, 8.0)] * 4
    now = [Figures(1250, 3.2), Figures(625, 6.4)] * 4
    assert row("a load", before, now) == (
        *("a load", "750", "938", "1.25", "1.25 to 1.25"),
        *("6.00", "4.80", "0.80", "0.80 to 0.80"),
    )
