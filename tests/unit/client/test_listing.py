"""A range as its pages come: one revision, the limit, and nothing fetched before it is wanted."""

from collections.abc import Callable
from itertools import islice

import pytest

from zraft.client.listing import Listing
from zraft.errors import Unavailable
from zraft.protocol.requests import RANGE_ITEMS_MAX, Range
from zraft.protocol.responses import KeyValue, RangeResult

ITEMS = [KeyValue(b"%05d" % number, b"", 1, 1, 1) for number in range(7)]
REVISION = 9


class Cluster:
    """Answers with pages of ``size`` keys, and keeps what it was asked."""

    def __init__(self, size: int) -> None:
        self.asked: list[Range] = []
        self._size = size

    def __call__(self, request: Range) -> RangeResult:
        self.asked.append(request)
        rest = [item for item in ITEMS if item.key >= request.start]
        count = min(self._size, request.limit or self._size)
        more = len(rest) > count
        return RangeResult(tuple(rest[:count]), more, rest[count].key if more else b"", REVISION)


@pytest.mark.parametrize("size", [1, 3, 7, 100])
@pytest.mark.parametrize("limit", [0, 1, 3, 6, 7, 8])
def test_it_has_all_keys_up_to_its_limit(size: int, limit: int) -> None:
    cluster = Cluster(size)
    assert list(Listing(cluster, Range(), limit)) == ITEMS[: limit or None]
    assert [request.revision for request in cluster.asked] == [0] + [REVISION] * (len(cluster.asked) - 1)


def test_its_revision_is_known_before_its_keys_are_taken_and_after() -> None:
    cluster = Cluster(3)
    listing = Listing(cluster, Range(), 0)
    assert cluster.asked == []
    assert listing.revision == REVISION
    assert list(listing) == ITEMS
    assert (listing.revision, len(cluster.asked)) == (REVISION, 3)


def test_its_repr_tells_what_it_lists_and_asks_nobody() -> None:
    cluster = Cluster(3)
    listing = Listing(cluster, Range(prefix=b"0", start=b"00001"), 0)
    assert repr(listing) == "<Listing of prefix b'0', from b'00001' to None, not begun>"
    assert cluster.asked == []
    next(listing)
    assert repr(listing) == "<Listing of prefix b'0', from b'00001' to None, at revision 9>"


def test_what_is_not_taken_is_not_fetched() -> None:
    cluster = Cluster(3)
    listing = Listing(cluster, Range(), 0)
    assert list(islice(listing, 3)) == ITEMS[:3]
    assert len(cluster.asked) == 1


def test_an_empty_page_with_more_behind_it_does_not_end_it() -> None:
    pages = [RangeResult((), True, b"k", REVISION), RangeResult((ITEMS[0],), False, b"", REVISION)]
    assert list(Listing(lambda _: pages.pop(0), Range(), 5)) == [ITEMS[0]]


def test_what_fails_can_be_asked_again() -> None:
    cluster = Cluster(3)
    failing: Callable[[Range], RangeResult] = cluster

    def fetch(request: Range) -> RangeResult:
        return failing(request)

    def fail(_: Range) -> RangeResult:
        raise Unavailable("nobody is there")

    listing = Listing(fetch, Range(), 0)
    found = list(islice(listing, 3))
    failing = fail
    with pytest.raises(Unavailable):
        next(listing)
    failing = cluster
    assert [*found, *listing] == ITEMS


@pytest.mark.parametrize(("limit", "asked"), [(RANGE_ITEMS_MAX, RANGE_ITEMS_MAX), (RANGE_ITEMS_MAX + 1, 0)])
def test_a_limit_that_no_page_may_have_is_left_to_the_node(limit: int, asked: int) -> None:
    cluster = Cluster(3)
    next(Listing(cluster, Range(), limit))
    assert cluster.asked[0].limit == asked
