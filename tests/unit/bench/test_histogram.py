"""Latencies in buckets: as exact as promised, and flat in memory."""

import random

import pytest

from zraft.bench.histogram import Histogram


def of(*seconds: float) -> Histogram:
    histogram = Histogram()
    for one in seconds:
        histogram.add(one)
    return histogram


def test_of_nothing_all_is_zero() -> None:
    assert [Histogram().quantile(share) for share in (0.0, 0.5, 1.0)] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("magnitude", range(-6, 4))
def test_a_value_is_known_to_within_a_part_in_128(magnitude: int) -> None:
    rng = random.Random(magnitude)
    for _ in range(200):
        value = rng.uniform(1, 10) * 10.0**magnitude
        found = of(value, 1e9).quantile(0.5)
        assert value <= found <= (value + 1e-6) * (1 + 1 / 128)


def test_quantiles_are_those_of_the_sorted_values() -> None:
    values = [number / 1000 for number in range(1, 1001)]
    random.Random(1).shuffle(values)
    histogram = of(*values)
    for share in (0.01, 0.5, 0.9, 0.99, 0.999):
        assert histogram.quantile(share) == pytest.approx(share, rel=1 / 64)
    assert histogram.quantile(1.0) == 1.0
    assert histogram.max == 1.0


def test_no_quantile_is_above_the_longest() -> None:
    assert of(0.1234567).quantile(0.5) == 0.1234567


def test_merged_is_as_if_seen_by_one() -> None:
    one, two = of(0.001, 0.002), of(0.5, 0.002)
    one.merge(two)
    assert one == of(0.001, 0.002, 0.5, 0.002)


def test_memory_is_bounded_whatever_is_counted() -> None:
    rng = random.Random(1)
    histogram = of(*(rng.lognormvariate(-5, 3) for _ in range(50_000)), 1e6, 1e9)
    assert len(histogram.counts) < 3_500
    assert max(histogram.counts) < 6_000
    assert histogram.quantile(1.0) == 1e9
