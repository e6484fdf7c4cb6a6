"""The newest entries of a leader's log."""

import pytest

from tests.unit.core.cast import entries, entry
from zraft.core.tail import GAPS_MAX, Tail
from zraft.protocol.entries import EntryId

SIZE = len(entry(1, 1))


@pytest.fixture
def tail() -> Tail:
    """Entries 6 to 9 of term 3 behind 5/2."""
    tail = Tail(EntryId(5, 2))
    for data in entries(6, 3, 3, 3, 3):
        tail.append(data)
    return tail


def test_an_empty_tail_knows_the_entry_before_it() -> None:
    tail = Tail(EntryId(5, 2))
    assert (tail.last, tail.bytes, tail.holds(6), tail.before(6), tail.slice(6, 100)) == (5, 0, True, EntryId(5, 2), ())


def test_it_holds_what_an_append_can_be_made_of(tail: Tail) -> None:
    assert [tail.holds(first) for first in (5, 6, 9, 10, 11)] == [False, True, True, True, False]
    assert [tail.before(first) for first in (6, 7, 10)] == [EntryId(5, 2), EntryId(6, 3), EntryId(9, 3)]
    assert (tail.last, tail.bytes) == (9, 4 * SIZE)


@pytest.mark.parametrize(
    ("first", "bytes_max", "count"),
    [(6, 4 * SIZE, 4), (6, 3 * SIZE, 3), (6, 3 * SIZE - 1, 2), (6, 1, 1), (9, 1000, 1), (10, 1000, 0)],
)
def test_a_slice_has_one_entry_at_least_and_then_what_fits(tail: Tail, first: int, bytes_max: int, count: int) -> None:
    assert tail.slice(first, bytes_max) == entries(first, *[3] * count)


def test_many_cuts_leave_what_one_would(tail: Tail) -> None:
    first = 6
    for turn in range(3 * GAPS_MAX):
        tail.append(entry(tail.last + 1, 3))
        first += 2 if turn % 50 == 0 and first + 1 < tail.last else 1
        first = min(first, tail.last + 1)
        tail.cut(first, tail.last + 1, 10 << 20)
        left = tail.last - first + 1
        assert (tail.base, tail.bytes) == (EntryId(first - 1, 3), left * SIZE)
        assert tail.slice(first, 10 << 20) == entries(first, *[3] * left)
        assert tail.before(tail.last + 1) == EntryId(tail.last, 3)


@pytest.mark.parametrize(
    ("needed", "kept", "bytes_max", "base"),
    [
        (8, 10, 10_000, 7),  # nobody needs what all have
        (6, 10, 10_000, 5),
        (6, 10, 2 * SIZE, 7),  # a slow peer is fed from the log instead
        (6, 8, 0, 7),  # what the own storage lacks must stay
        (10, 6, 0, 5),
        (10, 10, 0, 9),
    ],
)
def test_what_nobody_needs_or_does_not_fit_is_dropped(
    tail: Tail, needed: int, kept: int, bytes_max: int, base: int
) -> None:
    tail.cut(needed, kept, bytes_max)
    assert tail.base == EntryId(base, 3 if base > 5 else 2)
    assert (tail.last, tail.bytes) == (9, (9 - base) * SIZE)
    assert tail.slice(base + 1, 10_000) == entries(base + 1, *[3] * (9 - base))
