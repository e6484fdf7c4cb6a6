"""Latencies, counted in buckets whose width grows with the value: the memory is the same for a second and for a day."""

from __future__ import annotations

import msgspec

_BITS = 7
"""Buckets for each power of two: 2^7, so a value is known to within 1/128."""


class Histogram(msgspec.Struct):
    """How often each latency was seen; the longest one is kept as it is. In and out in seconds."""

    counts: dict[int, int] = {}
    max: float = 0.0

    def add(self, seconds: float) -> None:
        """Counts one latency."""
        value = int(seconds * 1e6)
        # As floating point: how far the leading 1 + _BITS bits are shifted, and those bits.
        shift = max(0, value.bit_length() - _BITS - 1)
        bucket = (shift << _BITS) + (value >> shift)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        if seconds > self.max:
            self.max = seconds

    def merge(self, other: Histogram) -> None:
        """Counts all that the other one has."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.max = max(self.max, other.max)

    def quantile(self, share: float) -> float:
        """The latency that this share of all does not exceed, to within 1/128; 0 if there are none."""
        wanted = share * sum(self.counts.values())
        seen = 0
        for bucket, count in sorted(self.counts.items()):
            seen += count
            if seen >= wanted:
                return min(_upper_end(bucket), self.max)
        return self.max


def _upper_end(bucket: int) -> float:
    shift = max(0, (bucket >> _BITS) - 1)
    return (((bucket - (shift << _BITS)) + 1) << shift) / 1e6
