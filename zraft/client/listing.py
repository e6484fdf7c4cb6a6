"""The keys of a range, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NoReturn, Self

from msgspec.structs import replace

from zraft.protocol.requests import RANGE_ITEMS_MAX, Range
from zraft.protocol.responses import KeyValue, RangeResult


class Listing(Iterator[KeyValue]):
    """Keys in order, all of one revision, fetched as the iteration goes on; it can be gone through once.

    Args:
        fetch: asks the cluster for a page, or raises a ``ZraftError``.
        request: the whole range.
        limit: how many keys at most; 0: all.
    """

    def __init__(self, fetch: Callable[[Range], RangeResult], request: Range, limit: int) -> None:
        self._fetch = fetch
        self._request = request
        self._left = limit or None
        self._page: RangeResult | None = None
        self._position = 0

    @property
    def revision(self) -> int:
        """The revision that all its keys are of; the first page is fetched if none was yet."""
        return self._first_page().revision

    def __repr__(self) -> str:
        # Where it stands; it must not ask anyone for what it does not know yet.
        at = f"at revision {self._page.revision}" if self._page else "not begun"
        request = self._request
        return f"<Listing of prefix {request.prefix!r}, from {request.start!r} to {request.end!r}, {at}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Listing can't be pickled or copied: make a list of it")

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> KeyValue:
        page = self._first_page()
        while self._position == len(page.items):
            if not page.more or self._left == 0:
                raise StopIteration
            self._request = replace(self._request, start=page.next_key, revision=page.revision)
            page = self._next_page()
        item = page.items[self._position]
        self._position += 1
        return item

    def _first_page(self) -> RangeResult:
        return self._page or self._next_page()

    def _next_page(self) -> RangeResult:
        # 0 leaves it to the node how much one answer holds.
        limit = self._left if self._left is not None and self._left <= RANGE_ITEMS_MAX else 0
        page = self._fetch(replace(self._request, limit=limit))
        if self._left is not None:
            self._left = max(0, self._left - len(page.items))
        self._page, self._position = page, 0
        return page
